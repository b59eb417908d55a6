"""478 landmarks of a face: MediaPipe's attention mesh on a turned square around the face.

Square, crop and projection follow MediaPipe's graphs ``face_landmark_front_cpu`` and ``face_landmark_cpu``
(attention mesh: Grishchenko et al. 2020, arXiv:2006.10962).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.core.errors import BadInput
from mien.face.detect import Detection
from mien.face.nets import open_net, run_net

__all__ = ["MARGIN", "FaceMesh", "MeshResult", "Roi", "crop_roi", "roi_from_detection", "roi_from_landmarks"]

_SIDE = 192
MARGIN = 1.5
"""Side of the square around a face / longer side of its box."""
_LEFT_EYE, _RIGHT_EYE = 33, 263  # outer corners, left and right as seen in the image
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Roi:
    """A turned square of an image.

    Attributes:
        cx, cy: centre in px.
        size: side in px, > 0.
        angle: turn in radians, positive from the x axis towards the y axis (clockwise on the screen).
    """

    cx: float
    cy: float
    size: float
    angle: float


@dataclass(frozen=True, slots=True)
class MeshResult:
    """The mesh of one square.

    Attributes:
        landmarks: (478, 3) float32 in px of the image. 0..467 are the vertices of MediaPipe's face mesh, 468..472
            the iris on the image's left (centre first), 473..477 the other. z has the scale of x, its origin
            near the middle of the head, and is smaller (negative) towards the camera.
        presence: 0..1, how sure the net is that the square holds a face.
    """

    landmarks: NDArray[np.float32]
    presence: float


def _around(low: NDArray[np.float32], high: NDArray[np.float32], across: NDArray[np.float32]) -> Roi:
    centre = (low + high) / 2.0
    size = float(np.max(high - low)) * MARGIN
    return Roi(float(centre[0]), float(centre[1]), size, math.atan2(float(across[1]), float(across[0])))


def roi_from_detection(detection: Detection) -> Roi:
    """The square of the mesh: the box 1.5 times as large, turned so that the eyes lie level."""
    across = detection.keypoints[1] - detection.keypoints[0]
    return _around(detection.box[:2], detection.box[2:], across)


def roi_from_landmarks(landmarks: NDArray[np.float32]) -> Roi:
    """The square for the next frame from the landmarks (478, >= 2) of this one, px."""
    plane = landmarks[:, :2]
    return _around(plane.min(axis=0), plane.max(axis=0), plane[_RIGHT_EYE] - plane[_LEFT_EYE])


def _meets(roi: Roi, image: NDArray[np.uint8]) -> bool:
    """True when the square has a size and its centre lies in the image."""
    height, width = image.shape[:2]
    return 1.0 <= roi.size < math.inf and 0.0 <= roi.cx < width and 0.0 <= roi.cy < height


def crop_roi(image: NDArray[np.uint8], roi: Roi, side: int = _SIDE) -> NDArray[np.uint8]:
    """Cut a turned square out of an image and scale it to (side, side, 3) uint8.

    Pixels outside of the image repeat its border. Only the part under the square is copied, so the size of the
    image does not matter. The pixel (u, v) of the crop shows the point at (u, v) / side of the square, as in
    MediaPipe (no half-pixel shift).

    Raises:
        BadInput: the square is not finite, has no size, or lies outside of the image.
    """
    height, width = image.shape[:2]
    scale = roi.size / side
    if not (math.isfinite(roi.cx + roi.cy + roi.angle) and 0.0 < roi.size < math.inf):
        raise BadInput(got=f"{roi}", expected="finite numbers and a size > 0", fix="Detect the face again")
    cos, sin = math.cos(roi.angle) * scale, math.sin(roi.angle) * scale
    reach = roi.size / 2.0 * (abs(math.cos(roi.angle)) + abs(math.sin(roi.angle))) + 2.0
    x0, x1 = math.floor(roi.cx - reach), math.ceil(roi.cx + reach)
    y0, y1 = math.floor(roi.cy - reach), math.ceil(roi.cy + reach)
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise BadInput(
            got=f"{roi} in an image of {width} x {height} px",
            expected="a square that meets the image",
            fix="Detect the face again",
        )
    part = image[max(0, y0) : min(height, y1), max(0, x0) : min(width, x1)]
    outside = ((max(0, -y0), max(0, y1 - height)), (max(0, -x0), max(0, x1 - width)), (0, 0))
    if any(map(any, outside)):
        part = np.pad(part, outside, mode="edge")
    # Pillow reads the source at (a (u + .5) + b (v + .5) + c) - .5 for the pixel u, v.
    left = roi.cx - (cos - sin) * side / 2.0 - x0 + 0.5 - (cos - sin) / 2.0
    top = roi.cy - (sin + cos) * side / 2.0 - y0 + 0.5 - (sin + cos) / 2.0
    # Large faces are averaged first: reading only every fourth pixel would show jagged edges.
    shrink = max(1, int(scale / 2.0))
    picture = Image.fromarray(np.ascontiguousarray(part)).reduce(shrink)
    coefficients = tuple(value / shrink for value in (cos, -sin, left, sin, cos, top))
    return np.asarray(
        picture.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    )


def _project(points: NDArray[np.float32], roi: Roi) -> NDArray[np.float32]:
    """Points (478, 3) in px of the crop -> px of the image."""
    cos, sin = math.cos(roi.angle), math.sin(roi.angle)
    x, y = points[:, 0] / _SIDE - 0.5, points[:, 1] / _SIDE - 0.5
    placed = np.stack(
        [
            roi.cx + (cos * x - sin * y) * roi.size,
            roi.cy + (sin * x + cos * y) * roi.size,
            points[:, 2] * (roi.size / _SIDE),
        ],
        axis=1,
    )
    return placed.astype(np.float32)


class FaceMesh:
    """Landmarks for squares of an image.

    Args:
        threads: CPU threads; None takes half of the cores, at most 4.
        device: see `mien.face.onnx_sessions.providers_for`.
    """

    def __init__(self, threads: int | None = None, device: str = "cpu") -> None:
        self.threads, self.device = threads, device

    def landmarks(self, image: NDArray[np.uint8], rois: list[Roi], retry: bool = True) -> list[MeshResult]:
        """The mesh of every square, in the order given.

        Args:
            image: (H, W, 3) uint8 RGB.
            rois: squares, from ``roi_from_detection`` or, in a video, ``roi_from_landmarks`` of the frame before.
            retry: look a second time, on the square around the landmarks just found, where the presence is below
                0.5, and keep the surer look: finds faces whose square was badly placed, such as profiles.
        """
        results = self.run([crop_roi(image, roi) for roi in rois], rois)
        doubtful = [number for number, result in enumerate(results) if result.presence < 0.5] if retry else []
        for number in doubtful:
            roi = roi_from_landmarks(results[number].landmarks)
            if _meets(roi, image):
                second = self.run([crop_roi(image, roi)], [roi])[0]
                results[number] = max(results[number], second, key=lambda result: result.presence)
        return results

    def run(self, crops: list[NDArray[np.uint8]], rois: list[Roi]) -> list[MeshResult]:
        """The same for crops (192, 192, 3) made before, e.g. of several frames at once."""
        results = []
        for start in range(0, len(crops), _BATCH):
            batch = np.stack(crops[start : start + _BATCH])
            points, presence = run_net(open_net("face_mesh.onnx", self.threads, device=self.device), batch)
            for row, sure, roi in zip(points, presence, rois[start : start + _BATCH], strict=True):
                results.append(MeshResult(_project(row, roi), float(sure)))
        return results
