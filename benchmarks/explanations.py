"""Explanations on validation faces: are their claims measured, can they be read, how long do they take?

    python benchmarks/explanations.py [--limit N] [--model NAME|DIR]

Claims of the model's own greedy text are audited as generated; then the texts that the analyzer shows are: what is
contradicted, whether the conclusion is the table's emotion, which words of certainty stand at which probability, how
often one sentence comes. Last the readers of texts: texts verified in a second, and texts of 32,000 characters.
"""

from __future__ import annotations

import random
import re
import statistics
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from _record import Record, interval, parser, run
from _validation import Read, mixed_samples, open_analyzer, read_faces

from mien.analyze.analyzer import Analyzer
from mien.backends.audit import reward
from mien.backends.base import Reader
from mien.backends.onnx import PocketReader
from mien.core.nouns import Claim, Explanation, FaceResult, Sample
from mien.dialogue.ask.answer import face_answer
from mien.dialogue.ask.understand import understand
from mien.dialogue.read.claims import read_claims, split_sentences
from mien.dialogue.read.emotion import read_emotion, read_emotion_answer
from mien.dialogue.say.narrator import narrate
from mien.metrics.faithfulness import audit, count_claims, support_rate
from mien.train.data.crops import iter_pixels

FACES, BATCHED, BATCH, SHOWN = 500, 96, 16, 1000
SUPPORTED_BAR, SECONDS_BAR, SHOWN_SECONDS_BAR = 0.95, 0.4, 0.15
SAME_BAR, VERIFIED_BAR, LONG_BAR, LONG, QUESTION = 0.15, 500.0, 50.0, 32_000, 5_000
CERTAIN = re.compile(
    r"\bclearly\b|agree well|little room|no other label|certainty (?:of this reading )?is high|good certainty"
    r"|far behind|firm one|margin .* is wide|much less probable|great distance|leads by far|hardly change|clearer cases"
    r"|alone at the top|what little is left|needs to be weighed|Little speaks",
    re.IGNORECASE,
)
"""Words of the narrator that may stand only where the top probability is .8 or more."""


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
    count = SHOWN if record.options.limit is None else record.options.limit
    shown(record, analyzer, mixed_samples(count, record.options.seed + 1))
    texts(record, faces)


def shown(record: Record, analyzer: Analyzer, samples: Sequence[Sample]) -> None:
    """What a user of ``--explain`` reads."""
    images = list(iter_pixels(samples))
    start = time.perf_counter()
    bare = sum(len(frame.faces) for frame in analyzer.analyze(images, cropped=True, batch_size=BATCH))
    measured = time.perf_counter() - start
    start = time.perf_counter()
    frames = analyzer.analyze(images, cropped=True, batch_size=BATCH, explain=True)
    faces = [face for frame in frames for face in frame.faces if face.explanation is not None]
    seconds = time.perf_counter() - start - measured
    told = [(face, face.explanation) for face in faces if face.explanation is not None]
    about = {"n": len(told)}
    verdicts = [claim.verdict for _, text in told for claim in text.claims]
    record.add(
        "shown: contradicted claims", verdicts.count("contradicted"), bar=0, at_most=True, n=len(verdicts)
    )
    parts = [(text.observations, text.interpretation, text.conclusion) for _, text in told]
    holes = sum(bool(text.withheld) or not all(three) for (_, text), three in zip(told, parts, strict=True))
    record.add("shown: texts with a hole", holes, bar=0, at_most=True, **about)
    agree = [read_emotion_answer(text.conclusion).labels for _, text in told]
    named = [
        found is not None and found.emotion == face.emotion
        for found, (face, _) in zip(agree, told, strict=True)
    ]
    record.add("shown: conclusion is the table's emotion", float(np.mean(named)), bar=1.0, n=bare)
    firm = [bool(CERTAIN.search(f"{link} {conclusion}")) for _, link, conclusion in parts]
    certain = [face.emotions[face.emotion] for (face, _), sure in zip(told, firm, strict=True) if sure]
    unsure = sum(share < 0.8 for share in certain)
    record.add("shown: words of certainty below .8", unsure, bar=0, at_most=True, n=len(certain))
    record.add(
        "shown: commonest sentence of one emotion", _commonest(told), bar=SAME_BAR, at_most=True, **about
    )
    words = sum(len(text.text.split()) for _, text in told)
    record.add(
        f"shown: 100 audited words, {BATCH} faces together", 100 * seconds / words, "s", bar=SHOWN_SECONDS_BAR,
        at_most=True, **about,
    )  # fmt: skip


def _commonest(told: Sequence[tuple[FaceResult, Explanation]]) -> float:
    """Largest share of the texts of one emotion that hold the same sentence; of emotions with 20 texts or more."""
    texts: dict[str, list[set[str]]] = {}
    for face, one in told:
        sentences = {one.text[start:end] for start, end in split_sentences(one.text.replace("\n", " "))}
        texts.setdefault(face.emotion, []).append(sentences)
    shares = [0.0]
    for sets in texts.values():
        if len(sets) >= 20:
            counts = Counter(sentence for sentences in sets for sentence in sentences)
            shares.append(max(counts.values()) / len(sets))
    return max(shares)


def texts(record: Record, faces: Sequence[Read]) -> None:
    """How fast texts are read, on processor time."""
    results = [read.face for read in faces if read.face is not None]
    said = [narrate(one.aus, one.emotions, random.Random(place)).text for place, one in enumerate(results)]
    start = time.process_time()
    reward(said, results)
    record.add(
        "texts verified in a second", len(said) / (time.process_time() - start), bar=VERIFIED_BAR, n=len(said)
    )
    looped = {
        "prose": " ".join(said),
        "a list that loops": "AU1, ",
        "words that loop": "not raised brows or ",
    }
    for name, unit in looped.items():
        text = (unit * (LONG // len(unit) + 1))[:LONG]
        for kind, reader in (("claims", read_claims), ("emotions", read_emotion)):
            spent = min(_spent(reader, text) for _ in range(3))
            record.add(f"{LONG:,} characters of {kind}, {name}", spent, "ms", bar=LONG_BAR, at_most=True)
    asked = "Thank you for your patience with me. " * (QUESTION // 37) + "Is the mouth open?"
    spent = min(_spent(lambda text: face_answer(understand(text), results[0]), asked) for _ in range(3))
    record.add(
        f"a question of {QUESTION:,} characters, beside the face", spent, "ms", bar=LONG_BAR, at_most=True
    )
    tracemalloc.start()
    face_answer(understand(asked), results[0])
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    record.add("the same, memory", peak, "MB", bar=LONG_BAR, at_most=True)


def _spent(work: Callable[[str], object], text: str) -> float:
    """Milliseconds of the processor."""
    start = time.process_time()
    work(text)
    return 1000 * (time.process_time() - start)


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
