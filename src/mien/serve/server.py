"""One server process: socket, limits on connections, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.core.errors import BadConfig
from mien.serve import api, chat, job_routes, stream
from mien.serve.app import build
from mien.serve.page import add_page
from mien.serve.settings import Settings

__all__ = ["serve"]

_HEAD_BYTES = 32_768
_IDLE_SECONDS = 15
_FRAME_BYTES = 16_000_000
_BACKLOG = 512
_SILENT_SECONDS = 120
"""Of a stream: the answer to a ping stands behind the frames that were sent before it."""


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    Args:
        settings: what to do.
        ready: told the address once the socket is bound and the model loaded.

    Raises:
        BadConfig, MissingWeights: the model cannot be opened, or the port not be bound.
    """
    bound = _bind(settings)
    app = build(settings, partial(_add, settings))
    _log_to_standard_error()
    config = uvicorn.Config(
        app, http=_guarded(settings), ws="websockets-sansio", ws_max_size=_FRAME_BYTES, lifespan="on", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=_IDLE_SECONDS,
        ws_ping_timeout=_SILENT_SECONDS, timeout_graceful_shutdown=int(settings.grace),
        h11_max_incomplete_event_size=_HEAD_BYTES, backlog=_BACKLOG,
    )  # fmt: skip
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopped)
    _Server(config, lambda: ready(f"http://{shown}:{port}")).run(sockets=[bound])


def _add(settings: Settings, app: FastAPI) -> None:
    """Every endpoint of the server; a new one is a file with a router, and a word here."""
    for part in (api, job_routes, chat, stream):
        app.include_router(part.router)
    if settings.ui:
        add_page(app)
    if settings.mcp:
        from mien.serve.tool import add_tool

        add_tool(app)


def _log_to_standard_error() -> None:
    """Our lines, and of libraries what went wrong, in one form whatever a library sets up for itself."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("mien.serve").setLevel(logging.INFO)


def _stopped(*_: object) -> None:
    """uvicorn raises a signal anew after the orderly end that it led to; by then there is nothing left to do."""


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host.strip("[]"), settings.port))
    except OSError as error:
        bound.close()
        raise BadConfig(
            got=f"--host {settings.host} --port {settings.port}, which cannot be bound ({error.strerror})",
            expected="an address of this machine and a free port",
            fix="Choose another --port; 0 takes a free one",
        ) from error
    return bound


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _guarded(settings: Settings) -> type[H11Protocol]:
    """The protocol with bounds that uvicorn lacks: on connections, and on the time that the head of a request takes."""
    limits = settings.limits

    class Guarded(H11Protocol):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.open:
                transport.abort()
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self._unwatch()
            elif self._late is None:
                self._late = self.loop.call_later(limits.head_seconds, self._close)

        def _unwatch(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _close(self) -> None:
            if self.conn.their_state is h11.IDLE:
                self.transport.close()

    return Guarded
