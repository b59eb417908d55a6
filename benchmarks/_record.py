"""What every benchmark shares: its options, its figures with their bars, the table and the record it leaves.

A record is one JSON file: the run (command, date, commit, machine, versions) and the figures. Only a full run
of the default kind is kept in ``results/``; a run with ``--limit`` is printed, and written where ``--out`` says.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadConfig, MienError
from mien.core.paths import data_root
from mien.core.run_record import RunRecord

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"
EXAMPLES = ROOT / "examples"
ROUNDS = 1000
"""Resamples of a bootstrap interval."""
_LEVEL = 0.95
_DIGITS = {"s": 3, "ms": 2, "MB": 0, "frames/s": 1, "%": 2, "words": 1}

Rows = npt.NDArray[np.int64]


class Bounds(TypedDict, total=False):
    """A 95 % interval; empty when there is none."""

    low: float
    high: float


class Skipped(Exception):
    """The benchmark cannot run here, for a reason that is no fault: data or options are absent."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure."""

    name: str
    value: float
    """NaN when it is undefined for these items."""
    unit: str = ""
    bar: float | None = None
    """What it must reach; None for a figure that is only reported."""
    at_most: bool = False
    """The bar is an upper bound."""
    n: int | None = None
    """Items it rests on."""
    low: float | None = None
    """95 % bootstrap interval."""
    high: float | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached; an undefined figure reaches nothing."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar


class Record:
    """Figures of one benchmark, printed and written by `finish`."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        self.options = options
        self.figures: list[Figure] = []
        config = {key: _shown(value) for key, value in vars(options).items() if key != "out"}
        command = ["python", f"benchmarks/{name}.py", *(_shown_argument(text) for text in sys.argv[1:])]
        self.run = RunRecord.start(config, command=command, seed=options.seed)

    def add(self, name: str, value: float, unit: str = "", **about: object) -> None:
        """Add one `Figure`."""
        self.figures.append(Figure(name, value, unit, **about))  # type: ignore[arg-type]

    def finish(self, **counts: int) -> int:
        """Print the table, write the record, and give the exit status."""
        run = self.run.finish(**counts)
        machine = run.hardware
        print(f"\n{self.name}  commit {(run.commit or 'none')[:12]}{' + changes' if run.dirty else ''}")
        print(f"{machine.cpu}, {machine.cores} cores, {machine.memory_mb} MB")
        print("\n".join(table(self.figures)))
        missed = sum(figure.reached is False for figure in self.figures)
        barred = sum(figure.reached is not None for figure in self.figures)
        print(f"{barred - missed} of {barred} bars reached")
        target = self._target()
        if target is not None:
            content = {"benchmark": self.name, "run": run.model_dump(mode="json")}
            write_json(target, content | {"figures": [_finite(figure) for figure in self.figures]})
            print(f"written: {target}")
        return 1 if missed and self.options.strict else 0

    def _target(self) -> Path | None:
        if self.options.out is None and self.options.limit is not None:
            return None
        folder = RESULTS if self.options.out is None else self.options.out
        return Path(folder) / f"{self.name}.json"


def parser(about: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    options = argparse.ArgumentParser(description=about)
    options.add_argument("--limit", type=int, metavar="N", help="a quick run on N items per set")
    options.add_argument("--model", default="pocket", help="a model's name or folder (default: pocket)")
    options.add_argument("--threads", type=int, help="threads of the nets (default: all cores)")
    options.add_argument("--seed", type=int, default=0, help="of choices and bootstrap (default: 0)")
    options.add_argument("--out", type=Path, help="folder of the record (default: benchmarks/results)")
    options.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    return options


def run(name: str, options: argparse.ArgumentParser, measure: Callable[[Record], None]) -> None:
    """Parse the options, measure, print and leave.

    Exit status: 0 measured or skipped, 1 a bar was missed under ``--strict``, 2 an error.
    """
    record = Record(name, options.parse_args())
    try:
        measure(record)
    except Skipped as reason:
        print(f"{name}: skipped: {reason}")
        raise SystemExit(0) from None
    except MienError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    raise SystemExit(record.finish())


def needed_data(*parts: str) -> Path:
    """A path below the data root.

    Raises:
        Skipped: it is not there.
    """
    path = data_root().joinpath(*parts)
    if not path.exists():
        raise Skipped(f"no {'/'.join(parts) or 'data folder'}; set MIEN_DATA to the folder of the data packs")
    return path


def interval(statistic: Callable[[Rows], float], count: int, seed: int, rounds: int = ROUNDS) -> Bounds:
    """95 % percentile bootstrap over items.

    Args:
        statistic: the figure on the given row numbers; NaN rounds (one class only) are left out.
        count: number of items.

    Returns:
        ``low`` and ``high``; empty when there is nothing to resample.
    """
    if not count:
        return {}
    rng = np.random.default_rng(seed)
    values = np.asarray([statistic(rng.integers(0, count, count)) for _ in range(rounds)])
    values = values[~np.isnan(values)]
    if not len(values):
        return {}
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return {"low": float(low), "high": float(high)}


def spread(count: int, limit: int | None) -> list[int]:
    """Up to ``limit`` row numbers, evenly spread over ``count`` rows."""
    if limit is None or limit >= count:
        return list(range(count))
    if limit < 1:
        raise BadConfig(got=f"--limit {limit}", expected="1 or more", fix="Leave it out for the full run")
    return [int(row) for row in np.linspace(0, count - 1, limit).round()]


def table(figures: Sequence[Figure]) -> list[str]:
    """Aligned lines: figure, interval, bar, reached, items, note."""
    rows = [("figure", "", "95 %", "bar", "reached", "n", "")]
    for figure in figures:
        known = figure.low is not None and figure.high is not None
        between = f"{_number(figure.low, figure)} – {_number(figure.high, figure)}" if known else ""
        sign = "≤" if figure.at_most else "≥"
        bar = "" if figure.bar is None else f"{sign} {figure.bar:g}{f' {figure.unit}' if figure.unit else ''}"
        reached = {None: "", True: "yes", False: "NO"}[figure.reached]
        value = f"{_number(figure.value, figure)}{f' {figure.unit}' if figure.unit else ''}"
        items = "" if figure.n is None else str(figure.n)
        rows.append((figure.name, value, between, bar, reached, items, figure.note))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[6]]).rstrip()
        for row in rows
    ]


def write_json(path: Path, content: object) -> None:
    """Write one JSON file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _number(value: float | None, figure: Figure) -> str:
    if value is None or math.isnan(value):
        return "undefined"
    return str(value) if isinstance(value, int) else f"{value:.{_DIGITS.get(figure.unit, 3)}f}"


def _finite(figure: Figure) -> dict[str, object]:
    """The figure as JSON: NaN becomes null."""
    kept = {key: _null(value) for key, value in asdict(figure).items()}
    return kept | {"reached": figure.reached}


def _null(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: object) -> str | int | float | bool | None:
    """An option's value, without the folders of this machine."""
    if isinstance(value, Path) or (isinstance(value, str) and "/" in value):
        path = Path(value).resolve()
        return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _shown_argument(text: str) -> str:
    name, equals, value = text.partition("=")
    return f"{name}={_shown(value)}" if equals else str(_shown(text))
