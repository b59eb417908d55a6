"""The training tables of the evidence encoders: real faces with their marks, rendered faces with AU truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures

from mien.core.aus import AU_SETS
from mien.core.emotions import EMOTIONS
from mien.core.nouns import Face, FloatArray, Image, Sample
from mien.data import ferplus, genki4k, lfw_emotion, london
from mien.face.crop import canonical_crop
from mien.face.topology import DLIB68
from mien.models.pocket.detail import POINTS
from mien.models.pocket.inputs import LANDMARK_FEATURES, landmark_vector
from mien.train.data.crops import grey_crops, iter_pixels
from mien.train.data.landmark_cache import landmarks_of, landmarks_of_images
from mien.train.data.renders import Renders
from mien.train.pocket.evidence_task import EvidenceArrays

__all__ = [
    "appearance_rows",
    "crop_points",
    "framed_table",
    "join",
    "real_samples",
    "real_table",
    "render_table",
    "take",
    "with_landmarks",
]

UNITS = AU_SETS["pocket"]
MESH_POINTS = np.asarray(DLIB68)
"""Which of the mesh's points stand for iBUG's 68; near enough to anchor a net on real faces, no truth."""
LFW_WEIGHT = 0.5
"""LFW's labels are mostly machine-made, 80-85 % convincing by eye."""
RESTING = tuple(
    UNITS.index(key) for key in UNITS if key not in ("AU12", "AU25", "AU06", "AU07", "AU24", "AU26")
)
"""AUs taken as absent on faces that nearly all raters called neutral; the others may well be seen at rest."""


def real_samples(split: str, root: Path | None = None) -> list[Sample]:
    """All real faces of ``train`` or ``val`` that carry a usable target, in a fixed order."""
    readers = (ferplus.read, lfw_emotion.read, genki4k.read, london.read)
    samples = [sample for read in readers for sample in read(split, root)]
    return [s for s in samples if s.dataset != "ferplus" or s.labels.votes is not None]


def real_table(samples: Sequence[Sample], size: int, cache: Path) -> EvidenceArrays:
    """Whole pictures as crops, and their targets; no landmarks yet (see `with_landmarks`)."""
    count = len(samples)
    emotion = np.zeros((count, len(EMOTIONS)), np.float32)
    weight = np.zeros(count, np.float32)
    presence = np.full((count, len(UNITS)), np.nan, np.float32)
    for row, sample in enumerate(samples):
        emotion[row], weight[row] = _emotion_target(sample)
        if weight[row] > 0 and emotion[row, 0] >= 0.9 and sample.dataset in ("ferplus", "london"):
            presence[row, RESTING] = 0.0
        for key, present in _presence_target(sample).items():
            presence[row, UNITS.index(key)] = present
    return EvidenceArrays(
        crops=grey_crops(samples, size, cache),
        has_crop=np.ones(count, np.float32),
        landmarks=np.zeros((count, LANDMARK_FEATURES), np.float32),
        has_landmarks=np.zeros(count, np.float32),
        emotion=emotion,
        emotion_weight=weight,
        intensity=np.full((count, len(UNITS)), np.nan, np.float32),
        presence=presence,
        points=np.full((count, POINTS, 2), np.nan, np.float32),
        framed=np.zeros(count, np.float32),
    )


def with_landmarks(table: EvidenceArrays, landmarks: FloatArray) -> EvidenceArrays:
    """`table` with landmark vectors of the rows where (N, 478, 3) `landmarks` are not NaN."""
    found = ~np.isnan(landmarks[:, 0, 0])
    vectors = np.zeros((len(table), LANDMARK_FEATURES), np.float32)
    for row in np.flatnonzero(found):
        vectors[row] = landmark_vector(landmarks[row])
    return replace(table, landmarks=vectors, has_landmarks=found.astype(np.float32))


def crop_points(samples: Sequence[Sample], landmarks: FloatArray, size: int) -> FloatArray:
    """(N, 68, 2) points of iBUG's in px of whole pictures as crops of `size` px; NaN rows where there is no mesh."""
    sides = np.asarray([picture.shape[1::-1] for picture in iter_pixels(samples)], np.float32)
    return np.asarray(landmarks[:, MESH_POINTS, :2] * (size / sides)[:, None], np.float32)


def framed_table(samples: Sequence[Sample], size: int, cache: Path, table: EvidenceArrays) -> EvidenceArrays:
    """The rows of `table` whose mesh was found, cropped as the analyzer crops photos: by their landmarks."""
    landmarks = landmarks_of(samples, cache)
    found = np.flatnonzero(table.has_landmarks > 0)
    crops = np.empty((len(found), size, size), np.uint8)
    points = np.empty((len(found), POINTS, 2), np.float32)
    pictures = iter_pixels([samples[int(row)] for row in found])
    for place, (row, picture) in enumerate(zip(found, pictures, strict=True)):
        crops[place], points[place] = _framed(picture, landmarks[row], landmarks[row, MESH_POINTS, :2], size)
    framed = np.ones(len(found), np.float32)
    return replace(take(table, found), crops=crops, points=points, framed=framed)


def render_table(renders: Renders, size: int, cache: Path, name: str) -> EvidenceArrays:
    """Rendered faces whose mesh was found: framed crop, landmarks, AU intensities; no emotion target."""
    landmarks = landmarks_of_images(renders.images, len(renders), cache / f"landmarks-renders-{name}")
    found = np.flatnonzero(~np.isnan(landmarks[:, 0, 0]))
    count = len(found)
    framed = [
        _framed(renders.images[row], landmarks[row], renders.points[row], size) for row in found.tolist()
    ]
    table = EvidenceArrays(
        crops=np.stack([crop for crop, _ in framed]),
        has_crop=np.ones(count, np.float32),
        landmarks=np.zeros((count, LANDMARK_FEATURES), np.float32),
        has_landmarks=np.zeros(count, np.float32),
        emotion=np.zeros((count, len(EMOTIONS)), np.float32),
        emotion_weight=np.zeros(count, np.float32),
        intensity=renders.aus[found],
        presence=np.full((count, len(UNITS)), np.nan, np.float32),
        points=np.stack([points for _, points in framed]),
        framed=np.ones(count, np.float32),
    )
    return with_landmarks(table, landmarks[found])


def _framed(
    picture: Image, landmarks: FloatArray, points: FloatArray, size: int
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """The grey crop, and (68, 2) `points` in px of the picture as -1..1 of the crop."""
    height, width = picture.shape[:2]
    face = Face(box=np.asarray([0, 0, width, height], np.float32), score=1.0, landmarks=landmarks)
    crop, transform = canonical_crop(picture, face, size)
    grey = np.asarray(Pictures.fromarray(crop).convert("L"))
    return grey, (transform.place(points) / (size / 2.0) - 1.0).astype(np.float32)


def _emotion_target(sample: Sample) -> tuple[FloatArray, float]:
    target = np.zeros(len(EMOTIONS), np.float32)
    if sample.labels.votes is not None:
        for name, count in sample.labels.votes.items():
            target[EMOTIONS.index(name)] = count
        return target / target.sum(), 1.0
    if sample.labels.emotion is None:
        return target, 0.0
    target[EMOTIONS.index(sample.labels.emotion)] = 1.0
    return target, LFW_WEIGHT if sample.dataset == "lfw_emotion" else 0.7


def _presence_target(sample: Sample) -> dict[str, bool]:
    if sample.labels.smile is not None:
        return {"AU12": sample.labels.smile}
    return dict(sample.labels.au_presence or {})


def appearance_rows(samples: Sequence[Sample]) -> npt.NDArray[np.int64]:
    """Row numbers of one epoch: rare emotions of FER+ twice, the few London portraits four times."""
    rows: list[int] = []
    for row, sample in enumerate(samples):
        rare = sample.dataset == "ferplus" and sample.labels.emotion in ("fear", "disgust", "contempt")
        rows += [row] * (2 if rare else 4 if sample.dataset == "london" else 1)
    return np.asarray(rows, np.int64)


def take(table: EvidenceArrays, rows: npt.NDArray[np.int64]) -> EvidenceArrays:
    """The given rows of `table`."""
    return EvidenceArrays(*(column[rows] for column in _columns(table)))


def join(parts: Sequence[EvidenceArrays]) -> EvidenceArrays:
    """One table of several, rows in order."""
    return EvidenceArrays(*(np.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True)))


def _columns(table: EvidenceArrays) -> Iterable[Any]:
    return [getattr(table, name) for name in EvidenceArrays.__dataclass_fields__]
