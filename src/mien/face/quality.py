"""What limits the reading of a face: size, blur, light, turns and hidden regions, each with its reason.

Blur is the measure of Crete, Dolmiere, Ladret and Nicolas (2007): how little of the variation between neighbouring
pixels a strong low-pass filter takes away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mien.core.nouns import Face, Image, Quality, Region

__all__ = ["judge"]

_IRISES = 468, 473
"""Centres of the two irises in the mesh."""
_WINDOW = 11
_SMALL = 16.0
"""px; expressions are told down to heads of 36 x 48 px (Tian 2004), whose eyes are about so far apart."""
_BLURRED = 0.72
"""On two portraits blurred step by step AU12 and AU25 hold within 0.11 up to 0.71, and move by 0.4 from 0.76 on."""
_DARK, _BRIGHT = 0.12, 0.92
_TURNED, _IN_PLANE = 30.0, 60.0
_COVERED = 0.5


def judge(face: Face, crop: Image | None = None, covered: Mapping[Region, float] | None = None) -> Quality:
    """Judge one face.

    Args:
        face: with its landmarks and pose where they were found.
        crop: (S, S, 3) uint8 RGB canonical crop; without it blur and light stay NaN.
        covered: probability 0..1 by region that something covers it, where a model tells.
    """
    eyes = turned = in_plane = blur = light = math.nan
    if face.landmarks is not None:
        one, other = face.landmarks[_IRISES[0], :2], face.landmarks[_IRISES[1], :2]
        eyes = float(np.hypot(*(one - other)))
    if face.pose is not None:
        ahead = math.cos(math.radians(face.pose.pitch)) * math.cos(math.radians(face.pose.yaw))
        turned = math.degrees(math.acos(min(max(ahead, -1.0), 1.0))) if not math.isnan(ahead) else math.nan
        in_plane = (face.pose.roll + 180.0) % 360.0 - 180.0
    if crop is not None:
        blur, light = _blur(crop[..., 1].astype(np.float32)), float(crop.mean()) / 255.0
    hidden = tuple(region for region, chance in (covered or {}).items() if chance >= _COVERED)
    limits = {
        "small": (eyes < _SMALL, f"{eyes:.0f} px between the eyes, at least {_SMALL:.0f}"),
        "blurred": (blur > _BLURRED, f"blur {blur:.2f}, at most {_BLURRED}"),
        "dark": (light < _DARK, f"brightness {light:.2f}, at least {_DARK}"),
        "bright": (light > _BRIGHT, f"brightness {light:.2f}, at most {_BRIGHT}"),
        "turned": (turned > _TURNED, f"{turned:.0f} degrees from the camera, at most {_TURNED:.0f}"),
        "turned_in_plane": (abs(in_plane) > _IN_PLANE, f"{in_plane:.0f} degrees in the plane"),
        **{f"hidden_{region}": (True, f"something covers the {region}") for region in hidden},
    }
    flags = {name: reason for name, (passed, reason) in limits.items() if passed}
    return Quality(eyes, blur, light, turned, in_plane, hidden, flags)


def _blur(grey: npt.NDArray[np.float32]) -> float:
    """0 sharp … 1 nothing but blur; NaN for a picture of one colour."""
    shares = []
    for picture in (grey, grey.T):
        lines = np.ascontiguousarray(picture[::2])  # every second one tells as much
        sums = np.cumsum(lines, axis=1)
        smooth = (sums[:, _WINDOW:] - sums[:, :-_WINDOW]) / _WINDOW
        inner = lines[:, _WINDOW // 2 + 1 : lines.shape[1] - _WINDOW // 2]
        before, after = np.abs(np.diff(inner)), np.abs(np.diff(smooth))
        whole = float(before.sum())
        shares.append(float(np.minimum(before, after).sum()) / whole if whole else math.nan)
    return max(shares)
