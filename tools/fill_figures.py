"""Write measured figures into README.md and docs/*.md, from the records in ``benchmarks/results``.

    python tools/fill_figures.py             # fill every block
    python tools/fill_figures.py --check     # change nothing; exit status 1 when a block is out of date

A block names what it shows, and everything up to its end is replaced:

    <!-- figures: accuracy/FER+*accuracy | speed/mien analyze*median -->
    <!-- /figures -->

``accuracy`` is the file ``accuracy.json``; after the slash stands a shell pattern for the figures' names (``*``
when it is left out). A benchmark that has no record yet is said to be unmeasured; a pattern that fits no figure
of an existing record is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

__all__ = ["filled", "main", "pages"]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_BLOCK = re.compile(r"(<!-- figures: *(?P<wanted>[^\n]+?) *-->\n).*?(<!-- /figures -->)", re.DOTALL)
_DIGITS = {"s": 2, "ms": 1, "MB": 0, "frames/s": 1, "%": 2, "words": 1}
_LEFT, _RIGHT = ":--", "--:"
Figure = Mapping[str, Any]


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that may hold blocks."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def filled(text: str, results: Path = RESULTS) -> str:
    """``text`` with every block filled from the records in ``results``.

    Raises:
        ValueError: a block without an end, or a pattern that fits no figure of its record.
    """
    if text.count("<!-- figures:") != len(_BLOCK.findall(text)):
        raise ValueError("a figures block is not closed, or its first line is not alone on its line")
    return _BLOCK.sub(lambda found: f"{found[1]}{_body(found['wanted'], results)}{found[3]}", text)


def _body(wanted: str, results: Path) -> str:
    figures: list[Figure] = []
    sources: dict[str, list[str]] = {}
    unmeasured: list[str] = []
    for selector in (part.strip() for part in wanted.split("|")):
        name, _, pattern = selector.partition("/")
        path = results / f"{name}.json"
        if not path.is_file():
            unmeasured += [name] if name not in unmeasured else []
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        chosen = [figure for figure in record["figures"] if fnmatchcase(figure["name"], pattern or "*")]
        if not chosen:
            raise ValueError(f"no figure of {path.name} fits {pattern!r}")
        figures += [figure for figure in chosen if figure not in figures]
        scripts = sources.setdefault(_where(record["run"]), [])
        scripts += [f"`{name}`"] if f"`{name}`" not in scripts else []
    parts = [*([_table(figures)] if figures else []), *([_measured(sources)] if sources else [])]
    if unmeasured:
        parts.append(f"*Not measured yet: {', '.join(f'`benchmarks/{name}.py`' for name in unmeasured)}.*")
    return "\n\n".join(parts) + "\n"


def _table(figures: Sequence[Figure]) -> str:
    rows = [_row(figure) for figure in figures]
    heads = ("figure", "measured", "95 % interval", "to reach", "n", "note")
    signs = (_LEFT, _RIGHT, _RIGHT, _RIGHT, _RIGHT, _LEFT)
    kept = [column for column in range(len(heads)) if column < 2 or any(row[column] for row in rows)]
    lines = [[heads[column] for column in kept], [signs[column] for column in kept]]
    lines += [[row[column] for column in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(figure: Figure) -> tuple[str, ...]:
    unit = str(figure["unit"])
    value = _number(figure["value"], unit) + (f" {unit}" if unit and figure["value"] is not None else "")
    between = ""
    if figure["low"] is not None and figure["high"] is not None:
        between = f"{_number(figure['low'], unit)} – {_number(figure['high'], unit)}"
    bar = ""
    if figure["bar"] is not None:
        missed = "" if figure["reached"] else " (**missed**)"
        bar = f"{'≤' if figure['at_most'] else '≥'} {figure['bar']:g}{missed}"
    count = "" if figure["n"] is None else str(figure["n"])
    return tuple(
        text.replace("|", r"\|") for text in (figure["name"], value, between, bar, count, figure["note"])
    )


def _number(value: float | int | None, unit: str) -> str:
    if value is None:
        return "undefined"
    return str(value) if isinstance(value, int) else f"{value:.{_DIGITS.get(unit, 3)}f}"


def _measured(sources: Mapping[str, Sequence[str]]) -> str:
    """Which scripts measured, by commit and machine."""
    parts = [f"{', '.join(names)} {where}" for where, names in sources.items()]
    return f"Measured by {'; '.join(parts)} (scripts in `benchmarks`)."


def _where(run: Mapping[str, Any]) -> str:
    hardware, commit = run["hardware"], (run["commit"] or "no commit")[:10]
    return (
        f"at {commit}{' + changes' if run['dirty'] else ''} on {hardware['cores']} cores ({hardware['cpu']})"
    )


def main() -> int:
    """Fill, or check, all pages; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Write measured figures into the documentation.")
    parser.add_argument("--check", action="store_true", help="change nothing, report what is out of date")
    check = parser.parse_args().check
    stale = 0
    for path in pages():
        text = path.read_text(encoding="utf-8")
        try:
            new = filled(text)
        except ValueError as error:
            print(f"{path.relative_to(ROOT)}: {error}", file=sys.stderr)
            return 2
        if new != text:
            stale += 1
            print(f"{path.relative_to(ROOT)}: {'out of date' if check else 'filled'}")
            if not check:
                path.write_text(new, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
