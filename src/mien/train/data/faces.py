"""Faces of a recipe: photos and clips with canonical crops and landmarks, and what a teacher measures on them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.backends.base import open_reader
from mien.core.aus import AU_SETS, au_level
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadData
from mien.core.nouns import (
    AuReading,
    CropTransform,
    Evidence,
    Face,
    FaceResult,
    FloatArray,
    Image,
    Labels,
    Sample,
)
from mien.data import open_dataset
from mien.dialogue.say.narrator import narrate
from mien.face.crop import canonical_crop
from mien.face.decode.clips import middle
from mien.face.decode.media import is_clip
from mien.train.data.clips import ClipFaces, ClipFrames
from mien.train.data.landmark_cache import landmark_rows
from mien.train.data.renders import read_renders
from mien.train.processes import count, first_alone, in_shares, meet, rank
from mien.train.recipe import DataPart
from mien.work.faces import FaceCache, derive_faces, front_end_version
from mien.work.rows import Rows, npy_rows, write_npy

__all__ = ["Faces", "gather", "joined", "taught"]

_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """N samples in F frames: a photo is one frame, a clip one or more (where a system reads clips)."""

    samples: tuple[Sample, ...]
    crops: npt.NDArray[np.uint8] | Rows
    """(F, S, S, 3) RGB; left on the disk as `Rows`."""
    landmarks: FloatArray | Rows
    """(F, 478, 3) in px of each picture; NaN where the mesh found no face; likewise."""
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
            _taken(self.crops, chosen),
            _taken(self.landmarks, chosen),
            self.transforms[chosen],
            None if self.ends is None else np.cumsum(counts),
            None if self.attributes is None else tuple(self.attributes[int(row)] for row in rows),
        )


def _taken(array: npt.NDArray[Any] | Rows, chosen: npt.NDArray[np.int64]) -> Any:
    return array.take(chosen) if isinstance(array, Rows) else array[chosen]


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
    return joined(found)


def joined(found: Sequence[Faces]) -> Faces:
    """Faces one after the other."""
    if len(found) == 1:
        return found[0]
    counts = [len(faces.frames(row)) for faces in found for row in range(len(faces))]
    return Faces(
        tuple(sample for faces in found for sample in faces.samples),
        Rows.joined([faces.crops for faces in found if isinstance(faces.crops, Rows)]),
        Rows.joined([faces.landmarks for faces in found if isinstance(faces.landmarks, Rows)]),
        np.concatenate([faces.transforms for faces in found]),
        None if all(faces.ends is None for faces in found) else np.cumsum(counts),
    )


def _gather_one(part: DataPart, size: int, cache: Path, need_landmarks: bool, frames: int | None) -> Faces:
    if part.dataset == "renders":
        return _renders(part, size, cache)
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
    derive_faces(samples, folder, crop_size=size, share=(rank(), count()), meet=meet)
    kept = FaceCache(folder)
    rows = [row for row, (face, mesh) in enumerate(kept.found()) if face and (mesh or not need_landmarks)]
    return Faces(
        tuple(samples[row] for row in rows),
        kept.rows("crops", rows),
        kept.rows("landmarks", rows),
        np.asarray(kept.rows("matrices", rows)),
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
    for sample in [one for one, moves in zip(samples, moving, strict=True) if moves][rank() :: count()]:
        reader.read(sample)
    meet()
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
    moved = Faces(
        tuple(shown),
        Rows.joined([one.crops for one in clips]),
        Rows.joined([one.landmarks for one in clips]),
        np.concatenate([one.transforms for one in clips]),
        np.cumsum([len(one.crops) for one in clips]),
    )
    whole = joined([still, moved])
    place = {id(sample): number for number, sample in enumerate(samples)}
    return whole.take(sorted(range(len(whole)), key=lambda row: place[id(whole.samples[row])]))


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


def _renders(part: DataPart, size: int, cache: Path) -> Faces:
    """Rendered faces whose mesh was found, framed by their landmarks as photos are; the crops are kept on disk."""
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
    with first_alone():
        landmarks = landmark_rows(renders.images, len(renders), cache / f"landmarks-renders-{part.split}")
        known = [row for row in range(len(landmarks)) if not np.isnan(landmarks[row, 0, 0])]
        crops, transforms = _framed(renders.images, landmarks, known, size, cache)
    return Faces(tuple(samples[row] for row in known), crops, landmarks.take(known), transforms)


def _framed(
    pictures: Iterable[Image], landmarks: Rows, known: Sequence[int], size: int, cache: Path
) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Crops of the ``known`` pictures and (N, 2, 3) from picture to crop; made once, named by the landmarks."""
    digest = hashlib.sha256(f"{size} {front_end_version()}".encode())
    for row in known:
        digest.update(landmarks[row].tobytes())
    path = cache / "renders" / f"{digest.hexdigest()[:16]}-crops.npy"
    placed = path.with_name(path.name.replace("crops", "transforms"))
    if not placed.is_file() and known:
        path.parent.mkdir(parents=True, exist_ok=True)
        transforms = np.empty((len(known), 2, 3))

        def crops() -> Iterator[Image]:
            wanted = dict(zip(known, range(len(known)), strict=True))
            for row, picture in enumerate(pictures):
                if row in wanted:
                    box = np.asarray([0, 0, picture.shape[1], picture.shape[0]], np.float32)
                    crop, transform = canonical_crop(picture, Face(box, 1.0, landmarks[row]), size)
                    transforms[wanted[row]] = transform.matrix
                    yield crop

        write_npy(path, crops(), (len(known), size, size, 3), np.uint8)
        write_npy(placed, transforms, transforms.shape, np.float64)
    if not known:
        return Rows([], (size, size, 3)), np.empty((0, 2, 3))
    return Rows([npy_rows(path)]), np.load(placed, allow_pickle=False)


def taught(faces: Faces, teacher: str, seed: int) -> Faces:
    """The faces with AUs, and with a chain of thought where there is none, as a reader measures and tells them.

    Of a clip the middle frame is measured. The chain of thought names the face's own label where it has one: the
    narrator gets the raters' votes as the probabilities of the emotions.
    """
    reader = open_reader(teacher, threads=1)

    def told(rows: Sequence[int]) -> list[tuple[dict[str, Any], str | None]]:
        results = reader.measure([faces.evidence(faces.centre(row)) for row in rows])
        return [
            _taught(faces.samples[row].labels, result, seed * 1_000_003 + row)
            for row, result in zip(rows, results, strict=True)
        ]

    known = in_shares(range(len(faces)), _BATCH, told)
    samples = []
    for sample, (units, text) in zip(faces.samples, known, strict=True):
        labels = sample.labels
        if units:
            given = labels.au_presence or units["au_presence"]
            labels = replace(labels, **{**units, "au_presence": given})
        samples.append(
            replace(sample, labels=labels if text is None else replace(labels, chain_of_thought=text))
        )
    return replace(faces, samples=tuple(samples))


def _taught(labels: Labels, result: FaceResult, seed: int) -> tuple[dict[str, Any], str | None]:
    """AUs by scale, where the labels have no intensities, and a chain of thought where they have none."""
    readings = {key: one for key, one in result.aus.items() if one.measured}
    units: dict[str, Any] = {}
    if labels.au_intensity is None and readings:
        for scale in ("intensity", "level", "presence"):
            units[f"au_{scale}"] = {key: getattr(one, scale) for key, one in readings.items()}
    if labels.chain_of_thought is not None or not readings:
        return units, None
    return units, _told(labels, result.emotions, readings, random.Random(seed))


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
