"""What the pocket model's nets take, made from faces: grey crops, landmark vectors, AU prior rows. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.core.aus import Region, level_position
from mien.core.nouns import Evidence, FloatArray, Image
from mien.face.crop import reframed
from mien.face.geometry import GEOMETRY_NAMES, aligned_landmarks, geometry_features

__all__ = [
    "HIDDEN_REGIONS",
    "LANDMARK_FEATURES",
    "PRIOR_ROWS",
    "PRIOR_WIDTH",
    "SIDED",
    "TOLD_SIDES",
    "batch_inputs",
    "grey",
    "grey_inputs",
    "landmark_vector",
    "prior_rows",
]

HIDDEN_REGIONS: tuple[Region, ...] = ("mouth", "eyes", "brow")
"""In the order of the outputs of the net that tells hidden regions."""
LANDMARK_FEATURES = 478 * 3 + len(GEOMETRY_NAMES)
"""Length of `landmark_vector`."""
SIDED = ("AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12", "AU14", "AU15", "AU20", "AU43")
"""AUs of muscles in pairs, whose sides the net of units was taught."""
TOLD_SIDES = ("AU02", "AU07", "AU12", "AU43")
"""Those of which it learnt them: correlation with the instrument's difference at least .5 on validation faces."""
PRIOR_ROWS, _PER_ROW, _PER_UNIT = 4, 6, 7
PRIOR_WIDTH = _PER_ROW * _PER_UNIT
"""Width of one prior row: six AUs, each as its intensity and a one-hot FACS level."""


def landmark_vector(landmarks: FloatArray) -> FloatArray:
    """(478, 3) px -> (F,): the pose-free mesh, then the named measures."""
    return np.concatenate([aligned_landmarks(landmarks).ravel(), geometry_features(landmarks)]).astype(
        np.float32
    )


def grey(crop: Image) -> FloatArray:
    """(S, S, 3) uint8 -> (S, S) luma 0..1 (ITU-R 601, as Pillow's ``L``)."""
    weights = np.asarray([0.299, 0.587, 0.114], np.float32)
    return np.asarray(crop.astype(np.float32) @ weights / 255.0, np.float32)


def grey_inputs(batch: Sequence[Evidence], size: int) -> FloatArray:
    """(N, 1, S, S) the faces' crops in grey 0..1; zeros where a face has none."""
    crops = np.zeros((len(batch), 1, size, size), np.float32)
    for row, evidence in enumerate(batch):
        if evidence.crop is not None:
            crops[row, 0] = grey(evidence.crop)
    return crops


def batch_inputs(batch: Sequence[Evidence], size: int) -> dict[str, FloatArray]:
    """Inputs of the evidence graph for N faces, with zeros and a flag where a kind of evidence is missing.

    Details are looked at where landmarks say how to frame them.
    """
    count = len(batch)
    inputs = {
        "crop": grey_inputs(batch, size),
        "detail": np.zeros((count, 1, size, size), np.float32),
        "landmarks": np.zeros((count, LANDMARK_FEATURES), np.float32),
        "has_crop": np.zeros(count, np.float32),
        "has_landmarks": np.zeros(count, np.float32),
        "has_detail": np.zeros(count, np.float32),
    }
    for row, evidence in enumerate(batch):
        if evidence.crop is not None:
            inputs["has_crop"][row] = 1.0
        if evidence.face.landmarks is not None:
            inputs["landmarks"][row] = landmark_vector(evidence.face.landmarks)
            inputs["has_landmarks"][row] = 1.0
        if evidence.crop is not None and evidence.face.landmarks is not None:
            inputs["detail"][row, 0] = grey(reframed(evidence.crop, evidence.face))
            inputs["has_detail"][row] = 1.0
    return inputs


def prior_rows(intensity: FloatArray) -> FloatArray:
    """(N, 22) calibrated intensities -> (N, 4, 42): what was measured, as the language model sees it.

    The level stands one-hot beside the intensity, so that naming a degree needs no arithmetic of the decoder.
    """
    count, units = intensity.shape
    packed = np.zeros((count, PRIOR_ROWS * _PER_ROW, _PER_UNIT), np.float32)
    level = np.floor(level_position(intensity)).astype(np.int64)
    packed[:, :units, 0] = intensity
    packed[:, :units, 1:] = level[..., None] == np.arange(6)
    return packed.reshape(count, PRIOR_ROWS, PRIOR_WIDTH)
