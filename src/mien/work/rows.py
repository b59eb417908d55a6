"""Rows of arrays that stay in their files: a data set of any size takes the memory of the rows that are in use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadData
from mien.core.paths import written_whole

__all__ = ["Rows", "Stored", "npy_rows", "tensor_rows", "write_npy"]

_KINDS = {"U8": "uint8", "I32": "int32", "F32": "float32", "F64": "float64"}
Places = Sequence[int] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Stored:
    """One array in a file."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    """Of its first byte."""


class Rows:
    """(N, …) rows of arrays in files, in any order; indexed like an array, and read at that moment.

    They are read through the page cache, not mapped: mapped pages would count as memory of this process.

    Args:
        arrays: where they lie, alike but for the number of rows.
        shape: of one row; needed where there is no array.
        dtype: likewise.
    """

    def __init__(
        self, arrays: Sequence[Stored], shape: tuple[int, ...] = (), dtype: npt.DTypeLike = np.uint8
    ) -> None:
        self._arrays = tuple(arrays)
        self._row = arrays[0].shape[1:] if arrays else shape
        self.dtype = arrays[0].dtype if arrays else np.dtype(dtype)
        counts = [one.shape[0] for one in arrays]
        self._file = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self._place = np.concatenate([np.arange(count, dtype=np.int32) for count in counts] or [self._file])

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of several, in order."""
        made = cls([], parts[0]._row, parts[0].dtype)
        starts = np.cumsum([0, *(len(one._arrays) for one in parts)])
        made._arrays = tuple(array for one in parts for array in one._arrays)
        made._file = np.concatenate(
            [one._file + int(start) for one, start in zip(parts, starts, strict=False)]
        )
        made._place = np.concatenate([one._place for one in parts])
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        """Like an array's."""
        return (len(self._file), *self._row)

    def __len__(self) -> int:
        return len(self._file)

    def take(self, places: Places) -> Rows:
        """Some of the rows, still in their files."""
        made = Rows([], self._row, self.dtype)
        chosen = np.asarray(places, np.int64)
        made._arrays, made._file, made._place = self._arrays, self._file[chosen], self._place[chosen]
        return made

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        if isinstance(key, tuple):
            first, rest = key[0], key[1:]
            alone = isinstance(first, int | np.integer)
            found: npt.NDArray[Any] = self[first][rest if alone else (slice(None), *rest)]
            return found
        if isinstance(key, int | np.integer):
            row: npt.NDArray[Any] = self[np.asarray([key])][0]
            return row
        chosen = key if isinstance(key, slice) else np.asarray(key, None if len(key) else np.int64)
        return self._read(self._file[chosen], self._place[chosen])

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (self[place] for place in range(len(self)))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)

    def _read(self, files: npt.NDArray[np.int32], places: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        found = np.empty((len(files), *self._row), self.dtype)
        size = prod(self._row)
        for number in np.unique(files).tolist():
            array = self._arrays[number]
            try:
                with array.path.open("rb", buffering=0) as file:
                    for at in np.flatnonzero(files == number).tolist():
                        file.seek(array.offset + int(places[at]) * size * self.dtype.itemsize)
                        found[at] = np.fromfile(file, self.dtype, size).reshape(self._row)
            except (OSError, ValueError) as error:
                raise BadData(
                    got=f"{array.path}, which was there and cannot be read now ({error})",
                    expected="a cache that nobody clears while it is in use",
                    fix="Run the command again; it makes the cache anew",
                ) from error
        return found


def tensor_rows(path: Path, names: Sequence[str]) -> dict[str, Stored]:
    """Where tensors of a safetensors file lie.

    Raises:
        BadData: no such file or tensor.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, path.stat().st_size)))
        return {
            name: Stored(
                path,
                tuple(header[name]["shape"]),
                np.dtype(_KINDS[header[name]["dtype"]]),
                8 + length + int(header[name]["data_offsets"][0]),
            )
            for name in names
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadData(
            got=f"{path}, which cannot be read ({error!r})",
            expected="a shard of faces",
            fix="Run with --resume",
        ) from error


def npy_rows(path: Path) -> Stored:
    """Where the array of a ``.npy`` file lies."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return Stored(path, array.shape, array.dtype, int(array.offset))


def write_npy(
    path: Path, rows: Iterable[npt.NDArray[Any]], shape: tuple[int, ...], dtype: npt.DTypeLike
) -> Path:
    """Write rows as they come into a ``.npy`` file of the given shape; one is in memory at a time."""
    kind = np.dtype(dtype)
    with written_whole(path) as part, part.open("wb") as file:
        about = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, about)
        for row in rows:
            file.write(np.ascontiguousarray(row, kind).data)
    return path
