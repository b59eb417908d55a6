"""Hidden mouth, eyes and brow: how often they are told, on validation faces with things drawn over them.

    python benchmarks/hidden.py [--limit N] [--model NAME|DIR]

Three shapes were held back from training: a cup mask with straps, a bandana, pilot's sunglasses. Glasses without dark
lenses, beards and patches off the regions hide nothing. A region counts as told from a probability of 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _record import Record, parser, run
from _validation import mixed_samples, open_model

from mien.core.nouns import Evidence, Face, FloatArray, Image
from mien.face.crop import canonical_crop
from mien.face.finder import FaceFinder
from mien.face.topology import DLIB68
from mien.models.pocket.inputs import HIDDEN_REGIONS
from mien.train.data.crops import iter_pixels
from mien.train.pocket.occluders import HARMLESS, HELD_BACK, TRAINING, occlude

FACES = 1600
FOUND_BAR, FALSE_BAR = 0.97, 0.02
_EDGE = 0.5
Seen = Sequence[tuple[Face, Image]]


def measure(record: Record) -> None:
    reader = open_model(record.options)
    finder = FaceFinder(threads=record.options.threads)
    samples = mixed_samples(record.options.limit or FACES, record.options.seed)
    seen: list[tuple[Face, Image]] = []
    for image in iter_pixels(samples):
        face = finder.find_cropped(image)
        if face.landmarks is not None:
            seen.append((face, canonical_crop(image, face, reader.crop_size)[0]))
    bare = _told(reader, seen)
    for place, region in enumerate(HIDDEN_REGIONS):
        record.add(f"nothing drawn: {region} told hidden", float(bare[:, place].mean()), bar=FALSE_BAR, at_most=True,
                   n=len(bare))  # fmt: skip
    for kinds, note in (
        (HELD_BACK, "shape held back from training"),
        (TRAINING, ""),
        (HARMLESS, "hides nothing"),
    ):
        for kind in kinds:
            drawn(record, reader, seen, kind, note)


def drawn(record: Record, reader: object, seen: Seen, kind: str, note: str) -> None:
    """Regions that one kind of thing hides, and those it leaves open."""
    rng = np.random.default_rng(record.options.seed)
    crops, hidden = [], np.empty((len(seen), len(HIDDEN_REGIONS)))
    for row, (face, crop) in enumerate(seen):
        assert face.landmarks is not None and face.crop is not None
        points = face.crop.place(face.landmarks[list(DLIB68), :2]) * (crop.shape[0] / face.crop.size)
        grey = np.round(crop @ np.asarray([0.299, 0.587, 0.114])).astype(np.uint8)
        covered, hidden[row] = occlude(grey, points.astype(np.float32), kind, rng)
        crops.append((face, np.repeat(covered[..., None], 3, axis=2)))
    told = _told(reader, crops)
    for place, region in enumerate(HIDDEN_REGIONS):
        there, open_ = hidden[:, place] == 1, hidden[:, place] == 0
        if there.sum() >= 0.25 * len(seen):
            bar = FOUND_BAR if kind in HELD_BACK else None
            found = float(told[there, place].mean())
            record.add(f"{kind}: hidden {region} told", found, bar=bar, n=int(there.sum()), note=note)
        if open_.any() and kind in HARMLESS:
            wrong = float(told[open_, place].mean())
            record.add(f"{kind}: {region} told hidden", wrong, n=int(open_.sum()), note=note)


def _told(reader: object, seen: Seen) -> FloatArray:
    """(N, 3) 1 where a region is told hidden."""
    found = reader.hidden([Evidence(face, crop) for face, crop in seen])  # type: ignore[attr-defined]
    return np.asarray(
        [[chances[region] >= _EDGE for region in HIDDEN_REGIONS] for chances in found], np.float32
    )


if __name__ == "__main__":
    run("hidden", parser(__doc__.splitlines()[0]), measure)
