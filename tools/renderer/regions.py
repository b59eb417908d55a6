"""Where lips, brows, beard, hair and wrinkles lie: maps over the face texture, computed once.

The ICT light model has no albedo.  Its texture coordinates are used to carry the neutral position of
every texel, and each region is then a smooth function of that position, in model units.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from renderer.faces import LANDMARKS68, FaceModel
from renderer.raster import rasterise

__all__ = ["FACE_TILE", "HEAD_TILE", "WRINKLE_AUS", "RegionMaps", "hair_field", "region_maps"]

FloatArray = NDArray[np.float32]

FACE_TILE = 512
HEAD_TILE = 192

# AUs whose skin folds the geometry is too smooth to show.
WRINKLE_AUS = ("AU01", "AU02", "AU04", "AU06", "AU07", "AU09", "AU10", "AU12", "AU14", "AU15", "AU17")

# Fold lines on the subject's left half as (x, y) points in model units; they are mirrored.
_FOLDS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "AU01": tuple(((0.0, y - 0.15), (1.3, y), (2.6, y + 0.1), (3.3, y - 0.1)) for y in (7.7, 8.6, 9.5)),
    "AU02": tuple(((2.4, y), (3.6, y + 0.25), (4.8, y), (5.4, y - 0.4)) for y in (7.6, 8.4, 9.2)),
    "AU04": (((0.55, 4.9), (0.6, 5.7), (0.75, 6.6)), ((0.0, 4.1), (0.7, 4.25))),
    "AU06": (
        ((4.9, 3.5), (5.6, 3.9), (6.2, 4.4)), ((4.9, 3.2), (5.8, 3.2), (6.4, 3.4)),
        ((4.8, 2.9), (5.5, 2.5), (6.0, 2.2)), ((1.7, 2.6), (2.6, 2.05), (3.8, 2.05), (4.7, 2.5)),
    ),
    "AU07": (((1.9, 2.75), (2.7, 2.55), (3.8, 2.6), (4.4, 2.95)),),
    "AU09": (
        ((0.25, 3.9), (0.75, 3.3), (1.15, 2.6)), ((0.4, 4.3), (1.0, 3.7), (1.5, 3.1)),
        ((0.0, 3.6), (0.4, 3.6)), ((0.0, 4.0), (0.45, 4.05)), ((1.5, 0.5), (1.75, -0.4), (2.3, -1.4)),
    ),
    "AU10": (((1.35, 0.4), (1.75, -0.3), (2.4, -1.3), (3.0, -2.2)),),
    "AU12": (((1.65, 0.1), (2.2, -0.8), (2.95, -1.9), (3.5, -3.0), (3.6, -3.9)),),
    "AU14": (((3.05, -2.9), (3.25, -3.5), (3.1, -4.1)),),
    "AU15": (((2.6, -3.7), (3.05, -4.3), (3.25, -5.1)),),
    "AU17": (((0.0, -4.95), (0.9, -5.1), (1.6, -5.6), (1.8, -6.2)),),
}  # fmt: skip


@dataclass(frozen=True)
class RegionMaps:
    """Maps over the face texture, float32 [FACE_TILE, FACE_TILE] unless said otherwise.

    position: [.., 3] neutral model position; head_position: [HEAD_TILE, HEAD_TILE, 3] the same for the
    head texture; lips, cheeks, under_eye, lid, beard, nose, ear: 0-1 masks; wrinkles: signed int8
    [.., len(WRINKLE_AUS)], dark lines negative (127 = 1); landmarks: neutral positions [68, 3].
    """

    position: FloatArray
    head_position: FloatArray
    lips: FloatArray
    cheeks: FloatArray
    under_eye: FloatArray
    lid: FloatArray
    beard: FloatArray
    nose: FloatArray
    ear: FloatArray
    wrinkles: NDArray[np.int8]
    landmarks: FloatArray


def region_maps(model: FaceModel) -> RegionMaps:
    """Compute all maps (about half a second)."""
    position = _position_map(model, "face", FACE_TILE)
    marks = model.neutral[LANDMARKS68]
    x, y, z = np.abs(position[..., 0]), position[..., 1], position[..., 2]
    front = np.clip((z - 2.0) / 2.0, 0.0, 1.0)
    return RegionMaps(
        position=position,
        head_position=_position_map(model, "head", HEAD_TILE),
        lips=_lip_map(model),
        cheeks=_blob(x, y, (4.2, 0.0), (1.9, 1.7)) * front,
        under_eye=_blob(x, y, (3.0, 2.2), (1.5, 0.55)) * front,
        lid=_lid_map(x, y, marks) * front,
        beard=_beard_map(x, y, z),
        nose=_blob(x, y, (0.0, 0.2), (1.5, 1.2)) * front,
        ear=(np.clip((x - 7.3) / 0.5, 0, 1) * (np.abs(y - 1.8) < 4.2)).astype(np.float32),
        wrinkles=_wrinkle_maps(x, y, front),
        landmarks=marks,
    )


def hair_field(position: FloatArray, recede: float, fringe: float) -> FloatArray:
    """Signed distance-like field, positive where scalp hair grows; position: [..., 3] in neutral units.

    recede lifts the temples' hairline and fringe lowers the hairline above the forehead (units).
    """
    x, y, z = np.abs(position[..., 0]), position[..., 1], position[..., 2]
    line = np.interp(y + fringe, (2.0, 3.0, 6.0, 8.0, 10.5, 12.0), (1.5, 3.6, 4.4, 5.4, 7.0, 8.6))
    above = line - z - recede * np.exp(-(((x - 5.0) / 2.0) ** 2)) * 1.4
    nape = np.minimum(-1.8 - z + 0.1 * (y - 2.0), (y + 7.5) * 0.7)
    field = np.where(y > 2.4, above, nape)
    ear = (x > 7.45) & (y < 5.2) & (z > -3.6)
    return np.where(ear, -1.0, field).astype(np.float32)


def _position_map(model: FaceModel, part: str, size: int) -> FloatArray:
    """Neutral position of every texel; texels outside the layout take the nearest covered row value."""
    rows = model.in_parts(part)
    places = model.uv_triangles[rows]
    base = np.floor(model.uv[places.ravel()].min(axis=0))
    points = (model.uv - base) * np.float32(size)
    points[:, 1] = size - points[:, 1]
    every = np.ones(len(places), dtype=np.bool_)
    found = rasterise(points, np.zeros(len(points), np.float32), places, (size, size), every)
    out = np.zeros((size * size, 3), np.float32)
    out[found.pixel] = found.interpolate(model.neutral, model.triangles[rows])
    return _fill_gaps(out.reshape(size, size, 3), found.pixel)


def _fill_gaps(out: FloatArray, covered: NDArray[np.int64]) -> FloatArray:
    """Grow the covered area by a few texels so that edge samples never read empty texels."""
    size = out.shape[0]
    known = np.zeros(size * size, dtype=np.bool_)
    known[covered] = True
    known = known.reshape(size, size)
    for _ in range(4):
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            near, values = np.roll(known, step, axis), np.roll(out, step, axis)
            fresh = near & ~known
            out[fresh] = values[fresh]
            known |= fresh
    return out


def _blob(
    x: FloatArray, y: FloatArray, centre: tuple[float, float], radius: tuple[float, float]
) -> FloatArray:
    out: FloatArray = np.exp(-(((x - centre[0]) / radius[0]) ** 2) - ((y - centre[1]) / radius[1]) ** 2)
    return out.astype(np.float32)


def _lip_map(model: FaceModel) -> FloatArray:
    """Red of the lips: the closed outer contour (landmarks 48-59) drawn in texture space."""
    vertex_uv = np.zeros((len(model.neutral), 2), np.float32)
    rows = model.in_parts("face")
    vertex_uv[model.triangles[rows].ravel()] = model.uv[model.uv_triangles[rows].ravel()]
    contour = _closed_curve(vertex_uv[LANDMARKS68[48:60]], 8)
    scale = FACE_TILE * 2
    points = [(float(u) * scale, (1.0 - float(v)) * scale) for u, v in contour]
    canvas = Image.new("L", (scale, scale), 0)
    ImageDraw.Draw(canvas).polygon(points, fill=255)
    canvas = canvas.filter(ImageFilter.GaussianBlur(4)).resize((FACE_TILE, FACE_TILE), Image.Resampling.BOX)
    return np.asarray(canvas, dtype=np.float32) / 255.0


def _closed_curve(points: FloatArray, steps: int) -> FloatArray:
    """Catmull-Rom curve through a closed ring of points [N, 2]."""
    before, after, beyond = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    out = []
    for t in np.linspace(0.0, 1.0, steps, endpoint=False):
        out.append(
            0.5 * (2 * points + (after - before) * t + (2 * before - 5 * points + 4 * after - beyond) * t**2
                   + (3 * points - before - 3 * after + beyond) * t**3)
        )  # fmt: skip
    return np.stack(out, axis=1).reshape(-1, 2).astype(np.float32)


def _lid_map(x: FloatArray, y: FloatArray, marks: FloatArray) -> FloatArray:
    """A thin rim along the lid edges (the line where the lashes grow)."""
    upper = _polyline_distance(x, y, [(float(p[0]), float(p[1])) for p in marks[42:46]])
    lower = _polyline_distance(x, y, [(float(marks[k][0]), float(marks[k][1])) for k in (42, 47, 46, 45)])
    rim: FloatArray = np.maximum(np.exp(-((upper / 0.22) ** 2)), 0.55 * np.exp(-((lower / 0.16) ** 2)))
    return rim.astype(np.float32)


def _beard_map(x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """Chin, jaw and moustache area, 0-1 with soft edges."""
    top = np.interp(x, (0.0, 2.6, 3.2, 5.0, 7.0), (-1.25, -1.9, -3.3, -2.6, 1.6))
    below = np.clip((top - y) / 0.7, 0, 1)
    neck = np.clip((y + 10.0) / 2.0, 0, 1)
    bare = 1.0 - 0.7 * _blob(x, y, (1.6, -4.9), (0.7, 0.5))
    out: FloatArray = below * neck * bare * np.clip((z + 0.5) / 1.5, 0, 1) * (x < 7.4)
    return out.astype(np.float32)


def _wrinkle_maps(x: FloatArray, y: FloatArray, front: FloatArray) -> NDArray[np.int8]:
    """One signed map per AU of `WRINKLE_AUS`: a dark line with a faint bright bank on both sides."""
    out = np.zeros((*x.shape, len(WRINKLE_AUS)), np.int8)
    for column, name in enumerate(WRINKLE_AUS):
        wide = 1.5 if name in ("AU12", "AU10", "AU14") else 1.0
        total = np.zeros_like(x)
        for line in _FOLDS[name]:
            reach = _polyline_distance(x, y, list(line))
            dark = np.exp(-((reach / (0.13 * wide)) ** 2))
            total += 0.5 * np.exp(-((reach / (0.36 * wide)) ** 2)) - 1.5 * dark
        out[..., column] = np.round(np.clip(total * front, -1, 1) * 127).astype(np.int8)
    return out


def _polyline_distance(x: FloatArray, y: FloatArray, points: list[tuple[float, float]]) -> FloatArray:
    best = np.full(x.shape, 1e6, np.float32)
    for (ax, ay), (bx, by) in pairwise(points):
        dx, dy = bx - ax, by - ay
        share = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        np.minimum(best, np.hypot(x - ax - share * dx, y - ay - share * dy), out=best)
    return best
