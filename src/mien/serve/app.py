"""The application: what all endpoints share, and which there are."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from mien import __version__
from mien.core.errors import BackendFailed, BadConfig, MienError, MissingDependency
from mien.core.paths import output_errors
from mien.serve.engine import Engine, Lane, Task
from mien.serve.gate import Gate, fault
from mien.serve.intake import Intake, own_folder
from mien.serve.jobs import Jobs
from mien.serve.metrics import Metrics
from mien.serve.settings import Refused, Settings
from mien.work.loop import Unexpected

__all__ = ["FAULTS", "NOTICE", "Fault", "Shared", "build", "checked", "shared", "shared_of", "until_done"]

Model = TypeVar("Model", bound=BaseModel)
NOTICE = (
    "Apparent expression of a face in a picture, not what a person feels, thinks or intends. "
    "No basis for decisions about people."
)
_GONE = 499


class _Fault(BaseModel):
    message: str
    type: str
    code: str
    got: str | None = None
    expected: str | None = None
    fix: str | None = None


class Fault(BaseModel):
    """How every error is told."""

    error: _Fault


FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": Fault, "description": text}
    for status, text in {
        400: "Not understood", 401: "No key", 403: "Another host or site", 408: "The body came too slowly",
        413: "Too large or long", 422: "Nothing of it could be analysed",
        429: "Too many; see Retry-After", 503: "Not in time; see Retry-After",
    }.items()
}  # fmt: skip
"""Answers that any endpoint may give, for the OpenAPI document."""


@dataclass(slots=True)
class Shared:
    """What endpoints use."""

    settings: Settings
    engine: Engine
    intake: Intake
    metrics: Metrics
    folder: Path
    jobs: Jobs
    long_intake: Intake
    """For jobs, whose clips may be longer."""
    streams: int = 0

    def close(self) -> None:
        """Finish what runs, and leave no file behind."""
        self.jobs.close()
        self.engine.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def shared_of(settings: Settings) -> Shared:
    """What the endpoints of a new server use; the working directory becomes that of its jobs.

    Raises:
        BadConfig, MissingWeights: the model cannot be opened.
        OutputFailed: the folder of the jobs cannot be made.
    """
    metrics, folder = Metrics(), own_folder()
    home = (settings.jobs or folder / "jobs").absolute()
    settings = replace(settings, model=_whole(settings.model), also=tuple(map(_whole, settings.also)))
    with output_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    engine, limits = Engine(settings, metrics), settings.limits
    os.chdir(home)
    longer = replace(limits, clip_bytes=limits.job_bytes, clip_seconds=limits.job_seconds)
    return Shared(
        settings, engine, Intake(settings, folder), metrics, folder, Jobs(settings, home, engine),
        Intake(replace(settings, limits=longer), folder),
    )  # fmt: skip


def _whole(model: str) -> str:
    return str(Path(model).absolute()) if Path(model).is_dir() else model


def shared(request: Any) -> Shared:
    """That of the server of a request or socket."""
    found: Shared = request.app.state.shared
    return found


def checked(kind: type[Model], *given: Any) -> Model:
    """Options out of the query and the body, the later before the earlier.

    Raises:
        Refused: an unknown name, or a value of another type (400).
    """
    merged = {key: value for one in given for key, value in dict(one).items()}
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        raise _unfit(error.errors()) from None


def _unfit(found: Any) -> Refused:
    first = found[0]
    place = ".".join(str(part) for part in first["loc"])
    return Refused(
        400, got=f"{place[:100] or 'a request'}: {first['msg'][:200]}", expected="see /openapi.json"
    )


async def until_done(request: Request, lane: Lane, task: Task, seconds: float | None = None) -> Any:
    """The outcome of a task; it is given up when the client goes away or the time is over.

    Raises:
        Refused: no room in the queue, or not in time.
        ClientDisconnect: nobody is there any more.
        MienError: that of the task.
    """
    lane.put(task)
    future = asyncio.wrap_future(task.future)
    gone = asyncio.create_task(_gone(request))
    most = seconds or shared(request).settings.limits.seconds
    try:
        await asyncio.wait({future, gone}, timeout=most, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        if gone.done():
            raise ClientDisconnect
        raise Refused(
            503,
            got=f"no result within {most:g} s",
            expected="one in time",
            fix="Try later, or send long clips to /v1/jobs",
            retry_after=10,
        )
    finally:
        gone.cancel()
        task.give_up()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def build(settings: Settings, add: Callable[[FastAPI], None]) -> Gate:
    """The application behind its gate, the model loaded.

    Args:
        settings: what the server was told.
        add: adds the endpoints.

    Raises:
        BadConfig, MissingWeights: the model cannot be opened.
    """
    state = shared_of(settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(state.engine.warm)
        try:
            yield
        finally:
            await asyncio.to_thread(state.close)

    app = FastAPI(
        title="mien", version=__version__, description=NOTICE, docs_url=None, redoc_url=None, lifespan=life,
        responses=FAULTS,
    )  # fmt: skip
    app.state.shared = state
    app.add_exception_handler(MienError, _told)
    app.add_exception_handler(RequestValidationError, _unread)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _broke)
    add(app)
    return Gate(app, settings, state.metrics)


_STATUS = ((Unexpected, 500), (BackendFailed, 500), (MissingDependency, 501), (BadConfig, 400))


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, MienError)
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), getattr(error, "status", 422))
    body, headers = fault(error, status)
    return JSONResponse(body, status, headers)


async def _unread(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _told(request, _unfit(error.errors()))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    found = Refused(
        error.status_code, got=f"a request answered with {error.detail}", expected="see /openapi.json"
    )
    body, headers = fault(found, error.status_code)
    return JSONResponse(body, error.status_code, {**(error.headers or {}), **headers})


async def _broke(request: Request, error: Exception) -> Response:
    """What nobody foresaw; its traceback goes to the log."""
    found = Refused(
        500, got=f"a fault of the server ({type(error).__name__})", expected="none", fix="Report it"
    )
    return await _told(request, found)


async def _left(request: Request, error: Exception) -> Response:
    return Response(status_code=_GONE)
