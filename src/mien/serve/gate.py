"""What stands before every request: hosts and origins, keys and rates, bounds of bodies, counts, and the log.

The log and the counters hold method, route, status, time and the name of the key: no body, no query, no key.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections import OrderedDict
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.core.errors import MienError
from mien.serve.metrics import Metrics
from mien.serve.settings import Refused, Settings, who

__all__ = ["Gate", "fault"]

_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:"),
    (b"referrer-policy", b"no-referrer"),
)
"""Headers of every answer: nothing is loaded from elsewhere."""
_OPEN = ("/", "/healthz", "/readyz", "/openapi.json")
"""What needs no key; of the page (/ui) no file does."""
_MANY = 10_000
"""Addresses whose rate is remembered."""
_TRIES = 10
"""Wrong keys that an address may send in a row, and again one each six seconds."""
_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))
_log = logging.getLogger("mien.serve")


def fault(error: MienError, status: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The one form of an error (that of OpenAI's wire, with mien's three parts), and its headers."""
    kind = type(error).__name__ if status < 500 else "ServerError"
    body = {
        "message": str(error), "type": kind, "param": None, "code": str(status),
        "got": error.got, "expected": error.expected, "fix": error.fix,
    }  # fmt: skip
    retry = getattr(error, "retry_after", None)
    headers = {} if retry is None else {"retry-after": str(math.ceil(retry))}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return {"error": body}, headers


class _Rates:
    """A bucket per name that fills by ``per_minute``; full it holds a fifth of a minute's, at least ``burst``."""

    def __init__(self, per_minute: float, burst: float = 1.0) -> None:
        self._step = per_minute / 60.0
        self._full = max(0.2 * per_minute, burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str, cost: float = 1.0) -> float:
        """Seconds until ``name`` may; 0 takes ``cost``."""
        now = time.monotonic()
        left, since = self._buckets.pop(name, (self._full, now))
        left = min(self._full, left + (now - since) * self._step)
        short = max(1.0 - left, 0.0)
        self._buckets[name] = (left if short else left - cost, now)
        while len(self._buckets) > _MANY:
            self._buckets.popitem(last=False)
        return short / self._step if self._step else 0.0


class Gate:
    """ASGI middleware.

    Args:
        app: what lies behind it.
        settings: what the server was told.
        metrics: the counters.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._rates, self._guesses = _Rates(settings.rate), _Rates(_TRIES, _TRIES)
        self._names = {*_LOCAL, settings.host.strip("[]"), *settings.names}
        self._any_name = settings.host in ("0.0.0.0", "::") and not settings.names
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_SAFE]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        scope["mien.who"] = "-"
        self._running += 1
        try:
            self._admit(scope)
            await self._app(scope, _Bounded(receive, scope, self._settings), counted)
        except Refused as error:
            await _refuse(scope, counted, error)
            status = status or error.status
        finally:
            self._running -= 1
            spent = time.monotonic() - began
            route = str(getattr(scope.get("route"), "path", "other"))
            self._metrics.requests.labels(route, status or 499).inc()
            if status != 101:
                self._metrics.seconds.labels(route).observe(spent)
            _log.info(
                "%s %s %s %.0f ms %s",
                scope.get("method", "WS"),
                route,
                status or 499,
                1000 * spent,
                scope["mien.who"],
            )

    def _admit(self, scope: Scope) -> None:
        """Let a request in, or not.

        Raises:
            Refused: another's host or origin (403), no known key (401), too many (429).
        """
        headers, path = Headers(scope=scope), scope["path"]
        _same_site(headers, self._names, self._any_name)
        if self._running > self._settings.limits.open:
            raise Refused(
                429, got=f"{self._running} open requests", expected="fewer", fix="Try later", retry_after=2
            )
        if path in _OPEN or path.startswith("/ui"):
            return
        address = (scope.get("client") or ("-",))[0]
        name = address
        if self._settings.keys:
            name = self._known(headers, address)
            scope["mien.who"] = name
        wait = self._rates.wait(name) if self._settings.rate else 0.0
        if wait:
            raise Refused(
                429,
                got="more requests than this key may make",
                expected=f"{self._settings.rate:g} per minute",
                fix="Try again after the seconds in Retry-After",
                retry_after=wait,
            )

    def _known(self, headers: Headers, address: str) -> str:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            # A browser's WebSocket can send no header but this one.
            offered = headers.get("sec-websocket-protocol", "").split(",")
            token = next((one.strip()[7:] for one in offered if one.strip().startswith("bearer.")), "")
        wait = self._guesses.wait(address, 0.0)
        if wait:
            raise Refused(
                429, got="many wrong keys", expected="a key of this server", fix="Wait", retry_after=wait
            )
        name = who(self._settings.keys, token.strip())
        if name is None:
            self._guesses.wait(address)
            raise Refused(
                401,
                got="no key of this server",
                expected="the header 'Authorization: Bearer KEY'",
                fix="Ask whoever runs the server for a key",
            )
        return name


def _same_site(headers: Headers, names: set[str], any_name: bool) -> None:
    """Refuse requests that another web page sent, and names that were pointed at this server (DNS rebinding)."""
    host = _host(headers.get("host", ""))
    if not any_name and host not in names:
        raise Refused(
            403,
            got="a request to another host name",
            expected="a name of this server",
            fix="Start it with --name if it is reached under that name",
        )
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
        raise Refused(403, got="a request of another web site", expected="one of this server's own pages")


def _host(text: str) -> str:
    """The name of ``name:port`` or ``[address]:port``."""
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0].lower()


async def _refuse(scope: Scope, send: Send, error: Refused) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:100]})
        return
    body, headers = fault(error, error.status)
    content = json.dumps(body).encode()
    head = {
        **headers,
        "content-type": "application/json",
        "content-length": str(len(content)),
        "connection": "close",
    }
    raw = [(key.encode(), value.encode()) for key, value in head.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


class _Bounded:
    """A body that comes in time and within its bytes; what follows it (the end of the connection) is waited for."""

    def __init__(self, receive: Receive, scope: Scope, settings: Settings) -> None:
        limits = settings.limits
        kind = Headers(scope=scope).get("content-type", "")
        if scope["path"] == "/v1/jobs":
            self._most = limits.job_bytes
        else:
            # Base64 takes four characters for three bytes.
            self._most = (
                limits.image_bytes * 3 // 2 if "json" in kind else limits.clip_bytes + limits.image_bytes
            )
        self._receive, self._size, self._done = receive, 0, scope["type"] != "http"
        self._until = time.monotonic() + limits.body_seconds
        told = Headers(scope=scope).get("content-length", "0")
        self._told = int(told) if told.isdecimal() else 0

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        self._check(self._told)
        try:
            message = await asyncio.wait_for(self._receive(), max(self._until - time.monotonic(), 0.001))
        except TimeoutError:
            raise Refused(
                408, got="a body that comes too slowly", expected="the whole of it in time"
            ) from None
        size = len(message.get("body", b""))
        self._size += size
        self._until += size / 100_000
        self._check(self._size)
        self._done = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _check(self, size: int) -> None:
        if size > self._most:
            raise Refused(
                413, got=f"a body of {size:,} bytes or more", expected=f"at most {self._most:,}",
                fix="Shrink the picture, or send long clips to /v1/jobs",
            )  # fmt: skip
