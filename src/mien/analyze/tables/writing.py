"""Writing the result table as CSV, TSV, Parquet, JSON or JSON lines: streamed, in one step, byte for byte equal.

A table appears under its name only when it is complete.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, TextIO

from mien.analyze.tables.columns import Cell, Layout
from mien.core.errors import BadConfig, require, require_known
from mien.core.formulas import guarded
from mien.core.nouns import FrameResult
from mien.core.paths import written_whole

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "DECIMALS",
    "FORMATS",
    "PLAIN",
    "TEXT_FORMATS",
    "Style",
    "check_format",
    "stream_table",
    "write_table",
]

DECIMALS = ("point", "comma")
"""How numbers of text tables may be written."""
TEXT_FORMATS = ("csv", "tsv")
_ROW_GROUP = 4096


@dataclass(frozen=True, slots=True)
class Style:
    """How cells of text tables are written."""

    decimal: str = "point"
    """``"comma"`` writes decimal commas, and ``;`` between cells in CSV (for Excel in many European languages)."""
    formulas: bool = False
    """Leave texts that a spreadsheet would run as a formula as they are, not behind a ``'``."""


PLAIN = Style()


def write_table(
    path: Path, format: str, layout: Layout, frames: Iterable[FrameResult], style: Style = PLAIN, *,
    sweep: bool = True,
) -> int:  # fmt: skip
    """Write ``frames`` as a table and return the number of rows; memory stays flat.

    Args:
        path: the file to write.
        format: one of `FORMATS`.
        layout: its columns.
        frames: results in order.
        style: of CSV and TSV.
        sweep: see `mien.core.paths.written_whole`.
    """
    check_format(format, style.decimal)
    with written_whole(path, sweep) as part, part.open("wb") as file:
        return stream_table(file, format, layout, frames, style)


def stream_table(
    file: IO[bytes], format: str, layout: Layout, frames: Iterable[FrameResult], style: Style = PLAIN
) -> int:
    """`write_table` to an open file or pipe; rows go out as they come."""
    return _WRITERS[format](file, layout, layout.table(frames), style)


def check_format(format: str, decimal: str = "point") -> None:
    """Refuse what `write_table` could not write, before any work is done.

    Raises:
        BadConfig: an unknown format or decimal mark, or a decimal comma in a format that has none.
        MissingDependency: Parquet without pyarrow.
    """
    require_known(format, FORMATS, "format")
    require_known(decimal, DECIMALS, "decimal")
    if decimal == "comma" and format not in TEXT_FORMATS:
        raise BadConfig(
            got=f"a decimal comma in {format}", expected="csv or tsv", fix="Drop --decimal or change --format"
        )
    if format == "parquet":
        _arrow()


@contextmanager
def _text(file: IO[bytes]) -> Iterator[TextIO]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", line_buffering=not file.seekable())
    try:
        yield text
        text.flush()
    finally:
        text.detach()


def _separated(separator: str) -> Callable[[IO[bytes], Layout, Iterator[list[Cell]], Style], int]:
    def write(file: IO[bytes], layout: Layout, rows: Iterator[list[Cell]], style: Style) -> int:
        between = separator or layout.separator
        if style.decimal == "comma":
            between = between.replace(",", ";")
        with _text(file) as text:
            text.write(between.join(column.name for column in layout.columns) + "\n")
            return _write_lines(text, layout, rows, between, style)

    return write


def _write_lines(file: TextIO, layout: Layout, rows: Iterator[list[Cell]], between: str, style: Style) -> int:
    kinds = [(column.decimals, column.kind == "text") for column in layout.columns]
    mark = between.strip(" ")
    special = (mark, '"', "\n", "\r")
    count = 0
    for row in rows:
        line = []
        for value, (places, is_text) in zip(row, kinds, strict=True):
            if value is None:
                # Behind a blank, pandas would take the missing cell, and its whole column, for text.
                line.append(mark + ("" if is_text else layout.missing))
            elif isinstance(value, float):
                number = f"{value:.{places}f}" if places is not None else repr(value)
                line.append(between + (number.replace(".", ",") if style.decimal == "comma" else number))
            elif isinstance(value, str):
                shown = value if style.formulas else guarded(value)
                quoted = any(one in shown for one in special)
                line.append(between + ('"' + shown.replace('"', '""') + '"' if quoted else shown))
            else:
                line.append(f"{between}{value}")
        line[0] = line[0].removeprefix(between).removeprefix(mark)
        file.write("".join(line) + "\n")
        count += 1
    return count


def _write_json(file: IO[bytes], layout: Layout, rows: Iterator[list[Cell]], style: Style) -> int:
    count = 0
    with _text(file) as out:
        for text in _objects(layout, rows):
            out.write(f"{',' if count else '['}\n{text}")
            count += 1
        out.write("\n]\n" if count else "[]\n")
    return count


def _write_json_lines(file: IO[bytes], layout: Layout, rows: Iterator[list[Cell]], style: Style) -> int:
    count = 0
    with _text(file) as out:
        for text in _objects(layout, rows):
            out.write(f"{text}\n")
            count += 1
    return count


def _objects(layout: Layout, rows: Iterator[list[Cell]]) -> Iterator[str]:
    names = [column.name for column in layout.columns]
    for row in rows:
        yield json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False)


def _arrow() -> tuple[ModuleType, ModuleType]:
    purpose = "Parquet tables"
    arrow = require("pyarrow", extra="parquet", purpose=purpose)
    return arrow, require("pyarrow.parquet", extra="parquet", purpose=purpose)


def _write_parquet(file: IO[bytes], layout: Layout, rows: Iterator[list[Cell]], style: Style) -> int:
    arrow, parquet = _arrow()
    kinds = {"text": arrow.string(), "integer": arrow.int64(), "number": arrow.float64()}
    columns = layout.columns
    schema: pyarrow.Schema = arrow.schema(
        [arrow.field(column.name, kinds[column.kind]) for column in columns]
    )
    count = 0
    target = (
        file if file.seekable() else io.BytesIO()
    )  # the format ends with places in the file, which a pipe has not
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        while block := list(islice(rows, _ROW_GROUP)):
            cells = [
                arrow.array(values, field.type)
                for values, field in zip(zip(*block, strict=True), schema, strict=True)
            ]
            writer.write_batch(arrow.record_batch(cells, schema=schema))
            count += len(block)
    if isinstance(target, io.BytesIO) and target is not file:
        file.write(target.getvalue())
    return count


_WRITERS: dict[str, Callable[[IO[bytes], Layout, Iterator[list[Cell]], Style], int]] = {
    "csv": _separated(""),
    "tsv": _separated("\t"),
    "parquet": _write_parquet,
    "json": _write_json,
    "jsonl": _write_json_lines,
}
FORMATS: tuple[str, ...] = tuple(_WRITERS)
"""Table formats; each is also the file's suffix."""
