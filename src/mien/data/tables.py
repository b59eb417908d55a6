"""Label files row by row: CSV, plain text, JSON, JSON lines, Parquet and Excel sheets, faults named with their line.

Every function yields rows and `Problem`s lazily and raises nothing about the content. ``name`` is the file's path
relative to ``root``; a missing file is one problem.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from xml.etree import ElementTree

from mien.core.errors import reason_of, require
from mien.data.problems import Problem

__all__ = ["Item", "Row", "csv_rows", "json_items", "json_lines", "parquet_items", "text_rows", "xlsx_rows"]


class Row(NamedTuple):
    """One row of text cells."""

    line: int
    """1-based line in the file."""
    cells: dict[str, str]


class Item(NamedTuple):
    """One record with typed values."""

    line: int
    """1-based line (JSON) or row (Parquet)."""
    values: dict[str, Any]


def csv_rows(
    root: Path,
    name: str,
    columns: Sequence[str] = (),
    *,
    header: Sequence[str] | None = None,
    delimiter: str = ",",
    member: str | None = None,
) -> Iterator[Row | Problem]:
    """Rows of a UTF-8 CSV file (a byte-order mark is allowed).

    Args:
        root: folder of the dataset.
        name: file below ``root``.
        columns: names that the header must hold.
        header: the column names of a file without a header line; a first line equal to it is skipped.
        delimiter: cell separator.
        member: the table is this member of the zip archive ``name``.
    """
    lines = _Lines(root, name, member)
    reader = csv.reader(lines, delimiter=delimiter)
    names = [column.strip() for column in header] if header is not None else None
    try:
        for cells in reader:
            if lines.problems:
                yield from lines.drain()
                continue
            if not cells or (header is not None and reader.line_num == 1 and cells == list(header)):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                missing = [column for column in columns if column not in names]
                if missing:
                    yield Problem(name, reader.line_num, f"no column {', '.join(missing)} in the header")
                    return
                yield from (Problem(name, reader.line_num, f"column {one!r} twice") for one in _twice(names))
            elif len(cells) != len(names):
                yield Problem(name, reader.line_num, f"{len(cells)} cells, expected {len(names)}")
            else:
                yield Row(reader.line_num, dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        yield Problem(name, reader.line_num, f"no CSV: {error}")
    yield from lines.drain()


def text_rows(root: Path, name: str, columns: Sequence[str], rest: bool = False) -> Iterator[Row | Problem]:
    """Lines of blank-separated cells without a header (RAF-DB, ExpW, FERV39k, MAFW lists).

    Args:
        root: folder of the dataset.
        name: file below ``root``.
        columns: names of the cells.
        rest: whether the last cell takes all that is left, blanks included.
    """
    lines = _Lines(root, name)
    for number, line in enumerate(lines, 1):
        if lines.problems:
            yield from lines.drain()
            continue
        cells = line.split(None, len(columns) - 1) if rest else line.split()
        if len(cells) == len(columns):
            yield Row(number, dict(zip(columns, (cell.strip() for cell in cells), strict=True)))
        elif cells:
            yield Problem(name, number, f"{len(cells)} cells, expected {len(columns)}: {' '.join(columns)}")
    yield from lines.drain()


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({one for one in names if one and names.count(one) > 1})


class _Lines(Iterable[str]):
    """Lines of a UTF-8 file; undecodable ones come out empty and are noted as problems."""

    def __init__(self, root: Path, name: str, member: str | None = None) -> None:
        self._path, self._name, self._member = root / name, name, member
        self.problems: list[Problem] = []

    def __iter__(self) -> Iterator[str]:
        try:
            with _opened(self._path, self._member) as file:
                for number, line in enumerate(file, 1):
                    if not line.isascii() and (byte := _bad_byte(line)) is not None:
                        self.problems.append(
                            Problem(self._name, number, f"byte 0x{byte:02x} is not UTF-8; convert the file")
                        )
                    yield line
        except OSError as error:
            self.problems.append(Problem(self._name, 0, f"cannot be read: {error.strerror or error}"))
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            self.problems.append(Problem(self._name, 0, f"no zip archive with {self._member}: {error}"))

    def drain(self) -> list[Problem]:
        noted, self.problems = self.problems, []
        return noted


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[TextIO]:
    if member is None:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, archive.open(member) as data:
        yield io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _bad_byte(line: str) -> int | None:
    # errors="surrogateescape" maps an undecodable byte b to U+DC00 + b.
    return next((ord(letter) - 0xDC00 for letter in line if 0xDC80 <= ord(letter) <= 0xDCFF), None)


def json_items(root: Path, name: str) -> Iterator[Item | Problem]:
    """Objects of a JSON file that holds one array, each with the line on which it begins."""
    text = _text(root, name)
    if isinstance(text, Problem):
        yield text
        return
    decoder, blank = json.JSONDecoder(), re.compile(r"[\s,]*")
    place = blank.match(text).end()  # type: ignore[union-attr]  # matches the empty string too
    if text[place : place + 1] != "[":
        yield Problem(name, 1, "no JSON array")
        return
    place, line, counted = place + 1, 1, 0
    while True:
        place = blank.match(text, place).end()  # type: ignore[union-attr]
        line, counted = line + text.count("\n", counted, place), place
        if text[place : place + 1] == "]":
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            yield Problem(name, getattr(error, "lineno", line), f"no JSON: {_why(error)}")
            return
        if isinstance(value, dict):
            yield Item(line, value)
        else:
            yield Problem(name, line, f"a {type(value).__name__}, expected an object")


def json_lines(root: Path, name: str) -> Iterator[Item | Problem]:
    """Objects of a JSON lines file; blank lines are skipped."""
    lines = _Lines(root, name)
    for number, line in enumerate(lines, 1):
        if lines.problems:
            yield from lines.drain()
            continue
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Problem(name, number, f"no JSON: {_why(error)}")
            continue
        if isinstance(value, dict):
            yield Item(number, value)
        else:
            yield Problem(name, number, f"a {type(value).__name__}, expected an object")
    yield from lines.drain()


def _why(error: ValueError | RecursionError) -> str:
    """What is wrong with a JSON text; a nest too deep and a number too long are no `JSONDecodeError`."""
    return (
        "nested too deep" if isinstance(error, RecursionError) else getattr(error, "msg", "a number too long")
    )


def _text(root: Path, name: str) -> str | Problem:
    try:
        data = (root / name).read_bytes()
    except OSError as error:
        return Problem(name, 0, f"cannot be read: {error.strerror or error}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(name, line, f"byte 0x{data[error.start]:02x} is not UTF-8; convert the file")


def parquet_items(root: Path, name: str, columns: Sequence[str] | None = None) -> Iterator[Item | Problem]:
    """Rows of a Parquet file, batch by batch; with ``columns`` only those are read."""
    parquet = require("pyarrow.parquet", extra="parquet", purpose="Parquet manifests")
    arrow = require("pyarrow", extra="parquet", purpose="Parquet manifests")
    number = 0
    try:
        with parquet.ParquetFile(root / name) as file:
            for batch in file.iter_batches(columns=None if columns is None else list(columns)):
                for values in batch.to_pylist():
                    number += 1
                    yield Item(number, values)
    except (OSError, ValueError, OverflowError, arrow.ArrowException) as error:
        yield Problem(name, number, f"no readable Parquet file: {reason_of(error)}")


_SHEET_BYTES = 1 << 28
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def xlsx_rows(root: Path, name: str, header: Sequence[str] | None = None) -> Iterator[Row | Problem]:
    """Rows of the first sheet of an Excel file; ``line`` is Excel's row number.

    Args:
        root: folder of the dataset.
        name: file below ``root``.
        header: names of columns A, B, … of a sheet without a header row; None takes them from the first row.
    """
    try:
        with zipfile.ZipFile(root / name) as book:
            shared = _shared_strings(book)
            sheet = ElementTree.fromstring(_part(book, _first_sheet(book)))
            names = (
                None if header is None else {chr(ord("A") + place): one for place, one in enumerate(header)}
            )
            for row in sheet.iter(f"{_SHEET}row"):
                cells = {re.sub(r"\d", "", cell.get("r", "")): _cell(cell, shared).strip() for cell in row}
                if names is None:
                    names = {column: text for column, text in cells.items() if text}
                elif any(cells.values()):
                    line = int(row.get("r", "0"))
                    yield Row(line, {title: cells.get(column, "") for column, title in names.items()})
    except (OSError, KeyError, IndexError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, SyntaxError,
            NotImplementedError, RuntimeError) as error:  # fmt: skip
        yield Problem(name, 0, f"no readable Excel file: {error}")


def _part(book: zipfile.ZipFile, name: str) -> bytes:
    """A part of the archive; one that unpacks to far more than its table can need is refused."""
    with book.open(name) as part:
        data = part.read(_SHEET_BYTES + 1)
    if len(data) > _SHEET_BYTES:
        raise ValueError(f"{name} unpacks to more than {_SHEET_BYTES:,} bytes")
    return data


def _first_sheet(book: zipfile.ZipFile) -> str:
    sheets = [name for name in book.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name)]
    return min(sheets, key=lambda name: (len(name), name), default="xl/worksheets/sheet1.xml")


def _shared_strings(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    table = ElementTree.fromstring(_part(book, "xl/sharedStrings.xml"))
    return ["".join(text.text or "" for text in entry.iter(f"{_SHEET}t")) for entry in table]


def _cell(cell: ElementTree.Element, shared: Sequence[str]) -> str:
    if cell.get("t") == "inlineStr":
        return "".join(text.text or "" for text in cell.iter(f"{_SHEET}t"))
    value = cell.findtext(f"{_SHEET}v") or ""
    if cell.get("t") == "s":
        return shared[int(value)]
    return value.removesuffix(".0")
