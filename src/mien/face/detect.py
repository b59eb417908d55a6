"""Find faces: MediaPipe's two BlazeFace nets on the whole image, then on tiles for small faces.

Anchors, box decoding and the weighted non-maximum suppression follow MediaPipe's graphs
``face_detection_short_range`` and ``face_detection_full_range`` (BlazeFace: Bazarevsky et al. 2019,
arXiv:1907.05047). The tiles are mien's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.core.errors import BadConfig, BadInput
from mien.face.nets import open_net, run_net

__all__ = ["LOOKS", "Detection", "FaceDetector"]

Array = NDArray[np.float32]

_MERGE_IOU = 0.3  # MediaPipe's min_suppression_threshold
_NESTED = 0.6  # share of the smaller box inside the larger one above which both show one face
_SMALLEST_SHARE = 0.07  # of a window's side: about the smallest face the full-range net finds
_SURE = 0.75  # below, the short-range net's boxes are loose
_ZOOM = 2.2  # window side from one tile level to the next
_STEP = 0.65  # of a tile's side between neighbours: faces up to 35 % of a tile are whole in one of them
_BATCH = 8
_CONFIRMED = 0.68  # real faces reach 0.76, things 0.60 on the pictures of tests/face/test_nets.py


@dataclass(frozen=True, slots=True)
class Detection:
    """One face found in an image.

    Attributes:
        box: (4,) float32, x0 y0 x1 y1 in px; may reach beyond the image.
        score: 0..1; when the face was looked at again from close by, the mean of those looks.
        keypoints: (6, 2) float32 in px: the person's right eye, left eye, nose tip, mouth, right ear, left ear.
    """

    box: Array
    score: float
    keypoints: Array


@dataclass(frozen=True, slots=True)
class _Window:
    """A square of the image: upper left corner and side in px; inner edges cut the picture."""

    x: float
    y: float
    side: float
    whole: bool


@dataclass(frozen=True, slots=True)
class _Net:
    file: str
    side: int
    grids: tuple[tuple[int, int], ...]  # (cells along one side, anchors per cell)


_SHORT = _Net("detector_short.onnx", 128, ((16, 2), (8, 6)))
_FULL = _Net("detector_full.onnx", 192, ((48, 1),))
# (net, side of the window / side of the box) of the second look
LOOKS = ((_SHORT, 2.0), (_SHORT, 3.0), (_FULL, 3.0))
_FAINT = 0.05


@cache
def _anchors(net: _Net) -> Array:
    """(A, 2) anchor centres, 0..1 of the window; every anchor is as large as the window."""
    parts = []
    for cells, count in net.grids:
        centres = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        parts.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(parts)


def _decode(net: _Net, scores: Array, boxes: Array, min_score: float) -> Array:
    """Raw output of one window -> rows (x0, y0, x1, y1, 6 keypoints x y, score), all in 0..1 of the window."""
    probability = 1.0 / (1.0 + np.exp(-np.clip(scores, -80.0, 80.0)))
    kept = probability >= min_score
    raw, centres = boxes[kept] / net.side, _anchors(net)[kept]
    points = raw.reshape(-1, 8, 2)
    centre, half = points[:, 0] + centres, points[:, 1] / 2.0
    keypoints = (points[:, 2:] + centres[:, None]).reshape(-1, 12)
    rows = np.concatenate([centre - half, centre + half, keypoints, probability[kept, None]], axis=1)
    return rows[(half > 0).all(axis=1)].astype(np.float32)


def _overlaps(box: Array, boxes: Array) -> tuple[Array, Array]:
    """(intersection over union, intersection over the smaller area) of one box with each of ``boxes``."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    area, areas = np.prod(box[2:4] - box[:2]), np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1)
    return shared / (area + areas - shared), shared / np.minimum(area, areas)


def _average_overlapping(rows: Array) -> Array:
    """MediaPipe's weighted suppression: overlapping rows become their mean, weighted by score."""
    rest = rows[np.argsort(-rows[:, -1], kind="stable")]
    merged = []
    while len(rest):
        together = _overlaps(rest[0], rest)[0] > _MERGE_IOU
        together[0] = True
        group = rest[together]
        mean = np.average(group, axis=0, weights=group[:, -1])
        mean[-1] = group[0, -1]
        merged.append(mean)
        rest = rest[~together]
    return np.array(merged, dtype=np.float32).reshape(-1, 17)


def _cut(image: NDArray[np.uint8], window: _Window, size: int) -> NDArray[np.uint8]:
    """The window scaled to (size, size, 3); black outside of the image."""
    height, width = image.shape[:2]
    x0, y0 = max(0, round(window.x)), max(0, round(window.y))
    x1, y1 = min(width, round(window.x + window.side)), min(height, round(window.y + window.side))
    stride = max(1, max(x1 - x0, y1 - y0) // (4 * size))
    part = Image.fromarray(np.ascontiguousarray(image[y0:y1:stride, x0:x1:stride]))
    scale = size / window.side
    left, top = max(0, round((x0 - window.x) * scale)), max(0, round((y0 - window.y) * scale))
    target = (
        min(size - left, max(1, round((x1 - x0) * scale))),
        min(size - top, max(1, round((y1 - y0) * scale))),
    )
    canvas = np.zeros((size, size, 3), dtype=np.uint8)
    scaled = part.resize(target, Image.Resampling.BILINEAR, reducing_gap=1.5)
    canvas[top : top + target[1], left : left + target[0]] = np.asarray(scaled)
    return canvas


def _whole(height: int, width: int) -> _Window:
    side = max(height, width)
    return _Window((width - side) / 2.0, (height - side) / 2.0, float(side), whole=True)


def _starts(length: int, side: float) -> list[float]:
    if length <= side:
        return [(length - side) / 2.0]
    count = math.ceil((length - side) / (_STEP * side)) + 1
    return [index * (length - side) / (count - 1) for index in range(count)]


def _tiles(height: int, width: int, min_face: float, most: int) -> list[_Window]:
    """Tiles from coarse to fine, until ``min_face`` px is large enough to be found or a level passes ``most``."""
    tiles: list[_Window] = []
    side = max(height, width) / _ZOOM
    while side >= min_face / _SMALLEST_SHARE:
        rows, columns = _starts(height, side), _starts(width, side)
        if len(tiles) + len(rows) * len(columns) > most:
            break
        tiles += [_Window(x, y, side, whole=False) for y in rows for x in columns]
        side /= _ZOOM
    return tiles


def _trust(net: _Net, rows: Array) -> NDArray[np.int64]:
    """How exact a box is: best where the net is sure and the face is of the size that it was made for."""
    share, score = rows[:, 2] - rows[:, 0], rows[:, -1]
    if net is _SHORT:
        return np.where((share >= 0.15) & (score >= _SURE), 2, 0)
    return np.where((share >= _SMALLEST_SHARE) & (share <= 0.5), 1, 0)


class FaceDetector:
    """Face detector for images of any size.

    Args:
        threads: CPU threads; None takes half of the cores, at most 4.
        device: see `mien.face.onnx_sessions.providers_for`.
        min_score: candidates below this score (0..1) are not looked at again.
        min_face: the smallest face to look for, side of the box in px.
        max_tiles: bound on the tiles of one image. 4000 x 3000 px take 51 tiles and give faces from about 58 px;
            a finer level would pass the default bound.

    A box may still be false; the presence of ``FaceMesh`` tells.
    """

    def __init__(
        self,
        threads: int | None = None,
        min_score: float = 0.4,
        min_face: float = 20.0,
        max_tiles: int = 96,
        device: str = "cpu",
    ) -> None:
        if not 0.0 < min_score <= 1.0 or min_face <= 0 or max_tiles < 0:
            raise BadConfig(
                got=f"min_score={min_score}, min_face={min_face}, max_tiles={max_tiles}",
                expected="min_score in (0, 1], min_face > 0 and max_tiles >= 0",
            )
        self.threads, self.device = threads, device
        self.min_score = min_score
        self.min_face = min_face
        self.max_tiles = max_tiles

    def detect(self, image: NDArray[np.uint8], tiles: bool = True) -> list[Detection]:
        """All faces of one image, from left to right.

        Args:
            image: (H, W, 3) uint8 RGB.
            tiles: also search tiles for small faces. Without them the cost is a few milliseconds whatever the
                size, and faces below about 7 % of the longer side are missed: right for following a video.

        Raises:
            BadInput: ``image`` is not such an array, or is empty.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise BadInput(
                got=f"an array of shape {image.shape} and type {image.dtype}",
                expected="an RGB image (H, W, 3) of type uint8",
                fix="Open the file with mien.face.decode.images.load_image",
            )
        height, width = image.shape[:2]
        whole = [_whole(height, width)]
        found = [self._search(_SHORT, image, whole), self._search(_FULL, image, whole)]
        if tiles:
            windows = _tiles(height, width, self.min_face, self.max_tiles)
            for start in range(0, len(windows), _BATCH):
                found.append(self._search(_FULL, image, windows[start : start + _BATCH]))
        rows = self._confirm(image, self._select(np.concatenate(found)))
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        return [Detection(row[:4].copy(), float(row[16]), row[4:16].reshape(6, 2).copy()) for row in rows]

    def _search(self, net: _Net, image: NDArray[np.uint8], windows: list[_Window]) -> Array:
        """Rows (box, keypoints, score, trust) in px of the image from a batch of windows."""
        crops = np.stack([_cut(image, window, net.side) for window in windows])
        scores, boxes = run_net(open_net(net.file, self.threads, device=self.device), crops)
        found = [np.zeros((0, 18), dtype=np.float32)]
        for window, score, box in zip(windows, scores, boxes, strict=True):
            rows = _average_overlapping(_decode(net, score, box, self.min_score))
            if not window.whole:
                rows = rows[self._uncut(rows, window, image.shape)]
            trust = _trust(net, rows)
            rows[:, :-1] = rows[:, :-1] * window.side + np.tile([window.x, window.y], 8)
            found.append(np.concatenate([rows, trust[:, None]], axis=1, dtype=np.float32))
        return np.concatenate(found)

    @staticmethod
    def _uncut(rows: Array, window: _Window, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """False for boxes that cross an edge of a tile inside the image: another window holds the whole face."""
        inner = np.array(
            [
                window.x > 0,
                window.y > 0,
                window.x + window.side < shape[1],
                window.y + window.side < shape[0],
            ]
        )
        crossing = np.concatenate([rows[:, :2] < 0.0, rows[:, 2:4] > 1.0], axis=1)
        return np.asarray(~(crossing & inner).any(axis=1))

    def _select(self, rows: Array) -> Array:
        """Keep the most exact box of every face."""
        rows = rows[(rows[:, 2:4] - rows[:, :2]).max(axis=1) >= self.min_face]
        rest = rows[np.lexsort((-rows[:, -2], -rows[:, -1]))]
        kept = []
        while len(rest):
            union, smaller = _overlaps(rest[0], rest)
            together = (union > _MERGE_IOU) | (smaller > _NESTED)
            together[0] = True
            kept.append(rest[0])
            rest = rest[~together]
        return np.array(kept, dtype=np.float32).reshape(-1, 18)

    def _confirm(self, image: NDArray[np.uint8], rows: Array) -> Array:
        """Look again at every doubtful box, from three windows around it, and keep those that stay faces.

        Small false boxes can score high and even get a high presence from the mesh; none of them looks like a face
        to both nets at several scales.
        """
        doubtful = rows[:, -1] < 2
        boxes = rows[doubtful, :4]
        looks = [self._look(image, boxes, net, zoom) for net, zoom in LOOKS]
        rows[doubtful, 16] = np.mean(looks, axis=0)
        return rows[~doubtful | (rows[:, 16] >= _CONFIRMED)]

    def _look(self, image: NDArray[np.uint8], boxes: Array, net: _Net, zoom: float) -> Array:
        """(n,) best score of a face at the place of each box, in a window ``zoom`` times as large."""
        scores = np.zeros(len(boxes), dtype=np.float32)
        for start in range(0, len(boxes), _BATCH):
            windows = [self._around(box, zoom) for box in boxes[start : start + _BATCH]]
            crops = np.stack([_cut(image, window, net.side) for window in windows])
            outputs = zip(*run_net(open_net(net.file, self.threads, device=self.device), crops), strict=True)
            for number, (window, (logits, raw)) in enumerate(zip(windows, outputs, strict=True), start):
                seen = _decode(net, logits, raw, _FAINT)
                origin = np.array([window.x, window.y] * 2, dtype=np.float32)
                union, _ = _overlaps((boxes[number] - origin) / window.side, seen)
                scores[number] = seen[union > _MERGE_IOU, -1].max(initial=0.0)
        return scores

    def score(self, crops: NDArray[np.uint8], net: _Net, zoom: float) -> Array:
        """(n,) best score of an upright face in the middle of each crop, over 1 / ``zoom`` of its side; see `LOOKS`.

        Args:
            crops: (n, net.side, net.side, 3) uint8 RGB.
            net: the detector that looks.
            zoom: side of the crop / side of the face.
        """
        low, high = 0.5 - 0.5 / zoom, 0.5 + 0.5 / zoom
        middle = np.array([low, low, high, high], dtype=np.float32)
        scores = np.zeros(len(crops), dtype=np.float32)
        for number, (logits, raw) in enumerate(
            zip(*run_net(open_net(net.file, self.threads, device=self.device), crops), strict=True)
        ):
            seen = _decode(net, logits, raw, _FAINT)
            scores[number] = seen[_overlaps(middle, seen)[0] > _MERGE_IOU, -1].max(initial=0.0)
        return scores

    @staticmethod
    def _around(box: Array, zoom: float) -> _Window:
        side = float((box[2:] - box[:2]).max()) * zoom
        centre = (box[:2] + box[2:]) / 2.0
        return _Window(float(centre[0]) - side / 2.0, float(centre[1]) - side / 2.0, side, whole=True)
