"""Video frames with true presentation times, upright, one at a time: memory stays flat whatever the length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.core.errors import BadInput, require
from mien.core.nouns import Image
from mien.face.images import LIMITS, MIN_SIDE, ImageLimits

if TYPE_CHECKING:
    from av import VideoFrame as CodedFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["VideoFrame", "VideoInfo", "probe", "read_frames"]

_STILL_FORMATS = ("image2", "_pipe", "gif", "tty")
# A playlist must not lead to other files or to the network.
_OPTIONS = {"protocol_whitelist": "file"}
_ENDED_EARLY = 0.95
"""Fewer frames than this share of the announced number mean that the file is cut off."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video says about itself."""

    width: int
    """Px, upright."""
    height: int
    """Px, upright."""
    fps: float
    """Average frames per second."""
    frames: int | None
    """Number of frames; None when the file does not say."""
    duration: float | None
    """Seconds; None when the file does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One frame."""

    index: int
    """0, 1, 2 … in order of presentation."""
    time: float
    """Seconds of presentation since the start of the stream; frames of a variable-rate video lie unevenly."""
    image: Image
    """(H, W, 3) uint8 RGB, upright, square pixels."""


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and length of a video, after decoding its first frame.

    Raises:
        BadInput: no such file, no video in it, or nothing in it can be decoded.
        MissingDependency: PyAV is not installed.
    """
    with _open(path) as container:
        stream = _stream(container, path)
        first = next(_decoded(container, stream, []), None)
        if first is None:
            raise _undecodable(path)
        height, width = _upright(first, stream.sample_aspect_ratio).shape[:2]
        rate = stream.average_rate or stream.guessed_rate or Fraction(0)
        length = stream.duration * stream.time_base if stream.duration and stream.time_base else None
        if length is None and container.duration:
            length = Fraction(container.duration, 1_000_000)
        return VideoInfo(
            width, height, float(rate), stream.frames or None, float(length) if length is not None else None
        )


def read_frames(
    path: str | Path, limits: ImageLimits = LIMITS, threads: int | None = None
) -> Iterator[VideoFrame]:
    """Stream the frames of a video.

    Rotation flags and non-square pixels are applied. A damaged part is skipped. When the file turns out damaged
    or cut off, all frames that can be read come first and the error comes last.

    Args:
        path: the video file.
        limits: the bound on pixels per frame.
        threads: decoder threads; None lets FFmpeg choose.

    Raises:
        BadInput: no such file, no video in it, frames beyond the limits; or, after the last readable frame,
            damage or an early end, with the number of frames read.
        MissingDependency: PyAV is not installed.
    """
    with _open(path) as container:
        stream = _stream(container, path)
        _check_size(stream, path, limits)
        stream.thread_type = "AUTO"
        if threads is not None:
            stream.codec_context.thread_count = threads
        start = float((stream.start_time or 0) * (stream.time_base or Fraction(0)))
        step = float(1 / stream.average_rate) if stream.average_rate else 1.0 / 25.0
        damage: list[str] = []
        index, time = 0, -step
        for coded in _decoded(container, stream, damage):
            time = float(coded.time) - start if coded.time is not None else time + step
            yield VideoFrame(index, time, _upright(coded, stream.sample_aspect_ratio))
            index += 1
        announced = stream.frames
    if index == 0:
        raise _undecodable(path)
    if damage or index < _ENDED_EARLY * announced:
        of = f" of {announced}" if announced else ""
        reason = f" ({damage[0]})" if damage else ""
        raise BadInput(
            got=f"{path}, damaged or cut off{reason}: {index}{of} frames were read, the last at {time:.2f} s",
            expected="a complete video",
            fix="Keep the frames read so far, or copy the file again and repeat",
        )


def _open(path: str | Path) -> InputContainer:
    path = Path(path)
    if not path.is_file():
        state = "which is no regular file" if path.exists() else "which does not exist"
        raise BadInput(got=f"{path}, {state}", expected="a video file", fix="Check the path")
    if path.stat().st_size == 0:
        raise BadInput(got=f"{path}, which is empty (0 bytes)", expected="a video", fix="Copy the file again")
    av: Any = require("av", extra="video", purpose="reading videos")
    try:
        container: InputContainer = av.open(str(path), options=_OPTIONS)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise BadInput(
            got=f"{path}, which cannot be opened as a video ({error})",
            expected="an MP4, MOV, MKV, WebM or AVI file with its index intact",
            fix="Check that the file is complete and is what its name says",
        ) from error
    return container


def _stream(container: InputContainer, path: str | Path) -> VideoStream:
    still = any(mark in container.format.name for mark in _STILL_FORMATS)
    if still or not container.streams.video:
        raise BadInput(
            got=f"{path}, which holds {'a picture or text' if still else 'no moving pictures'}",
            expected="a file with a video stream",
            fix="Pass pictures as pictures (with their usual suffix), and a video as video",
        )
    return container.streams.video[0]


def _check_size(stream: VideoStream, path: str | Path, limits: ImageLimits) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels or min(width, height) < MIN_SIDE:
        raise BadInput(
            got=f"{path} with frames of {width} x {height} px",
            expected=f"sides of at least {MIN_SIDE} px and at most {limits.max_pixels:,} pixels",
            fix="Scale the video first",
        )


def _undecodable(path: str | Path) -> BadInput:
    return BadInput(
        got=f"{path}, of which no frame can be decoded",
        expected="a video in a codec that FFmpeg knows",
        fix="Copy the file again, or convert it to H.264 MP4",
    )


def _decoded(container: InputContainer, stream: VideoStream, damage: list[str]) -> Iterator[CodedFrame]:
    """Frames in order of presentation; what goes wrong is written to ``damage`` and passed over."""
    from av.error import FFmpegError

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError as error:
            damage.append(str(error))
            return
        try:
            frames = packet.decode()
        except FFmpegError as error:
            damage.append(str(error))
            continue
        yield from frames


def _upright(coded: CodedFrame, aspect: Fraction | None) -> Image:
    """RGB pixels with the display matrix and the pixel aspect applied."""
    width = round(coded.width * float(aspect)) if aspect else coded.width
    pixels: Image = np.asarray(
        coded.to_ndarray(format="rgb24", width=width, height=coded.height), dtype=np.uint8
    )
    # FFmpeg's angle is counter-clockwise, as np.rot90's.
    quarters = round(coded.rotation / 90.0) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels
