"""Faces of a recipe: photos and clips with canonical crops and landmarks, and what a teacher measures on them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.annotate.face_cache import FaceCache, derive_faces
from mien.backends.base import open_reader
from mien.core.aus import AU_SETS, au_level
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadData
from mien.core.nouns import (
    LANDMARKS,
    AuReading,
    CropTransform,
    Evidence,
    Face,
    FloatArray,
    Image,
    Labels,
    Sample,
)
from mien.data import open_dataset
from mien.dialogue.say.narrator import narrate
from mien.face.clips import middle
from mien.face.crop import canonical_crop
from mien.face.media import is_clip
from mien.train.data.clips import ClipFaces, ClipFrames
from mien.train.data.landmark_cache import landmarks_of_images
from mien.train.data.renders import read_renders
from mien.train.recipe import DataPart

__all__ = ["Faces", "gather", "taught"]

_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """N samples in F frames: a photo is one frame, a clip one or more (where a system reads clips)."""

    samples: tuple[Sample, ...]
    crops: npt.NDArray[np.uint8]
    """(F, S, S, 3) RGB."""
    landmarks: FloatArray
    """(F, 478, 3) in px of each picture; NaN where the mesh found no face."""
    transforms: npt.NDArray[np.float64]
    """(F, 2, 3) from picture to crop."""
    ends: npt.NDArray[np.int64] | None = None
    """(N,) the frame behind the last one of each sample; None: one frame each."""
    attributes: tuple[Mapping[str, str], ...] | None = None
    """What an expert says of each sample's age, gender and race, where prompts tell it; see `with_attributes`."""

    def __len__(self) -> int:
        return len(self.samples)

    def frames(self, row: int) -> range:
        """The frames of a sample, in order of time."""
        if self.ends is None:
            return range(row, row + 1)
        return range(int(self.ends[row - 1]) if row else 0, int(self.ends[row]))

    def centre(self, row: int) -> int:
        """The middle frame of a sample: what stands for it where one picture is read."""
        frames = self.frames(row)
        return frames[middle(len(frames))]

    def evidence(self, frame: int) -> Evidence:
        """The face of one frame as a reader gets it."""
        points, matrix, size = self.landmarks[frame], self.transforms[frame], self.crops.shape[1]
        corners = np.asarray([[0, 0], [size, 0], [0, size], [size, size]]) - matrix[:, 2]
        there = corners @ np.linalg.inv(matrix[:, :2]).T
        face = Face(
            box=np.concatenate([there.min(axis=0), there.max(axis=0)]).astype(np.float32),
            score=1.0,
            landmarks=None if np.isnan(points[0, 0]) else points,
            crop=CropTransform(matrix, size),
        )
        return Evidence(face, self.crops[frame])

    def take(self, rows: Sequence[int]) -> Faces:
        """The given samples."""
        counts = [len(self.frames(int(row))) for row in rows]
        chosen = np.asarray([frame for row in rows for frame in self.frames(int(row))], np.int64)
        return Faces(
            tuple(self.samples[int(row)] for row in rows),
            self.crops[chosen],
            self.landmarks[chosen],
            self.transforms[chosen],
            None if self.ends is None else np.cumsum(counts),
            None if self.attributes is None else tuple(self.attributes[int(row)] for row in rows),
        )


def gather(
    parts: Sequence[DataPart], size: int, cache: Path, need_landmarks: bool, frames: int | None = None
) -> Faces:
    """The faces of all parts, in order.

    Args:
        parts: what to read.
        size: side of the crops in px.
        cache: folder for landmarks, which take the longest; they are found once.
        need_landmarks: leave out faces without, as the system cannot read them.
        frames: of a clip, the main face at about one frame per second, at most so many; None: its middle frame.

    Raises:
        BadConfig: a part of no face at all.
        BadData: files of a dataset are missing or damaged.
    """
    found = [_gather_one(part, size, cache, need_landmarks, frames) for part in parts]
    for part, faces in zip(parts, found, strict=True):
        if not len(faces):
            raise BadConfig(
                got=f"no usable face in {part.dataset}/{part.split}",
                expected="labelled faces" + (" with landmarks" if need_landmarks else ""),
                fix="Choose another split or another dataset",
            )
    return _joined(found)


def _joined(found: Sequence[Faces]) -> Faces:
    if len(found) == 1:
        return found[0]
    counts = [len(faces.frames(row)) for faces in found for row in range(len(faces))]
    return Faces(
        tuple(sample for faces in found for sample in faces.samples),
        np.concatenate([faces.crops for faces in found]),
        np.concatenate([faces.landmarks for faces in found]),
        np.concatenate([faces.transforms for faces in found]),
        None if all(faces.ends is None for faces in found) else np.cumsum(counts),
    )


def _gather_one(part: DataPart, size: int, cache: Path, need_landmarks: bool, frames: int | None) -> Faces:
    if part.dataset == "renders":
        samples, pictures, landmarks = _renders(part, cache)
        known = np.flatnonzero(~np.isnan(landmarks[:, 0, 0])).tolist()
        return _rendered(samples, pictures, landmarks, known, size)
    samples = _samples(part)
    moving = [frames is not None and is_clip(sample.media) for sample in samples]
    if any(moving) and frames is not None:
        reader = ClipFaces(cache / "clips", size, frames, part.rate)
        return _mixed(samples, moving, reader, size, cache, need_landmarks)
    return _stills(samples, size, cache, need_landmarks)


def _stills(samples: Sequence[Sample], size: int, cache: Path, need_landmarks: bool) -> Faces:
    """Photos and face crops, found once; pictures without a usable face are left out and named in the cache."""
    listed = "\n".join(f"{sample.id}\t{sample.media}" for sample in samples)
    folder = cache / "faces" / hashlib.sha256(f"{size}\n{listed}".encode()).hexdigest()[:16]
    derive_faces(samples, folder, crop_size=size)
    kept: list[Sample] = []
    crops, landmarks, transforms = [], [], []
    for sample, found in zip(samples, FaceCache(folder), strict=True):
        if found.face is None or (need_landmarks and found.face.landmarks is None):
            continue
        assert found.crop is not None and found.transform is not None
        points = found.face.landmarks
        kept.append(sample)
        crops.append(found.crop)
        landmarks.append(np.full((LANDMARKS, 3), np.nan, np.float32) if points is None else points)
        transforms.append(found.transform.matrix)
    return Faces(
        tuple(kept),
        np.stack(crops) if kept else np.empty((0, size, size, 3), np.uint8),
        np.stack(landmarks) if kept else np.empty((0, LANDMARKS, 3), np.float32),
        np.stack(transforms) if kept else np.empty((0, 2, 3)),
    )


def _rendered(
    samples: Sequence[Sample],
    pictures: Iterable[Image],
    landmarks: FloatArray,
    rows: Sequence[int],
    size: int,
) -> Faces:
    """The renders of ``rows``, framed by their landmarks as photos are."""
    wanted, crops, transforms = set(rows), [], []
    for row, picture in enumerate(pictures):
        if row not in wanted:
            continue
        box = np.asarray([0, 0, picture.shape[1], picture.shape[0]], np.float32)
        crop, transform = canonical_crop(picture, Face(box, 1.0, landmarks[row]), size)
        crops.append(crop)
        transforms.append(transform.matrix)
    return Faces(
        tuple(samples[row] for row in rows),
        np.stack(crops) if rows else np.empty((0, size, size, 3), np.uint8),
        landmarks[rows],
        np.stack(transforms) if rows else np.empty((0, 2, 3)),
    )


def _mixed(
    samples: Sequence[Sample],
    moving: Sequence[bool],
    reader: ClipFaces,
    size: int,
    cache: Path,
    need_landmarks: bool,
) -> Faces:
    """Clips with all their frames, and photos among them, in the order of the samples."""
    still = _stills(
        [sample for sample, moves in zip(samples, moving, strict=True) if not moves],
        size,
        cache,
        need_landmarks,
    )
    clips: list[ClipFrames] = []
    shown: list[Sample] = []
    for sample, moves in zip(samples, moving, strict=True):
        if moves:
            frames = reader.read(sample)
            frames = frames.with_landmarks() if need_landmarks else frames
            if len(frames.crops):
                clips.append(frames)
                shown.append(sample)
    if not clips:
        return still
    joined = _joined(
        [
            still,
            Faces(
                tuple(shown),
                np.concatenate([one.crops for one in clips]),
                np.concatenate([one.landmarks for one in clips]),
                np.concatenate([one.transforms for one in clips]),
                np.cumsum([len(one.crops) for one in clips]),
            ),
        ]
    )
    place = {id(sample): number for number, sample in enumerate(samples)}
    return joined.take(sorted(range(len(joined)), key=lambda row: place[id(joined.samples[row])]))


def _samples(part: DataPart) -> list[Sample]:
    dataset = open_dataset(part.dataset)
    samples = list(dataset.read(part.split, part.root, **part.options))
    usable = [sample for sample in samples if not part.labelled or _labelled(sample.labels)]
    return [usable[place] for place in _spread(len(usable), part.limit)]


def _labelled(labels: Labels) -> bool:
    known = (
        labels.emotion, labels.votes, labels.au_presence, labels.au_level, labels.au_intensity, labels.description,
    )  # fmt: skip
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
            fix="Render some, and pass --renders FOLDER",
        )
    renders = read_renders(part.root, part.split, lambda count: _spread(count, part.limit))
    units = AU_SETS["pocket"]
    samples = []
    for row, number in enumerate(renders.rows):
        strength = {key: float(value) for key, value in zip(units, renders.aus[row], strict=True)}
        level = {key: au_level(value) for key, value in strength.items()}
        labels = Labels(
            au_intensity=strength,
            au_level=level,
            au_presence={key: value > 0 for key, value in level.items()},
        )
        name = f"render-{part.split}-{number:05d}"
        person = str(int(renders.identity[row]))
        samples.append(Sample(name, "renders", part.split, name, labels, subject=person))
    landmarks = landmarks_of_images(renders.images, len(renders), cache / f"landmarks-renders-{part.split}")
    return samples, iter(renders.images), landmarks


def taught(faces: Faces, teacher: str, seed: int) -> Faces:
    """The faces with AUs, and with a chain of thought where there is none, as a reader measures and tells them.

    Of a clip the middle frame is measured. The chain of thought names the face's own label where it has one: the
    narrator gets the raters' votes as the probabilities of the emotions.

    Raises:
        BadConfig: no such reader.
    """
    reader = open_reader(teacher, threads=1)
    samples: list[Sample] = []
    for start in range(0, len(faces), _BATCH):
        rows = range(start, min(start + _BATCH, len(faces)))
        results = reader.measure([faces.evidence(faces.centre(row)) for row in rows])
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
