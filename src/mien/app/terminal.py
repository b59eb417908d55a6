"""What reaches the terminal: names, labels and replies of strangers steer neither it nor rich's markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mien.core.plain import printable

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["say", "shown"]


def say(text: object = "", err: bool = False) -> None:
    """Print a line, on standard error where ``err``."""
    typer.echo(printable(str(text)), err=err)


def shown(text: object, style: str = "") -> Text:
    """Text for rich, without markup."""
    from rich.text import Text

    return Text(printable(str(text)), style=style)
