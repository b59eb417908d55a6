"""Faces as another camera or detector could have given them: pixels and points change together, truths hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from mien.core.nouns import CropTransform, Evidence, Face, Turn
from mien.face.pose import mean_face
from mien.train.data.augment import draw_warps, move_points, retouch, warp_crops
from mien.train.data.faces import Faces

__all__ = ["augmented", "tells_sides"]

_SIDES = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)


def tells_sides(turns: Sequence[Turn]) -> bool:
    """Whether a dialogue speaks of left or right (FEAFA's values, descriptions): a mirror would make it wrong."""
    return any(_SIDES.search(turn.text) for turn in turns)


def augmented(faces: Faces, shown: Sequence[Sequence[int]], mirror: Sequence[bool]) -> list[Evidence]:
    """Frames, in order, turned, mirrored, lit and blurred at random; colours and what is on each side stay.

    Landmarks move along, so that whatever is computed of them fits the new pixels. They are in px of the new crop; a
    mirrored face has its points renumbered. Random numbers come from torch's global generator.

    Args:
        faces: where the frames are.
        shown: the frames of each item; those of one item are turned and mirrored alike.
        mirror: of each item, whether it may be mirrored.
    """
    frames = [frame for one in shown for frame in one]
    counts = torch.tensor([len(one) for one in shown])
    theta = draw_warps(len(shown), mirror=torch.tensor(mirror)).repeat_interleave(counts, dim=0)
    crops = torch.from_numpy(faces.crops[frames]).permute(0, 3, 1, 2) / 255.0
    changed = retouch(warp_crops(crops, theta)).clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)
    pixels = changed.permute(0, 2, 3, 1).contiguous().numpy()
    size = faces.crops.shape[1]
    mesh = torch.from_numpy(np.stack([_in_crop(faces, frame) for frame in frames]))
    moved = move_points(mesh, theta.double(), torch.from_numpy(mean_face().mirror))
    points = ((moved + torch.tensor([1.0, 1.0, 0.0])) * (size / 2)).float().numpy()
    transform = CropTransform(np.eye(2, 3), size)
    made = []
    for crop, found in zip(pixels, points, strict=True):
        known = None if np.isnan(found[0, 0]) else found
        box = np.asarray([0, 0, size, size], np.float32)
        made.append(Evidence(Face(box=box, score=1.0, landmarks=known, crop=transform), crop))
    return made


def _in_crop(faces: Faces, frame: int) -> npt.NDArray[np.float64]:
    """(478, 3) the mesh with x and y in -1..1 of the crop, z in the same unit."""
    matrix, unit = faces.transforms[frame], faces.crops.shape[1] / 2
    mesh = faces.landmarks[frame].astype(np.float64)
    grown = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    flat = CropTransform(matrix, faces.crops.shape[1]).place(mesh[:, :2]) / unit - 1.0
    return np.concatenate([flat, mesh[:, 2:] * grown / unit], axis=1)
