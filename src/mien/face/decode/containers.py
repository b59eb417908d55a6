"""Files that hold many pictures: zip archives, arrays, tables, videos and folders of frames, one picture at a time.

Every class opens its file once, has ``picture(key)`` and ``close()``, and never unpacks anything to disk. `media`
chooses among them.
"""

from __future__ import annotations

import csv
import math
import os
import re
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadInput, reason_of, require
from mien.core.nouns import Image
from mien.face.decode.clips import clip_length, frame_paths, middle
from mien.face.decode.images import ImageLimits, load_image, media_kind
from mien.face.decode.video import VideoFrame, read_frames
from mien.face.landmark_files import npy_header

__all__ = ["MAX_ARRAY_BYTES", "Container", "open_container"]

MAX_ARRAY_BYTES = 4 * 1024**3
"""An array of pictures is held in memory whole; larger ones are refused before they are unpacked."""
_IMAGES = "images"
_ZIP_FAULTS = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


class Container(Protocol):
    """A file or folder of pictures."""

    def picture(self, key: str) -> Image:
        """(H, W, 3) uint8 RGB of one member; ``""`` asks for the middle frame of a clip.

        Raises:
            BadInput: no such member, or one that cannot be read.
        """

    def close(self) -> None:
        """Let go of the file."""


def open_container(path: Path, limits: ImageLimits) -> Container:
    """Open an archive, array, table, video or folder, chosen by its name.

    Raises:
        BadInput: nothing there, or not what its name says.
        MissingDependency: pyarrow (tables) or PyAV (videos) is not installed.
    """
    if os.path.isdir(path):
        return _Folder(path, limits)
    if not os.path.isfile(path):
        raise BadInput(
            got=f"{path}, which does not exist", expected="a file of pictures", fix="Check the path"
        )
    suffix = path.suffix.lower()
    if suffix in _KINDS:
        return _KINDS[suffix](path, limits)
    if media_kind(path) == "video":
        return _Video(path, limits)
    raise BadInput(
        got=f"{path}, which is asked for one of its members",
        expected=f"a folder, a video or one of {', '.join(_KINDS)}",
        fix="Check the part of the media name before the '!'",
    )


class _Zip:
    """``archive.zip!folder/name.jpg``."""

    def __init__(self, path: Path, limits: ImageLimits) -> None:
        self._path, self._limits = path, limits
        try:
            self._archive = zipfile.ZipFile(path)
        except _ZIP_FAULTS as error:
            raise _damaged(path, "zip archive", error) from error

    def picture(self, key: str) -> Image:
        name = f"{self._path}!{key}"
        if not key or key.startswith("/") or ".." in re.split(r"[/\\]", key) or "\0" in key:
            raise BadInput(
                got=f"{name!r}",
                expected="the name of a member inside the archive",
                fix="Correct the media name",
            )
        try:
            with self._archive.open(key) as member:
                # What the directory says of a member's size may be a lie: no more than the limit is unpacked.
                data = member.read(self._limits.max_bytes + 1)
        except KeyError as error:
            raise BadInput(
                got=f"no member {key} in {self._path}",
                expected="a name from the archive's directory",
                fix="Run `mien data check` on the dataset",
            ) from error
        except _ZIP_FAULTS as error:
            raise _damaged(name, "member without a password", error) from error
        if len(data) > self._limits.max_bytes:
            raise BadInput(
                got=f"{name} with more than {self._limits.max_bytes:,} bytes",
                expected="a picture within the limit (a guard against decompression bombs)",
                fix="Shrink the picture or pass larger ImageLimits",
            )
        return load_image(data, self._limits, name)

    def close(self) -> None:
        self._archive.close()


class _Npz:
    """``array.npz!index``: row ``index`` of its ``images``, uint8 (N, H, W) or (N, H, W, 1 | 3 | 4)."""

    def __init__(self, path: Path, limits: ImageLimits) -> None:
        self._path, self._limits = path, limits
        try:
            self._check_header()
            with np.load(path, allow_pickle=False) as pack:
                self._images: npt.NDArray[np.uint8] = pack[_IMAGES]
        except (*_ZIP_FAULTS, ValueError, KeyError) as error:
            raise _damaged(path, f"npz file with an array {_IMAGES!r}", error) from error

    def _check_header(self) -> None:
        with zipfile.ZipFile(self._path) as archive, archive.open(f"{_IMAGES}.npy") as member:
            shape, dtype = npy_header(member)
        if dtype != np.uint8 or len(shape) not in (3, 4) or math.prod(shape) > MAX_ARRAY_BYTES:
            raise BadInput(
                got=f"{self._path} with {_IMAGES!r} of shape {shape} and type {dtype}",
                expected=f"uint8 (N, H, W) or (N, H, W, C) of at most {MAX_ARRAY_BYTES:,} bytes",
                fix="Write the pictures as uint8, large sets in several files",
            )

    def picture(self, key: str) -> Image:
        return load_image(self._images[_index(key, len(self._images), self._path)], self._limits)

    def close(self) -> None:
        self._images = np.empty((0, 0, 0), np.uint8)


class _PixelTable:
    """``fer2013.csv!row``: a row's column ``pixels``, blank-separated grey values of a square picture."""

    def __init__(self, path: Path, limits: ImageLimits) -> None:
        self._path, self._limits = path, limits
        self._file = path.open("rb")
        header = self._cells()
        if "pixels" not in header:
            self._file.close()
            raise BadInput(
                got=f"{path} with the columns {', '.join(header)[:200] or '(none)'}",
                expected="a column 'pixels' with grey values (FER2013's layout)",
                fix="Point the media name to a picture file instead",
            )
        self._column = header.index("pixels")
        self._starts = [self._file.tell()]

    def _cells(self) -> list[str]:
        # A row holds 12 kB in FER2013; a longer line than this is no row of pictures.
        line = self._file.readline(self._limits.max_bytes)
        return next(csv.reader([line.decode("utf-8-sig", errors="replace").rstrip("\r\n")]), [])

    def picture(self, key: str) -> Image:
        row = int(key) if key.isdecimal() else -1
        self._file.seek(self._starts[min(max(row, 0), len(self._starts) - 1)])
        while len(self._starts) <= row and self._file.readline():
            self._starts.append(self._file.tell())
        cells = self._cells() if 0 <= row < len(self._starts) else []
        if not cells:
            raise _no_row(key, self._path)
        values = cells[self._column].split() if self._column < len(cells) else []
        side = math.isqrt(len(values))
        if side * side != len(values) or not all(value.isdecimal() and int(value) < 256 for value in values):
            raise BadInput(
                got=f"row {key} of {self._path} with {len(values)} grey values",
                expected="N x N numbers 0..255",
                fix="Run `mien data check` on the dataset",
            )
        return load_image(np.array(values, dtype=np.uint8).reshape(side, side), self._limits)

    def close(self) -> None:
        self._file.close()


class _Table:
    """Pictures in a column of Arrow data; the subclasses find a row's value."""

    def __init__(self, path: Path, limits: ImageLimits) -> None:
        self._path, self._limits = path, limits
        self._arrow: Any = require("pyarrow", extra="parquet", purpose="pictures in Arrow and Parquet files")
        try:
            schema, counts = self._open()
        except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
            raise _damaged(path, f"{path.suffix} file", error) from error
        self._ends = list(accumulate(counts))
        self._column = self._picture_column(schema)

    def _open(self) -> tuple[Any, list[int]]:
        """The schema, and the number of rows of every block."""
        raise NotImplementedError

    def _block(self, number: int) -> Any:
        """The picture column of one block."""
        raise NotImplementedError

    def _picture_column(self, schema: Any) -> str:
        types = self._arrow.types

        def holds_bytes(kind: Any) -> bool:
            if types.is_struct(kind):
                return any(field.name == "bytes" for field in kind)
            return bool(types.is_binary(kind) or types.is_large_binary(kind))

        named = ("image", "media", "file", "path")
        names = [field.name for field in schema if holds_bytes(field.type)]
        names += [field.name for field in schema if field.name in named]
        if not names:
            raise BadInput(
                got=f"{self._path} with the columns {', '.join(schema.names)}",
                expected="a column of encoded pictures (bytes), or one of image, media, file, path",
                fix="Rename the column that holds the pictures",
            )
        return str(names[0])

    def picture(self, key: str) -> Image:
        row = _index(key, self._ends[-1] if self._ends else 0, self._path)
        block = bisect_right(self._ends, row)
        first = self._ends[block - 1] if block else 0
        try:
            value = self._block(block)[row - first].as_py()
        except (OSError, ValueError) as error:
            raise _damaged(f"{self._path}!{key}", "row", error) from error
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str) and value:
            return load_image(self._path.parent / value, self._limits)
        if not isinstance(value, bytes):
            raise BadInput(
                got=f"row {key} of {self._path} without a picture in {self._column!r}",
                expected="an encoded picture or its path",
                fix="Leave the row out, or write the dataset again with its pictures",
            )
        return load_image(value, self._limits, f"{self._path}!{key}")


class _ArrowStream(_Table):
    """``data-00000-of-00001.arrow!row`` as `datasets` writes it; mapped into memory, not loaded."""

    def _open(self) -> tuple[Any, list[int]]:
        self._map = self._arrow.memory_map(str(self._path))
        stream = self._arrow.ipc.open_stream(self._map)
        self._batches = list(stream)
        return stream.schema, [batch.num_rows for batch in self._batches]

    def _block(self, number: int) -> Any:
        return self._batches[number].column(self._column)

    def close(self) -> None:
        self._batches = []
        self._map.close()


class _Parquet(_Table):
    """``file.parquet!row``; the row group last asked for stays in memory."""

    def _open(self) -> tuple[Any, list[int]]:
        parquet: Any = require("pyarrow.parquet", extra="parquet", purpose="pictures in Parquet files")
        self._file = parquet.ParquetFile(self._path)
        self._kept: tuple[int, Any] = (-1, None)
        groups = range(self._file.metadata.num_row_groups)
        return self._file.schema_arrow, [self._file.metadata.row_group(group).num_rows for group in groups]

    def _block(self, number: int) -> Any:
        if self._kept[0] != number:
            self._kept = (number, self._file.read_row_group(number, [self._column]).column(0))
        return self._kept[1]

    def close(self) -> None:
        self._kept = (-1, None)
        self._file.close()


class _Video:
    """``clip.mp4!120`` (frame, from 0), ``clip.mp4!4.5s`` (the frame on show then), ``clip.mp4`` (middle frame).

    Frames asked for in rising order cost one pass over the file; a step back starts again.
    """

    def __init__(self, path: Path, limits: ImageLimits) -> None:
        self._path, self._limits = path, limits
        self._middle: int | None = None
        self._rewind()

    def _rewind(self) -> None:
        self.close()
        self._frames: Iterator[VideoFrame] = read_frames(self._path, self._limits)
        self._damage: BadInput | None = None
        self._shown: VideoFrame | None = None
        self._next = next(self._frames, None)

    def picture(self, key: str) -> Image:
        if key and not re.fullmatch(r"\d+|\d+(\.\d*)?s", key):
            raise BadInput(
                got=f"{self._path}!{key}",
                expected="a frame number (!120) or seconds (!4.5s) after the '!'",
                fix="Correct the media name",
            )
        if key.endswith("s"):
            seconds = float(key[:-1])
            if self._shown is not None and self._shown.time > seconds:
                self._rewind()
            while self._next is not None and (self._shown is None or self._next.time <= seconds):
                self._step()
            return self._found(key, self._damage is None)
        index = int(key) if key else self._middle_index()
        if self._shown is not None and self._shown.index > index:
            self._rewind()
        while self._next is not None and (self._shown is None or self._shown.index < index):
            self._step()
        return self._found(key, self._shown is not None and self._shown.index == index)

    def _step(self) -> None:
        self._shown = self._next
        try:
            self._next = next(self._frames, None)
        except BadInput as damage:
            # The frames before it are good; the damage is told to whoever asks for one behind it.
            self._next, self._damage = None, damage

    def _found(self, key: str, right: bool) -> Image:
        if not right and self._damage is not None:
            raise self._damage
        if self._shown is None or not right:
            count = self._shown.index + 1 if self._shown else 0
            raise BadInput(
                got=f"{self._path}!{key} of a video of {count} frames",
                expected="a frame that the video has (the first is 0)",
                fix="Correct the media name, or copy the video again",
            )
        return self._shown.image

    def _middle_index(self) -> int:
        if self._middle is None:
            self._middle = middle(clip_length(self._path, limits=self._limits).frames)
        return self._middle

    def close(self) -> None:
        frames = getattr(self, "_frames", None)
        if frames is not None:
            frames.close()


class _Folder:
    """A clip as a folder of numbered pictures: ``folder!7`` (the 8th in order of number), ``folder`` (the middle)."""

    def __init__(self, path: Path, limits: ImageLimits) -> None:
        self._path, self._limits = path, limits
        self._pictures = frame_paths(path)

    def picture(self, key: str) -> Image:
        if not self._pictures:
            raise BadInput(
                got=f"{self._path}, a folder without pictures",
                expected="the frames of a clip",
                fix="Check the path, or copy the clip again",
            )
        count = len(self._pictures)
        index = _index(key, count, self._path) if key else middle(count)
        return load_image(self._pictures[index], self._limits)

    def close(self) -> None:
        self._pictures = []


def _index(key: str, count: int, path: Path) -> int:
    if not key.isdecimal() or int(key) >= count:
        raise _no_row(key, path, f" of {count:,}")
    return int(key)


def _no_row(key: str, path: Path, of: str = "") -> BadInput:
    return BadInput(
        got=f"no row {key!r}{of} in {path}",
        expected="the number of a row, from 0, after the '!'",
        fix="Correct the media name, or copy the file again",
    )


def _damaged(name: str | Path, kind: str, error: Exception) -> BadInput:
    reason = reason_of(error)
    return BadInput(
        got=f"{name}, which cannot be read ({reason})",
        expected=f"a complete {kind}",
        fix="Copy the file again",
    )


_KINDS: dict[str, Callable[[Path, ImageLimits], Container]] = {
    ".zip": _Zip,
    ".npz": _Npz,
    ".csv": _PixelTable,
    ".arrow": _ArrowStream,
    ".parquet": _Parquet,
}
