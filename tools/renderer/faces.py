"""The ICT parametric face and its Action Unit (AU) truth.

Source of the shapes: ICT-FaceKit (MIT License, Copyright (c) 2020 USC Institute for Creative
Technologies).  The AU names follow the FACS table of its README with one change: AU10 is
mouthUpperUp, because that shape is the one that lifts the upper lip.

Truth is stated on the 0-1 scale (a FACS level is `round(5 * value)`):

* Two-sided AUs: the larger of the two sides, as FACS scores a unilateral action by its own strength.
* AU25: how far the lips stand apart on the deformed geometry, see `lip_parting`.
* AU26: jawOpen from 0.1 (the slack of parted lips) to 0.6, stretched to 0-1.  AU27: jawOpen above 0.6,
  stretched to 0-1; AU26 stays at 1 there.
* AU28: the smaller of the two lip rolls may be missing, so the mean of both counts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AU_NAMES",
    "AU_SHAPES",
    "JAW_BREAK",
    "JAW_SLACK",
    "LANDMARKS68",
    "FaceModel",
    "Part",
    "au_truth",
    "data_folder",
    "lip_parting",
]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

AU_NAMES = (
    "AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12", "AU14", "AU15",
    "AU16", "AU17", "AU18", "AU20", "AU22", "AU24", "AU25", "AU26", "AU27", "AU28", "AU43",
)  # fmt: skip

# AUs that one shape (or one left/right pair) drives.
AU_SHAPES = {
    "AU01": "browInnerUp", "AU02": "browOuterUp", "AU04": "browDown", "AU05": "eyeWide",
    "AU06": "cheekSquint", "AU07": "eyeSquint", "AU09": "noseSneer", "AU10": "mouthUpperUp",
    "AU12": "mouthSmile", "AU14": "mouthDimple", "AU15": "mouthFrown", "AU16": "mouthLowerDown",
    "AU17": "mouthShrugLower", "AU18": "mouthPucker", "AU20": "mouthStretch", "AU22": "mouthFunnel",
    "AU24": "mouthPress", "AU43": "eyeBlink",
}  # fmt: skip

# jawOpen up to JAW_SLACK goes with parted lips (AU25) only, up to JAW_BREAK it is AU26, above it AU27.
JAW_SLACK = 0.1
JAW_BREAK = 0.6

# Multi-PIE order, vertex numbers from the ICT-FaceKit README (0-based).
LANDMARKS68 = np.array([
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147,
    4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695,
    2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517,
    5966,
], dtype=np.int64)  # fmt: skip

_INNER_LIPS = ((61, 67), (62, 66), (63, 65))

# A lip gap of this share of the face height (nasion to chin) is AU25 at full strength.
_FULL_GAP = 0.16


@dataclass(frozen=True)
class Part:
    """A named run of the mesh: vertices and polygons [start, stop)."""

    name: str
    vertices: tuple[int, int]
    polygons: tuple[int, int]


_PARTS = (
    Part("face", (0, 9409), (0, 9230)),
    Part("head", (9409, 11248), (9230, 11144)),
    Part("socket", (11248, 13294), (11144, 13226)),
    Part("orbit", (13294, 14062), (13226, 14034)),
    Part("gums", (14062, 17039), (14034, 17006)),
    Part("teeth", (17039, 21451), (17006, 21496)),
    Part("eyes", (21451, 24591), (21496, 24692)),
    Part("lashes", (25351, 26719), (25304, 26384)),
)


def data_folder(given: str | None = None) -> Path:
    """The data folder: `given`, else MIEN_DATA, else ../shared/data beside the repository."""
    chosen = given or os.environ.get("MIEN_DATA")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[3] / "shared" / "data"


class FaceModel:
    """Neutral mesh, identity modes and expression shapes of the ICT face.

    neutral: float32 [V, 3], +y up and +z forward, one unit is about 0.9 cm; triangles and
    uv_triangles: int32 [T, 3]; uv: float32 [U, 2]; part_of: int8 [T], index into `parts`.
    """

    def __init__(self, folder: Path) -> None:
        """Load `ict_facekit/ict_light.npz` below `folder`; raises FileNotFoundError when it is absent."""
        with np.load(folder / "ict_facekit" / "ict_light.npz", allow_pickle=False) as file:
            self.neutral: FloatArray = file["neutral"].astype(np.float32)
            count = len(self.neutral) * 3
            self._expression: FloatArray = file["expr"].astype(np.float32).reshape(-1, count)
            self._identity: FloatArray = file["ident"].astype(np.float32).reshape(-1, count)
            self.shape_names = [str(name) for name in file["expr_names"]]
            polygons, uv_polygons = file["faces"], file["face_uv"]
            self.uv: FloatArray = file["uv"].astype(np.float32)
        self.parts = _PARTS
        self.shape_index = {name: row for row, name in enumerate(self.shape_names)}
        tables = [_triangulate(polygons, uv_polygons, part) for part in _PARTS]
        self.triangles: IntArray = np.concatenate([table[0] for table in tables])
        self.uv_triangles: IntArray = np.concatenate([table[1] for table in tables])
        self.part_of = np.concatenate([np.full(len(t[0]), row, np.int8) for row, t in enumerate(tables)])
        self._drop_back_of_eyes()

    @property
    def identity_modes(self) -> int:
        """Number of identity weights."""
        return len(self._identity)

    def part(self, name: str) -> Part:
        """Look a part up by its name."""
        return next(part for part in self.parts if part.name == name)

    def in_parts(self, *names: str) -> NDArray[np.bool_]:
        """Mask of the triangles that belong to the named parts, bool [T]."""
        wanted = [row for row, part in enumerate(self.parts) if part.name in names]
        return np.isin(self.part_of, wanted)

    def identity_mesh(self, weights: FloatArray) -> FloatArray:
        """Neutral mesh of one person, float32 [V, 3]; weights: [identity_modes], about N(0, 1)."""
        return self.neutral + (weights.astype(np.float32) @ self._identity).reshape(-1, 3)

    def express(
        self, mesh: FloatArray, shapes: FloatArray, gaze: tuple[float, float] = (0.0, 0.0)
    ) -> FloatArray:
        """Add expression shapes [53] to an identity mesh and turn the eyeballs.

        gaze: degrees (to the subject's left, up).  The look shapes move only the lids, so the
        eyeballs are turned here.
        """
        used = np.nonzero(shapes)[0]
        out = mesh.copy()
        if len(used):
            out += (shapes[used].astype(np.float32) @ self._expression[used]).reshape(-1, 3)
        start, stop = self.part("eyes").vertices
        if any(gaze):
            side = self.neutral[start:stop, 0] > 0
            turn = _gaze_rotation(*gaze)
            for eye in (side, ~side):
                rows = np.nonzero(eye)[0] + start
                centre = (out[rows].min(axis=0) + out[rows].max(axis=0)) / 2
                centre[2] = out[rows, 2].min() + 1.6
                out[rows] = (out[rows] - centre) @ turn.T + centre
        return out

    def _drop_back_of_eyes(self) -> None:
        """The rear half of the eyeballs is never seen."""
        depth = self.neutral[self.triangles, 2].min(axis=1)
        keep = ~(self.in_parts("eyes") & (depth < 7.8))
        self.triangles, self.uv_triangles = self.triangles[keep], self.uv_triangles[keep]
        self.part_of = self.part_of[keep]


def _triangulate(polygons: IntArray, uv_polygons: IntArray, part: Part) -> tuple[IntArray, IntArray]:
    rows = slice(*part.polygons)
    corner, uv_corner = polygons[rows], uv_polygons[rows]
    quad = corner[:, 3] >= 0
    order = ((0, 1, 2), (0, 2, 3))
    points = [corner[:, order[0]], corner[quad][:, order[1]]]
    places = [uv_corner[:, order[0]], uv_corner[quad][:, order[1]]]
    return np.concatenate(points).astype(np.int32), np.concatenate(places).astype(np.int32)


def _gaze_rotation(left: float, up: float) -> FloatArray:
    yaw, pitch = np.radians(left), np.radians(-up)
    turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.asarray(turn_y @ turn_x, dtype=np.float32)


def lip_parting(expressed: FloatArray, neutral: FloatArray) -> float:
    """AU25 on the 0-1 scale, measured on two meshes [V, 3] of one person.

    The widest of the three inner-lip gaps (landmarks 61-67, 62-66, 63-65), less the gap of the
    neutral mesh, over 16 % of the neutral face height (landmarks 27 to 8), clipped to 0-1.
    """
    face_height = float(np.linalg.norm(neutral[LANDMARKS68[27]] - neutral[LANDMARKS68[8]]))
    gap = max(_gap(expressed, pair) for pair in _INNER_LIPS)
    rest = max(_gap(neutral, pair) for pair in _INNER_LIPS)
    return float(np.clip((gap - rest) / (_FULL_GAP * face_height), 0.0, 1.0))


def _gap(mesh: FloatArray, pair: tuple[int, int]) -> float:
    upper, lower = mesh[LANDMARKS68[pair[0]]], mesh[LANDMARKS68[pair[1]]]
    return float(upper[1] - lower[1])


def au_truth(model: FaceModel, shapes: FloatArray, expressed: FloatArray, neutral: FloatArray) -> FloatArray:
    """AU intensities float32 [22] in `AU_NAMES` order, 0-1, for shapes [53] and the meshes they made."""

    def weight(name: str) -> float:
        keys = (name, f"{name}_L", f"{name}_R")
        return float(max(shapes[model.shape_index[key]] for key in keys if key in model.shape_index))

    jaw = weight("jawOpen")
    values = {name: weight(shape) for name, shape in AU_SHAPES.items()}
    values["AU25"] = lip_parting(expressed, neutral)
    values["AU26"] = min(max(jaw - JAW_SLACK, 0.0) / (JAW_BREAK - JAW_SLACK), 1.0)
    values["AU27"] = max(jaw - JAW_BREAK, 0.0) / (1.0 - JAW_BREAK)
    values["AU28"] = (weight("mouthRollLower") + weight("mouthRollUpper")) / 2
    return np.array([np.clip(values[name], 0.0, 1.0) for name in AU_NAMES], dtype=np.float32)
