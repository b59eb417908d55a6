"""Validation faces for the benchmarks: pictures of the data packs, read through the analyzer."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _record import Skipped, needed_data, spread

from mien.analyze.analyzer import Analyzer, load_model
from mien.backends.base import Reader
from mien.core.nouns import Evidence, FaceResult, Image, Sample
from mien.data import ferplus, genki4k, lfw_emotion, london
from mien.face.crop import canonical_crop
from mien.train.data.crops import iter_pixels

READERS: dict[str, Callable[[str], Iterable[Sample]]] = {
    "ferplus": ferplus.read,
    "lfw_emotion": lfw_emotion.read,
    "genki4k": genki4k.read,
    "london": london.read,
}


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One validation picture with what the analyzer said."""

    sample: Sample
    image: Image
    face: FaceResult | None
    """The largest face; None when none was found."""

    @property
    def evidence(self) -> Evidence:
        """What the model looked at: the same crop again, and the landmarks."""
        assert self.face is not None
        size = self.face.face.crop.size if self.face.face.crop is not None else 64
        return Evidence(self.face.face, canonical_crop(self.image, self.face.face, size)[0])


def open_analyzer(options: argparse.Namespace) -> Analyzer:
    """The analyzer with the model that the options name."""
    return Analyzer(open_model(options), threads=options.threads)


def open_model(options: argparse.Namespace) -> Reader:
    """The reader that the options name."""
    return load_model(options.model, options.threads)


def samples_of(
    dataset: str, limit: int | None = None, keep: Callable[[Sample], bool] | None = None
) -> list[Sample]:
    """Validation samples of one set, or ``limit`` of them, evenly spread.

    Raises:
        Skipped: the pack is absent.
    """
    needed_data(dataset)
    samples = [sample for sample in READERS[dataset]("val") if keep is None or keep(sample)]
    if not samples:
        raise Skipped(f"no usable validation sample in {dataset}")
    return [samples[row] for row in spread(len(samples), limit)]


def mixed_samples(count: int, seed: int) -> list[Sample]:
    """``count`` validation samples of all four sets, drawn evenly from each; London gives all it has first."""
    rng = random.Random(seed)
    chosen: list[Sample] = []
    # The smallest set first, so that the others make up for what it lacks.
    for left, dataset in zip(range(len(READERS), 0, -1), reversed(READERS), strict=True):
        pool = samples_of(dataset)
        share = -(-(count - len(chosen)) // left)
        chosen += rng.sample(pool, min(share, len(pool)))
    return chosen[:count]


def read_faces(analyzer: Analyzer, samples: Sequence[Sample], cropped: bool) -> list[Read]:
    """Every sample through ``analyzer.analyze``."""
    images = list(iter_pixels(samples))
    return [
        Read(sample, image, face)
        for sample, image, face in zip(samples, images, analysed(analyzer, images, cropped), strict=True)
    ]


def analysed(analyzer: Analyzer, images: Iterable[Image], cropped: bool) -> list[FaceResult | None]:
    """The largest face of each picture."""
    frames = analyzer.analyze(images, cropped=cropped, batch_size=32)
    return [frame.faces[0] if frame.faces else None for frame in frames]


def probabilities(faces: Sequence[FaceResult]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(N, 8) emotion probabilities in the order of `EMOTIONS`."""
    return np.asarray([list(face.emotions.values()) for face in faces], dtype=np.float64).reshape(-1, 8)


def renders_folder(path: Path) -> Path:
    """The folder of rendered shards.

    Raises:
        Skipped: it holds none.
    """
    if not any(path.glob("shard_*.npz")):
        raise Skipped(
            "no rendered faces; make some: python tools/render_faces.py --out runs/renders, then --renders"
        )
    return path
