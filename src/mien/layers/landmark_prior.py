"""Pictures for InsightFace's 106-point net, whose 212 outputs are EmoLA's facial prior.

The net is InsightFace's ``2d106det.onnx`` (pack buffalo_l), which the user brings. EmoLA's released code feeds it
in another way than InsightFace does, so its features lie off the net's training distribution; both ways are here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.core.errors import BadInput, require_known

__all__ = ["PRIOR_SIZE", "PRIOR_WIDTH", "prior_input"]

PRIOR_SIZE = 192
"""Side of the net's input."""
PRIOR_WIDTH = 212
"""106 points as x, y in about -1..1."""
_MARGIN = 1.5


def _bilinear(
    image: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Samples of (H, W, 3) at columns x and rows y; 0 outside, fading over the last pixel."""
    height, width = image.shape[:2]
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    total = np.zeros((len(y), len(x), 3), np.float64)
    for row in (0, 1):
        for column in (0, 1):
            across, down = left + column, top + row
            weight_x = np.where((across >= 0) & (across < width), 1.0 - np.abs(x - across), 0.0)
            weight_y = np.where((down >= 0) & (down < height), 1.0 - np.abs(y - down), 0.0)
            values = image[np.clip(down, 0, height - 1)][:, np.clip(across, 0, width - 1)]
            total += values * weight_y[:, None, None] * weight_x[None, :, None]
    return total.astype(np.float32)


def prior_input(
    image: NDArray[np.uint8],
    box: tuple[float, float, float, float] | None,
    *,
    compat: str = "insightface",
    raw: bool = True,
) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB -> (1, 3, 192, 192) float32 for the net.

    Args:
        image: the picture; with ``compat="emola"`` the aligned face itself.
        box: face box x0, y0, x1, y1 in px; not used by ``"emola"``.
        compat: ``"insightface"``: RGB, a square of 1.5 times the longer side around the box, black outside the
            picture; ``"emola"``: BGR, the whole picture stretched, divided by 255.
        raw: the net scales values itself (its graph holds ``bn_data``, as buffalo_l's does), so it takes 0..255;
            else (x - 127.5) / 128. Only ``"insightface"``.

    Raises:
        BadConfig: another compat.
        BadInput: no RGB picture, or no box where one is needed.
    """
    require_known(compat, ("insightface", "emola"), "compat")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise BadInput(
            got=f"an array {image.shape} of {image.dtype}", expected="(H, W, 3) uint8 RGB", fix="Convert it"
        )
    steps = np.arange(PRIOR_SIZE, dtype=np.float64)
    height, width = image.shape[:2]
    if compat == "emola":
        x = np.clip((steps + 0.5) * width / PRIOR_SIZE - 0.5, 0.0, width - 1.0)
        y = np.clip((steps + 0.5) * height / PRIOR_SIZE - 0.5, 0.0, height - 1.0)
        pixels = _bilinear(image[..., ::-1].astype(np.float32), x, y) / np.float32(255.0)
    else:
        if box is None or box[2] <= box[0] or box[3] <= box[1]:
            raise BadInput(
                got=f"box {box}", expected="x0 < x1 and y0 < y1 in px", fix="Detect the face first"
            )
        scale = PRIOR_SIZE / (_MARGIN * max(box[2] - box[0], box[3] - box[1]))
        x = (steps - PRIOR_SIZE / 2.0) / scale + (box[0] + box[2]) / 2.0
        y = (steps - PRIOR_SIZE / 2.0) / scale + (box[1] + box[3]) / 2.0
        pixels = _bilinear(image.astype(np.float32), x, y)
        if not raw:
            pixels = (pixels - np.float32(127.5)) / np.float32(128.0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
