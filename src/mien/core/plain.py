"""Text of strangers made plain: file names, keys and replies must not steer a terminal, and can be written anywhere."""

from __future__ import annotations

__all__ = ["printable"]

_KEPT = "\n\t"
"""Beside what `str.isprintable` passes, which holds no control, format (bidirectional) or surrogate character."""


def printable(text: str) -> str:
    """``text`` with control and format characters and undecodable bytes as escapes such as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        one if one in _KEPT or one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text
    )
