"""OpenAI's chat completions, so that its clients can ask about faces.

The last user message is the question; the picture is that message's, else the latest before it. Answers are rendered
from the measurement, so temperature, seed and the like change nothing, and ``n`` choices are equal. Tokens are words
and signs. Each choice carries ``mien``: the answer as `/v1/ask` gives it.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from mien.analyze.answering import without_looking
from mien.analyze.sources import Source
from mien.core.errors import BadInput
from mien.core.nouns import Answer, FrameResult
from mien.dialogue.ask.understand import understand
from mien.serve.app import shared, until_done
from mien.serve.engine import How, Task
from mien.serve.filling import fill
from mien.serve.settings import Refused

__all__ = ["ChatOptions", "router"]

router = APIRouter()
_PIECES = re.compile(r"\s*(?:\w+|[^\w\s])")
_STOPS = 16
Json = Mapping[str, Any]


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class _Format(BaseModel):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: dict[str, Any] | None = None


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatOptions(BaseModel):
    """What of OpenAI's request is heeded; other fields are passed over."""

    model_config = ConfigDict(extra="allow")
    model: str = ""
    messages: list[_Message] = Field(min_length=1, max_length=1000)
    n: int = Field(1, ge=1, le=16)
    stop: str | list[str] | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    response_format: _Format = _Format()
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    tools: list[Any] | None = None

    @property
    def most(self) -> int | None:
        """Tokens of an answer."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> list[str]:
        """Texts before which an answer ends."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [one for one in given if one][:_STOPS]


def _pieces(text: str) -> list[str]:
    """A text as tokens, which joined give it again."""
    found = _PIECES.findall(text)
    rest = text[sum(map(len, found)) :]
    return [*found, rest] if rest else found


def _parts(message: _Message) -> list[dict[str, Any]]:
    content = message.content
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _text(message: _Message) -> str:
    return "\n".join(
        str(part.get("text", "")) for part in _parts(message) if part.get("type") == "text"
    ).strip()


def _picture(message: _Message) -> str | None:
    for part in _parts(message):
        kind, given = part.get("type"), part.get("image_url", part.get("video_url"))
        if kind in ("image_url", "video_url"):
            url = given.get("url") if isinstance(given, Mapping) else given
            if not isinstance(url, str):
                raise Refused(
                    400, got=f"a part {kind} without url", expected='{"image_url": {"url": "data:…"}}'
                )
            return url
        if kind != "text":
            raise Refused(
                400, got=f"a part of type {str(kind)[:40]}", expected="text, image_url or video_url"
            )
    return None


def _asked(options: ChatOptions) -> tuple[str, str | None]:
    users = [one for one in options.messages if one.role == "user"]
    if not users:
        raise Refused(400, got="no message of a user", expected="one with a question")
    picture = next((found for one in reversed(users) if (found := _picture(one))), None)
    return _text(users[-1]), picture


@router.post("/v1/chat/completions")
async def complete(request: Request, options: ChatOptions) -> Response:
    """Ask about a face in OpenAI's form."""
    state = shared(request)
    if options.tools:
        raise Refused(400, got="tools", expected="none: this model calls nothing")
    question, picture = _asked(options)
    with state.intake.files() as keep:
        source = None if picture is None else await state.intake.checked_media(picture, "picture", keep)
        lane = state.engine.clips if source is not None and source.kind != "image" else state.engine.photos
        body = await until_done(request, lane, _task(request, options, question, source))
    if not options.stream:
        return JSONResponse(body)
    return StreamingResponse(
        _events(body, options), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


def _task(request: Request, options: ChatOptions, question: str, source: Source | None) -> Task:
    """Answer in words, or fill a form from what is measured."""
    state = shared(request)
    # Clients of OpenAI's name models that nobody here has: those mean the first.
    model = options.model if options.model in state.engine.analyzers else state.engine.name("")
    drop, analyzer = state.settings.landmarks_only, state.engine.of(model)

    def words() -> Answer:
        if source is None:
            grounded = analyzer.reader.grounded
            answer = without_looking(understand(question), analyzer.reader.aus) if grounded else None
            if answer is None:
                raise BadInput(
                    got="a question without a picture", expected="an image_url part with a data URL"
                )
            return answer
        return analyzer.ask(source, question, landmarks_only=drop)

    if options.response_format.type == "text":
        return Task(lambda _: _body(model, options, question, words()))
    if source is None:
        raise Refused(400, got="a form without a picture", expected="an image_url part with a data URL")

    def form(frames: list[FrameResult]) -> Json:
        shown = [frame for frame in frames if frame.faces]
        if not shown:
            error = next((frame.error for frame in frames if frame.error is not None), None)
            raise BadInput(got=error or "a picture in which no face was found", expected="at least one face")
        schema = (options.response_format.json_schema or {}).get("schema")
        filled = fill(schema, shown[len(shown) // 2].faces[0], words)
        answer = Answer(json.dumps(filled, ensure_ascii=False), "answered")
        return _body(model, options, question, answer)

    how = How(explain=False, landmarks_only=drop, model=model)
    return Task(form, [source], how, state.settings.limits.clip_seconds)


def _body(model: str, options: ChatOptions, question: str, answer: Answer) -> Json:
    text, finish = answer.text, "stop"
    cuts = [at for stop in options.stops if (at := text.find(stop)) >= 0]
    text = text[: min(cuts)] if cuts else text
    pieces = _pieces(text)
    if options.most is not None and len(pieces) > options.most:
        text, finish = "".join(pieces[: options.most]), "length"
    refusal = answer.reason if answer.status == "declined" else None
    one = {
        "message": {"role": "assistant", "content": text, "refusal": refusal},
        "finish_reason": finish,
        "logprobs": _logprobs(answer, options) if options.logprobs else None,
        "mien": {
            "status": answer.status,
            "reason": answer.reason,
            "scores": answer.scores,
            "times": list(answer.times),
        },
    }
    used, asked = len(_pieces(text)) * options.n, len(_pieces(question))
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}", "object": "chat.completion", "created": int(time.time()),
        "model": model, "choices": [{"index": number, **one} for number in range(options.n)],
        "usage": {"prompt_tokens": asked, "completion_tokens": used, "total_tokens": asked + used},
    }  # fmt: skip


def _logprobs(answer: Answer, options: ChatOptions) -> Json | None:
    """Of the label's read-out: one token, the label, and those it was chosen from."""
    if not answer.scores:
        return None
    ranked = sorted(answer.scores.items(), key=lambda pair: -pair[1])
    tokens = [
        {"token": name, "logprob": math.log(max(share, 1e-30)), "bytes": list(name.encode())}
        for name, share in ranked
    ]
    return {"content": [{**tokens[0], "top_logprobs": tokens[: options.top_logprobs]}], "refusal": None}


async def _events(body: Json, options: ChatOptions) -> AsyncIterator[str]:
    """The same as server-sent events, a word each."""
    shared_part = {
        **{key: body[key] for key in ("id", "created", "model")},
        "object": "chat.completion.chunk",
    }

    def event(choices: list[Json], **more: Any) -> str:
        content = {**shared_part, "choices": choices, **more}
        return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"

    for choice in body["choices"]:
        place = {"index": choice["index"], "finish_reason": None}
        yield event([{**place, "delta": {"role": "assistant", "content": ""}}])
        for number, piece in enumerate(_pieces(choice["message"]["content"])):
            told = choice["logprobs"] if number == 0 else None
            yield event([{**place, "delta": {"content": piece}, "logprobs": told}])
        last = {**place, "finish_reason": choice["finish_reason"], "mien": choice["mien"]}
        yield event([{**last, "delta": {"refusal": choice["message"]["refusal"]}}])
    if options.stream_options is not None and options.stream_options.include_usage:
        yield event([], usage=body["usage"])
    yield "data: [DONE]\n\n"
