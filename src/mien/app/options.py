"""Options that several commands share: which model answers, and where it runs."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["DeviceOption", "ModelOption", "PrecisionOption", "RayOption", "ThreadsOption"]

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Name of a model (see `mien models list`) or a run folder.")
]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Threads for the nets.", show_default="half of the cores, at most 4", min=1)
]
DeviceOption = Annotated[
    str,
    typer.Option(
        help="Where the nets run: cpu, cuda, cuda:1, auto; the embedded model's also coreml, dml, a trained one's mps."
    ),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        help="Numbers of a trained system: fp32, bf16 or fp16.", show_default="as its file has them"
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="WHERE",
        help="Do it in shares on Ray: local, local:4 (cores), auto, or the host:port of a cluster.", show_default=False,
    ),
]  # fmt: skip
