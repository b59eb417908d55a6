"""Frames in, results out: one session of the analyzer per WebSocket.

A binary message is a frame (JPEG, PNG, WebP); a text message ``{"time": seconds}`` before it says when it was taken.
Each frame is answered with its result as text. While one is read only the latest of those that come is kept, unless
``drop=false``: ``dropped`` says how many were passed over.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from functools import partial
from typing import Any

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field
from starlette.websockets import WebSocketDisconnect

from mien.analyze.stored import rounded
from mien.core.errors import MienError
from mien.core.objects import read_json
from mien.serve.api import shown_frame
from mien.serve.app import checked, shared
from mien.serve.engine import Task
from mien.serve.gate import fault
from mien.serve.settings import Refused

__all__ = ["StreamOptions", "router"]

router = APIRouter()
_WAITING = 64
"""Frames that are kept with ``drop=false``; then the client is no longer read from."""


class StreamOptions(BaseModel):
    """In the query of the address."""

    model_config = ConfigDict(extra="forbid")
    fps: float | None = Field(
        None, gt=0, le=1000, description="Frames per second; without it they are timed as they come."
    )
    landmarks: bool = False
    landmarks_only: bool = False
    cropped: bool = False
    smooth: bool = False
    explain: bool = False
    model: str = ""
    drop: bool = Field(True, description="Pass over frames that come while another is read.")


class _Frames:
    """What came and is not read yet."""

    def __init__(self, drop: bool) -> None:
        self._waiting: deque[tuple[bytes, float | None]] = deque()
        self._drop, self._there, self._room = drop, asyncio.Event(), asyncio.Event()
        self.dropped, self.ended = 0, False
        self._room.set()

    async def put(self, frame: bytes, taken: float | None) -> None:
        if self._drop and self._waiting:
            self._waiting.clear()
            self.dropped += 1
        self._waiting.append((frame, taken))
        self._there.set()
        if len(self._waiting) >= _WAITING:
            self._room.clear()
        await self._room.wait()

    async def get(self) -> tuple[bytes, float | None] | None:
        while not self._waiting:
            if self.ended:
                return None
            self._there.clear()
            await self._there.wait()
        self._room.set()
        return self._waiting.popleft()

    def end(self) -> None:
        self.ended = True
        self._there.set()
        self._room.set()


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """See the module."""
    state = shared(socket)
    offered = socket.headers.get("sec-websocket-protocol", "")
    await socket.accept("mien" if "mien" in offered else None)
    state.streams += 1
    state.metrics.sessions.set(state.streams)
    try:
        options = checked(StreamOptions, socket.query_params)
        if state.streams > state.settings.limits.sessions:
            raise Refused(429, got="one more stream", expected=f"at most {state.settings.limits.sessions}")
        frames = _Frames(options.drop)
        reader = asyncio.create_task(_read(socket, frames))
        try:
            await _answer(socket, frames, options)
        finally:
            reader.cancel()
    except MienError as error:
        await socket.send_json(fault(error, getattr(error, "status", 422))[0])
        await socket.close(1008)
    except WebSocketDisconnect:
        pass
    finally:
        state.streams -= 1
        state.metrics.sessions.set(state.streams)


async def _read(socket: WebSocket, frames: _Frames) -> None:
    taken: float | None = None
    try:
        while (message := await socket.receive())["type"] == "websocket.receive":
            if message.get("bytes") is not None:
                await frames.put(message["bytes"], taken)
                taken = None
            else:
                taken = _time(message.get("text") or "")
    finally:
        frames.end()


def _time(text: str) -> float | None:
    try:
        return float(read_json(text)["time"])
    except (ValueError, TypeError, KeyError):
        return None


async def _answer(socket: WebSocket, frames: _Frames, options: StreamOptions) -> None:
    state = shared(socket)
    session = state.engine.of(options.model).session(
        options.fps, cropped=options.cropped, explain=options.explain, smooth=options.smooth,
        landmarks_only=options.landmarks_only or state.settings.landmarks_only, name="stream",
    )  # fmt: skip
    began, last = time.monotonic(), -1.0

    def push(frame: bytes, taken: float | None, _: Any) -> dict[str, Any]:
        return dict(rounded(shown_frame(session.push(frame, taken), options.landmarks)).to_dict())

    while (got := await frames.get()) is not None:
        frame, taken = got
        if options.fps is None:
            taken = max(taken if taken is not None else time.monotonic() - began, last + 1e-4)
            last = taken
        task = state.engine.live.put(Task(partial(push, frame, taken)))
        try:
            result = await asyncio.wrap_future(task.future)
        finally:
            task.give_up()
        result["dropped"], frames.dropped = frames.dropped, 0
        await socket.send_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")))
