"""``mien serve``: what the server is told on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.app.options import DeviceOption, ModelOption, PrecisionOption, ThreadsOption
from mien.app.terminal import say
from mien.backends import DEFAULT_MODEL
from mien.core.errors import require, require_range
from mien.core.options import options_of, split_options, typed_options

__all__ = ["serve_command"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    model: ModelOption = DEFAULT_MODEL,
    also: Annotated[
        list[str] | None,
        typer.Option(help="A further model, by name or folder; requests name the one they mean."),
    ] = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = None,
    threads: ThreadsOption = None,
    landmarks_only: Annotated[
        bool, typer.Option("--landmarks-only", help="Drop all pixels once the landmarks are found.")
    ] = False,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of keys that may ask: 'key' or 'name key' per line; also $MIEN_API_KEYS."),
    ] = None,
    rate: Annotated[
        float, typer.Option(help="Requests per minute of each key; 0 for any number.", min=0.0)
    ] = 0.0,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE: a bound on requests, such as seconds=30 (docs/serve.md lists them)."),
    ] = None,
    jobs: Annotated[
        Path | None,
        typer.Option(help="Folder in which jobs outlive the server.", show_default="none: they end with it"),
    ] = None,
    ui: Annotated[bool, typer.Option("--ui", help="Offer the web page at /ui.")] = False,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Be the tool of one agent, on standard input and output, not HTTP.")
    ] = False,
    mcp_http: Annotated[
        bool, typer.Option("--mcp-http", help="Offer that tool at /mcp beside the API.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(help="Host name under which the server is reached.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host from which pictures may be fetched; without it only data URLs."),
    ] = None,
) -> None:
    """Serve HTTP: analyze, ask, verify, jobs, streams, OpenAI's chat; on this machine alone unless told otherwise.

    Stops in good order on SIGTERM: requests under way are answered first. Exit status 0, or 2 when it cannot start.
    """
    for package in ("fastapi", "uvicorn", "multipart", "prometheus_client", "websockets"):
        require(package, extra="serve", purpose="the HTTP server")
    if mcp or mcp_http:
        require("mcp", extra="mcp", purpose="the tool that agents call")
    from mien.serve.server import serve
    from mien.serve.settings import Limits, Settings, read_keys

    known = options_of(Limits)
    bounds = Limits(**typed_options(split_options(limit or (), "--limit"), known, "--limit"))
    for bound in known:
        require_range(getattr(bounds, bound), f"--limit {bound}", 1)
    settings = Settings(
        host=host, port=port, model=model, also=tuple(also or ()), device=device, precision=precision, threads=threads,
        landmarks_only=landmarks_only, keys=read_keys(keys), rate=rate, hosts=frozenset(allow_host or ()),
        names=frozenset(name or ()), limits=bounds, jobs=jobs, ui=ui, mcp=mcp_http,
    )  # fmt: skip
    if mcp:
        from mien.serve.tool import serve_stdio

        serve_stdio(settings)
        return
    if host not in _LOOPBACK and not settings.keys:
        say(f"Anyone who reaches {host} may ask: no keys were given (--keys, $MIEN_API_KEYS).", err=True)
    serve(settings, lambda address: say(f"mien serves on {address}", err=True))
