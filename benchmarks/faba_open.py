"""FABA-Open: what the embedded model, the rules, a plain head and constant answers read of rendered muscles.

    python tools/faba_open.py --out runs/faba-open
    python benchmarks/faba_open.py --benchmark runs/faba-open [--limit N]

Each baseline gives an intensity per picture and AU; presence, level and the truth of a statement follow from it, so all
figures are of one reading. A face that is not found reads 0, and all statements about it count as wrong.
The plain head is ridge regression on the mesh, freed of place, size and turn in the plane, in five folds of people: it
sees this renderer's faces, as the embedded model did in its training; the rules did not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _record import ROOT, Record, Skipped, interval, parser, run, spread
from _validation import analysed

from mien.analyze.analyzer import Analyzer, load_model
from mien.core.aus import AU_SETS, au_level
from mien.core.nouns import FaceResult, Image
from mien.metrics import au

UNITS = AU_SETS["pocket"]
PRESENT = 0.1
FOLDS, RIDGE = 5, 3.0
Floats = npt.NDArray[np.float64]
Row = dict[str, Any]


def measure(record: Record) -> None:
    folder: Path = record.options.benchmark
    if not (folder / "items.jsonl").is_file():
        raise Skipped(
            "no FABA-Open; make it: python tools/faba_open.py --out runs/faba-open, then --benchmark"
        )
    items = _rows(folder / "items.jsonl")
    items = [items[row] for row in spread(len(items), record.options.limit)]
    chosen = {item["id"] for item in items}
    claims = [one for one in _rows(folder / "claims.jsonl") if one["item"] in chosen]
    pairs = _rows(folder / "pairs.jsonl")
    true = np.asarray([[item[key] for key in UNITS] for item in items])
    people = np.asarray([item["person"] for item in items])
    record.add(
        "pictures",
        len(items),
        note=f"{len(set(people))} people, {len(claims)} statements, {len(pairs)} pairs",
    )
    for name in ("pocket", "rules"):
        analyzer = Analyzer(load_model(name, record.options.threads), threads=record.options.threads)
        faces = analysed(analyzer, _pictures(folder, items), cropped=True)
        told = _intensity(faces)
        if name == "pocket":
            meshes = _meshes(faces)
            record.add("faces found", float(np.mean([face is not None for face in faces])), n=len(faces))
        score(record, name, items, claims, true, told)
        follow(
            record, name, folder, pairs, lambda images, own=analyzer: _intensity(analysed(own, images, True))
        )
    score(record, "plain head", items, claims, true, plain_head(meshes, true, people))
    median = np.tile(np.median(true, axis=0), (len(true), 1))
    score(record, "median of each AU", items, claims, true, median)
    score(record, "everything at level C", items, claims, true, np.full(true.shape, 0.5))


def _rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _pictures(folder: Path, items: Sequence[Row]) -> Iterator[Image]:
    name, images = "", np.empty(0, np.uint8)
    for item in items:
        if item["file"] != name:
            name = item["file"]
            with np.load(folder / name, allow_pickle=False) as pack:
                images = pack["images"]
        yield images[item["row"]]


def _intensity(faces: Sequence[FaceResult | None]) -> Floats:
    """(N, 22); NaN for a face that was not found, 0 for an AU that is not measured."""
    told = np.full((len(faces), len(UNITS)), np.nan)
    for row, face in enumerate(faces):
        if face is not None:
            known = [face.aus.get(key) for key in UNITS]
            told[row] = [one.intensity if one is not None and one.measured else 0.0 for one in known]
    return told


def score(
    record: Record, name: str, items: Sequence[Row], claims: Sequence[Row], true: Floats, told: Floats
) -> None:
    """Four figures of one baseline; intervals are over people."""
    found = ~np.isnan(told[:, 0])
    seen = np.nan_to_num(told)
    level = np.vectorize(au_level, otypes=[float])
    sides = {
        "F1 of presence": (au.f1, (true >= PRESENT).astype(float), (seen >= PRESENT).astype(float)),
        "ICC of levels": (au.icc, level(true), level(seen)),
        "MAE of intensity": (au.mae, true, seen),
    }  # fmt: skip
    groups = _groups([item["person"] for item in items])
    for figure, (metric, there, said) in sides.items():

        def value(
            chosen: npt.NDArray[np.int64], metric: Any = metric, there: Floats = there, said: Floats = said
        ) -> float:
            rows = np.concatenate([groups[place] for place in chosen])
            columns = ({key: side[rows, at] for at, key in enumerate(UNITS)} for side in (there, said))
            return float(au.macro_over_aus(metric, *columns).value)

        limits = interval(value, len(groups), record.options.seed, rounds=200)
        record.add(f"{name}: {figure}", value(np.arange(len(groups))), n=len(items), **limits)
    place = {item["id"]: row for row, item in enumerate(items)}
    right = np.asarray([
        found[place[one["item"]]]
        and one["true"] == (one["affirms"] == (seen[place[one["item"]], UNITS.index(one["au"])] >= PRESENT))
        for one in claims
    ], float)  # fmt: skip
    limits = interval(lambda rows: float(right[rows].mean()), len(right), record.options.seed, rounds=200)
    record.add(
        f"{name}: statements judged rightly", float(right.mean()), n=len(right), note="chance: 0.5", **limits
    )


def _groups(people: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    known = np.asarray(people)
    return [np.flatnonzero(known == one) for one in dict.fromkeys(people)]


def follow(
    record: Record, name: str, folder: Path, pairs: Sequence[Row], read: Callable[[Iterator[Image]], Floats]
) -> None:
    """How far a reading of one muscle moves when the mood changes around it, and the muscle does not."""
    if not pairs:
        return
    wanted = sorted({(one["file"], one[side]) for one in pairs for side in ("neutral_row", "mood_row")})
    told = read(_pictures(folder, [{"file": file, "row": row} for file, row in wanted]))
    place = {key: row for row, key in enumerate(wanted)}
    moved = np.asarray([
        abs(told[place[one["file"], one["mood_row"]], UNITS.index(one["au"])]
            - told[place[one["file"], one["neutral_row"]], UNITS.index(one["au"])])
        for one in pairs
    ])  # fmt: skip
    moved = moved[~np.isnan(moved)]
    limits = interval(lambda rows: float(moved[rows].mean()), len(moved), record.options.seed, rounds=200)
    record.add(f"{name}: reading moves with the mood by", float(moved.mean()), n=len(moved),
               note="equal muscle, other mood; 0 is right", **limits)  # fmt: skip


def _meshes(faces: Sequence[FaceResult | None]) -> Floats:
    """(N, 956) mesh points in the plane, moved, scaled and turned onto their mean; NaN without a face."""
    points = np.full((len(faces), 478, 2), np.nan)
    for row, face in enumerate(faces):
        if face is not None and face.landmarks is not None:
            own = face.landmarks[:, :2] - face.landmarks[:, :2].mean(axis=0)
            points[row] = own / np.sqrt(np.square(own).sum())
    known = ~np.isnan(points[:, 0, 0])
    middle = points[known].mean(axis=0)
    for row in np.flatnonzero(known):
        left, _, right = np.linalg.svd(points[row].T @ middle)
        points[row] = points[row] @ (left @ right)
    return points.reshape(len(faces), -1)


def plain_head(meshes: Floats, true: Floats, people: npt.NDArray[np.str_]) -> Floats:
    """Ridge regression in five folds of people: each picture is read by a head that never saw its person."""
    told = np.full(true.shape, np.nan)
    order = {one: place % FOLDS for place, one in enumerate(dict.fromkeys(people.tolist()))}
    fold = np.asarray([order[one] for one in people.tolist()])
    known = ~np.isnan(meshes[:, 0])
    for number in range(FOLDS):
        learnt, held = known & (fold != number), known & (fold == number)
        middle, spread_ = meshes[learnt].mean(axis=0), meshes[learnt].std(axis=0) + 1e-6
        columns = (meshes - middle) / spread_
        square = columns[learnt].T @ columns[learnt] + RIDGE * len(columns[learnt]) * np.eye(columns.shape[1])
        level = true[learnt].mean(axis=0)
        weights = np.linalg.solve(square, columns[learnt].T @ (true[learnt] - level))
        told[held] = np.clip(columns[held] @ weights + level, 0.0, 1.0)
    return told


def options() -> argparse.ArgumentParser:
    made = parser(__doc__.splitlines()[0])
    made.add_argument(
        "--benchmark", type=Path, default=ROOT / "runs" / "faba-open", help="folder of FABA-Open"
    )
    return made


if __name__ == "__main__":
    run("faba_open", options(), measure)
