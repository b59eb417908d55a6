"""Does an Action Unit's reading follow the muscle or the mood? Rendered pairs, and real brows that are moved.

    python tools/render_faces.py --leak --size 144 --out runs/leak
    python benchmarks/leak.py [--pictures DIR] [--limit N] [--model NAME|DIR]

Rendered people, held back from training, show eight moods (EMFACS prototypes), each alone and with one more AU of
equal strength. Of every AU's reading, over the moods that do not hold it: partial R² of the mood, given the true AU,
the pose and the person. It counts what other muscles do to a reading as well as what the mood does.
Real neutral faces (London) have their brows lifted in the picture by a smooth warp: what rises, and what else moves?
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _record import ROOT, Record, Skipped, interval, parser, run, spread
from _validation import Read, analysed, open_analyzer, read_faces, samples_of

from mien.analyze.analyzer import Analyzer
from mien.core.aus import AU_SETS
from mien.core.nouns import FaceResult, Image
from mien.face.topology import LEFT_BROW, RIGHT_BROW

UNITS = AU_SETS["pocket"]
LEAK_BAR = 0.05
LIFTS = (0.03, 0.06)
"""Of the face's height."""
MOOD_UNITS = {
    "neutral": (), "happiness": ("AU06", "AU12"), "sadness": ("AU01", "AU04", "AU15"),
    "surprise": ("AU01", "AU02", "AU05", "AU26"), "fear": ("AU01", "AU02", "AU04", "AU05", "AU20"),
    "anger": ("AU04", "AU05", "AU07", "AU24"), "disgust": ("AU09",), "contempt": ("AU14",),
}  # fmt: skip
"""What the pictures' moods hold (`tools/renderer/sampling.py`)."""
Floats = npt.NDArray[np.float64]


def measure(record: Record) -> None:
    analyzer = open_analyzer(record.options)
    rendered(record, analyzer)
    lifted_brows(record, analyzer)


def rendered(record: Record, analyzer: Analyzer) -> None:
    folder: Path = record.options.pictures
    people = sorted(folder.glob("person_*.npz"))
    if not people:
        raise Skipped(
            "no leak pictures; make some: python tools/render_faces.py --leak --size 144 --out runs/leak"
        )
    packs = [np.load(people[row], allow_pickle=False) for row in spread(len(people), record.options.limit)]
    truth, pose, mood, person = (
        np.concatenate([pack[name] for pack in packs]) for name in ("au", "pose", "mood", "identity")
    )
    names = [str(name) for name in packs[0]["mood_names"]]
    columns = [str(name) for name in packs[0]["au_names"]]
    results = analysed(analyzer, (image for pack in packs for image in pack["images"]), cropped=False)
    found = np.asarray([row for row, face in enumerate(results) if face is not None])
    faces = [face for face in results if face is not None]
    record.add("faces found", len(found) / len(results), n=len(results))
    readings = np.asarray([[face.aus[key].intensity for key in UNITS] for face in faces], np.float64)
    places = np.unique(person)

    def shares_of(chosen: npt.NDArray[np.int64]) -> list[float]:
        """Of every AU, on the pictures of some of the people."""
        shares = []
        for unit, key in enumerate(UNITS):
            holds = [place for place, word in enumerate(names) if key in MOOD_UNITS[word]]
            rows = np.concatenate(
                [np.flatnonzero((person[found] == places[i]) & ~np.isin(mood[found], holds)) for i in chosen]
            )
            there = found[rows]
            known = truth[there, columns.index(key)], pose[there], person[there]
            shares.append(partial_r2(readings[rows, unit], *known, mood[there]))
        return shares

    shares = shares_of(np.arange(len(places)))
    for key, share in zip(UNITS, shares, strict=True):
        record.add(f"leak: {key}, share explained by the mood", share, n=len(found))
    limits = interval(
        lambda rows: float(np.mean(shares_of(rows))), len(places), record.options.seed, rounds=200
    )
    record.add(
        "leak: mean over AUs", float(np.mean(shares)), bar=LEAK_BAR, at_most=True, n=len(found),
        note=f"{len(places)} people, drawn again and again for the interval", **limits,
    )  # fmt: skip
    record.add("leak: AUs within the bar", int(np.sum(np.asarray(shares) <= LEAK_BAR)), n=len(shares))


def partial_r2(
    reading: Floats,
    truth: npt.NDArray[np.floating],
    pose: npt.NDArray[np.floating],
    person: npt.NDArray[np.integer],
    mood: npt.NDArray[np.integer],
) -> float:
    """Share of what the true AU, the pose (and its squares) and the person leave open that the mood explains."""
    people = (person[:, None] == np.unique(person)[None]).astype(np.float64)
    turned = pose.astype(np.float64) / 30.0
    known = np.column_stack([people, truth, truth**2, turned, turned**2])
    moods = (mood[:, None] == np.unique(mood)[None, 1:]).astype(np.float64)
    open_ = _left(reading, known)
    return 1.0 - _left(reading, np.column_stack([known, moods])) / open_ if open_ > 1e-12 else 0.0


def _left(reading: Floats, columns: Floats) -> float:
    weights = np.linalg.lstsq(columns, reading, rcond=None)[0]
    return float(np.square(reading - columns @ weights).sum())


def lifted_brows(record: Record, analyzer: Analyzer) -> None:
    neutral = samples_of("london", record.options.limit, lambda sample: sample.labels.emotion == "neutral")
    rest = [read for read in read_faces(analyzer, neutral, cropped=False) if read.face is not None]
    for lift in LIFTS:
        moved = analysed(analyzer, [_lifted(read, lift) for read in rest], cropped=False)
        pairs = [(read.face, face) for read, face in zip(rest, moved, strict=True) if read.face and face]
        name = f"real brows lifted by {lift:.0%} of the face"
        for key in ("AU01", "AU02", "AU04"):
            rise = _changes(pairs, key)
            note = f"higher on {np.mean(rise > 0):.0%} of the faces"
            record.add(f"{name}: {key} rises by", float(rise.mean()), n=len(rise), note=note)
        others = [np.abs(_changes(pairs, key)).mean() for key in UNITS if key not in ("AU01", "AU02", "AU04")]
        record.add(f"{name}: other AUs move by", float(np.mean(others)), n=len(pairs))


def _changes(pairs: Sequence[tuple[FaceResult, FaceResult]], key: str) -> Floats:
    return np.asarray([after.aus[key].intensity - before.aus[key].intensity for before, after in pairs])


def _lifted(read: Read, lift: float) -> Image:
    """The picture with the brows moved up by a share of the face's height; what is far from them stays."""
    from scipy.ndimage import map_coordinates

    assert read.face is not None and read.face.landmarks is not None
    mesh = read.face.landmarks[:, :2]
    height = float(mesh[152, 1] - mesh[10, 1])
    brows = mesh[[*LEFT_BROW, *RIGHT_BROW]]
    rows, columns = np.mgrid[0 : read.image.shape[0], 0 : read.image.shape[1]].astype(np.float64)
    near = np.zeros(rows.shape)
    for x, y in brows:
        near = np.maximum(near, np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * (0.07 * height) ** 2)))
    places = [rows + lift * height * near, columns]
    layers = [map_coordinates(read.image[..., layer], places, order=1, mode="nearest") for layer in range(3)]
    return np.stack(layers, axis=-1).astype(np.uint8)


def options() -> argparse.ArgumentParser:
    made = parser(__doc__.splitlines()[0])
    made.add_argument(
        "--pictures", type=Path, default=ROOT / "runs" / "leak", help="folder of the leak pictures"
    )
    return made


if __name__ == "__main__":
    run("leak", options(), measure)
