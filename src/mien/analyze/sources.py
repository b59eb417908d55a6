"""What the analyzer may be given: paths, folders, arrays, Pillow images, videos, landmark files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.face.decode.images import ImageSource, list_media, media_kind
from mien.face.decode.moving import moving_kind
from mien.face.landmark_files import LANDMARK_SUFFIXES

__all__ = ["Source", "Sources", "expand"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One item to analyse, not yet opened."""

    name: str
    """The path as given, or ``array:0``, ``picture:1`` by position for things in memory."""
    kind: Literal["image", "video", "landmarks"]
    payload: ImageSource
    """What `mien.face.decode.images.load_image` reads; the path for videos and landmark files."""
    closes: bool = False
    """Nothing after it is read together with it."""


OneSource = str | Path | npt.NDArray[np.generic] | pillow.Image | Source
Sources = OneSource | Iterable[OneSource]
"""One path, folder, array (H, W, 3) uint8 RGB or Pillow image, or an iterable of these."""


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
    if path.suffix.lower() in LANDMARK_SUFFIXES:
        return Source(name, "landmarks", path)
    # A file of no known kind is opened as a picture, whose reader says what is wrong with it.
    kind = media_kind(path) or "image"
    return Source(name, "video" if kind == "image" and moving_kind(path) else kind, path)
