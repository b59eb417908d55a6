"""What the analyzer may be given: paths, folders, patterns, bytes, open files, arrays, Pillow images, landmarks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from mien.analyze.packed import PACKS, Packed, list_pack
from mien.core.errors import BadInput, MienError
from mien.face.decode.images import ImageSource, is_address, kind_of_bytes, media_kind, suffix_of
from mien.face.decode.listing import USUAL_PICTURES, list_media
from mien.face.decode.moving import may_move, moving_kind
from mien.face.landmark_files import LANDMARK_SUFFIXES

__all__ = ["OneSource", "Source", "Sources", "expand", "on_disk", "shown_path"]

_MOST_BYTES = 1_000_000_000
"""Of a file that is given open or as bytes, and so lies in memory."""
_KINDS = (
    "a path, a folder, bytes, a file open for reading bytes, an array (H, W, 3) uint8 RGB or a Pillow image"
)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One item to analyse, not yet opened."""

    name: str
    """The path as given, an open file's own name, or ``array:0``, ``picture:1``, ``bytes:2`` by position."""
    kind: Literal["image", "video", "landmarks"]
    payload: ImageSource | Packed
    """What `mien.face.decode.images.load_image` reads; the path for videos and landmark files; a place in a pack."""
    closes: bool = False
    """Nothing after it is read together with it."""


OneSource = str | os.PathLike[str] | bytes | IO[bytes] | npt.NDArray[np.generic] | pillow.Image | Source
Sources = OneSource | Iterable[OneSource]
"""One path, folder, pattern, encoded file (bytes or open), array (H, W, 3) uint8 RGB or Pillow image, or an iterable of
these."""
_ONE = (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, pillow.Image, Source)


def expand(sources: Sources, skipped: dict[Path, str] | None = None) -> Iterator[Source]:
    """Turn what the user gave into single items, lazily and in order.

    Folders become the pictures and videos in them (sorted, hidden files left out); landmark files
    (.csv, .npy, .npz, .json) and packs (.tar, .parquet; `mien.analyze.packed`) count only when named outright.

    Args:
        sources: one or many.
        skipped: see `mien.face.decode.listing.list_media`.

    Raises:
        BadInput: an item is of a type that cannot be analysed, or an empty path.
    """
    if isinstance(sources, np.ndarray) and sources.ndim == 1 and sources.dtype.kind in "OU":
        sources = sources.tolist()  # a column of paths
    if isinstance(sources, _ONE) or hasattr(sources, "read"):
        sources = (sources,)  # type: ignore[assignment]
    if not isinstance(sources, Iterable):
        raise _unknown(sources, "")
    for position, item in enumerate(sources):
        yield from _expanded(item, position, skipped)


def _expanded(item: Any, position: int, skipped: dict[Path, str] | None) -> Iterator[Source]:
    if isinstance(item, Source):
        yield item
    elif isinstance(item, np.ndarray):
        yield Source(f"array:{position}", "image", item)
    elif isinstance(item, pillow.Image):
        yield Source(f"picture:{position}", "image", item)
    elif isinstance(item, bytes | bytearray | memoryview):
        yield _of_bytes(f"bytes:{position}", bytes(item))
    elif hasattr(item, "read"):
        told = getattr(item, "name", None)
        name = told.strip("<>") if isinstance(told, str) and told else f"file:{position}"
        yield _of_bytes(name, _read(item, name))
    elif isinstance(item, str | os.PathLike) and isinstance(path := os.fspath(item), str):
        if not path.strip():
            raise BadInput(
                got=f"an empty path ({path!r})",
                expected="a file or folder",
                fix="Set the variable that it comes from",
            )
        if is_address(path):
            yield Source(path[:200], "image", path)  # its reader says that mien does not read the network
        else:
            for one in list_media([path], skipped):
                yield from _of_pack(one) if suffix_of(one) in PACKS else (_from_path(one),)
    else:
        raise _unknown(item, f" at position {position}")


def _of_pack(path: str) -> Iterator[Source]:
    for name, kind, place in list_pack(path):
        yield Source(shown_path(name), kind, place)


def _unknown(item: object, where: str) -> BadInput:
    return BadInput(
        got=f"an item of type {type(item).__name__}{where}", expected=_KINDS, fix="Convert it to one of these"
    )


def _read(file: IO[bytes], name: str) -> bytes:
    try:
        data = file.read(_MOST_BYTES + 1)
    # Closed, open for writing only, or no file at all: a camera of OpenCV.
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(
            got=f"the open file {name}, which cannot be read ({error})",
            expected="a file open for reading bytes",
            fix="Keep it open until its result has come; the frames of a camera go to Analyzer.session",
        ) from error
    if not isinstance(data, bytes):
        raise BadInput(
            got=f"the open file {name}, which gives {type(data).__name__} and no bytes",
            expected="a file open for reading bytes",
            fix="Open it with mode 'rb'",
        )
    return data


def _of_bytes(name: str, data: bytes) -> Source:
    if len(data) > _MOST_BYTES:
        raise BadInput(
            got=f"{name} with more than {_MOST_BYTES:,} bytes",
            expected="less in memory",
            fix="Pass the path of the file",
        )
    return Source(name, kind_of_bytes(data[:16]) or "image", data)


@contextmanager
def on_disk(source: Source) -> Iterator[Source]:
    """The source itself, or a copy of a film's or moving picture's bytes in a file while the block runs."""
    if isinstance(source.payload, Packed):
        source = replace(source, payload=source.payload.read())
    data = source.payload
    if not isinstance(data, bytes) or not (source.kind == "video" or may_move(data[:32])):
        yield source
        return
    with TemporaryDirectory(prefix="mien-") as folder:
        path = Path(folder) / "clip"
        path.write_bytes(data)
        kind: Literal["image", "video"] = "video" if source.kind == "video" or moving_kind(path) else "image"
        try:
            yield replace(source, kind=kind, payload=path if kind == "video" else data)
        except MienError as error:
            got, expected, fix = (
                one.replace(str(path), source.name) for one in (error.got, error.expected, error.fix)
            )
            raise type(error)(got=got, expected=expected, fix=fix) from error


def shown_path(path: str | Path) -> str:
    """A path as text that can be stored, also where its name is not UTF-8."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text


def _from_path(path: str) -> Source:
    name = shown_path(path)
    usual = path.endswith(USUAL_PICTURES)
    if not usual and suffix_of(path) in LANDMARK_SUFFIXES:
        return Source(name, "landmarks", path)
    # A file of no known kind is opened as a picture, whose reader says what is wrong with it.
    kind = "image" if usual else media_kind(path) or "image"
    return Source(name, "video" if kind == "image" and moving_kind(path) else kind, path)
