"""Every number of every table of the papers, with its source, and where two prints contradict each other.

``published.json`` is data: one entry per table, its rows as printed; ``cells`` says which figure of which suite a
column is (``"disfa:f1.AU04"``), ``makes`` which command makes a row's model, ``conflicts`` which numbers are told
differently elsewhere or do not agree with their own columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mien.core.errors import BadConfig

__all__ = ["Conflict", "Table", "cited", "papers", "published", "tables_of"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Conflict(_Strict):
    """A number that is told in two ways."""

    at: tuple[str, str]
    """Row and column."""
    says: str
    other: str


class Table(_Strict):
    """One table as printed."""

    title: str
    kind: str
    """``result``; ``statistics`` of data; ``strings`` and ``shows`` have nothing to measure."""
    unit: str
    source: str
    protocol: str = ""
    needs: tuple[str, ...] = ()
    """Data that a user has to bring."""
    n: Mapping[str, int] = Field(default_factory=dict)
    """Column -> items it rests on, where said."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    ours: tuple[str, ...] = ()
    """Rows of the paper's own system."""
    cells: Mapping[str, str] = Field(default_factory=dict)
    """Column -> ``suite:figure`` or ``suite:figure.part``."""
    makes: Mapping[str, str] = Field(default_factory=dict)
    """Row -> what makes its model."""
    checks: tuple[Mapping[str, Any], ...] = ()
    """Sums and means that the print itself promises."""
    conflicts: tuple[Conflict, ...] = ()
    note: str = ""

    def value(self, row: str, column: str) -> float | None:
        """A printed number; None where the print has none."""
        return dict(self.rows)[row][self.columns.index(column)]


@cache
def _content() -> dict[str, Any]:
    text = Path(__file__).with_name("published.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def papers() -> dict[str, dict[str, Any]]:
    """Key -> title, whether the code is a ``reconstruction``, and where weights are."""
    return dict(_content()["papers"])


@cache
def published() -> Mapping[str, Table]:
    """``paper:table`` -> table."""
    return {key: Table.model_validate(value) for key, value in _content()["tables"].items()}


def tables_of(name: str) -> dict[str, Table]:
    """The tables of ``"expllm"``, or the one called ``"expllm:IV"``.

    Raises:
        BadConfig: no such paper or table.
    """
    found = {key: table for key, table in published().items() if name in (key, key.split(":")[0])}
    if not found:
        paper = name.split(":")[0]
        known = [key for key in published() if key.split(":")[0] == paper] or list(papers())
        raise BadConfig(
            got=f"table {name!r}", expected=f"one of {', '.join(known)}", fix="Choose one of these"
        )
    return found


def cited(suite: str) -> list[tuple[str, str, str, float]]:
    """Published figures of a suite: table, row, column, number."""
    return [
        (key, row, column, number)
        for key, table in published().items()
        for column, cell in table.cells.items()
        if cell.split(":")[0] == suite
        for row, numbers in table.rows
        if (number := numbers[table.columns.index(column)]) is not None
    ]
