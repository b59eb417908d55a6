"""The tool, called by the SDK's own client: a second process over stdio, and a server over HTTP."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path
from typing import Any

import pytest

mcp = pytest.importorskip("mcp", reason="pip install 'mien[mcp]'")
from mcp.client.client import Client  # noqa: E402
from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


async def use(client: Any, picture: str) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"analyze", "ask", "verify"}
    assert tools["verify"].input_schema["required"] == ["picture", "text"]
    found = await client.call_tool("analyze", {"picture": picture})
    (frame,) = found.structured_content["results"]
    assert frame["faces"][0]["emotion"] == "happiness" and "AU12" in found.content[0].text
    answer = await client.call_tool("ask", {"picture": picture, "question": "How old is she?"})
    assert answer.structured_content["status"] == "declined"
    verdict = await client.call_tool("verify", {"picture": picture, "text": "AU12 is absent."})
    assert verdict.structured_content["contradicted"] == 1
    wrong = await client.call_tool("analyze", {"picture": "http://10.0.0.1/x.jpg"})
    assert wrong.is_error and "network" in wrong.content[0].text


def test_over_stdio_with_a_path(examples: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path)}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "mien", "serve", "--mcp"], env=environment, cwd=tmp_path
    )

    async def talk() -> None:
        async with Client(stdio_client(command)) as client:
            await use(client, str(examples / "eileen_collins.jpg"))

    asyncio.run(talk())
    assert not list(tmp_path.glob("mien-serve-*"))


def test_over_http_with_data_and_no_path(server: Any, photo: bytes, examples: Path) -> None:
    async def talk() -> None:
        async with Client(f"{server.address}/mcp") as client:
            await use(client, f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}")
            path = await client.call_tool("analyze", {"picture": str(examples / "eileen_collins.jpg")})
            assert path.is_error

    asyncio.run(talk())
    assert server.client.post("/mcp", headers={"host": "evil.example"}).status_code == 403
