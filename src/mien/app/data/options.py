"""Options that the data commands share, declared once; nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["NameArgument", "OptionOption", "RootOption"]

NameArgument = Annotated[str, typer.Argument(help="A name of `mien data list`.", show_default=False)]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder of your copy; the packs of the data folder need none.", show_default=False
    ),
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="An option of the dataset, as NAME=VALUE: classes=7, presence=at-least-2, votes=majority; repeatable.",
        show_default=False,
    ),
]
