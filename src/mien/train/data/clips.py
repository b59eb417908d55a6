"""Clips as training reads them: the main face at about one frame per second, found once and kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from mien.core.nouns import LANDMARKS, Evidence, FloatArray, Sample
from mien.core.paths import written_whole
from mien.face.decode.media import split_media
from mien.face.finder import FaceFinder
from mien.models.composite.frames import clip_evidence
from mien.train.data.crops import sample_hash
from mien.work.faces import front_end_version
from mien.work.rows import Rows, tensor_rows

__all__ = ["ClipFaces", "ClipFrames"]


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrames:
    """The main face in F frames of one clip; F may be 0."""

    crops: Rows
    """(F, S, S, 3) RGB."""
    landmarks: Rows
    """(F, 478, 3) in px of each frame; NaN where the mesh found no face."""
    transforms: npt.NDArray[np.float64]
    """(F, 2, 3) from frame to crop."""

    def with_landmarks(self) -> ClipFrames:
        """The frames whose landmarks were found."""
        known = np.flatnonzero(~np.isnan(self.landmarks[:, 0, 0]))
        return ClipFrames(self.crops.take(known), self.landmarks.take(known), self.transforms[known])


@dataclass(slots=True)
class ClipFaces:
    """Reads clips; what was found once is taken from ``folder``, named by the clip's content and these settings.

    Args:
        folder: of the cache, a file per clip.
        size: side of the crops in px.
        limit: most frames of a clip.
        rate: frames per second of folders of pictures.
    """

    folder: Path
    size: int
    limit: int
    rate: float
    _finder: FaceFinder | None = field(default=None, init=False)

    def read(self, sample: Sample) -> ClipFrames:
        """The frames of a sample's clip."""
        settings = (front_end_version(), self.size, self.limit, self.rate, sample.cropped)
        path = self.folder / f"{sample_hash([sample], *settings)}.safetensors"
        if not path.is_file():
            self._write(path, sample)
        kept = tensor_rows(path, ("crops", "landmarks", "transforms"))
        crops, landmarks, transforms = (Rows([kept[name]]) for name in ("crops", "landmarks", "transforms"))
        return ClipFrames(crops, landmarks, np.asarray(transforms))

    def _write(self, path: Path, sample: Sample) -> None:
        self._finder = self._finder or FaceFinder()
        shown = clip_evidence(
            Path(split_media(sample.media)[0]),
            self._finder,
            self.size,
            limit=self.limit,
            cropped=sample.cropped,
            rate=self.rate,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        crops, landmarks, transforms = _arrays(shown, self.size)
        with written_whole(path) as partial:
            save_file({"crops": crops, "landmarks": landmarks, "transforms": transforms}, partial)


def _arrays(
    shown: Sequence[Evidence], size: int
) -> tuple[npt.NDArray[np.uint8], FloatArray, npt.NDArray[np.float64]]:
    count = len(shown)
    crops = np.empty((count, size, size, 3), np.uint8)
    landmarks = np.full((count, LANDMARKS, 3), np.nan, np.float32)
    transforms = np.empty((count, 2, 3), np.float64)
    for row, one in enumerate(shown):
        assert one.crop is not None and one.face.crop is not None
        crops[row], transforms[row] = one.crop, one.face.crop.matrix
        if one.face.landmarks is not None:
            landmarks[row] = one.face.landmarks
    return crops, landmarks, transforms
