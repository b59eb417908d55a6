"""How results show themselves: as a dictionary, as JSON text, and in a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from mien.core.codec import encode

__all__ = ["Shown"]

_FEW = 12


class Shown:
    """A noun that people look at."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Its fields, and what follows from them, as JSON values (`mien.core.codec`)."""
        return encode(self, derived=True)

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as one JSON text; ``indent`` spaces per level, or one line."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    def _repr_html_(self) -> str:
        return _html(self.to_dict())


def _html(value: object) -> str:
    """Nested tables; things of one kind share a table, long lists of numbers are told by their length."""
    if isinstance(value, Mapping):
        inner = list(value.values())
        if len(inner) > 1 and all(
            isinstance(one, Mapping) and one.keys() == inner[0].keys() for one in inner
        ):
            names = [name for name in inner[0] if any(one[name] not in (None, [], {}) for one in inner)]
            lines = [("", *names), *((key, *(one[name] for name in names)) for key, one in value.items())]
            return f"<table>{''.join(f'<tr>{_cells(line)}</tr>' for line in lines)}</table>"
        rows = "".join(
            f"<tr><th>{escape(str(key))}</th><td>{_html(one)}</td></tr>"
            for key, one in value.items()
            if one not in (None, [], {})
        )
        return f"<table>{rows}</table>"
    if isinstance(value, list):
        if len(value) > _FEW and not isinstance(value[0], Mapping):
            return f"{len(value)} values"
        return (
            "".join(map(_html, value))
            if any(isinstance(one, Mapping) for one in value)
            else ", ".join(map(_html, value))
        )
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _cells(line: tuple[Any, ...]) -> str:
    return "".join(f"<td>{'' if one is None else _html(one)}</td>" for one in line)
