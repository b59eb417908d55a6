"""Frames that come one by one, as from a camera or a decoder of one's own: one in, one result out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from mien.analyze.finding import FaceSource, Film, Found, How
from mien.core.errors import BadInput, MienError, require_range
from mien.core.nouns import FrameResult
from mien.face.decode.images import ImageSource, load_image
from mien.face.decode.moving import VideoFrame
from mien.work.loop import attempt

__all__ = ["Session"]


class Session:
    """One film that is pushed frame by frame; made by `mien.Analyzer.session`. Not for several threads at once.

    Faces are followed as in a file, so the rows are those that `mien.Analyzer.analyze` gives for the same frames at the
    same times.

    Args:
        source: finds faces.
        how: options.
        read: gives the result of a frame with its faces.
        fps: frames per second; None where each frame is pushed with its time.
        name: the ``source`` of the results.

    Raises:
        BadConfig: ``fps`` out of range.
    """

    def __init__(
        self, source: FaceSource, how: How, read: Callable[[Found], FrameResult], fps: float | None, name: str
    ) -> None:
        if fps is not None:
            require_range(fps, "fps", 1e-6, 1e6, fix="Use 25, or push every frame with its time")
        self._film, self._read, self._fps, self._name = Film(source, how, name), read, fps, name
        self._index, self._time = 0, -math.inf

    def push(self, frame: ImageSource, time: float | None = None) -> FrameResult:
        """Analyse the next frame.

        Args:
            frame: (H, W, 3) uint8 RGB, a Pillow image, encoded bytes or a path.
            time: seconds; later than that of the frame before. Without it, the frame's number over ``fps``.

        Returns:
            The result, with ``error`` set where the frame cannot be read; the session goes on.

        Raises:
            BadInput: no time and no ``fps``, or a time that is not later than the last.
        """
        if time is None and self._fps is not None:
            time = self._index / self._fps
        if time is None or not self._time < time < math.inf:
            raise BadInput(
                got="a frame without time"
                if time is None
                else f"a frame at {time:g} s after one at {self._time:g} s",
                expected="times that rise",
                fix="Open the session with fps, or push each frame with its time",
            )
        blank = FrameResult(self._name, self._index, float(time), (), video=True)
        made = attempt(partial(self._made, frame, blank), f"frame {self._index} of {self._name}")
        self._index, self._time = self._index + 1, time
        return replace(blank, error=str(made)) if isinstance(made, MienError) else made

    def _made(self, frame: ImageSource, blank: FrameResult) -> FrameResult:
        image = load_image(frame, name=f"frame {blank.frame}")
        return self._read(self._film.take(VideoFrame(blank.frame, blank.time, image)))
