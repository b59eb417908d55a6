"""Which frames of a clip are wanted: between two times, every n-th, or so many per second."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mien.core.errors import BadConfig, require_range

__all__ = ["WHOLE", "Part"]

_EVEN = 1e-6
"""Share of a step by which a time may lie before it, as rounded times do."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a clip.

    Raises:
        BadConfig: a value out of range, or both ``every`` and ``fps``.
    """

    every: int = 1
    """Every n-th frame, counted from the clip's first."""
    start: float = 0.0
    """Seconds on the clip's own timeline."""
    end: float | None = None
    """Seconds; frames from here on are left out. None for all."""
    fps: float | None = None
    """At most so many frames per second, evenly; None for all."""

    def __post_init__(self) -> None:
        require_range(self.every, "every", 1, whole=True, fix="Use 1 for every frame")
        require_range(self.start, "start", 0.0, fix="Use seconds from the beginning of the clip")
        if self.end is not None:
            require_range(
                self.end, "end", math.nextafter(self.start, math.inf), fix="Let it lie behind start"
            )
        if self.fps is not None:
            require_range(self.fps, "fps", 1e-6, 1e6, fix="Use 25, or leave it out for all frames")
            if self.every != 1:
                raise BadConfig(
                    got=f"every {self.every} and fps {self.fps:g}",
                    expected="one of them",
                    fix="Leave one out",
                )

    def over(self, time: float) -> bool:
        """Whether no frame from this time on is wanted."""
        return self.end is not None and time >= self.end

    def chooser(self) -> Callable[[int, float], bool]:
        """Tells of one frame after another, by index and time, whether it is wanted."""
        given, every = -1, int(self.every)

        def wanted(index: int, time: float) -> bool:
            nonlocal given
            if time < self.start or self.over(time) or index % every:
                return False
            if self.fps is None:
                return True
            step = math.floor((time - self.start) * self.fps + _EVEN)
            fresh, given = step > given, max(step, given)
            return fresh

        return wanted

    def rate(self, native: float) -> float:
        """Frames per second that are left of so many."""
        return native / self.every if self.fps is None else min(native or self.fps, self.fps)

    def count(self, frames: int, native: float) -> int:
        """About how many frames are left of so many at ``native`` frames per second."""
        if native > 0:
            last = frames / native
            seconds = max(0.0, min(last, self.end if self.end is not None else last) - self.start)
            frames = min(frames, math.ceil(seconds * native))
            return (
                math.ceil(seconds * self.rate(native)) if self.fps is not None else -(-frames // self.every)
            )
        return -(-frames // self.every)


WHOLE = Part()
"""All frames."""
