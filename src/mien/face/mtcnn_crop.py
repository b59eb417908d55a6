"""The face crop that FaceXFormer was trained on and EMO-LLaMA feeds it: an MTCNN box, half as large again, clipped.

As in the released inference: the largest face, a quarter of the box added on each side, the box held at the picture's
edges, coordinates cut to whole px. The crop need not be square; FaceXFormer stretches it. MTCNN's five points are not
used.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadInput
from mien.core.nouns import Image

__all__ = ["MARGIN", "expert_crop", "expert_window", "largest_box"]

MARGIN = 0.5
"""Share of a box's width and height that is added, half of it on each side."""

Window = tuple[int, int, int, int]
"""Left, top, right and bottom edge in whole px; right and bottom are not part of it."""


def _checked(boxes: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 4 or not len(array) or not np.isfinite(array[:, :4]).all():
        raise BadInput(
            got=f"boxes of shape {array.shape}{'' if array.size else ': no face'}",
            expected="(faces, 4) finite numbers: left, top, right, bottom in px, at least one face",
            fix="Leave out pictures without a face; the released code stops at them",
        )
    return array


def largest_box(boxes: npt.ArrayLike) -> int:
    """Index of the box with the largest area, the first of equals: the face that MTCNN names first.

    Args:
        boxes: (N, 4 or more), left, top, right, bottom.
    """
    array = _checked(boxes)
    return int(np.argmax((array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1])))


def expert_window(box: npt.ArrayLike, width: int, height: int, margin: float = MARGIN) -> Window:
    """The part of a ``width`` x ``height`` px picture that the expert sees of a face.

    Args:
        box: left, top, right, bottom in px; what follows is ignored.
        margin: see `MARGIN`.

    Raises:
        BadInput: nothing of the box lies in the picture.
    """
    left, top, right, bottom = _checked(np.asarray(box, dtype=np.float64)[None])[0, :4]
    across, down = (right - left) * margin / 2.0, (bottom - top) * margin / 2.0
    window = (
        int(max(0.0, left - across)),
        int(max(0.0, top - down)),
        int(min(float(width), right + across)),
        int(min(float(height), bottom + down)),
    )
    if window[2] <= window[0] or window[3] <= window[1]:
        raise BadInput(
            got=f"a box {[round(float(edge), 1) for edge in (left, top, right, bottom)]} in {width} x {height} px",
            expected="left < right and top < bottom, at least partly in the picture",
            fix="Pass the box in px of this very picture",
        )
    return window


def expert_crop(image: Image, box: npt.ArrayLike, margin: float = MARGIN) -> tuple[Image, Window]:
    """Cut a face out for FaceXFormer: (h, w, 3) uint8 RGB of its own size, and where it lay.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: see `expert_window`.
        margin: see `MARGIN`.
    """
    window = expert_window(box, image.shape[1], image.shape[0], margin)
    left, top, right, bottom = window
    return np.ascontiguousarray(image[top:bottom, left:right]), window
