"""Landmarks that the user brings in a file: read within bounds, and refused in one sentence where they are none."""

from __future__ import annotations

import csv
import json
import math
import tokenize
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadInput, reason_of
from mien.core.nouns import LANDMARKS, FloatArray
from mien.face.decode.images import FAULTS, LIMITS

__all__ = ["LANDMARK_SUFFIXES", "LandmarkFrames", "npy_header", "read_landmarks"]

LANDMARK_SUFFIXES = frozenset((".csv", ".npy", ".npz", ".json"))
"""What `read_landmarks` reads."""
_NORMALISED = 4.0
"""Coordinates that all lie below this cannot be px of a face: they are MediaPipe's 0..1 units."""
_MOST_FRAMES = 60_000
_MOST_NUMBERS = _MOST_FRAMES * LANDMARKS * 3
"""In one file: 40 minutes at 25 frames per second, 0.35 GB as float32."""
_MOST_JSON = 100_000_000
"""Bytes; numbers take five times as much in memory as in text."""
_LONGEST_LINE = 1_000_000
_FAULTS = (*FAULTS, csv.Error, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkFrames:
    """Landmarks from a file."""

    points: FloatArray
    """(N, 478, 3) px; a frame without a face is all NaN."""
    size: tuple[int, int]
    """Width and height in px of the picture: as stored, else just large enough to hold all points."""


def read_landmarks(path: Path) -> LandmarkFrames:
    """Read MediaPipe's 478 refined landmarks of one face from a file.

    * ``.npy``: (478, 3) or (N, 478, 3), px.
    * ``.npz``: the same as ``landmarks`` (or the only array), with optional ``size`` = (width, height).
    * ``.json``: nested lists of that shape, or an object with ``landmarks`` and optional ``size``.
    * ``.csv``: columns ``mesh_x_0`` … ``mesh_z_477`` (mien's and py-feat's names), one frame per row; or,
      without a header, 478 rows ``x,y,z`` or rows of 1434 numbers ``x0,y0,z0,x1,…``.

    What a header promises is checked before anything is unpacked: at most 60,000 frames.

    Raises:
        BadInput: unreadable, too large, of another shape, in 0..1 units instead of px, partly NaN or infinite, or
            of a picture beyond 100 megapixels.
    """
    try:
        if not path.is_file():
            raise ValueError("no regular file" if path.exists() else "no such file")
        points, size = _READERS[path.suffix.lower()](path)
    except BadInput:
        raise
    except _FAULTS as error:
        reason = reason_of(error)[:200]
        raise BadInput(
            got=f"{path}, which cannot be read as landmarks ({reason})",
            expected=f"({LANDMARKS}, 3) or (N, {LANDMARKS}, 3) numbers",
            fix="See `mien analyze --help` for the accepted layouts",
        ) from error
    return _checked(points, size, path)


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an .npy file promises.

    Raises:
        ValueError: no such header.
    """
    major = np.lib.format.read_magic(file)[0]
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    except tokenize.TokenError as error:
        raise ValueError(f"a header that breaks off ({error})") from error
    return shape, dtype


_Parsed = tuple[npt.NDArray[np.floating[Any]], tuple[int, int] | None]


def _check_promise(file: IO[bytes], most: int) -> None:
    shape, dtype = npy_header(file)
    if dtype.kind not in "fiu" or math.prod(shape) > most:
        raise ValueError(f"{math.prod(shape):,} values of type {dtype}, of {most:,} numbers at most")


def _read_npy(path: Path) -> _Parsed:
    with path.open("rb") as file:
        _check_promise(file, _MOST_NUMBERS)
    return np.load(path, allow_pickle=False).astype(np.float32), None


def _read_npz(path: Path) -> _Parsed:
    with zipfile.ZipFile(path) as members:
        names = [name.removesuffix(".npy") for name in members.namelist()]
        key = "landmarks" if "landmarks" in names or len(names) != 1 else names[0]
        for name, most in ((key, _MOST_NUMBERS), ("size", 2)):
            if name == key or name in names:
                with members.open(f"{name}.npy") as member:
                    _check_promise(member, most)
    with np.load(path, allow_pickle=False) as archive:
        size = archive["size"].tolist() if "size" in names and key != "size" else None
        return archive[key].astype(np.float32), _pair(size)


def _read_json(path: Path) -> _Parsed:
    if path.stat().st_size > _MOST_JSON:
        raise ValueError(f"{path.stat().st_size:,} bytes of JSON, of {_MOST_JSON:,} at most; .npy holds more")
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, Mapping):
        return np.asarray(content, dtype=np.float64), None
    return np.asarray(content["landmarks"], dtype=np.float64), _pair(content.get("size"))


def _rows(file: TextIO) -> Iterator[list[str]]:
    return csv.reader(iter(lambda: file.readline(_LONGEST_LINE), ""))


def _read_csv(path: Path) -> _Parsed:
    names = [f"mesh_{axis}_{point}" for point in range(LANDMARKS) for axis in "xyz"]
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = _rows(file)
        header = [name.strip() for name in next(rows, [])]
        if names[0] in header:
            columns = [header.index(name) for name in names]
            values = _stacked([row[column] or "nan" for column in columns] for row in rows if row)
        else:
            file.seek(0)
            values = _stacked(row for row in _rows(file) if row)
    return (values if values.shape == (LANDMARKS, 3) else values.reshape(-1, LANDMARKS, 3)), None


def _stacked(rows: Iterable[list[str]]) -> FloatArray:
    kept: list[FloatArray] = []
    total = 0
    for row in rows:
        kept.append(np.array(row, dtype=np.float64).astype(np.float32))
        total += len(row)
        if total > _MOST_NUMBERS:
            raise ValueError(f"more than {_MOST_FRAMES:,} frames")
    return np.stack(kept)


_READERS = {".npy": _read_npy, ".npz": _read_npz, ".json": _read_json, ".csv": _read_csv}


def _pair(size: object) -> tuple[int, int] | None:
    if size is None:
        return None
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(f"size {str(size)[:60]} is not (width, height)")
    width, height = int(size[0]), int(size[1])
    if min(width, height) < 1:
        raise ValueError(f"size {width} x {height}")
    return width, height


def _checked(
    points: npt.NDArray[np.floating[Any]], size: tuple[int, int] | None, path: Path
) -> LandmarkFrames:
    stack = points[None] if points.ndim == 2 else points
    if stack.ndim != 3 or stack.shape[1:] != (LANDMARKS, 3) or not 0 < len(stack) <= _MOST_FRAMES:
        raise BadInput(
            got=f"{path} with landmarks of shape {points.shape}",
            expected=f"({LANDMARKS}, 3) or (N, {LANDMARKS}, 3), N at most {_MOST_FRAMES:,}",
            fix="Store MediaPipe's 478 refined landmarks (refine_landmarks=True)",
        )
    finite = np.isfinite(stack)
    partly = np.flatnonzero(finite.any(axis=(1, 2)) & ~finite.all(axis=(1, 2)))
    if len(partly) or not finite.any():
        where = f"frame {partly[0]}" if len(partly) else "every frame"
        raise BadInput(
            got=f"{path} with NaN or infinite landmarks in {where}",
            expected="finite numbers; a frame without a face is NaN altogether, and at least one has a face",
            fix="Drop or fill the damaged points",
        )
    flat = stack[..., :2][finite[..., :2]]
    if flat.max() < _NORMALISED:
        raise BadInput(
            got=f"{path} with x and y of at most {flat.max():.3g}",
            expected="landmarks in px (these look like MediaPipe's 0..1 units)",
            fix="Multiply x and z by the image width and y by its height",
        )
    width, height = size or tuple(
        max(math.ceil(float(np.nanmax(stack[..., axis]))) + 1, 1) for axis in (0, 1)
    )
    if width * height > LIMITS.max_pixels:
        raise BadInput(
            got=f"{path} of a picture of {width:,} x {height:,} px",
            expected=f"at most {LIMITS.max_pixels:,} pixels",
            fix="Store the size of the picture, and landmarks in its px",
        )
    return LandmarkFrames(stack.astype(np.float32), (width, height))
