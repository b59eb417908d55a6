"""Action Units: the measurement against rendered truth, and the language model's arrays against the measurement.

    python benchmarks/aus.py [--renders DIR] [--limit N] [--model NAME|DIR]

Truth is a blendshape weight of a rendered face whose identity was held back from training (every tenth). The
pictures go through detection and landmarks as photos do.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _record import ROOT, Record, Skipped, interval, parser, run, spread
from _validation import Read, analysed, mixed_samples, open_analyzer, read_faces, renders_folder

from mien.analyze.analyzer import Analyzer
from mien.core.aus import AU_SETS
from mien.core.nouns import AuReading, Evidence, FaceResult
from mien.dialogue.read.au_arrays import FORMATS, read_array
from mien.metrics import au
from mien.train.data.renders import read_renders

UNITS = AU_SETS["pocket"]
AUC_BAR = 0.90
HIGHER = (("B", 0.3), ("C", 0.5))
"""Stricter truths, beside the bar's level A: DISFA's protocol counts from B, AU-LLaVA's from C."""
PRESENT = 0.1
"""Truth counts as present from here: FACS level A."""
ARRAY_FACES = 200
Columns = Mapping[str, npt.NDArray[np.float64]]


def measure(record: Record) -> None:
    analyzer = open_analyzer(record.options)
    try:
        rendered(record, analyzer)
    except Skipped as reason:
        print(f"aus: rendered faces skipped: {reason}")
    arrays(record, analyzer)


def rendered(record: Record, analyzer: Analyzer) -> None:
    renders = read_renders(renders_folder(record.options.renders), "val")
    chosen = spread(len(renders), record.options.limit)
    for way, cropped in (("rendered", False), ("rendered, given as crops", True)):
        results = analysed(analyzer, (renders.images[row] for row in chosen), cropped)
        found = [place for place, face in enumerate(results) if face is not None]
        record.add(f"{way}: faces found", len(found) / len(chosen), n=len(chosen))
        faces = [face for face in results if face is not None]
        true = renders.aus[[chosen[place] for place in found]]
        units = [key for key in UNITS if key in analyzer.reader.aus]
        against_truth(record, way, {key: true[:, UNITS.index(key)] for key in units}, faces)


def against_truth(
    record: Record, way: str, truth: Mapping[str, npt.NDArray[np.float32]], faces: Sequence[FaceResult]
) -> None:
    true: Columns = {key: values.astype(np.float64) for key, values in truth.items()}
    there = {key: (values >= PRESENT).astype(np.float64) for key, values in true.items()}
    intensity = _column(faces, truth, lambda reading: reading.intensity)
    presence = _column(faces, truth, lambda reading: float(reading.presence))
    area = au.macro_over_aus(au.auc, there, intensity)

    def again(rows: npt.NDArray[np.int64]) -> float:
        picked = ({key: values[rows] for key, values in side.items()} for side in (there, intensity))
        return au.macro_over_aus(au.auc, *picked).value

    limits = interval(again, len(faces), record.options.seed)
    note = f"mean over {area.n} AUs"
    bar = AUC_BAR if way == "rendered" else None
    record.add(f"{way}: macro AUC", area.value, bar=bar, n=len(faces), note=note, **limits)
    for letter, edge in HIGHER:
        above = {key: (values >= edge).astype(np.float64) for key, values in true.items()}
        value = au.macro_over_aus(au.auc, above, intensity).value
        record.add(f"{way}: macro AUC, truth from level {letter}", value, n=len(faces))
    others = [
        au.macro_over_aus(au.f1, there, presence), au.macro_over_aus(au.icc, true, intensity),
        au.macro_over_aus(au.mae, true, intensity),
    ]  # fmt: skip
    for result in others:
        record.add(f"{way}: {result.name}", result.value, n=len(faces), note=f"mean over {result.n} AUs")
    if way == "rendered":
        for key in truth:
            note = "  ".join(
                f"{result.name.removeprefix('macro ')} {result.parts[key]:.2f}" for result in others
            )
            positives = int(there[key].sum())
            record.add(
                f"{way}: {key} AUC", area.parts[key], n=len(faces), note=f"{positives} present  {note}"
            )


def arrays(record: Record, analyzer: Analyzer) -> None:
    """What the language model answers when it is asked for an array, beside what was measured."""
    ask = getattr(analyzer.reader, "arrays", None)
    if ask is None:
        print(f"aus: arrays skipped: the {analyzer.reader.name} reader writes none")
        return
    samples = mixed_samples(record.options.limit or ARRAY_FACES, record.options.seed)
    found = [read for read in read_faces(analyzer, samples, cropped=True) if read.face is not None]
    # A hidden region is not measured, so there is nothing to compare with.
    faces = [read for read in found if all(one.measured for one in read.face.aus.values())]
    record.add("arrays: faces wholly measured", len(faces) / len(found), n=len(found))
    evidence: list[Evidence] = [read.evidence for read in faces]
    for form in FORMATS:
        compare(record, form, ask(evidence, form), faces)


def compare(record: Record, form: str, texts: Sequence[str], faces: Sequence[Read]) -> None:
    from sklearn.metrics import cohen_kappa_score

    told, measured, unparsed = [], [], 0
    for text, read in zip(texts, faces, strict=True):
        answer = read_array(text, form, len(UNITS), au_keys=UNITS)
        if answer.labels is None or read.face is None:
            unparsed += 1
            continue
        labels = answer.labels
        values = labels.au_presence or labels.au_level or labels.au_intensity or {}
        told.append([float(values[key]) for key in UNITS])
        measured.append([_value(read.face.aus[key], form) for key in UNITS])
    record.add(f"arrays, {form}: unparsed", unparsed, bar=0, at_most=True, n=len(texts))
    if not told:
        return
    said, seen = np.asarray(told), np.asarray(measured)
    equal = np.isclose(said, seen)
    limits = interval(lambda rows: float(equal[rows].mean()), len(equal), record.options.seed)
    record.add(f"arrays, {form}: equal values", float(equal.mean()), n=equal.size, **limits)
    record.add(f"arrays, {form}: wholly equal arrays", float(equal.all(axis=1).mean()), n=len(equal))
    record.add(f"arrays, {form}: MAE", au.mae(seen.ravel(), said.ravel()).value, n=equal.size)
    if form != "intensity":
        several = len(set(said.ravel()) | set(seen.ravel())) > 1
        weights = "quadratic" if form == "level" else None
        kappa = cohen_kappa_score(seen.ravel(), said.ravel(), weights=weights) if several else math.nan
        record.add(f"arrays, {form}: kappa", float(kappa), n=equal.size, note=weights or "")


def _value(reading: AuReading, form: str) -> float:
    """The reading as an array of ``form`` writes it: an intensity ends at 0.99 and has two decimals."""
    if form == "binary":
        return float(reading.presence)
    if form == "level":
        return float(reading.level)
    return min(math.floor(100.0 * reading.intensity + 0.5 + 1e-9), 99) / 100.0


def _column(faces: Sequence[FaceResult], units: Iterable[str], view: Callable[[AuReading], float]) -> Columns:
    return {key: np.asarray([view(face.aus[key]) for face in faces], np.float64) for key in units}


def options() -> argparse.ArgumentParser:
    made = parser(__doc__.splitlines()[0])
    made.add_argument(
        "--renders", type=Path, default=ROOT / "runs" / "renders", help="folder of rendered shards"
    )
    return made


if __name__ == "__main__":
    run("aus", options(), measure)
