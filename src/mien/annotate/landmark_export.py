"""The landmarks of a face cache as one file that `mien.data.landmark_files` reads: FacePhi's AffectLandmarkNet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.nouns import FloatArray
from mien.data.landmark_files import write_landmark_rows
from mien.work.faces import FaceCache

__all__ = ["export_landmarks"]


def export_landmarks(folder: Path, path: Path) -> Path:
    """Write the landmarks (478, 3) in px of all faces in ``folder`` that have some; one shard is in memory at a time.

    The points stay in px: each system scales them as its authors did (`mien.data.landmark_files.scaled` in numpy,
    `mien.layers.point_sampling.normalize_points` inside the models).
    """
    cache = FaceCache(folder)

    def rows() -> Iterator[FloatArray]:
        for _, points in cache.landmarks():
            yield from points

    return write_landmark_rows(path, [one for ids, _ in cache.landmarks() for one in ids], rows)
