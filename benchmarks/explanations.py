"""Explanations on validation faces: are their claims measured, can they be read, how long do they take?

    python benchmarks/explanations.py [--limit N] [--model NAME|DIR]

Claims are audited as generated, before the analyzer withholds contradicted ones.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from _record import Record, interval, parser, run
from _validation import Read, mixed_samples, open_analyzer, read_faces

from mien.backends.base import Reader
from mien.backends.onnx import PocketReader
from mien.core.nouns import Claim, Explanation
from mien.dialogue.read.claims import read_claims
from mien.dialogue.read.emotion import read_emotion_answer
from mien.metrics.faithfulness import audit, count_claims, support_rate

FACES, BATCHED, BATCH = 500, 96, 16
SUPPORTED_BAR, SECONDS_BAR = 0.95, 0.4


@dataclass(frozen=True, slots=True)
class Told:
    """One explanation that could be read."""

    explanation: Explanation
    label: str
    """The emotion that was read out before it."""
    claims: tuple[Claim, ...]
    seconds: float

    @property
    def words(self) -> int:
        return len(self.explanation.text.split())


def measure(record: Record) -> None:
    analyzer = open_analyzer(record.options)
    samples = mixed_samples(record.options.limit or FACES, record.options.seed)
    faces = [read for read in read_faces(analyzer, samples, cropped=True) if read.face is not None]
    tell(analyzer.reader, faces[0])  # loads the nets, so that no face pays for it
    answers = [tell(analyzer.reader, read) for read in faces]
    told = [answer for answer in answers if answer is not None]
    unparsed = len(answers) - len(told)
    record.add("unparsed answers", unparsed, bar=0, at_most=True, n=len(answers))
    if told:
        claims(record, told)
        wording(record, told)
        speed(record, told)
    if not unparsed:
        batched(record, analyzer.reader, faces[:BATCHED])


def second_tries(reader: Reader) -> int:
    """Explanations so far that the pocket model had to write again, with the headings given."""
    return reader.second_tries if isinstance(reader, PocketReader) else 0


def tell(reader: Reader, read: Read) -> Told | None:
    """One explanation alone; None when the free text has no three parts."""
    assert read.face is not None
    evidence = read.evidence
    before = second_tries(reader)
    start = time.perf_counter()
    explanation = reader.explain([evidence], [read.face])[0]
    if second_tries(reader) > before:
        return None
    seconds = time.perf_counter() - start
    judged = audit(read_claims(explanation.text), read.face.aus)
    return Told(explanation, read.face.emotion, judged, seconds)


def claims(record: Record, told: Sequence[Told]) -> None:
    counts = count_claims(claim for one in told for claim in one.claims)
    each = np.asarray([[sum(c.verdict == "supported" for c in one.claims), len(one.claims)] for one in told])

    def again(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        supported, every = each[rows].sum(axis=0)
        return float(supported / every) if every else float("nan")

    limits = interval(again, len(told), record.options.seed)
    share = again(np.arange(len(told)))
    note = "of all claims, before withholding"
    record.add("supported claims", share, bar=SUPPORTED_BAR, n=counts.total, note=note, **limits)
    parts = support_rate([one.claims for one in told]).parts
    for name in ("contradicted", "unmeasured"):
        record.add(f"{name} claims", parts[name], n=counts.total)
    record.add("claims per explanation", parts["claims per explanation"], n=len(told))
    silent = sum(not one.claims for one in told)
    record.add("explanations without a claim", silent, n=len(told))


def wording(record: Record, told: Sequence[Told]) -> None:
    words = [one.words for one in told]
    for name, value in (("least", min(words)), ("mean", statistics.fmean(words)), ("most", max(words))):
        record.add(f"words, {name}", float(value), "words", n=len(told))
    named = [_named(one) == one.label for one in told]
    record.add("conclusion names the label that was read out", float(np.mean(named)), n=len(told))
    distinct = len({one.explanation.text for one in told})
    record.add("distinct texts", distinct / len(told), n=len(told))


def speed(record: Record, told: Sequence[Told]) -> None:
    per_hundred = [100.0 * one.seconds / one.words for one in told]
    about = {"n": len(told)}
    record.add("100 words, one face at a time, median", statistics.median(per_hundred), "s", bar=SECONDS_BAR,
               at_most=True, **about)  # fmt: skip
    record.add(
        "100 words, one face at a time, 95th percentile", float(np.quantile(per_hundred, 0.95)), "s", **about
    )


def batched(record: Record, reader: Reader, faces: Sequence[Read]) -> None:
    evidence = [read.evidence for read in faces]
    results = [read.face for read in faces if read.face is not None]
    start, words = time.perf_counter(), 0
    for first in range(0, len(faces), BATCH):
        texts = reader.explain(evidence[first : first + BATCH], results[first : first + BATCH])
        words += sum(len(text.text.split()) for text in texts)
    seconds = time.perf_counter() - start
    record.add(f"100 words, {BATCH} faces together", 100.0 * seconds / words, "s", n=len(faces))


def _named(one: Told) -> str | None:
    labels = read_emotion_answer(one.explanation.conclusion).labels
    return labels.emotion if labels is not None else None


if __name__ == "__main__":
    run("explanations", parser(__doc__.splitlines()[0]), measure)
