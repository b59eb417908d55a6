"""Writing the result table as CSV, TSV, Parquet, JSON or JSON lines: streamed, in one step, byte for byte equal.

A table appears under its name only when it is complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TextIO

from mien.analyze.columns import Cell, Column, Layout
from mien.core.errors import BadConfig, require, require_known
from mien.core.nouns import FrameResult
from mien.core.paths import written_whole

if TYPE_CHECKING:
    import pyarrow

__all__ = ["DECIMALS", "FORMATS", "check_format", "write_table"]

DECIMALS = ("point", "comma")
"""How numbers of text tables may be written."""
_MISSING = "NaN"
_ROW_GROUP = 4096


def write_table(
    path: Path, format: str, layout: Layout, frames: Iterable[FrameResult], decimal: str = "point"
) -> int:
    """Write ``frames`` as a table and return the number of rows; memory stays flat.

    Args:
        path: the file to write.
        format: one of `FORMATS`.
        layout: its columns.
        frames: results in order.
        decimal: ``"comma"`` writes decimal commas, and ``;`` between cells in CSV (for Excel in many
            European languages); CSV and TSV only.

    Raises:
        BadConfig: an unknown format, or a decimal comma in a format that has none.
        MissingDependency: Parquet without pyarrow.
        OutputFailed: the file cannot be written.
    """
    check_format(format, decimal)
    rows = chain.from_iterable(layout.rows(frame) for frame in frames)
    with written_whole(path) as part:
        return _WRITERS[format](part, layout, rows, decimal)


def check_format(format: str, decimal: str = "point") -> None:
    """Refuse what `write_table` could not write, before any work is done.

    Raises:
        BadConfig: an unknown format or decimal mark, or a decimal comma in a format that has none.
        MissingDependency: Parquet without pyarrow.
    """
    require_known(format, FORMATS, "format")
    require_known(decimal, DECIMALS, "decimal")
    if decimal == "comma" and format not in ("csv", "tsv"):
        raise BadConfig(
            got=f"a decimal comma in {format}", expected="csv or tsv", fix="Drop --decimal or change --format"
        )
    if format == "parquet":
        _arrow()


def _separated(separator: str) -> Callable[[Path, Layout, Iterator[list[Cell]], str], int]:
    def write(path: Path, layout: Layout, rows: Iterator[list[Cell]], decimal: str) -> int:
        between = separator or layout.separator
        if decimal == "comma" and "," in between:
            between = between.replace(",", ";")
        columns = layout.columns
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(between.join(column.name for column in columns) + "\n")
            return _write_lines(file, columns, rows, between, decimal)

    return write


def _write_lines(
    file: TextIO, columns: Sequence[Column], rows: Iterator[list[Cell]], between: str, decimal: str
) -> int:
    digits = [column.decimals for column in columns]
    blank = ["" if column.kind == "text" else _MISSING for column in columns]
    special = (between.strip(" "), '"', "\n", "\r")
    count = 0
    for row in rows:
        texts = []
        for value, places, empty in zip(row, digits, blank, strict=True):
            if value is None:
                texts.append(empty)
            elif isinstance(value, float):
                text = f"{value:.{places}f}" if places is not None else repr(value)
                texts.append(text.replace(".", ",") if decimal == "comma" else text)
            elif isinstance(value, str) and any(mark in value for mark in special):
                texts.append('"' + value.replace('"', '""') + '"')
            else:
                texts.append(str(value))
        file.write(between.join(texts) + "\n")
        count += 1
    return count


def _write_json(path: Path, layout: Layout, rows: Iterator[list[Cell]], decimal: str) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for text in _objects(layout, rows):
            file.write(f"{',' if count else '['}\n{text}")
            count += 1
        file.write("\n]\n" if count else "[]\n")
    return count


def _write_json_lines(path: Path, layout: Layout, rows: Iterator[list[Cell]], decimal: str) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for text in _objects(layout, rows):
            file.write(f"{text}\n")
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


def _write_parquet(path: Path, layout: Layout, rows: Iterator[list[Cell]], decimal: str) -> int:
    arrow, parquet = _arrow()
    kinds = {"text": arrow.string(), "integer": arrow.int64(), "number": arrow.float64()}
    columns = layout.columns
    schema: pyarrow.Schema = arrow.schema(
        [arrow.field(column.name, kinds[column.kind]) for column in columns]
    )
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while block := list(islice(rows, _ROW_GROUP)):
            cells = [
                arrow.array(values, field.type)
                for values, field in zip(zip(*block, strict=True), schema, strict=True)
            ]
            writer.write_batch(arrow.record_batch(cells, schema=schema))
            count += len(block)
    return count


_WRITERS: dict[str, Callable[[Path, Layout, Iterator[list[Cell]], str], int]] = {
    "csv": _separated(""),
    "tsv": _separated("\t"),
    "parquet": _write_parquet,
    "json": _write_json,
    "jsonl": _write_json_lines,
}
FORMATS: tuple[str, ...] = tuple(_WRITERS)
"""Table formats; each is also the file's suffix."""
