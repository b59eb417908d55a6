"""A z-buffer rasteriser in plain numpy.

Triangles of a dense face mesh cover only a few pixels each, so they are sorted into classes by the
size of their bounding box and every class is tested against one fixed grid of pixel offsets with
broadcasting.  That keeps the Python loop to about ten turns per picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fragments", "rasterise", "smooth_noise"]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

_BOX_CLASSES = (2, 3, 4, 5, 6, 8, 11, 16, 24, 40, 80, 200, 1024)


@dataclass(frozen=True)
class Fragments:
    """The visible samples: one row per covered pixel.

    pixel: flat pixel index, int [P]; triangle: row of the triangle table, int [P];
    weight: barycentric weights float32 [P, 3]; depth: float32 [P], larger is nearer.
    """

    pixel: NDArray[np.int64]
    triangle: NDArray[np.int64]
    weight: FloatArray
    depth: FloatArray

    def interpolate(self, table: FloatArray, triangles: IntArray) -> FloatArray:
        """Per-vertex values [V, C] carried to the covered pixels, float32 [P, C]."""
        corners = triangles[self.triangle]
        out = table[corners[:, 0]] * self.weight[:, 0:1]
        out += table[corners[:, 1]] * self.weight[:, 1:2]
        out += table[corners[:, 2]] * self.weight[:, 2:3]
        return out


def rasterise(
    points: FloatArray,
    depth: FloatArray,
    triangles: IntArray,
    size: tuple[int, int],
    two_sided: NDArray[np.bool_] | None = None,
) -> Fragments:
    """Find the nearest triangle for every pixel centre.

    points: pixel coordinates float32 [V, 2], x right and y down; depth: float32 [V], larger is
    nearer; triangles: int32 [T, 3], front faces have a negative
    doubled area there (counter-clockwise to the viewer); size: (height, width);
    two_sided: bool [T], triangles that are never culled.
    """
    height, width = size
    corner_x, corner_y = points[:, 0][triangles], points[:, 1][triangles]
    area = _doubled_area(corner_x, corner_y)
    keep = area < -1e-4
    if two_sided is not None:
        keep |= two_sided & (area > 1e-4)
    chosen = np.nonzero(keep)[0]
    corner_x, corner_y, area = corner_x[chosen], corner_y[chosen], area[chosen]
    left, right = _pixel_range(corner_x, width)
    top, bottom = _pixel_range(corner_y, height)
    extent = np.maximum(right - left, bottom - top) + 1
    classes = np.searchsorted(_BOX_CLASSES, extent)
    classes[(right < left) | (bottom < top)] = len(_BOX_CLASSES)
    corner_z = depth[triangles[chosen]]
    hits = []
    for level in range(len(_BOX_CLASSES)):
        rows = np.nonzero(classes == level)[0]
        if len(rows):
            boxes = _Boxes(
                chosen[rows],
                corner_x[rows],
                corner_y[rows],
                corner_z[rows],
                area[rows],
                left[rows],
                top[rows],
            )
            hits.append(_hits(boxes, size, _BOX_CLASSES[level]))
    return _nearest(hits, height * width)


def _doubled_area(x: FloatArray, y: FloatArray) -> FloatArray:
    area: FloatArray = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    return area


def _pixel_range(corner: FloatArray, length: int) -> tuple[IntArray, IntArray]:
    """First and last pixel centre between the smallest and largest corner, clipped to the picture."""
    a, b, c = corner[:, 0], corner[:, 1], corner[:, 2]
    first = np.ceil(np.minimum(np.minimum(a, b), c) - 0.5).astype(np.int32)
    last = np.floor(np.maximum(np.maximum(a, b), c) - 0.5).astype(np.int32)
    return np.maximum(first, 0), np.minimum(last, length - 1)


@dataclass(frozen=True)
class _Boxes:
    """Triangles of one size class: their rows, corners [n, 3], doubled areas and lower box corners."""

    triangle: NDArray[np.int64]
    x: FloatArray
    y: FloatArray
    z: FloatArray
    area: FloatArray
    left: IntArray
    top: IntArray


def _hits(boxes: _Boxes, size: tuple[int, int], box: int) -> Fragments:
    """Test triangles against a box x box grid that starts at their lower corner; no depth test yet."""
    height, width = size
    grid_y, grid_x = np.divmod(np.arange(box * box, dtype=np.int32), box)
    scale = 1.0 / boxes.area
    weights = []
    for first, second in ((1, 2), (2, 0)):
        ax, ay = boxes.x[:, first], boxes.y[:, first]
        step_x = (ay - boxes.y[:, second]) * scale
        step_y = (boxes.x[:, second] - ax) * scale
        origin = step_x * (boxes.left + np.float32(0.5) - ax) + step_y * (boxes.top + np.float32(0.5) - ay)
        value = step_x[:, None] * grid_x.astype(np.float32)
        value += step_y[:, None] * grid_y.astype(np.float32)
        value += origin[:, None]
        weights.append(value)
    inside = (weights[0] >= 0) & (weights[1] >= 0)
    inside &= weights[0] + weights[1] <= 1.0
    row, cell = np.nonzero(inside)
    u, v = weights[0][row, cell], weights[1][row, cell]
    x, y = boxes.left[row] + grid_x[cell], boxes.top[row] + grid_y[cell]
    within = (x < width) & (y < height)
    if not within.all():
        row, x, y, u, v = row[within], x[within], y[within], u[within], v[within]
    w = np.float32(1.0) - u - v
    z = boxes.z[row, 0] * u + boxes.z[row, 1] * v + boxes.z[row, 2] * w
    return Fragments(y.astype(np.int64) * width + x, boxes.triangle[row], np.stack([u, v, w], axis=1), z)


def _nearest(layers: list[Fragments], cells: int) -> Fragments:
    """Depth test: keep the hit with the largest depth in every pixel."""
    if not layers:
        none = np.zeros(0, np.int64)
        return Fragments(none, none, np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    pixel = np.concatenate([layer.pixel for layer in layers])
    depth = np.concatenate([layer.depth for layer in layers])
    buffer = np.full(cells, -np.inf, dtype=np.float32)
    np.maximum.at(buffer, pixel, depth)
    owner = np.full(cells, -1, dtype=np.int64)
    winner = np.nonzero(depth == buffer[pixel])[0]
    owner[pixel[winner]] = winner
    hit = owner[owner >= 0]
    triangle = np.concatenate([layer.triangle for layer in layers])[hit]
    weight = np.concatenate([layer.weight for layer in layers])[hit]
    return Fragments(pixel[hit], triangle, weight, depth[hit])


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> FloatArray:
    """Value noise in [-1, 1]: a random grid of `cells` cells, smoothly enlarged, float32 [height, width]."""
    grid = rng.uniform(-1.0, 1.0, (cells + 1, cells + 1)).astype(np.float32)
    return _enlarge(_enlarge(grid, height, 0), width, 1)


def _enlarge(grid: FloatArray, length: int, axis: int) -> FloatArray:
    place = np.linspace(0.0, grid.shape[axis] - 1.0, length, dtype=np.float32)
    base = np.minimum(place.astype(np.int32), grid.shape[axis] - 2)
    share = place - base
    share = share * share * (3.0 - 2.0 * share)
    lower, upper = np.take(grid, base, axis=axis), np.take(grid, base + 1, axis=axis)
    share = share[:, None] if axis == 0 else share[None, :]
    out: FloatArray = lower + (upper - lower) * share
    return out
