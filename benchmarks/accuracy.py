"""Emotions and smiles on validation faces: FER+, LFW, GENKI-4K and London, through ``Analyzer.analyze``.

    python benchmarks/accuracy.py [--limit N] [--model NAME|DIR]

Every accuracy stands beside the share of its most frequent label. Emotions are the language model's likelihood
read-out; "head" is what the plain classifier on the encoders says, for comparison.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from _record import Record, Rows, interval, parser, run
from _validation import Read, open_analyzer, probabilities, read_faces, samples_of

from mien.analyze.analyzer import Analyzer
from mien.backends.base import Reader
from mien.core.emotions import EMFACS, EMOTIONS
from mien.core.nouns import Evidence, FaceResult, Sample
from mien.metrics import au, calibration, classification

Floats = npt.NDArray[np.float64]
READOUT_BAR, HEAD_MARGIN = 0.78, -0.01
SMILE_BAR, LONDON_BARS = 0.93, {"AU12": 0.96, "AU25": 0.93}
MAJORITY_VOTES = 6
_BATCH = 32


def measure(record: Record) -> None:
    analyzer = open_analyzer(record.options)
    ferplus(record, analyzer)
    lfw(record, analyzer)
    genki(record, analyzer)
    for cropped in (False, True):
        london(record, analyzer, cropped)


def ferplus(record: Record, analyzer: Analyzer) -> None:
    samples = samples_of("ferplus", record.options.limit, lambda sample: sample.labels.emotion is not None)
    faces = crops(record, "FER+", analyzer, samples)
    truth = [str(read.sample.labels.emotion) for read in faces]
    clear = np.flatnonzero([_leading_votes(read) >= MAJORITY_VOTES for read in faces])
    results = [_face(read) for read in faces]
    readout = probabilities(results)
    head = head_probabilities(analyzer.reader, faces)
    for name, rows in (("sole top label", np.arange(len(faces))), (f"≥ {MAJORITY_VOTES} of 10 votes", clear)):
        labels = [truth[row] for row in rows]
        if labels:
            emotion_figures(record, f"FER+ {name}", labels, readout[rows], READOUT_BAR)
            if head is not None:
                head_figures(record, f"FER+ {name}", labels, readout[rows], head[rows])
    shaped = [row for row, result in enumerate(results) if result.landmarks is not None]
    record.add("FER+ faces with landmarks", len(shaped) / len(faces), n=len(faces))
    points = analyzer.reader.measure([Evidence(results[row].face) for row in shaped])
    guesses = [face.emotion for face in points]
    accuracy(record, "FER+ landmarks only", [truth[row] for row in shaped], guesses)
    sure = [place for place, row in enumerate(shaped) if _leading_votes(faces[row]) >= MAJORITY_VOTES]
    words = [truth[shaped[place]] for place in sure]
    expected_units(record, "FER+", words, [results[shaped[place]] for place in sure], analyzer.reader.aus)
    expected_units(
        record, "FER+ landmarks only", words, [points[place] for place in sure], analyzer.reader.aus
    )


def crops(record: Record, name: str, analyzer: Analyzer, samples: Sequence[Sample]) -> list[Read]:
    """Pictures that are face crops; those in which no net sees a face are counted and left out."""
    faces = [read for read in read_faces(analyzer, samples, cropped=True) if read.face is not None]
    record.add(f"{name} crops read", len(faces), n=len(samples))
    return faces


def expected_units(
    record: Record, name: str, truth: Sequence[str], faces: Sequence[FaceResult], units: Sequence[str]
) -> None:
    """Does an AU that EMFACS expects of an emotion read higher there than on neutral faces? No coder's truth."""
    areas = []
    for label, combinations in EMFACS.items():
        chosen = [(face, float(word == label)) for face, word in zip(faces, truth, strict=True)
                  if word in (label, "neutral")]  # fmt: skip
        there = np.asarray([mark for _, mark in chosen])
        if label == "neutral" or not there.any():
            continue
        for key in (unit for unit in combinations[0] if unit in units):
            found = au.auc(there > 0.5, np.asarray([face.aus[key].intensity for face, _ in chosen]))
            areas.append(found.value)
            note = f"{int(there.sum())} against {int(len(there) - there.sum())} neutral"
            record.add(f"{name}: {label} shows {key}, AUC", found.value, n=len(chosen), note=note)
    if areas:
        record.add(f"{name}: AUs that EMFACS expects, mean AUC", float(np.mean(areas)), n=len(areas))


def lfw(record: Record, analyzer: Analyzer) -> None:
    faces = crops(record, "LFW", analyzer, samples_of("lfw_emotion", record.options.limit))
    truth = [str(read.sample.labels.emotion) for read in faces]
    guesses = [_face(read).emotion for read in faces]
    accuracy(record, "LFW (labels mostly by machine)", truth, guesses)
    found = classification.uar(truth, guesses, EMOTIONS)
    record.add(
        "LFW UAR",
        found.value,
        n=len(truth),
        note=f"over {found.n} classes, rare ones with a handful of faces",
    )


def genki(record: Record, analyzer: Analyzer) -> None:
    faces = crops(record, "GENKI", analyzer, samples_of("genki4k", record.options.limit))
    truth = np.asarray([bool(read.sample.labels.smile) for read in faces], np.float64)
    score = np.asarray([_face(read).aus["AU12"].intensity for read in faces])
    area(record, "GENKI smile AUC of AU12 intensity", truth, score, SMILE_BAR)


def london(record: Record, analyzer: Analyzer, cropped: bool) -> None:
    """AU marks, neutral against happiness, readings at rest; groups for the plain path, with its detector."""
    way = "London, given as crops" if cropped else "London"
    every = read_faces(analyzer, samples_of("london", record.options.limit), cropped)
    faces = [read for read in every if read.face is not None]
    record.add(f"{way}: faces found", len(faces), n=len(every))
    for key, bar in LONDON_BARS.items():
        marked = [read for read in faces if key in (read.sample.labels.au_presence or {})]
        truth = np.asarray([(read.sample.labels.au_presence or {})[key] for read in marked], np.float64)
        score = np.asarray([_face(read).aus[key].intensity for read in marked])
        area(record, f"{way}: {key} AUC", truth, score, bar)
    truth_words = [str(read.sample.labels.emotion) for read in faces]
    accuracy(record, f"{way}: all eight labels open", truth_words, [_face(read).emotion for read in faces])
    guesses = [_of_two(_face(read)) for read in faces]
    accuracy(record, f"{way}: neutral or happiness", truth_words, guesses)
    if not cropped:
        groups(record, faces)
        at_rest(record, faces, analyzer.reader.aus)


def groups(record: Record, faces: Sequence[Read]) -> None:
    """Neutral against happiness by group. Nineteen people: a figure here can only raise a question."""
    for attribute in ("gender", "ethnicity"):
        for value in sorted({read.sample.labels.group[attribute] for read in faces}):
            inside = [read for read in faces if read.sample.labels.group[attribute] == value]
            truth = [str(read.sample.labels.emotion) for read in inside]
            guesses = [_of_two(_face(read)) for read in inside]
            note = f"{len({read.sample.subject for read in inside})} people: too few to compare groups"
            accuracy(record, f"London {attribute} {value}: neutral or happiness", truth, guesses, note=note)


def at_rest(record: Record, faces: Sequence[Read], units: Sequence[str]) -> None:
    """How often each AU reads as present on neutral portraits; for AU12 and AU25 on those marked as without it."""
    neutral = [read for read in faces if read.sample.labels.emotion == "neutral"]
    shares = []
    for key in units:
        resting = [
            read for read in neutral
            if key not in LONDON_BARS or (read.sample.labels.au_presence or {}).get(key) is False
        ]  # fmt: skip
        if resting:
            shares.append(float(np.mean([_face(read).aus[key].presence for read in resting])))
            record.add(f"London neutral: {key} read as present", shares[-1], n=len(resting))
    record.add("London neutral: mean over AUs", float(np.mean(shares)) if shares else math.nan, n=len(shares))


def emotion_figures(
    record: Record, name: str, truth: Sequence[str], chances: Floats, bar: float | None
) -> None:
    guesses = _words(chances)
    accuracy(record, f"{name}: accuracy", truth, guesses, bar)
    uar = classification.uar(truth, guesses, EMOTIONS)
    record.add(f"{name}: UAR", uar.value, n=len(truth), note=f"over {uar.n} classes")
    for label, recall in uar.parts.items():
        count = sum(word == label for word in truth)
        if count:
            record.add(f"{name}: recall {label}", recall, n=count)
    record.add(f"{name}: macro F1", classification.macro_f1(truth, guesses, EMOTIONS).value, n=len(truth))
    target = np.asarray([EMOTIONS.index(word) for word in truth])
    for result in (
        calibration.ece(chances, target), calibration.nll(chances, target), calibration.brier(chances, target)
    ):  # fmt: skip
        record.add(f"{name}: {result.name}", result.value, n=result.n)


def head_figures(record: Record, name: str, truth: Sequence[str], readout: Floats, head: Floats) -> None:
    accuracy(record, f"{name}: head accuracy", truth, _words(head))
    words = np.asarray(truth)
    gain = (np.asarray(_words(readout)) == words).astype(float) - (np.asarray(_words(head)) == words)
    limits = interval(lambda rows: float(gain[rows].mean()), len(gain), record.options.seed)
    record.add(f"{name}: read-out − head", float(gain.mean()), bar=HEAD_MARGIN, n=len(gain), **limits)


def accuracy(
    record: Record,
    name: str,
    truth: Sequence[str],
    guesses: Sequence[str],
    bar: float | None = None,
    note: str = "",
) -> None:
    result = classification.accuracy(truth, guesses)
    right = np.asarray(truth) == np.asarray(guesses)
    limits = interval(lambda rows: float(right[rows].mean()), len(truth), record.options.seed)
    if truth and not note:
        label, count = Counter(truth).most_common(1)[0]
        note = f"always {label}: {count / len(truth):.3f}"
    record.add(name, result.value, bar=bar, n=result.n, note=note, **limits)


def area(record: Record, name: str, truth: Floats, score: Floats, bar: float) -> None:
    result = au.auc(truth, score)

    def again(rows: Rows) -> float:
        return au.auc(truth[rows], score[rows]).value

    note = f"{int(truth.sum())} positive"
    limits = interval(again, len(truth), record.options.seed)
    record.add(name, result.value, bar=bar, n=result.n, note=note, **limits)


def head_probabilities(reader: Reader, faces: Sequence[Read]) -> Floats | None:
    """(N, 8) of the classifier head; None for a reader without one."""
    classify: Callable[[Sequence[Evidence]], npt.NDArray[np.float32]] | None = getattr(
        reader, "classify", None
    )
    if classify is None:
        return None
    parts = [
        classify([read.evidence for read in faces[start : start + _BATCH]])
        for start in range(0, len(faces), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def _words(chances: Floats) -> list[str]:
    return [EMOTIONS[index] for index in chances.argmax(axis=1)]


def _of_two(face: FaceResult) -> str:
    return max(("neutral", "happiness"), key=lambda word: face.emotions[word])


def _leading_votes(read: Read) -> float:
    votes = read.sample.labels.votes or {}
    return votes.get(str(read.sample.labels.emotion), 0.0)


def _face(read: Read) -> FaceResult:
    assert read.face is not None, "a face crop always gives a face"
    return read.face


if __name__ == "__main__":
    run("accuracy", parser(__doc__.splitlines()[0]), measure)
