"""What reaches the terminal: names, labels and replies of strangers steer neither it nor rich's markup."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

import typer

from mien.core.plain import printable

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["give_up", "say", "shown"]


def say(text: object = "", err: bool = False) -> None:
    """Print a line, on standard error where ``err``; a full one stops nothing."""
    try:
        typer.echo(printable(str(text)), err=err)
    except OSError:
        if not err:
            raise
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Let a stream that is full or gone lead nowhere, so that Python does not complain at exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def shown(text: object, style: str = "") -> Text:
    """Text for rich, without markup."""
    from rich.text import Text

    return Text(printable(str(text)), style=style)
