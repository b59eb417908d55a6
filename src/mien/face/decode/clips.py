"""Clips, whether a video file or a folder of frames: their length, their order, the frame in the middle."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.core.errors import BadInput
from mien.face.decode.images import LIMITS, ImageLimits, load_image, media_kind
from mien.face.decode.video import VideoFrame, probe, read_frames

__all__ = ["FOLDER_RATE", "ClipLength", "clip_length", "frame_paths", "middle", "read_clip"]

FOLDER_RATE = 25.0
"""Frames per second of a folder of pictures, which has no clock, where nobody says otherwise."""
_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True, slots=True)
class ClipLength:
    """How much there is of a clip."""

    frames: int
    """As the file announces it, which may be a few off; counted where it says nothing."""
    rate: float
    """Frames per second, on average."""


def middle(count: int) -> int:
    """The central one of ``count`` frames, from 0: of an even number the earlier of the two in the middle."""
    return max(0, (count - 1) // 2)


def frame_paths(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the number at the end of their names; hidden files do not count."""
    found = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return sorted((path for path in found if media_kind(path) == "image"), key=_order)


def _order(path: Path) -> tuple[int, str]:
    number = _NUMBER.search(path.stem)
    return (int(number.group(1)) if number else -1, path.name)


def clip_length(path: Path, rate: float = FOLDER_RATE, limits: ImageLimits = LIMITS) -> ClipLength:
    """Number of frames and rate of a video file or of a folder of frames.

    Args:
        path: the clip.
        rate: frames per second of a folder, or of a file that does not tell its own.
        limits: what one frame may cost.

    Raises:
        BadInput: nothing there, or no frame in it.
        MissingDependency: PyAV is not installed.
    """
    if os.path.isdir(path):
        count = len(frame_paths(path))
        if not count:
            raise BadInput(
                got=f"{path}, a folder without pictures",
                expected="the frames of a clip",
                fix="Check the path, or copy the clip again",
            )
        return ClipLength(count, rate)
    info = probe(path)
    frames = info.frames if info.frames is not None else sum(1 for _ in read_frames(path, limits))
    return ClipLength(frames, info.fps or rate)


def read_clip(
    path: Path, rate: float = FOLDER_RATE, wanted: Collection[int] | None = None, limits: ImageLimits = LIMITS
) -> Iterator[VideoFrame]:
    """Frames of a clip in order.

    Args:
        path: a video file or a folder of frames.
        rate: frames per second of a folder.
        wanted: indices of the frames that are wanted, from 0; None for all. What lies behind the last is not read.
        limits: what one frame may cost.
    """
    last = max(wanted, default=-1) if wanted is not None else None
    if os.path.isdir(path):
        for index, picture in enumerate(frame_paths(path)):
            if wanted is None or index in wanted:
                yield VideoFrame(index, index / rate, load_image(picture, limits))
        return
    for frame in read_frames(path, limits):
        if wanted is None or frame.index in wanted:
            yield frame
        if last is not None and frame.index >= last:
            return
