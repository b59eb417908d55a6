"""Faces of a recipe: samples with their canonical crops and landmarks, and what a teacher measures on them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.backends.base import open_reader
from mien.core.aus import AU_SETS
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadData
from mien.core.nouns import AuReading, CropTransform, Evidence, Face, FloatArray, Image, Labels, Sample
from mien.data import open_dataset
from mien.dialogue.narrator import narrate
from mien.face.crop import canonical_crop, whole_image
from mien.train.crops import iter_pixels
from mien.train.landmark_cache import landmarks_of, landmarks_of_images
from mien.train.recipe import DataPart
from mien.train.renders import read_renders

__all__ = ["Faces", "gather", "taught"]

_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """N faces."""

    samples: tuple[Sample, ...]
    crops: npt.NDArray[np.uint8]
    """(N, S, S, 3) RGB."""
    landmarks: FloatArray
    """(N, 478, 3) in px of each picture; NaN where the mesh found no face."""
    transforms: npt.NDArray[np.float64]
    """(N, 2, 3) from picture to crop."""

    def __len__(self) -> int:
        return len(self.samples)

    def evidence(self, row: int, crop: Image | None = None) -> Evidence:
        """One face as a reader gets it; ``crop`` replaces its pixels."""
        points = self.landmarks[row]
        size = self.crops.shape[1]
        face = Face(
            box=np.asarray([0, 0, size, size], np.float32),
            score=1.0,
            landmarks=None if np.isnan(points[0, 0]) else points,
            crop=CropTransform(self.transforms[row], size),
        )
        return Evidence(face, self.crops[row] if crop is None else crop)

    def take(self, rows: Sequence[int]) -> Faces:
        """The given rows."""
        chosen = np.asarray(rows, np.int64)
        return Faces(
            tuple(self.samples[int(row)] for row in chosen),
            self.crops[chosen],
            self.landmarks[chosen],
            self.transforms[chosen],
        )


def gather(parts: Sequence[DataPart], size: int, cache: Path, need_landmarks: bool) -> Faces:
    """The faces of all parts, in order.

    Args:
        parts: what to read.
        size: side of the crops in px.
        cache: folder for landmarks, which take the longest; they are found once.
        need_landmarks: leave out faces without, as the system cannot read them.

    Raises:
        BadConfig: a part of no face at all.
        BadData: files of a dataset are missing or damaged.
    """
    found = [_gather_one(part, size, cache, need_landmarks) for part in parts]
    for part, faces in zip(parts, found, strict=True):
        if not len(faces):
            raise BadConfig(
                got=f"no usable face in {part.dataset}/{part.split}",
                expected="labelled faces" + (" with landmarks" if need_landmarks else ""),
                fix="Choose another split or another dataset",
            )
    if len(found) == 1:
        return found[0]
    return Faces(
        tuple(sample for faces in found for sample in faces.samples),
        np.concatenate([faces.crops for faces in found]),
        np.concatenate([faces.landmarks for faces in found]),
        np.concatenate([faces.transforms for faces in found]),
    )


def _gather_one(part: DataPart, size: int, cache: Path, need_landmarks: bool) -> Faces:
    if part.dataset == "renders":
        samples, pictures, landmarks = _renders(part, cache)
        framed = True
    else:
        samples = _samples(part)
        pictures = iter_pixels(samples)
        landmarks = landmarks_of(samples, cache)
        framed = False
    known = ~np.isnan(landmarks[:, 0, 0])
    rows = [row for row in range(len(samples)) if known[row] or not (need_landmarks or framed)]
    if framed:
        rows = [rows[place] for place in _spread(len(rows), part.limit)]
    wanted, crops, transforms = set(rows), [], []
    for row, picture in enumerate(pictures):
        if row not in wanted:
            continue
        crop, transform = _cropped(samples[row], picture, landmarks[row], size)
        crops.append(crop)
        transforms.append(transform)
    count = len(rows)
    return Faces(
        tuple(samples[row] for row in rows),
        np.stack(crops) if count else np.empty((0, size, size, 3), np.uint8),
        landmarks[rows],
        np.stack(transforms) if count else np.empty((0, 2, 3)),
    )


def _samples(part: DataPart) -> list[Sample]:
    dataset = open_dataset(part.dataset)
    samples = list(dataset.read(part.split, part.root, **part.options))
    usable = [sample for sample in samples if not part.labelled or _labelled(sample.labels)]
    return [usable[place] for place in _spread(len(usable), part.limit)]


def _labelled(labels: Labels) -> bool:
    known = (labels.emotion, labels.votes, labels.au_presence, labels.au_level, labels.au_intensity)
    return any(value is not None for value in known)


def _spread(count: int, limit: int | None) -> list[int]:
    if limit is None or limit >= count:
        return list(range(count))
    return [int(place) for place in np.linspace(0, count - 1, limit).round()]


def _renders(part: DataPart, cache: Path) -> tuple[list[Sample], Iterator[Image], FloatArray]:
    if part.root is None:
        raise BadData(
            got="no folder of rendered faces",
            expected="the shards of tools/render_faces.py",
            fix="Render some, and give their folder as the part's root",
        )
    renders = read_renders(part.root, part.split)
    units = AU_SETS["pocket"]
    samples = []
    for row in range(len(renders)):
        strength = {key: float(value) for key, value in zip(units, renders.aus[row], strict=True)}
        level = {key: int(5.0 * value + 0.5) for key, value in strength.items()}
        labels = Labels(
            au_intensity=strength,
            au_level=level,
            au_presence={key: value > 0 for key, value in level.items()},
        )
        name = f"render-{part.split}-{row:05d}"
        person = str(int(renders.identity[row]))
        samples.append(Sample(name, "renders", part.split, name, labels, subject=person))
    landmarks = landmarks_of_images(renders.images, len(renders), cache / f"landmarks-renders-{part.split}")
    return samples, iter(renders.images), landmarks


def _cropped(
    sample: Sample, picture: Image, landmarks: FloatArray, size: int
) -> tuple[Image, npt.NDArray[np.float64]]:
    """As the analyzer crops: a given face crop whole, a photo framed by its landmarks."""
    height, width = picture.shape[:2]
    face = Face(
        box=np.asarray([0, 0, width, height], np.float32),
        score=1.0,
        landmarks=None if np.isnan(landmarks[0, 0]) else landmarks,
        crop=whole_image(width, height, size) if sample.cropped else None,
    )
    crop, transform = canonical_crop(picture, face, size)
    return crop, transform.matrix


def taught(faces: Faces, teacher: str, seed: int) -> Faces:
    """The faces with AUs, and with a chain of thought where there is none, as a reader measures and tells them.

    The chain of thought names the face's own label where it has one: the narrator gets the raters' votes as the
    probabilities of the emotions.

    Raises:
        BadConfig: no such reader.
    """
    reader = open_reader(teacher, threads=1)
    samples: list[Sample] = []
    for start in range(0, len(faces), _BATCH):
        rows = range(start, min(start + _BATCH, len(faces)))
        results = reader.measure([faces.evidence(row) for row in rows])
        for row, result in zip(rows, results, strict=True):
            sample = faces.samples[row]
            readings = {key: one for key, one in result.aus.items() if one.measured}
            labels = sample.labels
            if labels.au_intensity is None and readings:
                labels = replace(
                    labels,
                    au_intensity={key: one.intensity for key, one in readings.items()},
                    au_level={key: one.level for key, one in readings.items()},
                    au_presence=labels.au_presence or {key: one.presence for key, one in readings.items()},
                )
            if labels.chain_of_thought is None and readings:
                text = _told(labels, result.emotions, readings, random.Random(seed * 1_000_003 + row))
                labels = replace(labels, chain_of_thought=text)
            samples.append(replace(sample, labels=labels))
    return replace(faces, samples=tuple(samples))


def _told(
    labels: Labels,
    believed: Mapping[str, float],
    readings: Mapping[str, AuReading],
    rng: random.Random,
) -> str:
    """The rules narrator's text; the label leads the probabilities it speaks of."""
    votes = {name: float((labels.votes or {}).get(name, 0.0)) for name in EMOTIONS}
    if labels.emotion is not None:
        votes[labels.emotion] = max(votes.values()) + 1.0
    total = sum(votes.values())
    shares = {name: value / total for name, value in votes.items()} if total else dict(believed)
    return narrate(readings, shares, rng).text
