"""The tool that agents call, by the Model Context Protocol: analyze, ask and verify, over stdio or at ``/mcp``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field

from mien import __version__
from mien.analyze.sources import Source, expand
from mien.analyze.stored import rounded
from mien.core.errors import MienError
from mien.core.nouns import FrameResult
from mien.serve.api import shown_frame, stamped
from mien.serve.app import NOTICE, Shared, shared_of
from mien.serve.engine import How, Lane, Task
from mien.serve.settings import Refused, Settings

__all__ = ["add_tool", "serve_stdio"]

_INSTRUCTIONS = f"""Measures faces in pictures and clips. Numbers and verdicts come from a measurement, not from a
language model. {NOTICE} Use `verify` to hold what you want to say about a face against the picture first."""
Picture = Annotated[
    str, Field(description="A data URL (data:image/jpeg;base64,…); over stdio also the path of a file.")
]
_ADDRESS = re.compile(r"data:|[a-z]+://", re.IGNORECASE)
_LONGEST_PATH = 4096
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


class _Tools:
    """The three tools, on one engine.

    Args:
        state: what endpoints use.
        here: where files of this machine are looked for; None when none may be named.
    """

    def __init__(self, state: Shared, here: Path | None) -> None:
        self._state, self._here = state, here

    async def analyze(self, picture: Picture, explain: bool = False, cropped: bool = False) -> CallToolResult:
        """Emotions, FACS Action Units, head pose and quality of each face; ``explain`` adds an audited text each."""

        def finish(frames: list[FrameResult]) -> CallToolResult:
            shown = [rounded(shown_frame(frame, False)) for frame in frames]
            failed = all(frame.error is not None for frame in shown)
            content = {"notice": NOTICE, "results": [frame.to_dict() for frame in shown]}
            return _result("\n".join(map(_line, shown[:20])), content, failed)

        how = How(cropped, explain, self._state.settings.landmarks_only)
        return await self._done(picture, lambda source: (finish, [source], how))

    async def ask(self, picture: Picture, question: str, cropped: bool = False) -> CallToolResult:
        """Answer a question about the faces, from what was measured; ``status`` is answered, declined or unparsed."""
        return await self._call(picture, self._state.engine.of().ask, question, cropped)

    async def verify(self, picture: Picture, text: str, cropped: bool = False) -> CallToolResult:
        """Hold what ``text`` says about the largest face against its measurement: each claim with its verdict."""
        verify = self._state.engine.of().verify
        return await self._call(
            picture, lambda source, *more: verify(more[0], source, *more[1:]), text, cropped
        )

    async def _call(self, picture: str, call: Callable[..., Any], *given: Any) -> CallToolResult:
        drop = self._state.settings.landmarks_only

        def finish(source: Source, _: list[FrameResult]) -> CallToolResult:
            content = dict(stamped(self._state, call(source, *given, drop)))
            return _result(content.get("text") or json.dumps(content, ensure_ascii=False), content)

        return await self._done(picture, lambda source: (partial(finish, source),))

    async def _done(self, picture: str, task: Callable[[Source], tuple[Any, ...]]) -> CallToolResult:
        state = self._state
        try:
            with state.intake.files() as keep:
                if self._here is not None and len(picture) < _LONGEST_PATH and not _ADDRESS.match(picture):
                    path = self._here / picture
                    source = next(expand(path), Source(picture, "image", path))
                else:
                    source = await state.intake.checked_media(picture, "picture", keep)
                lane = state.engine.photos if source.kind == "image" else state.engine.clips
                return await _waited(lane, Task(*task(source)), state.settings.limits.seconds)
        except MienError as error:
            return _result(str(error), None, True)


async def _waited(lane: Lane, task: Task, seconds: float) -> CallToolResult:
    lane.put(task)
    try:
        found: CallToolResult = await asyncio.wait_for(asyncio.wrap_future(task.future), seconds)
        return found
    except TimeoutError:
        raise Refused(503, got=f"no result within {seconds:g} s", expected="one in time") from None
    finally:
        task.give_up()


def _line(frame: FrameResult) -> str:
    """A frame in a line or two, for a model to read."""
    if frame.error is not None or not frame.faces:
        return f"{frame.source} at {frame.time:.2f} s: {frame.error or 'no face found'}"
    faces = []
    for number, face in enumerate(frame.faces):
        units = ", ".join(
            f"{key} {one.letter} ({one.intensity:.2f})" for key, one in face.aus.items() if one.presence
        )
        flags = "; ".join(face.face.quality.flags.values()) if face.face.quality else ""
        words = f"\n{face.explanation.text}" if face.explanation else ""
        faces.append(
            f"face {number}: looks like {face.emotion} ({face.emotions[face.emotion]:.2f}); Action Units "
            f"{units or 'none'}{f'; limits: {flags}' if flags else ''}{words}"
        )
    return f"{frame.source} at {frame.time:.2f} s: " + "\n".join(faces)


def _result(text: str, content: Any, failed: bool = False) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=content, is_error=failed
    )


def _server(state: Shared, here: Path | None = None) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer(
        "mien", title="mien: apparent expression", version=__version__, instructions=_INSTRUCTIONS,
        log_level="WARNING", subscriptions=False,
    )  # fmt: skip
    tools = _Tools(state, here)
    for tool in (tools.analyze, tools.ask, tools.verify):
        server.add_tool(tool, annotations=_READS)
    return server


def add_tool(app: FastAPI) -> None:
    """Mount the tool at ``/mcp``; hosts, origins, keys and rates are the gate's."""
    server = _server(app.state.shared)
    # The gate has looked at host and origin already.
    open_to_gate = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    inner = server.streamable_http_app(
        stateless_http=True, json_response=True, transport_security=open_to_gate
    )
    app.router.routes.extend(inner.routes)
    around = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[Any]:
        async with around(app) as given, server.session_manager.run():
            yield given

    app.router.lifespan_context = life


def serve_stdio(settings: Settings) -> None:
    """Serve one agent on standard input and output, until it closes them.

    Raises:
        BadConfig, MissingWeights: the model cannot be opened.
    """
    logging.basicConfig(level=logging.WARNING)  # on standard error; standard output is the protocol's
    here = Path.cwd()
    state = shared_of(settings)
    try:
        asyncio.run(_server(state, here).run_stdio_async())
    finally:
        state.close()
