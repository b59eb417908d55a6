"""Files of dialogues, streamed: a million items are written and read without holding them.

JSON arrays are written one item per line, so that the lines that messages name can be found; arrays by other tools,
indented or on one line, are read as well. A JSON format may also be JSON lines, where the suffix ``.jsonl`` asks for
it; OpenAI's always is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from mien.core.errors import BadConfig, BadData, OutputFailed, reason_of, require
from mien.core.paths import written_whole
from mien.dialogue.files.exchange import RECORDS, Item, Malformed, RecordFormat, checked

__all__ = ["format_of", "json_array", "read_items", "write_array", "write_items"]

Located = tuple[str, Mapping[str, Any]]
"""Where a record stands (``"line 7"``), and the record."""

_BLANK = re.compile(r"[\s,]*")
_CHUNK = 1 << 20
_ROWS = 4096


def write_items(items: Iterable[Item], path: Path, format: str | None = None) -> int:
    """Write dialogues; the file appears under its name only when it is complete.

    Args:
        items: the dialogues, taken one by one.
        path: the file; its folder must exist.
        format: a name of `RECORDS`; None takes it from the suffix, where only one fits.

    Returns:
        The number of items.
    """
    form = format_of(path, format)
    records = (form.encode(checked(item)) for item in items)
    if form.name == "parquet":
        return _write_parquet(records, path)
    if form.lines or path.suffix == ".jsonl":
        with _replacing(path) as file:
            return _count(file.write(_line(record) + "\n") for record in records)
    return write_array(records, path)


def write_array(records: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Write JSON objects as one array, an object per line; returns their number."""
    with _replacing(path) as file:
        file.write("[")
        number = _count(
            file.write((",\n" if place else "\n") + _line(record)) for place, record in enumerate(records)
        )
        file.write("\n]\n")
    return number


def read_items(path: Path, format: str | None = None) -> Iterator[Item]:
    """Read dialogues one by one.

    Args:
        path: the file.
        format: a name of `RECORDS`; None takes it from the suffix, where only one fits.

    Raises:
        BadConfig: unknown format, or one that the suffix does not tell.
        BadData: the file cannot be read or something in it is not in its format; file and line are named.
        MissingDependency: Parquet without pyarrow.
    """
    form = format_of(path, format)
    if form.name == "parquet":
        located = _parquet_rows(path)
    else:
        lines = path.suffix == ".jsonl" or (form.lines and not _opens_array(path))
        located = _json_lines(path) if lines else json_array(path)
    for place, record in located:
        try:
            yield form.decode(record)
        except Malformed as error:
            raise _fault(path, place, f"no {form.name} item: {error}", form.title) from error


def format_of(path: Path, name: str | None) -> RecordFormat:
    """The format called ``name``, or without a name the only one with the suffix of ``path``.

    Raises:
        BadConfig: no such format, or one that the suffix does not tell.
    """
    fitting = [form for form in RECORDS.values() if form.suffix == path.suffix] if name is None else []
    if name in RECORDS:
        return RECORDS[str(name)]
    if len(fitting) == 1:
        return fitting[0]
    raise BadConfig(
        got=f"format {name!r} for {path.name}", expected=f"one of {', '.join(RECORDS)}", fix="Name the format"
    )


def _opens_array(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.read(_CHUNK).lstrip().startswith("[")
    except OSError:
        return False


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _count(written: Iterable[object]) -> int:
    return sum(1 for _ in written)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    try:
        with written_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
    except UnicodeEncodeError as error:
        raise OutputFailed(
            got=f"{error} while writing {path}", expected="text that is Unicode", fix="Correct the text"
        ) from error


def _fault(path: Path, place: str, what: str, expected: str) -> BadData:
    return BadData(
        got=f"{path}, {place}: {what}",
        expected=expected,
        fix="Correct that place, or name the file's own format",
    )


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> BadData:
    what = f"byte 0x{error.object[error.start]:02x}" if isinstance(error, UnicodeDecodeError) else str(error)
    return BadData(
        got=f"{path}, which cannot be read: {what}",
        expected="a UTF-8 file",
        fix="Check the path and the encoding",
    )


def _json_lines(path: Path) -> Iterator[Located]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"line {number}", _object(path, f"line {number}", json.loads(line))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"line {number}", f"no JSON: {_why(error)}", "one JSON object per line") from error


def _why(error: ValueError | RecursionError) -> str:
    """What is wrong with a JSON text; a nest too deep and a number too long are no `JSONDecodeError`."""
    return (
        "nested too deep" if isinstance(error, RecursionError) else getattr(error, "msg", "a number too long")
    )


def _object(path: Path, place: str, value: object) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    raise _fault(path, place, f"a {type(value).__name__}", "a JSON object")


def json_array(path: Path) -> Iterator[Located]:
    """The objects of a file that holds one JSON array, decoded as the file is read.

    Raises:
        BadData: the file cannot be read or is no array of objects; file and line are named.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _array(path, file)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _array(path: Path, file: IO[str]) -> Iterator[Located]:
    buffer, line, opened = file.read(_CHUNK), 1, False
    decoder = json.JSONDecoder()
    start = 0
    while True:
        skipped = _BLANK.match(buffer, start)
        assert skipped is not None  # the pattern matches the empty text
        line += buffer.count("\n", start, skipped.end())
        start = skipped.end()
        head = buffer[start : start + 1]
        if head == "]" and opened:
            return
        if head == "[" and not opened:
            start, opened = start + 1, True
            continue
        try:
            if head and not opened:
                raise json.JSONDecodeError("no array", buffer, start)
            value, end = decoder.raw_decode(buffer, start)
        except json.JSONDecodeError as error:
            # Perhaps cut off: read as much again as is held, so that one long item costs linear time.
            more = file.read(max(_CHUNK, len(buffer) - start)) if opened or not head else ""
            if not more:
                at = line + buffer.count("\n", start, error.pos)
                raise _fault(
                    path, f"line {at}", f"no JSON: {error.msg}", "one JSON array of objects"
                ) from error
            buffer, start = buffer[start:] + more, 0
            continue
        except (ValueError, RecursionError) as error:
            raise _fault(
                path, f"line {line}", f"no JSON: {_why(error)}", "one JSON array of objects"
            ) from error
        yield f"line {line}", _object(path, f"line {line}", value)
        line += buffer.count("\n", start, end)
        start = end


def _write_parquet(records: Iterator[Mapping[str, Any]], path: Path) -> int:
    arrow = require("pyarrow", extra="parquet", purpose="Parquet files")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="Parquet files")
    turn = arrow.struct([("role", arrow.string()), ("text", arrow.string())])
    schema = arrow.schema(
        [
            ("id", arrow.string()),
            ("task", arrow.string()),
            ("media", arrow.list_(arrow.string())),
            ("turns", arrow.list_(turn)),
            ("box", arrow.list_(arrow.float64())),
            ("landmark", arrow.string()),
        ]
    )
    number = 0
    with written_whole(path) as part, parquet.ParquetWriter(part, schema) as writer:
        while rows := list(islice(records, _ROWS)):
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
            number += len(rows)
    return number


def _parquet_rows(path: Path) -> Iterator[Located]:
    arrow = require("pyarrow", extra="parquet", purpose="Parquet files")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="Parquet files")
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                for record in batch.to_pylist():
                    number += 1
                    yield f"row {number}", record
    except (OSError, arrow.ArrowInvalid) as error:
        what = f"no readable Parquet file: {reason_of(error)}"
        raise _fault(path, f"row {number + 1}", what, "a Parquet file of dialogues") from error
