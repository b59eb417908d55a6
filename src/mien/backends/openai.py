"""A teacher behind any server that speaks OpenAI's chat protocol (``POST {base_url}/chat/completions``)."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from importlib import import_module
from time import time
from typing import Any
from urllib.parse import urlsplit

from mien.backends.chat import ChatFailed, ChatMessage, ChatRequest, Reply
from mien.backends.patience import estimate_text, estimate_tokens
from mien.backends.thoughts import join_thoughts, split_thoughts
from mien.core.errors import BadConfig, require
from mien.core.objects import read_json
from mien.core.paths import api_key

__all__ = ["OpenAITeacher"]

_NO_KEY = "none"
"""Sent where no key is configured: local servers ignore it, the client insists on one."""
_MOST_DETAIL = 300
_FILTERED = re.compile(r"content[_ ](?:filter|policy|management)|moderation|\bflagged\b", re.IGNORECASE)
_FINISH = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
}
"""How servers name the end of a reply; any other is ``stop``."""
_REASONING = ("reasoning_content", "reasoning", "thinking")
"""Fields beside ``content`` that hold thoughts (DeepSeek and vLLM, OpenRouter, Ollama)."""
_OPTIONS = ("response_format", "seed", "temperature", "stream_options", "max_tokens", "system")
"""What a server may refuse and one can do without."""
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
        BadConfig: no http(s) address, one with a password in it, or a variable without a sound key.
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
        key = None if key_variable is None else api_key(key_variable)
        self.base_url, self._model, self._stream = base_url, model, stream
        self._openai = require("openai", extra="llm", purpose="a teacher behind a server")
        # The client's HTTP package changed its name between versions (httpx, httpx2).
        bases = (base.__module__.partition(".")[0] for base in self._openai.DefaultHttpxClient.__mro__)
        self._transport = import_module(next(name for name in bases if name.startswith("httpx")))
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

    @property
    def left_out(self) -> tuple[str, ...]:
        """Options that the server refused and is no longer sent."""
        return tuple(sorted(self._refused))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def reply(self, request: ChatRequest) -> Reply:
        """Send one request.

        A server that refuses an option is asked again at once without it, and so from then on (`left_out`):
        ``response_format``, ``seed``, ``temperature``, ``stream_options``; ``max_tokens`` becomes
        ``max_completion_tokens``, and the system's message the beginning of the user's.

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
            if "stream_options" not in self._refused:
                arguments["stream_options"] = {"include_usage": True}
            with completions.create(**arguments, stream=True) as pieces:
                return self._read_stream(request, pieces)
        raw = completions.with_raw_response.create(**arguments)
        payload = read_json(raw.http_response.content)
        choices = payload.get("choices") if isinstance(payload, dict) else None
        if not choices or not isinstance(choices, list) or not isinstance(choices[0], dict):
            raise self._failure("malformed reply", f"a reply without choices: {payload!r}", True)
        message = choices[0].get("message")
        if not isinstance(message, dict):
            raise self._failure("malformed reply", f"a choice without message: {payload!r}", True)
        return self._reply(request, message, choices[0].get("finish_reason"), payload.get("usage"))

    def _read_stream(self, request: ChatRequest, pieces: Iterable[Any]) -> Reply:
        message: dict[str, str] = {}
        finish = usage = None
        for piece in pieces:
            if piece.usage is not None:
                usage = piece.usage.model_dump()
            for choice in piece.choices or ():
                delta = choice.delta.model_dump() if choice.delta else {}
                for name in ("content", "refusal", *_REASONING):
                    message[name] = message.get(name, "") + _plain(delta.get(name))
                finish = choice.finish_reason or finish
        if finish is None:
            raise self._failure("truncated reply", "a stream that ended before its end", True)
        return self._reply(request, message, finish, usage)

    def _reply(
        self, request: ChatRequest, message: Mapping[str, Any], finish: object, usage: object
    ) -> Reply:
        """What the message says, what it thought, and what it cost: by estimate where the server counts nothing."""
        refusal = self._sound(_plain(message.get("refusal")))
        answer, thoughts = split_thoughts(self._sound(_plain(message.get("content"))))
        for beside in dict.fromkeys(_plain(message.get(name)) for name in _REASONING):
            thoughts = f"{self._sound(beside)}\n{thoughts}".strip()
        counts = usage if isinstance(usage, dict) else {}
        tokens_in = _count(counts.get("prompt_tokens")) or estimate_tokens(request)
        tokens_out = _count(counts.get("completion_tokens")) or estimate_text(answer + refusal + thoughts)
        if refusal:
            return Reply(refusal, "refusal", tokens_in, tokens_out)
        return Reply(answer, _FINISH.get(str(finish).lower(), "stop"), tokens_in, tokens_out, thoughts)

    def _sound(self, text: str) -> str:
        """Text that any file can hold, without the key, should a server repeat it."""
        text = text.encode("utf-8", "replace").decode()
        return text.replace(self._secret, "***") if self._secret else text

    def _status_failure(self, error: Any) -> ChatFailed:
        status, detail = int(error.status_code), f"status {error.status_code}: {error.message}"
        body = f"{error.body} {error.message}"
        if status in {400, 403, 422} and _FILTERED.search(body):
            return self._failure("content filter", detail, False)
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
        return self._failure("bad request", detail, False, status=status)

    def _failure(
        self,
        reason: str,
        detail: str,
        retryable: bool,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> ChatFailed:
        return ChatFailed(
            reason=reason,
            got=self._clean(detail),
            expected=f"a chat completion from {self.base_url}",
            fix=_FIX_RETRY if retryable else _FIX_ITEM,
            retryable=retryable,
            retry_after=retry_after,
            status=status,
        )

    def _clean(self, detail: str) -> str:
        detail = " ".join(self._sound(detail).split())
        return detail if len(detail) <= _MOST_DETAIL else detail[:_MOST_DETAIL] + " …"


def _check_address(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, sound = urlsplit(""), False
    if "@" in base_url or parts.query or parts.fragment:
        raise BadConfig(
            got="an address with a user name, password or query",
            expected="a plain address",
            fix="Put the key into an environment variable and name it with --key-env",
        )
    if not sound or not re.fullmatch(r"[!-~]+", base_url):
        raise BadConfig(
            got=f"teacher {base_url!r}",
            expected="'rules', or the address of a server such as http://localhost:8000/v1",
            fix="Correct --teacher",
        )


def _arguments(request: ChatRequest, model: str, refused: frozenset[str]) -> dict[str, Any]:
    longest = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
    arguments: dict[str, Any] = {
        "model": model,
        "messages": [_message(one) for one in _without_system(request.messages, "system" in refused)],
        longest: request.max_tokens,
    }
    if "temperature" not in refused:
        arguments["temperature"] = request.temperature
    if request.json and "response_format" not in refused:
        arguments["response_format"] = {"type": "json_object"}
    if request.seed is not None and "seed" not in refused:
        arguments["seed"] = request.seed
    return arguments


def _without_system(messages: tuple[ChatMessage, ...], refused: bool) -> tuple[ChatMessage, ...]:
    if not refused or len(messages) < 2 or messages[0].role != "system":
        return messages
    first, second, *rest = messages
    return replace(second, text=f"{first.text}\n\n{second.text}"), *rest


def _message(message: ChatMessage) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.text}
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": image.url}} for image in message.images
    ]
    return {"role": message.role, "content": [*parts, {"type": "text", "text": message.text}]}


def _refused_option(error: Any, request: ChatRequest, refused: frozenset[str]) -> str | None:
    """The option that a 400 or 422 complains about, if this request used it and one can do without."""
    if int(error.status_code) not in {400, 422}:
        return None
    used = {"max_tokens", "temperature", "stream_options"} | ({"response_format"} if request.json else set())
    used |= {"seed"} if request.seed is not None else set()
    used |= {"system"} if request.messages[0].role == "system" else set()
    complaint = f"{error.message} {error.body}"
    return next((one for one in _OPTIONS if one in used - refused and _names(complaint, one)), None)


def _names(complaint: str, option: str) -> bool:
    """Whether a complaint is about an option; a system's message is spoken of as a role (Gemma's template)."""
    pattern = r"system.{0,20}\brole|role.{0,20}\bsystem" if option == "system" else rf"\b{option}\b"
    return re.search(pattern, complaint, re.IGNORECASE) is not None


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
    """Text of a message; some servers send a list of parts, thoughts among them."""
    if isinstance(content, list):
        return "".join(map(_part, content))
    return content if isinstance(content, str) else ""


def _part(part: object) -> str:
    if not isinstance(part, dict):
        return ""
    if str(part.get("type", "")).endswith(("thinking", "reasoning")):
        return join_thoughts("", _plain(part.get("thinking") or part.get("text") or part.get("content")))
    return _plain(part.get("text"))


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
