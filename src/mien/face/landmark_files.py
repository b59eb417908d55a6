"""Landmarks that the user brings in a file: read within bounds, and refused in one sentence where they are none."""

from __future__ import annotations

import csv
import json
import math
import os
import tokenize
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
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
_RESULTS = ("faceLandmarks", "face_landmarks", "multi_face_landmarks")
"""MediaPipe's own results as JSON: a list of faces."""
_NAMES = (
    [f"mesh_{axis}_{point}" for point in range(LANDMARKS) for axis in "xyz"],
    [f"{axis}_{point}" for point in range(LANDMARKS) for axis in "xyz"],
    ["x", "y", "z"],
)
"""Columns of mien's tables, of py-feat's MediaPipe detector, and of one point a row."""
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
    * ``.json``: nested lists of that shape, or an object with ``landmarks`` and optional ``size``; a point may be
      ``{"x": …, "y": …, "z": …}``; MediaPipe's results of one face (``faceLandmarks``, ``face_landmarks``).
    * ``.csv``: columns ``mesh_x_0`` … ``mesh_z_477`` (mien's and py-feat's names) or ``x_0`` … ``z_477``, one frame per
      row; or 478 rows with the columns ``x``, ``y``, ``z``; or, without a header, 478 rows ``x,y,z`` or rows of 1434
      numbers ``x0,y0,z0,x1,…``. Cells may be parted by commas, semicolons (then with decimal commas), tabs or blanks.

    Points in MediaPipe's 0..1 units are scaled where the file says ``size``. What a header promises is checked before
    anything is unpacked: at most 60,000 frames.

    Raises:
        BadInput: unreadable, too large, of another shape, in 0..1 units instead of px, partly NaN or infinite, or
            of a picture beyond 100 megapixels.
    """
    try:
        if not os.path.isfile(path):
            raise ValueError("no regular file" if os.path.exists(path) else "no such file")
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
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(content, Mapping):
        return _numbers(content), None
    result = next((content[name] for name in _RESULTS if name in content), None)
    if result is None:
        return _numbers(content["landmarks"]), _pair(content.get("size"))
    if len(result) != 1:
        raise ValueError(f"{len(result)} faces; one face per file, several frames as `landmarks`")
    return _numbers(result[0]), _pair(content.get("size"))


def _numbers(content: Any) -> npt.NDArray[np.float64]:
    """Nested lists of numbers, or lists of points with names."""
    if isinstance(content, list) and content:
        if isinstance(content[0], Mapping):
            return np.asarray([[point[axis] for axis in "xyz"] for point in content], dtype=np.float64)
        if isinstance(content[0], list) and content[0] and isinstance(content[0][0], Mapping):
            return np.stack([_numbers(frame) for frame in content])
    return np.asarray(content, dtype=np.float64)


def _rows(file: TextIO) -> Iterator[list[str]]:
    """Cells of a text, whatever stands between them; with semicolons a comma is the decimal point."""
    first = file.readline(_LONGEST_LINE)
    file.seek(0)
    lines = iter(lambda: file.readline(_LONGEST_LINE), "")
    mark = next((one for one in ";\t," if one in first), None)
    if mark is None:
        return (line.split() for line in lines)
    cells = csv.reader(lines, delimiter=mark)
    return ([cell.replace(",", ".") for cell in row] for row in cells) if mark == ";" else cells


def _read_csv(path: Path) -> _Parsed:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = filter(None, _rows(file))
        first = next(rows, [])
        header = [name.strip().lower() for name in first]
        columns = next((found for names in _NAMES if (found := _places(names, header))), None)
        if columns is not None:
            values = _stacked([row[column] or "nan" for column in columns] for row in rows)
        elif header[:1] and any(
            cell.isalpha() or "_" in cell for cell in header if cell not in ("nan", "inf")
        ):
            raise ValueError(
                f"columns {', '.join(header[:4])} …, neither mesh_x_0 … mesh_z_477 nor x_0 … z_477 nor x, y, z"
            )
        else:
            values = _stacked(chain([first], rows))
    return (values if values.shape == (LANDMARKS, 3) else values.reshape(-1, LANDMARKS, 3)), None


def _places(names: list[str], header: list[str]) -> list[int] | None:
    places = {name: place for place, name in reversed(list(enumerate(header)))}
    return [places[name] for name in names] if all(name in places for name in names) else None


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
    if size is not None and 0 < flat.max() < _NORMALISED:
        stack = stack * np.array([size[0], size[1], size[0]])
    elif flat.max() < _NORMALISED:
        raise BadInput(
            got=f"{path} with x and y of at most {flat.max():.3g}",
            expected="landmarks in px (these look like MediaPipe's 0..1 units)",
            fix="Add `size` (width, height) to JSON or .npz, or multiply x and z by the width and y by the height",
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
