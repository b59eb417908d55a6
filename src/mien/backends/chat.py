"""The nouns of a conversation with a teacher or a judge: request, reply, and who replies.

A `ChatRequest` holds all that decides its answer, so that a memory can know it again by `ChatRequest.key`.
"""

from __future__ import annotations

import base64
import hashlib
import json as json_format
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mien.core.errors import BackendFailed, BadConfig

__all__ = ["ChatFailed", "ChatImage", "ChatMessage", "ChatRequest", "Reply", "Teacher", "canonical"]

Finish = Literal["stop", "length", "refusal", "content_filter"]


@dataclass(frozen=True, slots=True)
class ChatImage:
    """An encoded picture, as it is sent."""

    data: bytes
    """The bytes of the file."""
    media_type: str = "image/jpeg"

    @property
    def url(self) -> str:
        """The picture itself as a ``data:`` address."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"

    @property
    def hash(self) -> str:
        """SHA-256 of the bytes, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message; its pictures stand before its text."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[ChatImage, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a teacher, complete: nothing outside it may change the answer."""

    step: str
    """Engine and step, e.g. ``"exp-cot/au2des"``."""
    version: str
    """Version of the step's prompt; raise it when the wording changes."""
    messages: tuple[ChatMessage, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able structured inputs of the step: what the offline ``rules`` teacher reads instead of the prompt."""
    temperature: float = 0.0
    max_tokens: int = 512
    """Longest reply in tokens."""
    json: bool = False
    """Ask for one JSON object, where the server offers that mode."""
    seed: int | None = None
    attempt: int = 0
    """0, 1 …: a deliberate new try of the same prompt."""

    def body(self) -> dict[str, Any]:
        """All of the request as JSON values; pictures as their media type and hash."""
        return {
            "step": self.step,
            "version": self.version,
            "messages": [
                {
                    "role": message.role,
                    "text": message.text,
                    "images": [f"{image.media_type} {image.hash}" for image in message.images],
                }
                for message in self.messages
            ],
            "facts": dict(self.facts),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "json": self.json,
            "seed": self.seed,
            "attempt": self.attempt,
        }

    def key(self, model: str) -> str:
        """SHA-256 (hexadecimal) over step, version, messages, picture hashes, facts, settings and ``model``."""
        return hashlib.sha256(canonical(self.body() | {"model": model}).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    text: str
    finish: str = "stop"
    """``stop``; ``length``: cut at `ChatRequest.max_tokens`; ``refusal``; ``content_filter``."""
    tokens_in: int = 0
    tokens_out: int = 0
    thoughts: str = ""
    """What a reasoning model thought aloud; never part of ``text``."""

    @property
    def unsaid(self) -> str | None:
        """Why there is nothing but thoughts; None when there is an answer, or neither."""
        if not self.thoughts or self.text.strip() or self.finish not in {"stop", "length"}:
            return None
        return "cut off while thinking" if self.finish == "length" else "thoughts without an answer"


class ChatFailed(BackendFailed):
    """A teacher gave no reply.

    Args:
        reason: a short stable group of words, counted in statistics: ``"timeout"``, ``"bad request"`` …
        retryable: the same request may succeed later.
        fatal: every other request will fail as well (wrong key, wrong model, quota spent): stop the run.
        retry_after: seconds that the server asked to wait.
        status: HTTP status of a request that the server will not take, whenever it is sent.
    """

    def __init__(
        self,
        *,
        reason: str,
        got: str,
        expected: str,
        fix: str,
        retryable: bool = False,
        fatal: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(got=got, expected=expected, fix=fix)
        self.reason, self.retryable, self.fatal, self.retry_after = reason, retryable, fatal, retry_after
        self.status = status


class Teacher(Protocol):
    """Who replies. Called from many threads at once."""

    @property
    def model(self) -> str:
        """Name of the model; part of every key."""

    def reply(self, request: ChatRequest) -> Reply:
        """Answer one request.

        Raises:
            ChatFailed: no reply; says whether to try again.
        """


def canonical(value: object) -> str:
    """``value`` as JSON that is equal for equal values: sorted keys, no spaces.

    Raises:
        BadConfig: it holds something that is no JSON value (an array, a path, NaN).
    """
    try:
        return json_format.dumps(
            value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise BadConfig(
            got=f"a request with a value that JSON cannot hold ({error})",
            expected="str, int, finite float, bool, None, lists and mappings",
            fix="Convert arrays to lists and paths to str",
        ) from error
