"""What the analyzer may be given: paths, folders, arrays, Pillow images, videos, landmark files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.core.nouns import LANDMARKS, FloatArray
from mien.face.images import ImageSource, list_media, media_kind

__all__ = ["LandmarkFrames", "Source", "Sources", "expand", "read_landmarks"]

_LANDMARK_SUFFIXES = frozenset((".csv", ".npy", ".npz", ".json"))
_NORMALISED = 4.0
"""Coordinates that all lie below this cannot be px of a face: they are MediaPipe's 0..1 units."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One item to analyse, not yet opened."""

    name: str
    """The path as given, or ``array:0``, ``picture:1`` by position for things in memory."""
    kind: Literal["image", "video", "landmarks"]
    payload: ImageSource
    """What `mien.face.images.load_image` reads; the path for videos and landmark files."""
    closes: bool = False
    """Nothing after it is read together with it."""


OneSource = str | Path | npt.NDArray[np.generic] | pillow.Image | Source
Sources = OneSource | Iterable[OneSource]
"""One path, folder, array (H, W, 3) uint8 RGB or Pillow image, or an iterable of these."""


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkFrames:
    """Landmarks from a file."""

    points: FloatArray
    """(N, 478, 3) px; a frame without a face is all NaN."""
    size: tuple[int, int]
    """Width and height in px of the picture: as stored, else just large enough to hold all points."""


def expand(sources: Sources) -> Iterator[Source]:
    """Turn what the user gave into single items, lazily and in order.

    Folders become the pictures and videos in them (sorted, hidden files left out); landmark files
    (.csv, .npy, .npz, .json) count only when named outright.

    Raises:
        BadInput: an item is of a type that cannot be analysed.
    """
    if isinstance(sources, str | Path | np.ndarray | pillow.Image | Source):
        sources = (sources,)
    for position, item in enumerate(sources):
        if isinstance(item, Source):
            yield item
        elif isinstance(item, np.ndarray):
            yield Source(f"array:{position}", "image", item)
        elif isinstance(item, pillow.Image):
            yield Source(f"picture:{position}", "image", item)
        elif isinstance(item, str | Path):
            yield from map(_from_path, list_media([item]))
        else:
            raise BadInput(
                got=f"an item of type {type(item).__name__} at position {position}",
                expected="a path, a folder, an array (H, W, 3) uint8 RGB or a Pillow image",
                fix="Convert it to one of these",
            )


def _from_path(path: Path) -> Source:
    name = str(path).encode(errors="backslashreplace").decode()  # a name that is not UTF-8 must be storable
    if path.suffix.lower() in _LANDMARK_SUFFIXES:
        return Source(name, "landmarks", path)
    # A file of no known kind is opened as a picture, whose reader says what is wrong with it.
    return Source(name, media_kind(path) or "image", path)


def read_landmarks(path: Path) -> LandmarkFrames:
    """Read MediaPipe's 478 refined landmarks of one face from a file.

    * ``.npy``: (478, 3) or (N, 478, 3), px.
    * ``.npz``: the same as ``landmarks`` (or the only array), with optional ``size`` = (width, height).
    * ``.json``: nested lists of that shape, or an object with ``landmarks`` and optional ``size``.
    * ``.csv``: columns ``mesh_x_0`` … ``mesh_z_477`` (mien's and py-feat's names), one frame per row; or,
      without a header, 478 rows ``x,y,z`` or rows of 1434 numbers ``x0,y0,z0,x1,…``.

    Raises:
        BadInput: unreadable, of another shape, in 0..1 units instead of px, or partly NaN or infinite.
    """
    try:
        points, size = _READERS[path.suffix.lower()](path)
    except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile) as error:
        raise BadInput(
            got=f"{path}, which cannot be read as landmarks ({error})",
            expected=f"({LANDMARKS}, 3) or (N, {LANDMARKS}, 3) numbers",
            fix="See `mien analyze --help` for the accepted layouts",
        ) from error
    return _checked(points, size, path)


_Parsed = tuple[npt.NDArray[np.float64], tuple[int, int] | None]


def _read_npy(path: Path) -> _Parsed:
    return np.load(path, allow_pickle=False).astype(np.float64), None


def _read_npz(path: Path) -> _Parsed:
    with np.load(path, allow_pickle=False) as archive:
        key = "landmarks" if "landmarks" in archive.files or len(archive.files) != 1 else archive.files[0]
        size = tuple(int(side) for side in archive["size"]) if "size" in archive.files else None
        return archive[key].astype(np.float64), _pair(size)


def _read_json(path: Path) -> _Parsed:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, Mapping):
        return np.asarray(content, dtype=np.float64), None
    size = content.get("size")
    return np.asarray(content["landmarks"], dtype=np.float64), _pair(size)


def _read_csv(path: Path) -> _Parsed:
    names = [f"mesh_{axis}_{point}" for point in range(LANDMARKS) for axis in "xyz"]
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        if names[0] in header:
            columns = [header.index(name) for name in names]
            values = [[float(row[column] or "nan") for column in columns] for row in rows if row]
            return np.asarray(values, dtype=np.float64).reshape(-1, LANDMARKS, 3), None
    table = np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8-sig")
    return (table if table.shape == (LANDMARKS, 3) else table.reshape(-1, LANDMARKS, 3)), None


_READERS = {".npy": _read_npy, ".npz": _read_npz, ".json": _read_json, ".csv": _read_csv}


def _pair(size: object) -> tuple[int, int] | None:
    if size is None:
        return None
    if not isinstance(size, list | tuple) or len(size) != 2 or min(size) < 1:
        raise ValueError(f"size {size!r} is not (width, height)")
    return int(size[0]), int(size[1])


def _checked(points: npt.NDArray[np.float64], size: tuple[int, int] | None, path: Path) -> LandmarkFrames:
    stack = points[None] if points.ndim == 2 else points
    if stack.ndim != 3 or stack.shape[1:] != (LANDMARKS, 3) or not len(stack):
        raise BadInput(
            got=f"{path} with landmarks of shape {points.shape}",
            expected=f"({LANDMARKS}, 3) or (N, {LANDMARKS}, 3)",
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
    width, height = (math.ceil(float(np.nanmax(stack[..., axis]))) + 1 for axis in (0, 1))
    return LandmarkFrames(stack.astype(np.float32), size or (max(width, 1), max(height, 1)))
