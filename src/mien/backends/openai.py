"""A teacher behind any server that speaks OpenAI's chat protocol (``POST {base_url}/chat/completions``)."""

from __future__ import annotations

import base64
import json
import math
import threading
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from importlib import import_module
from time import time
from typing import Any
from urllib.parse import urlsplit

from mien.backends.chat import ChatFailed, ChatMessage, ChatRequest, Reply
from mien.backends.patience import estimate_text, estimate_tokens
from mien.core.errors import BadConfig, require
from mien.core.paths import api_key

__all__ = ["OpenAITeacher"]

_NO_KEY = "none"
"""Sent where no key is configured: local servers ignore it, the client insists on one."""
_MOST_DETAIL = 300
_FIX_RETRY = "Go on with --resume later, or ask fewer at once with --workers and --rpm"
_FIX_ITEM = "Look at the item and at the server's limits; the other items go on"


class OpenAITeacher:
    """Asks a chat server. It sends each request once; who wants more tries takes `mien.backends.patience`.

    Args:
        base_url: up to ``/v1``, without a user name or password.
        model: the server's name of the model.
        key_variable: environment variable that holds the key; None sends no key. The key itself is kept
            nowhere else: not in errors, logs or files.
        timeout: longest silence of the server in seconds.
        stream: read the reply in pieces, so that `timeout` bounds each pause and not the whole reply.

    Raises:
        BadConfig: no http(s) address, one with a password in it, or an unset variable.
        MissingDependency: the `openai` package is not installed.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key_variable: str | None = None,
        timeout: float = 120.0,
        stream: bool = False,
    ) -> None:
        _check_address(base_url)
        self.base_url, self._model, self._stream = base_url, model, stream
        self._openai = require("openai", extra="llm", purpose="a teacher behind a server")
        # The client's HTTP package changed its name between versions (httpx, httpx2).
        bases = (base.__module__.partition(".")[0] for base in self._openai.DefaultHttpxClient.__mro__)
        self._transport = import_module(next(name for name in bases if name.startswith("httpx")))
        key = None if key_variable is None else api_key(key_variable)
        if key_variable is not None and not key:
            raise BadConfig(
                got=f"no value in the environment variable {key_variable}",
                expected="the key of the server",
                fix=f"Set {key_variable}, or leave --key-env out where no key is needed",
            )
        self._secret = key
        self._client = self._openai.OpenAI(
            base_url=base_url, api_key=key or _NO_KEY, timeout=timeout, max_retries=0
        )
        self._lock = threading.Lock()
        self._refused: frozenset[str] = frozenset()

    @property
    def model(self) -> str:
        """The server's name of the model."""
        return self._model

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def reply(self, request: ChatRequest) -> Reply:
        """Send one request.

        A server that refuses ``response_format``, ``seed`` or ``max_tokens`` is asked again at once without the
        first two, or with ``max_completion_tokens``; this is remembered.

        Raises:
            ChatFailed: no reply; says whether to try again.
        """
        while True:
            refused = self._refused
            try:
                return self._send(request, _arguments(request, self._model, refused))
            except self._openai.APITimeoutError as error:
                raise self._failure("timeout", "no answer within the timeout", True) from error
            except self._openai.APIStatusError as error:
                option = _refused_option(error, request, refused)
                if option is None:
                    raise self._status_failure(error) from error
                with self._lock:
                    self._refused |= {option}
            except (self._openai.APIConnectionError, self._transport.HTTPError) as error:
                detail = f"a broken connection ({error.__cause__ or error})"
                raise self._failure("connection", detail, True) from error
            except (self._openai.OpenAIError, ValueError) as error:
                raise self._failure(
                    "malformed reply", f"a reply that is no sound JSON ({error})", True
                ) from error

    def _send(self, request: ChatRequest, arguments: dict[str, Any]) -> Reply:
        completions = self._client.chat.completions
        if self._stream:
            usage = {"include_usage": True}
            with completions.create(**arguments, stream=True, stream_options=usage) as pieces:
                return self._read_stream(request, pieces)
        raw = completions.with_raw_response.create(**arguments)
        payload = json.loads(raw.http_response.content)
        choices = payload.get("choices") if isinstance(payload, dict) else None
        if not choices or not isinstance(choices, list) or not isinstance(choices[0], dict):
            raise self._failure("malformed reply", f"a reply without choices: {payload!r}", True)
        message = choices[0].get("message")
        if not isinstance(message, dict):
            raise self._failure("malformed reply", f"a choice without message: {payload!r}", True)
        text, refusal = _plain(message.get("content")), _plain(message.get("refusal"))
        return _reply(request, text, refusal, choices[0].get("finish_reason"), payload.get("usage"))

    def _read_stream(self, request: ChatRequest, pieces: Iterable[Any]) -> Reply:
        text, refusal, finish, usage = [], [], None, None
        for piece in pieces:
            if piece.usage is not None:
                usage = piece.usage.model_dump()
            for choice in piece.choices or ():
                text.append(choice.delta.content or "")
                refusal.append(getattr(choice.delta, "refusal", None) or "")
                finish = choice.finish_reason or finish
        if finish is None:
            raise self._failure("truncated reply", "a stream that ended before its end", True)
        return _reply(request, "".join(text), "".join(refusal), finish, usage)

    def _status_failure(self, error: Any) -> ChatFailed:
        status, detail = int(error.status_code), f"status {error.status_code}: {error.message}"
        body = str(error.body)
        if status == 429 and "insufficient_quota" not in body:
            return self._failure("rate limit", detail, True, retry_after=_retry_after(error.response.headers))
        if status in {401, 402, 403, 404, 429}:
            return ChatFailed(
                reason="refused by the server",
                got=self._clean(detail),
                expected=f"access to {self._model} at {self.base_url}",
                fix="Check --teacher, --model, and the key that --key-env names; then go on with --resume",
                fatal=True,
            )
        if status in {408, 409, 425} or status >= 500:
            return self._failure(
                "server error", detail, True, retry_after=_retry_after(error.response.headers)
            )
        reason = "content filter" if "content_filter" in body else "bad request"
        return self._failure(reason, detail, False)

    def _failure(
        self, reason: str, detail: str, retryable: bool, retry_after: float | None = None
    ) -> ChatFailed:
        return ChatFailed(
            reason=reason,
            got=self._clean(detail),
            expected=f"a chat completion from {self.base_url}",
            fix=_FIX_RETRY if retryable else _FIX_ITEM,
            retryable=retryable,
            retry_after=retry_after,
        )

    def _clean(self, detail: str) -> str:
        """Without the key, should a server repeat it, and short."""
        if self._secret:
            detail = detail.replace(self._secret, "***")
        detail = " ".join(detail.split())
        return detail if len(detail) <= _MOST_DETAIL else detail[:_MOST_DETAIL] + " …"


def _check_address(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadConfig(
            got=f"teacher {base_url!r}",
            expected="'rules', or the address of a server such as http://localhost:8000/v1",
            fix="Correct --teacher",
        )
    if parts.username or parts.password or parts.query:
        raise BadConfig(
            got="an address with a user name, password or query",
            expected="a plain address",
            fix="Put the key into an environment variable and name it with --key-env",
        )


def _arguments(request: ChatRequest, model: str, refused: frozenset[str]) -> dict[str, Any]:
    longest = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
    arguments: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in request.messages],
        "temperature": request.temperature,
        longest: request.max_tokens,
    }
    if request.json and "response_format" not in refused:
        arguments["response_format"] = {"type": "json_object"}
    if request.seed is not None and "seed" not in refused:
        arguments["seed"] = request.seed
    return arguments


def _message(message: ChatMessage) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.text}
    parts: list[dict[str, Any]] = [
        {
            "type": "image_url",
            "image_url": {"url": f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"},
        }
        for image in message.images
    ]
    return {"role": message.role, "content": [*parts, {"type": "text", "text": message.text}]}


def _refused_option(error: Any, request: ChatRequest, refused: frozenset[str]) -> str | None:
    """The option that a 400 or 422 complains about, if this request used it and one can do without."""
    if int(error.status_code) not in {400, 422}:
        return None
    used = {"max_tokens"} | ({"response_format"} if request.json else set())
    used |= {"seed"} if request.seed is not None else set()
    complaint = f"{error.message} {error.body}"
    for option in ("response_format", "seed", "max_tokens"):
        if option in used - refused and option in complaint:
            return option
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of ``Retry-After``: a number or an HTTP date (RFC 9110, 10.2.3); None when absent or unreadable."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _plain(content: object) -> str:
    """Text of a message; some servers send a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _reply(request: ChatRequest, text: str, refusal: str, finish: object, usage: object) -> Reply:
    """A server that counts no tokens is charged by estimate."""
    counts = usage if isinstance(usage, dict) else {}
    tokens_in = _count(counts.get("prompt_tokens")) or estimate_tokens(request)
    tokens_out = _count(counts.get("completion_tokens")) or estimate_text(text + refusal)
    if refusal:
        return Reply(refusal, "refusal", tokens_in, tokens_out)
    known = finish if finish in {"length", "content_filter"} else "stop"
    return Reply(text, str(known), tokens_in, tokens_out)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
