"""mien's own endpoints: analyze, ask, verify, models, health, metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from mien.analyze.sources import Source
from mien.analyze.stored import rounded
from mien.core.emotions import EMOTIONS
from mien.core.nouns import FrameResult
from mien.core.shown import Shown
from mien.serve.app import NOTICE, Shared, checked, shared, until_done
from mien.serve.engine import Lane, Task
from mien.serve.intake import Given
from mien.serve.options import AnalyzeOptions, AskOptions, VerifyOptions, body_of
from mien.serve.settings import Refused

__all__ = ["one_source", "results", "router", "shown_frame", "stamped"]

router = APIRouter()
Json = Mapping[str, Any]


def stamped(state: Shared, noun: Shown, model: str = "") -> Json:
    """A noun as `mien` prints it, with what it is not."""
    return {**noun.to_dict(), "model": state.engine.name(model), "notice": NOTICE}


def results(state: Shared, options: AnalyzeOptions, frames: list[FrameResult]) -> bytes:
    """The body of an answer: results in `FrameResult.to_dict`'s form, numbers rounded as in tables."""
    found = [rounded(shown_frame(frame, options.landmarks)).to_dict() for frame in frames]
    body: dict[str, Any] = {"model": state.engine.name(options.model), "notice": NOTICE, "results": found}
    if all(frame.error is not None for frame in frames):
        body["error"] = {"message": frames[0].error, "type": "BadInput", "param": None, "code": "422"}
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def shown_frame(frame: FrameResult, landmarks: bool) -> FrameResult:
    """A result with or without the points of its faces."""
    if landmarks:
        return frame
    faces = (replace(one, face=replace(one.face, landmarks=None)) for one in frame.faces)
    return replace(frame, faces=tuple(faces))


def one_source(given: Given) -> Source:
    """The one picture or clip of a request.

    Raises:
        Refused: none, or several.
    """
    if len(given.sources) != 1:
        raise Refused(400, got=f"{len(given.sources)} pictures", expected="one picture or clip")
    return given.sources[0]


def _lane(state: Shared, given: Given, words: bool = False) -> Lane:
    engine = state.engine
    return engine.clips if given.moving else engine.words if words else engine.photos


def _sent(content: Json) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()


def _answer(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")


@router.post("/v1/analyze", openapi_extra=dict(body_of(AnalyzeOptions)))
async def analyze(request: Request, query: Annotated[AnalyzeOptions, Query()]) -> Response:
    """Emotions, Action Units and, if asked, words for each face of pictures or a clip."""
    state = shared(request)
    async with state.intake.of(request) as given:
        options = checked(AnalyzeOptions, query.model_dump(exclude_unset=True), given.fields)
        if not given.sources:
            raise Refused(400, got="a request without a picture", expected="a picture or clip")
        if given.moving and len(given.sources) > 1:
            raise Refused(400, got="a clip beside other media", expected="one clip, or pictures")
        how = options.how(state.settings.landmarks_only)
        state.engine.name(options.model)
        made: list[FrameResult] = []

        def finish(frames: list[FrameResult]) -> bytes:
            made.extend(frames)
            return results(state, options, frames)

        task = Task(finish, given.sources, how, state.settings.limits.clip_seconds)
        content = await until_done(request, _lane(state, given, options.explain), task)
        return _answer(content, 422 if all(frame.error is not None for frame in made) else 200)


@router.post("/v1/ask", openapi_extra=dict(body_of(AskOptions, query=False)))
async def ask(request: Request) -> Response:
    """Answer a question about the faces of a picture or clip: ``status`` answered, declined or unparsed."""
    state = shared(request)
    async with state.intake.of(request) as given:
        options = checked(AskOptions, request.query_params, given.fields)
        call = partial(
            state.engine.of(options.model).ask, one_source(given), options.question, options.cropped,
            options.landmarks_only or state.settings.landmarks_only, frames=options.frames, decoder=options.decoder,
        )  # fmt: skip
        task = Task(lambda _: _sent(stamped(state, call(), options.model)))
        return _answer(await until_done(request, _lane(state, given), task))


@router.post("/v1/verify", openapi_extra=dict(body_of(VerifyOptions, query=False)))
async def verify(request: Request) -> Response:
    """Hold what a text says about a face against what is measured on it."""
    state = shared(request)
    async with state.intake.of(request) as given:
        options = checked(VerifyOptions, request.query_params, given.fields)
        source, drop = one_source(given), options.landmarks_only or state.settings.landmarks_only
        call = partial(state.engine.of(options.model).verify, options.text, source, options.cropped, drop)
        task = Task(lambda _: _sent(stamped(state, call(), options.model)))
        return _answer(await until_done(request, _lane(state, given), task))


@router.get("/v1/models")
async def models(request: Request) -> Json:
    """The models that answer, in the form of OpenAI's list."""
    one = {"object": "model", "created": 0, "owned_by": "mien", "emotions": list(EMOTIONS)}
    found = shared(request).engine.analyzers
    return {
        "object": "list",
        "data": [{"id": name, **one, "aus": list(each.reader.aus)} for name, each in found.items()],
    }


@router.get("/healthz")
async def healthy() -> Json:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(request: Request) -> Json:
    """The model is loaded, and there is room in the queue."""
    shared(request).engine.photos.room()
    return {"status": "ready"}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(shared(request).metrics.text(), media_type="text/plain; version=0.0.4")
