"""The papers' tables again: theirs beside ours, and for every cell without ours what it would take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from mien.core.errors import MienError
from mien.data import open_dataset
from mien.evaluate.compare import figure_of
from mien.evaluate.published import Table, papers, tables_of
from mien.evaluate.suite import Suite, open_suite
from mien.metrics.comparison import wilson

__all__ = ["Cell", "data_at", "lines_of", "reproduce", "suites_for"]

_PERCENT = frozenset({"accuracy", "uar", "macro_f1", "f1"})
"""Figures that are shares here and percent in most prints; REGE's are percent in both."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a table."""

    table: str
    row: str
    column: str
    theirs: float | None
    ours: float | None
    low: float | None
    """Ends between which theirs leaves the truth, where n is said: 95 %, Wilson."""
    high: float | None
    missing: str
    """What ours would take; empty where there is one."""

    @property
    def inside(self) -> bool | None:
        """Whether ours lies in their interval; None where that cannot be said."""
        if self.ours is None or self.low is None or self.high is None:
            return None
        return self.low <= self.ours <= self.high


def suites_for(table: Table) -> tuple[str, ...]:
    """Suites that a table's cells come from."""
    return tuple(dict.fromkeys(cell.split(":")[0] for cell in table.cells.values()))


def data_at(suite: Suite, data: Path | None) -> Path | None:
    """Folder of a suite's data below ``data``, when it holds a readable copy.

    A folder named as the dataset, or ``data`` itself.
    """
    for place in (data / suite.data.dataset, data) if data is not None else ():
        if not place.is_dir():
            continue
        try:
            dataset = open_dataset(suite.data.dataset)
            next(iter(dataset.read(suite.data.parts[0], place, **suite.data.options)))
        except (MienError, StopIteration):
            continue
        return place
    return None


def reproduce(
    name: str,
    results: Sequence[Mapping[str, Any]] = (),
    row: str | None = None,
    absent: Mapping[str, str] | None = None,
) -> list[Cell]:
    """All cells of a paper's tables, or of one table.

    Args:
        name: ``"expllm"`` or ``"expllm:IV"``.
        results: of runs (`mien.evaluate.run.score_run`), all made with the model of one row.
        row: that row; by default the last of the paper's own.
        absent: suite -> why it was not run.
    """
    cells = []
    for key, table in tables_of(name).items():
        system = table.ours[-1] if row is None and table.ours else row
        for method, _ in table.rows:
            for column in table.columns:
                cells.append(
                    _cell(key, table, method, column, results if method == system else (), absent or {})
                )
    return cells


def _cell(
    key: str,
    table: Table,
    row: str,
    column: str,
    results: Sequence[Mapping[str, Any]],
    absent: Mapping[str, str],
) -> Cell:
    theirs, source = table.value(row, column), table.cells.get(column)
    found = [figure_of(result, source) for result in results] if source else []
    values = [one["value"] for one in found if one is not None and one["value"] is not None]
    scale = 100.0 if source and "%" in table.unit and source.split(":")[1].split(".")[0] in _PERCENT else 1.0
    ours = scale * values[0] if values else None
    low = high = None
    if theirs is not None and column in table.n and "%" in table.unit:
        ends = wilson(theirs / 100.0, table.n[column])
        low, high = 100.0 * ends.low, 100.0 * ends.high
    return Cell(
        key, row, column, theirs, ours, low, high, "" if values else _missing(key, table, row, source, absent)
    )


def _missing(key: str, table: Table, row: str, source: str | None, absent: Mapping[str, str]) -> str:
    """What a cell without a figure of ours would take; never nothing."""
    if table.kind != "result":
        return table.makes.get(row, "a fact of the print, nothing to measure")
    if row not in table.ours:
        return table.makes.get(row, "quoted from its authors; mien does not build this system")
    parts = []
    suite = source.split(":")[0] if source else None
    if suite is not None and suite in absent:
        parts.append(absent[suite])
    elif table.needs:
        parts.append(f"data: {', '.join(table.needs)} (from the owners)")
    main = row == table.ours[-1]
    parts.append(
        f"weights: {papers()[key.split(':')[0]]['weights'] if main else 'none of this row was published'}"
    )
    if row in table.makes:
        places = (f"MODEL{number}" for number in chain([""], count(2)))
        train = "--scale paper(?! --out)"
        made = re.sub(train, lambda _: f"--scale paper --out {next(places)}", table.makes[row])
        parts.append(f"model: {made}")
    if table.cells:
        which = "" if main else f" --row '{row}'"
        suites = suites_for(table)
        named = " ".join(f"--suite {name}" for name in suites)
        model = "'MODEL-{fold}'" if any(open_suite(name).data.folds for name in suites) else "MODEL"
        parts.append(f"then: mien eval {model} {named} --out RUN; mien reproduce {key} --run RUN{which}")
    return "; ".join(parts)


def lines_of(name: str, cells: Sequence[Cell]) -> list[str]:
    """The tables as lines of text, with their protocol and what contradicts what."""
    lines = []
    for key, table in tables_of(name).items():
        paper = papers()[key.split(":")[0]]
        mark = " (a reconstruction: no code was published)" if paper["reconstruction"] else ""
        lines += ["", f"{paper['title']}{mark}", f"{key}: {table.title} [{table.unit}; {table.source}]"]
        lines += [f"  protocol: {table.protocol}"] if table.protocol else []
        lines += [f"  note: {table.note}"] if table.note else []
        own = [cell for cell in cells if cell.table == key]
        for row, _ in table.rows:
            mine = [cell for cell in own if cell.row == row]
            lines.append(f"  {row}")
            lines += [f"    {_told(cell)}" for cell in mine if cell.ours is not None]
            rest = [_theirs(cell) for cell in mine if cell.ours is None]
            lines += [f"    theirs: {', '.join(rest)}"] if rest else []
            reasons = list(dict.fromkeys(cell.missing for cell in mine if cell.missing))
            lines += [f"    ours not run: {reason}" for reason in reasons]
        for conflict in table.conflicts:
            lines.append(f"  conflict at {', '.join(conflict.at)}: {conflict.says}; {conflict.other}")
        if not table.rows and not table.note:
            lines.append("  nothing to measure")
    return lines[1:]


def _theirs(cell: Cell) -> str:
    theirs = "no figure" if cell.theirs is None else f"{cell.theirs:g}"
    text = f"{cell.column} {theirs}"
    if cell.low is not None and cell.high is not None:
        text += f" (95 %: {cell.low:.2f} to {cell.high:.2f})"
    return text


def _told(cell: Cell) -> str:
    verdict = {True: ", inside", False: ", outside", None: ""}[cell.inside]
    return f"theirs {_theirs(cell)}, ours {cell.ours:.4g}{verdict}"
