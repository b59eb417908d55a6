"""Video frames as the container presents them, one at a time: memory stays flat whatever the length.

Presentation times, display matrix (turns and mirrors), pixel aspect, edit lists and the choice of the film among
covers and thumbnails are the container's. Pictures that move (`moving_kind`) are read through the same door.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.core.errors import BadInput, MienError, reason_of, require
from mien.core.nouns import Image
from mien.face.decode.cut_files import missing_end
from mien.face.decode.images import FAULTS, LIMITS, MIN_SIDE, ImageLimits
from mien.face.decode.moving import VideoFrame, moving_frames, moving_kind
from mien.face.decode.part import WHOLE, Part

if TYPE_CHECKING:
    from av import VideoFrame as CodedFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["VideoFrame", "VideoInfo", "probe", "read_frames"]

_STILL_FORMATS = ("image2", "_pipe", "gif", "tty")
# A playlist must not lead to other files or to the network.
_OPTIONS = {"protocol_whitelist": "file"}
_ZERO_BASED = ("mov", "matroska", "avi")
"""Formats whose timeline begins at 0 by definition; others (transport streams) begin anywhere."""
_WIDEST_PIXEL = 16.0
"""Width over height of one pixel, beyond which (or below its inverse) a header is broken."""
_REBASE = 1.0
"""A fall of time by more seconds than this begins another recording; a smaller one is jitter."""
_COVER_CODECS = frozenset(("mjpeg", "png", "bmp", "gif", "webp", "tiff"))


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


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and length of a video or moving picture, after decoding its first frame.

    Raises:
        BadInput: no such file, no video in it, or nothing in it can be decoded.
        MissingDependency: PyAV is not installed.
    """
    if moving_kind(path):
        return _probed_moving(path)
    with _open(path) as container, _told(path):
        stream = _film(container, path)
        screen = _Screen(stream, path, LIMITS)
        first = next(_decoded(container, stream, []), None)
        if first is None:
            raise _undecodable(path)
        height, width = screen.show(first).shape[:2]
        rate = stream.average_rate or stream.guessed_rate or Fraction(0)
        length = stream.duration * stream.time_base if stream.duration and stream.time_base else None
        if length is None and container.duration:
            length = Fraction(container.duration, 1_000_000)
        frames: int | None = stream.frames
        if frames and stream.duration and stream.time_base:
            # An edit list hides frames that the count holds.
            frames = min(frames, max(1, round(stream.duration * stream.time_base * rate)) if rate else frames)
        return VideoInfo(
            width, height, float(rate), frames or None, float(length) if length is not None else None
        )


def _probed_moving(path: str | Path) -> VideoInfo:
    with closing(moving_frames(path)) as frames:
        first, second = next(frames), next(frames, None)
    height, width = first.image.shape[:2]
    step = second.time - first.time if second else 0.0
    return VideoInfo(width, height, 1.0 / step if step else 0.0, None, None)


def read_frames(
    path: str | Path, limits: ImageLimits = LIMITS, threads: int | None = None, part: Part = WHOLE
) -> Iterator[VideoFrame]:
    """Stream the frames of a video, or of a picture that moves or has pages (`moving_kind`).

    Time is the container's: a film that starts a second after its sound begins at 1.0. Where time falls (recordings
    joined to one transport stream) it goes on from the last frame instead. The display matrix and non-square
    pixels are applied, frames that an edit list hides are left out. A damaged part is skipped. When the file
    turns out damaged or cut off, all frames that can be read come first and the error comes last.

    Args:
        path: the video file.
        limits: the bound on pixels per frame, after the pixel aspect.
        threads: decoder threads; None lets FFmpeg choose.
        part: which frames are given; what lies behind them is not read.

    Raises:
        BadInput: no such file, no video in it, frames beyond the limits, none in the part; or, after the last
            readable frame, damage or an early end, with the number of frames read.
        MissingDependency: PyAV is not installed.
    """
    if moving_kind(path):
        yield from _within(moving_frames(path, limits), part, path)
        return
    wanted, given, time = part.chooser(), 0, 0.0
    with _open(path) as container, _told(path):
        stream = _film(container, path)
        screen = _Screen(stream, path, limits)
        stream.thread_type = "AUTO"
        if threads is not None:
            stream.codec_context.thread_count = threads
        damage: list[str] = []
        index, clock = 0, _Clock(container, stream)
        for coded in _decoded(container, stream, damage):
            time = clock.time(coded)
            if given and part.over(time):
                return
            if wanted(index, time):
                yield VideoFrame(index, time, screen.show(coded))
                given += 1
            index += 1
        announced, kind = stream.frames, container.format.name
    if index == 0:
        raise _undecodable(path)
    if not given:
        raise _outside(path, part, time)
    reason = damage[0] if damage else missing_end(path, kind)
    if reason:
        of = f" of {announced}" if announced else ""
        raise BadInput(
            got=f"{path}, damaged or cut off ({reason}): {index}{of} frames were read, the last at {clock.last:.2f} s",
            expected="a complete video",
            fix="Keep the frames read so far, or copy the file again and repeat",
        )


def _within(frames: Iterator[VideoFrame], part: Part, path: str | Path) -> Iterator[VideoFrame]:
    wanted, given, time = part.chooser(), 0, 0.0
    for frame in frames:
        time = frame.time
        if given and part.over(time):
            return
        if wanted(frame.index, time):
            yield frame
            given += 1
    if not given:
        raise _outside(path, part, time)


def _outside(path: str | Path, part: Part, last: float) -> BadInput:
    end = "its end" if part.end is None else f"{part.end:g} s"
    return BadInput(
        got=f"{path}, whose last frame is at {last:.2f} s, and no frame from {part.start:g} s to {end}",
        expected="a part of the clip that holds a frame",
        fix="Correct start and end, in seconds of the clip",
    )


class _Clock:
    """Seconds of presentation, which never fall."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        based = container.format.name.split(",")[0] in _ZERO_BASED
        self._origin = 0.0 if based else (container.start_time or 0) / 1_000_000
        self._step = float(1 / stream.average_rate) if stream.average_rate else 1.0 / 25.0
        self.last = -math.inf

    def time(self, coded: CodedFrame) -> float:
        known = self.last > -math.inf
        following = self.last + self._step if known else 0.0
        if coded.time is None:
            self.last = following
            return following
        time = float(coded.time) - self._origin
        if known and time < self.last - _REBASE:
            self._origin += time - following
            time = following
        self.last = max(round(time, 6), self.last)
        return self.last


@contextmanager
def _told(path: str | Path) -> Iterator[None]:
    """What a decoder raises, whatever it is, as an error of this one file."""
    av = _av()
    try:
        yield
    except MienError:
        raise
    except (av.error.FFmpegError, *FAULTS) as error:
        reason = reason_of(error)
        raise BadInput(
            got=f"{path}, of which a frame cannot be decoded or converted ({reason})",
            expected="a video in a codec and pixel format that FFmpeg knows",
            fix="Copy the file again, or convert it to H.264 MP4",
        ) from error


def _av() -> Any:
    return require("av", extra="video", purpose="reading videos")


def _open(path: str | Path) -> InputContainer:
    path = Path(path)
    if not os.path.isfile(path):
        state = "which is no regular file" if os.path.exists(path) else "which does not exist"
        raise BadInput(got=f"{path}, {state}", expected="a video file", fix="Check the path")
    if path.stat().st_size == 0:
        raise BadInput(got=f"{path}, which is empty (0 bytes)", expected="a video", fix="Copy the file again")
    av = _av()
    try:
        container: InputContainer = av.open(str(path), options=_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, *FAULTS) as error:
        raise BadInput(
            got=f"{path}, which cannot be opened as a video ({error})",
            expected="an MP4, MOV, MKV, WebM or AVI file with its index intact",
            fix="Check that the file is complete and is what its name says",
        ) from error
    return container


def _film(container: InputContainer, path: str | Path) -> VideoStream:
    """The stream that players show: no cover, no thumbnails; the default one before others, the longest of these."""
    still = any(mark in container.format.name for mark in _STILL_FORMATS)
    films = [stream for stream in container.streams.video if not _is_cover(container, stream)]
    if still or not films:
        kinds = "a cover picture and no film" if container.streams.video else "no moving pictures"
        raise BadInput(
            got=f"{path}, which holds {'a picture or text' if still else kinds}",
            expected="a file with a video stream",
            fix="Pass pictures as pictures (with their usual suffix), and a video as video",
        )
    film = max(films, key=lambda one: (bool(one.disposition & 1), _seconds(one) or 0.0, -one.index))
    if film.codec_context is None:
        raise _undecodable(path)
    return film


def _is_cover(container: InputContainer, stream: VideoStream) -> bool:
    from av.stream import Disposition

    if stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
        return True
    context, length = stream.codec_context, _seconds(stream)
    if context is None or context.name not in _COVER_CODECS:
        return False
    # A single picture beside sound or a film; alone it is a film of one frame.
    single = stream.frames == 1 or (length is not None and length <= 0.1 and stream.frames <= 1)
    return single and (len(container.streams.video) > 1 or bool(container.streams.audio))


def _seconds(stream: VideoStream) -> float | None:
    """How long a stream says it is; Matroska says it in a tag."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    told = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)\s*", stream.metadata.get("DURATION", ""))
    return float(told[1]) * 3600 + float(told[2]) * 60 + float(told[3]) if told else None


def _undecodable(path: str | Path) -> BadInput:
    return BadInput(
        got=f"{path}, of which no frame can be decoded",
        expected="a video in a codec that FFmpeg knows",
        fix="Copy the file again, or convert it to H.264 MP4",
    )


def _decoded(container: InputContainer, stream: VideoStream, damage: list[str]) -> Iterator[CodedFrame]:
    """Frames in order of presentation; of what goes wrong the first is noted, and all of it passed over."""
    from av.error import FFmpegError

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError as error:
            damage[:] = damage or [str(error)]
            return
        try:
            frames = packet.decode()
        except FFmpegError as error:
            damage[:] = damage or [str(error)]
            continue
        yield from frames


def _check_size(
    width: int, height: int, aspect: Fraction | None, path: str | Path, limits: ImageLimits
) -> int:
    """The width of a frame with square pixels.

    Raises:
        BadInput: a pixel aspect that no camera has, or a frame beyond the limits.
    """
    wide = float(aspect) if aspect else 1.0
    if not 1.0 / _WIDEST_PIXEL <= wide <= _WIDEST_PIXEL:
        raise BadInput(
            got=f"{path} with pixels {wide:.3g} times as wide as high",
            expected=f"a pixel aspect between 1:{_WIDEST_PIXEL:.0f} and {_WIDEST_PIXEL:.0f}:1",
            fix="Correct the aspect ratio in the file's header",
        )
    shown, most = round(width * wide), min(limits.max_pixels, limits.max_frame_pixels)
    if max(width, shown) * height > most or min(shown, height) < MIN_SIDE:
        raise BadInput(
            got=f"{path} with frames of {shown} x {height} px",
            expected=f"sides of at least {MIN_SIDE} px and at most {most:,} pixels",
            fix="Scale the video first",
        )
    return shown


class _Screen:
    """Shows frames as players do: square pixels, and the display matrix to the nearest of eight turns and mirrors."""

    def __init__(self, stream: VideoStream, path: str | Path, limits: ImageLimits) -> None:
        self._aspect, self._path, self._limits = stream.sample_aspect_ratio, path, limits
        self._turn: tuple[int, bool, int, int] | None = None
        context = stream.codec_context
        _check_size(context.width, context.height, self._aspect, path, limits)

    def show(self, coded: CodedFrame) -> Image:
        """RGB pixels of a frame; raises as `_check_size` does."""
        width = _check_size(coded.width, coded.height, self._aspect, self._path, self._limits)
        pixels: Image = np.asarray(
            coded.to_ndarray(format="rgb24", width=width, height=coded.height), dtype=np.uint8
        )
        # A frame whose side data were looked at stays in memory until the garbage is collected: look once.
        if self._turn is None or self._turn[0] != coded.rotation:
            self._turn = (coded.rotation, *_display_matrix(coded))
        _, swapped, across, down = self._turn
        if swapped:
            pixels = pixels.transpose(1, 0, 2)
        return np.ascontiguousarray(pixels[::down, ::across])


def _display_matrix(coded: CodedFrame) -> tuple[bool, int, int]:
    """Whether x and y change places, and the steps (1, or -1 for a mirror) along both afterwards."""
    told: Any = coded.side_data
    try:
        matrix = struct.unpack("=9i", bytes(told["DISPLAYMATRIX"]))
    except KeyError:
        return False, 1, 1
    # FFmpeg's display.h: x' = a x + c y, y' = b x + d y for the values a, b, u, c, d, v … of the matrix.
    a, b, c, d = (matrix[i] for i in (0, 1, 3, 4))
    swapped = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if swapped else (a, d)
    return swapped, -1 if across < 0 else 1, -1 if down < 0 else 1
