"""The endpoints of jobs: send, look, fetch, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse

from mien.serve.app import Shared, checked, shared
from mien.serve.jobs import OPEN, Job
from mien.serve.options import RunOptions, body_of
from mien.serve.settings import Refused

__all__ = ["router"]

router = APIRouter()
Json = Mapping[str, Any]


def _shown(state: Shared, job: Job) -> Json:
    done = job.state == "done"
    return {
        "id": job.id, "state": job.state, "frames": job.frames, "frames_expected": job.total, "error": job.error,
        "created": job.created, "files": list(state.jobs.files(job)) if done or job.state == "failed" else [],
    }  # fmt: skip


def _mine(request: Request, id: str) -> Job:
    return shared(request).jobs.get(request.scope["mien.who"], id)


@router.post("/v1/jobs", status_code=202, openapi_extra=dict(body_of(RunOptions)))
async def create(request: Request, query: Annotated[RunOptions, Query()]) -> Json:
    """Analyse a clip of any length, or pictures, and keep the files that `mien analyze` writes."""
    state = shared(request)
    async with state.long_intake.of(request) as given:
        options = checked(RunOptions, query.model_dump(exclude_unset=True), given.fields)
        if not given.sources:
            raise Refused(400, got="a job without a clip", expected="a clip or pictures")
        add = partial(state.jobs.add, request.scope["mien.who"], options, given.sources)
        return _shown(state, await asyncio.to_thread(add))


@router.get("/v1/jobs")
async def every(request: Request) -> Json:
    """This key's jobs, the latest first."""
    state = shared(request)
    return {"jobs": [_shown(state, job) for job in state.jobs.of(request.scope["mien.who"])]}


@router.get("/v1/jobs/{id}")
async def one(request: Request, id: str) -> Json:
    """How a job gets on."""
    return _shown(shared(request), _mine(request, id))


@router.get("/v1/jobs/{id}/files/{name:path}", response_class=FileResponse)
async def file(request: Request, id: str, name: str) -> FileResponse:
    """One of a job's files; ``result`` is its table."""
    job = _mine(request, id)
    files = shared(request).jobs.files(job)
    table = next((one for one in files if one.startswith(("faces.", "openface"))), "")
    path = files.get(table if name == "result" else name)
    if path is None or job.state in OPEN:
        raise Refused(404, got="the name of a file", expected=f"one of {', '.join(files) or 'none yet'}")
    return FileResponse(path, filename=path.name, content_disposition_type="inline")


@router.delete("/v1/jobs/{id}")
async def drop(request: Request, id: str) -> Json:
    """Cancel a job, or delete a finished one with its files."""
    job = _mine(request, id)
    with suppress(OSError):
        shared(request).jobs.drop(job)
    return {"id": id, "state": job.state}
