"""Pictures and clips inside a WebDataset tar file or a Parquet table: listed without their bytes, read one by one."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from mien.core.errors import BadInput, reason_of, require
from mien.core.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from mien.face.decode.images import suffix_of
from mien.work.loop import stamp

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

__all__ = ["PACKS", "Packed", "list_pack"]

PACKS = (".tar", ".parquet")
_MOST_BYTES = 1_000_000_000
"""Of one member, and of one row group, which is read whole."""
_PICTURES = (
    "image",
    "img",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "picture",
    "face",
    "bytes",
    "path",
    "file",
    "file_name",
)
"""Names of a Parquet column with pictures or their paths, the first that is there."""
_NAMES = ("id", "key", "__key__", "name", "image_id")

Kind = Literal["image", "video"]


@dataclass(frozen=True, slots=True)
class Packed:
    """Where the bytes of one item lie."""

    pack: str
    """Path of the file."""
    place: int
    """First byte in a tar file; row of a Parquet table."""
    size: int
    """Bytes in a tar file; -1 in a table."""
    column: str = ""
    """Of the table."""
    fault: BadInput | None = None
    """Why it cannot be read, where the listing tells."""

    @property
    def stamp(self) -> str:
        """What tells that it is the same as before."""
        return f"{stamp(self.pack)}:{self.place}"

    def read(self) -> bytes | str:
        """Its bytes, or the path that a table names.

        Raises:
            BadInput: it cannot be read, or is larger than a gigabyte.
        """
        if self.fault is not None:
            raise self.fault
        if self.size > _MOST_BYTES:
            raise _large(self.size)
        try:
            return _cell(self) if self.column else _span(self)
        except OSError as error:
            raise BadInput(
                got=f"{self.pack}, which cannot be read ({reason_of(error)})",
                expected="a file",
                fix="Look at it",
            ) from error


def list_pack(path: str) -> Iterator[tuple[str, Kind, Packed]]:
    """Name, kind and place of every picture and clip of a ``.tar`` or ``.parquet`` file, in its order.

    Of a tar file these are the members with the suffix of a picture or clip; links, devices and other members are
    passed over, and nothing is ever unpacked to a place that a member names. Of a table, the rows of the first column
    that holds pictures: bytes, ``{bytes, path}`` as the Hugging Face hub writes them, or paths below its folder.

    A file that cannot be read, or ends early, is an item whose reading says so.

    Raises:
        MissingDependency: a table, and no pyarrow.
    """
    listed = _members if suffix_of(path) == ".tar" else _rows
    seen: dict[str, int] = {}
    for name, kind, packed in listed(path):
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name}#{seen[name]}"), kind, packed


def _kind(name: str) -> Kind | None:
    suffix = suffix_of(name)
    return "image" if suffix in PICTURE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _members(path: str) -> Iterator[tuple[str, Kind, Packed]]:
    try:
        with tarfile.open(path, "r:") as opened:
            for member in opened:
                kind = _kind(member.name)
                if member.isreg() and kind is not None and not member.issparse():
                    yield f"{path}/{member.name}", kind, Packed(path, member.offset_data, member.size)
                opened.members.clear()  # type: ignore[attr-defined]  # a million of them would be kept
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        fault = BadInput(
            got=f"{path}, which is no plain tar file or is cut short ({reason_of(error)})",
            expected="a whole tar file, not compressed", fix="Fetch it again, or unpack it",
        )  # fmt: skip
        yield path, "image", Packed(path, -1, 0, fault=fault)


def _span(packed: Packed) -> bytes:
    with open(packed.pack, "rb") as file:
        file.seek(packed.place)
        data = file.read(packed.size)
    if len(data) < packed.size:
        raise BadInput(
            got=f"{len(data):,} of {packed.size:,} bytes: {packed.pack} is cut short", expected="a whole file",
            fix="Fetch it again",
        )  # fmt: skip
    return data


def _rows(path: str) -> Iterator[tuple[str, Kind, Packed]]:
    try:
        opened = _table(path)
        column = _column(path, opened)
    except BadInput as error:
        yield path, "image", Packed(path, -1, -1, fault=error)
        return
    names = next((name for name in _NAMES if name in opened.schema_arrow.names and name != column), None)
    row = 0
    for group in range(opened.num_row_groups):
        count = opened.metadata.row_group(group).num_rows
        told = opened.read_row_group(group, [names])[names].to_pylist() if names else range(row, row + count)
        for place, name in enumerate(told, row):
            yield f"{path}/{name}", _kind(str(name)) or "image", Packed(path, place, -1, column)
        row += count


def _table(path: str) -> ParquetFile:
    require("pyarrow", extra="parquet", purpose="Parquet tables")
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise BadInput(
            got=f"{path}, which is no readable Parquet file ({reason_of(error)})", expected="a Parquet table",
            fix="Write it again",
        ) from error  # fmt: skip


def _column(path: str, opened: ParquetFile) -> str:
    for name in _PICTURES:
        if name in opened.schema_arrow.names and _holds(opened.schema_arrow.field(name).type):
            return name
    raise BadInput(
        got=f"{path} with the columns {', '.join(opened.schema_arrow.names)[:300]}",
        expected=f"one of {', '.join(_PICTURES)} with bytes, {{bytes, path}} or paths",
        fix="Rename the column of the pictures",
    )


def _holds(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(kind.get_field_index(name) >= 0 for name in ("bytes", "path"))
    kinds = (types.is_binary, types.is_large_binary, types.is_string, types.is_large_string)
    return any(one(kind) for one in kinds)


def _cell(packed: Packed) -> bytes | str:
    """A row's picture; rows are asked for in order, so the group of the last one is kept."""
    opened, place = _table(packed.pack), packed.place
    for group in range(opened.num_row_groups):
        about = opened.metadata.row_group(group)
        if place < about.num_rows:
            if about.total_byte_size > _MOST_BYTES:
                raise _large(about.total_byte_size)
            value = _group(packed.pack, group, packed.column, stamp(packed.pack))[place]
            break
        place -= about.num_rows
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if not value:
        raise BadInput(
            got=f"row {packed.place} without a picture", expected="bytes or a path", fix="Fill it or drop it"
        )
    return value if isinstance(value, bytes) else _beside(packed.pack, str(value))


def _beside(pack: str, name: str) -> str:
    """A path that a table names: a table of a stranger shall not reach files elsewhere."""
    folder = os.path.realpath(os.path.dirname(pack))
    path = os.path.realpath(os.path.join(folder, name))
    if not path.startswith(os.path.join(folder, "")):
        raise BadInput(
            got=f"{pack}, which names {name!r}", expected="paths below the folder of the table",
            fix="Put the table above its pictures, and name them from there",
        )  # fmt: skip
    return path


@lru_cache(maxsize=2)
def _group(path: str, group: int, column: str, _: str) -> list[Any]:
    found: list[Any] = _table(path).read_row_group(group, [column])[column].to_pylist()
    return found


def _large(size: int) -> BadInput:
    return BadInput(
        got=f"{size:,} bytes in one piece",
        expected=f"at most {_MOST_BYTES:,}",
        fix="Write smaller members or row groups",
    )
