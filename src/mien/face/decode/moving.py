"""Pictures of several frames or pages: GIF, animated WebP, PNG and AVIF, TIFF of several pages."""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.core.nouns import Image
from mien.face.decode.budget import MOST_SECONDS, check_cost, decoding_cost
from mien.face.decode.images import FAULTS, LIMITS, ImageLimits, decoding, opened_picture, to_rgb

__all__ = ["VideoFrame", "may_move", "moving_frames", "moving_kind"]

_AVIF_BRANDS = (b"avis", b"avif", b"mif1", b"msf1")
_WEBP_ANIMATION = 2
_HEADS = (b"GIF8", b"\x89PNG", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""A named pipe would wait for ever."""
_UNTIMED = 100.0
"""Milliseconds that a frame stands whose delay is 0, as browsers show it."""
_MOST_TICKS = 100
_MOST_FRAMES = 20_000
_NEW_SUBFILE, _NO_PAGE = 254, 0b101
"""TIFF's kind of a page: bit 0 a smaller copy of another page, bit 2 a mask."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One frame."""

    index: int
    """0, 1, 2 … in order of presentation."""
    time: float
    """Seconds on the container's own timeline; frames of a variable-rate video lie unevenly. Pages stand at 0."""
    image: Image
    """(H, W, 3) uint8 RGB, upright, square pixels."""


def moving_kind(path: str | Path) -> Literal["frames", "pages"] | None:
    """What a picture file holds more than one of; None for stills and all else.

    Only its head is read, and no pixel decoded.
    """
    try:
        if not may_move(_head(path)):
            return None
        with opened_picture(path) as opened:
            try:
                several = len(list(_places(opened, most=2))) > 1
            except FAULTS:
                several = True  # there is another, and it is damaged: the reader tells
            return None if not several else "pages" if opened.format == "TIFF" else "frames"
    except (OSError, ValueError, BadInput):
        return None


def _head(path: str | Path) -> bytes:
    """The first 32 bytes, in as few calls as there can be: a listing asks for those of every picture."""
    file = os.open(path, _READ)
    try:
        return os.read(file, 32)
    finally:
        os.close(file)


def may_move(head: bytes) -> bool:
    """Whether a file that begins with these 32 bytes is of a format in which pictures move."""
    if head[:4] == b"RIFF":
        return head[8:16] == b"WEBPVP8X" and bool(head[20:21]) and bool(head[20] & _WEBP_ANIMATION)
    return head.startswith(_HEADS) or (head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS)


def moving_frames(path: str | Path, limits: ImageLimits = LIMITS) -> Generator[VideoFrame]:
    """The frames or pages of a picture, in order.

    Writers join frames that are alike; one that stands for a whole number of ticks of an even clock (the shortest
    delay so far) is given as often, as in a video made of it.

    Args:
        path: the file.
        limits: what one of them may cost.

    Raises:
        BadInput: no such picture; or, after the last readable frame, damage, or more frames than mien reads.
    """
    time, spent, index, tick = 0.0, 0.0, 0, math.inf
    with opened_picture(path, limits) as opened, decoding(str(path)):
        check_cost(decoding_cost(opened, b""), str(path))
        for place in _places(opened):
            opened.seek(place)
            spent += decoding_cost(opened, b"").seconds  # estimates, so that every run ends at the same frame
            if index >= _MOST_FRAMES or spent > MOST_SECONDS:
                raise BadInput(
                    got=f"{path}, of which {index:,} frames were read and more follow",
                    expected=f"at most {_MOST_FRAMES:,} frames that take some {MOST_SECONDS:.0f} s to decode",
                    fix="Keep the frames read so far, or convert the picture to a video",
                )
            image = to_rgb(opened, str(path), limits)
            delay = 0.0 if opened.format == "TIFF" else _delay(opened)
            tick = min(tick, delay)
            for _ in range(_ticks(delay, tick)):
                yield VideoFrame(index, round(time / 1000.0, 6), image)
                time, index = time + min(tick, delay), index + 1
            time += delay - _ticks(delay, tick) * min(tick, delay)


def _delay(opened: pillow.Image) -> float:
    """Milliseconds for which the current frame stands."""
    told = float(opened.info.get("duration") or 0.0)
    return told if 0.0 < told < math.inf else _UNTIMED


def _ticks(delay: float, tick: float) -> int:
    ticks = delay / tick if tick else 1.0
    return int(ticks) if ticks.is_integer() and ticks <= _MOST_TICKS else 1


def _places(opened: pillow.Image, most: int = _MOST_FRAMES + 2) -> Iterator[int]:
    """Where the frames are, without the still stand-in of an APNG and without a TIFF's smaller copies and masks."""
    if opened.format not in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        yield 0
        return
    # The stand-in of an APNG for old programs is no frame of it.
    first = int(bool(getattr(opened, "default_image", False)))
    count = getattr(opened, "n_frames", 1) if opened.format in ("WEBP", "PNG", "AVIF") else None
    given = 0
    for place in range(first, count if count is not None else _MOST_FRAMES * 2):
        if count is None and place:
            try:
                opened.seek(place)
            except EOFError:
                return
        if opened.format != "TIFF" or not opened.tag_v2.get(_NEW_SUBFILE, 0) & _NO_PAGE:  # type: ignore[attr-defined]
            yield place
            given += 1
        if given >= most:
            return
