"""The One Euro filter: smooth landmarks at rest, quick ones when they move. Off unless asked for.

Casiez, Roussel, Vogel 2012, "1 € filter: a simple speed-based low-pass filter for noisy input".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadConfig
from mien.core.nouns import Face
from mien.face.pose import head_pose

__all__ = ["LandmarkSmoother", "OneEuro"]

_Array = npt.NDArray[np.float64]


class OneEuro:
    """One Euro filter of an array of values, each filtered by itself.

    Args:
        min_cutoff: Hz, > 0; cut-off at rest. Lower: less jitter, more lag.
        beta: ≥ 0; how fast the cut-off rises with speed. Higher: less lag.
        d_cutoff: Hz, > 0; cut-off of the speed itself.
    """

    def __init__(self, min_cutoff: float = 1.0, beta: float = 0.5, d_cutoff: float = 1.0) -> None:
        if min_cutoff <= 0 or beta < 0 or d_cutoff <= 0:
            raise BadConfig(
                got=f"min_cutoff={min_cutoff}, beta={beta}, d_cutoff={d_cutoff}",
                expected="min_cutoff > 0, beta >= 0, d_cutoff > 0",
            )
        self.min_cutoff, self.beta, self.d_cutoff = min_cutoff, beta, d_cutoff
        self._value: _Array | None = None
        self._speed: _Array | None = None
        self._time = -math.inf

    def __call__(self, values: npt.ArrayLike, time: float) -> _Array:
        """Filter the next values.

        Args:
            values: array of one shape throughout.
            time: seconds. A time that is not later than the last starts the filter anew.

        Returns:
            Filtered values of the same shape.
        """
        current = np.asarray(values, dtype=np.float64)
        step = time - self._time
        if self._value is None or self._speed is None or not 0.0 < step < math.inf:
            self._value, self._speed, self._time = current, np.zeros_like(current), time
            return current.copy()
        share = _share(self.d_cutoff, step)
        self._speed = self._speed + share * ((current - self._value) / step - self._speed)
        cutoff = self.min_cutoff + self.beta * np.abs(self._speed)
        self._value = self._value + _share(cutoff, step) * (current - self._value)
        self._time = time
        return self._value.copy()


def _share(cutoff: npt.ArrayLike, step: float) -> _Array:
    """Weight of the new value in an exponential filter (eq. 3 and 5 of the paper)."""
    turns = 2.0 * math.pi * np.asarray(cutoff, dtype=np.float64) * step
    return np.asarray(turns / (turns + 1.0))


class LandmarkSmoother:
    """Smooth the landmarks of every track of one video; pose follows, boxes stay as found.

    Speed is counted in face sizes, so a face far away is smoothed like one near by.

    Args:
        min_cutoff: Hz; see `OneEuro`.
        beta: see `OneEuro`, for speeds in face sizes per second.
    """

    def __init__(self, min_cutoff: float = 1.5, beta: float = 3.0) -> None:
        self._min_cutoff, self._beta = min_cutoff, beta
        self._filters: dict[int, OneEuro] = {}

    def smooth(self, faces: Sequence[Face]) -> list[Face]:
        """The faces of one frame with smoothed landmarks and pose.

        Args:
            faces: faces of one frame, with its time; those without track or landmarks are returned as they are.
        """
        smoothed = []
        for face in faces:
            if face.track is None or face.landmarks is None:
                smoothed.append(face)
                continue
            one_euro = self._filters.setdefault(face.track, OneEuro(self._min_cutoff, self._beta))
            one_euro.beta = self._beta / max(float(np.ptp(face.landmarks[:, :2], axis=0).max()), 1.0)
            landmarks = one_euro(face.landmarks, face.time).astype(np.float32)
            smoothed.append(replace(face, landmarks=landmarks, pose=head_pose(landmarks)))
        return smoothed
