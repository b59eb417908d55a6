"""The pictures of a run: overlays of photos and videos, and the cards of the report, as frames come by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image as pillow

from mien.analyze.analyzer import AnalysedFrame
from mien.analyze.file_names import part_stem
from mien.analyze.overlay import OverlayVideo, draw_overlay
from mien.analyze.report import ReportBuilder
from mien.core.nouns import FrameResult, Image
from mien.core.paths import written_whole
from mien.face.decode.part import Part
from mien.face.decode.video import probe
from mien.face.landmark_files import LANDMARK_SUFFIXES

__all__ = ["PictureOptions", "Pictures"]

_QUALITY = 90
_BLANK = 24
"""Grey of the canvas that landmarks are drawn on when there are no pixels."""


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """What to draw."""

    overlay: bool
    report: bool
    redact: bool
    part: Part
    """Which frames of videos are analysed."""

    @property
    def any(self) -> bool:
        """Whether anything is drawn."""
        return self.overlay or self.report


class Pictures:
    """Draws what the options ask for.

    Args:
        folder: of the overlays; it exists.
        stems: file name without suffix for each source.
        options: what to draw.
        builder: knows what the report shows already, to choose further cards.
    """

    def __init__(
        self, folder: Path, stems: Mapping[str, str], options: PictureOptions, builder: ReportBuilder
    ) -> None:
        self._folder, self._stems, self._options, self._builder = folder, stems, options, builder
        self._open = ExitStack()
        self._video: OverlayVideo | None = None
        self._given_up: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> bool | None:
        return self._open.__exit__(*exception)

    def take(self, frame: AnalysedFrame, stored: FrameResult) -> dict[str, Any] | None:
        """Draw one frame; give the report's card of it where the report shall show it.

        Args:
            frame: the frame with its pixels.
            stored: its result as the journal keeps it, with the landmarks.
        """
        if self._options.overlay:
            self._draw(frame, stored)
        if not self._options.report:
            return None
        return self._builder.add(stored, frame.image)

    def give_up(self, source: str, error: Exception) -> None:
        """Draw nothing more of this source, and leave no half video of it."""
        self._given_up, self._video = source, None
        self._open.__exit__(type(error), error, error.__traceback__)

    def _draw(self, frame: AnalysedFrame, stored: FrameResult) -> None:
        if frame.item == self._given_up:
            return
        name = part_stem(self._stems[frame.item], frame.item, stored.source)
        image = frame.image if frame.image is not None else _blank(stored)
        if stored.video:
            self._draw_video(image, stored, frame, name)
        elif image is not None:
            path = self._folder / f"{name}.jpg"
            with written_whole(path, sweep=False) as part:
                drawn = pillow.fromarray(draw_overlay(image, stored, self._options.redact))
                drawn.save(part, "JPEG", quality=_QUALITY)

    def _draw_video(self, image: Image | None, stored: FrameResult, frame: AnalysedFrame, name: str) -> None:
        if self._video is not None and self._video.path.stem != name:
            self._open.close()
            self._video = None
        if self._video is None and image is not None:
            path = self._folder / f"{name}.mp4"
            rate = self._options.part.rate(_rate(frame.item))
            self._video = self._open.enter_context(OverlayVideo(path, rate, self._options.redact))
        if self._video is not None and image is not None:
            self._video.add(image, stored)
        if frame.last:
            self._open.close()
            self._video = None


def _blank(stored: FrameResult) -> Image | None:
    if stored.error is not None or not stored.width:
        return None
    return np.full((stored.height, stored.width, 3), _BLANK, dtype=np.uint8)


def _rate(source: str) -> float:
    """Frames per second; 25 for a stack of landmarks, which has no clock, and for what came through a pipe."""
    if Path(source).suffix.lower() in LANDMARK_SUFFIXES or not os.path.isfile(source):
        return 25.0
    return probe(source).fps or 25.0
