"""Landmarks of face crops by our own front-end: batched, in shards named by their pixels, resumable after a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from mien.core.nouns import LANDMARKS, FloatArray, Image, Sample
from mien.core.paths import written_whole
from mien.face.finder import FaceFinder
from mien.train.data.crops import iter_pixels
from mien.work.faces import front_end_version
from mien.work.rows import Rows, npy_rows

__all__ = ["landmark_rows", "landmarks_of", "landmarks_of_images"]

SHARD = 512


def landmarks_of(samples: Sequence[Sample], cache: Path, threads: int | None = None) -> FloatArray:
    """(N, 478, 3) landmarks of face crops in px of each picture; NaN rows where the mesh finds no face."""
    return landmarks_of_images(iter_pixels(samples), len(samples), cache / "landmarks", threads)


def landmarks_of_images(
    images: Iterable[Image], count: int, folder: Path, threads: int | None = None
) -> FloatArray:
    """The same for `count` pictures; every finished shard in `folder` is kept and not computed again."""
    return np.asarray(landmark_rows(images, count, folder, threads))


def landmark_rows(images: Iterable[Image], count: int, folder: Path, threads: int | None = None) -> Rows:
    """The same, left on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    stream, parts = iter(images), []
    finder: FaceFinder | None = None
    for start in range(0, count, SHARD):
        batch = list(islice(stream, min(SHARD, count - start)))
        path = folder / f"{_pixel_hash(batch)}.npy"
        if not path.exists():
            finder = finder or FaceFinder(threads=threads)
            with written_whole(path) as partial:
                np.save(partial, _shard(finder, batch), allow_pickle=False)
        parts.append(npy_rows(path))
    return Rows(parts, (LANDMARKS, 3), np.float32)


def _pixel_hash(images: Sequence[Image]) -> str:
    digest = hashlib.sha256(front_end_version().encode())
    for image in images:
        digest.update(repr(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:32]


def _shard(finder: FaceFinder, images: Sequence[Image]) -> FloatArray:
    found = np.full((len(images), LANDMARKS, 3), np.nan, np.float32)
    for start in range(0, len(images), 64):
        for offset, face in enumerate(finder.find_cropped_batch(images[start : start + 64])):
            if face.landmarks is not None:
                found[start + offset] = face.landmarks
    return found
