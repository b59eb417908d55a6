"""REGE of FABA-Bench (Li et al. 2024): does a description recognise (S_re), and is it told as the reference (S_ge)?

``S_rege = S_re + S_ge``, both in percent. S_re is the accuracy of the emotion read out of a description, or the mean
F1 of twelve AUs; S_ge is the mean ROUGE-L F of the PyPI package ``rouge`` 1.0.1 (a set of words per longest common
subsequence, not the variant of ``rouge-score``).

Modes
    ``official``          the released script's verdicts, oddities included: negations count inside words ("nose" drops
                          its sentence), no synonym at all means happiness, an AU that is the same in every row on both
                          sides leaves the mean in silence, samples whose ROUGE fails leave the mean of S_ge.
    ``official-all-aus``  the same verdicts; the mean of S_re runs over all twelve AUs.
    ``strict``            negations are words, spellings such as "sad" count, AUs are read with their denials
                          ("no AU4"), nothing is guessed: no emotion, or a tie, is wrong; every AU and every sample is
                          in its mean.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from mien.core.aus import AU_SETS, au_key
from mien.core.emotions import canonical, order
from mien.core.errors import BadData, require_known
from mien.dialogue.read.claims import read_claims
from mien.metrics.result import Result

__all__ = ["MODES", "SYNONYMS", "TASKS", "RegeRow", "RegeScore", "read_aus", "read_emotion", "rege", "rouge"]

MODES: tuple[str, ...] = ("official", "official-all-aus", "strict")
TASKS: tuple[str, ...] = ("emotion", "au")

SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        emotion: tuple(words.split())
        for emotion, words in {
            "happiness": "happiness happy smiling smile pleasant content contentment relaxed relaxation cheerful joy "
            "amusement amused positivity positive lightheartedness joyful friendly warmth bright",
            "sadness": "sadness crying distress concern discomfort anguish somber",
            "surprise": "surprise surprised startled puzzled astonishment disbelief wonder curiosity curious confusion "
            "bewilderment skepticism excitement uncertainty",
            "anger": "anger mad irate outraged agitation irritated enraged annoyed incensed serious frustration "
            "displeased stern",
            "neutral": "neutral neutrality calm contemplative concerned thoughtful focused solemn mild",
            "disgust": "disgust distaste disgusted discomfort displeasure displeased disapproval disdain contempt",
            "fear": "fear shock anxiety apprehension tension panic alertness focus worry alarm curiosity contemplation",
        }.items()
    }
)
"""The published words of each emotion, in the script's order: it decides ties, and words that stand in two lists."""
_NEGATIVES = ("not", "no", "isn't ", "nothing", "cannot", "won't", "shouldn't", "neither", "nor")
_SENTENCES = re.compile(r"(?<!\w\.\w.)(?<![A-Z][a-z]\.)(?<=\.|\?)\s")
_FIRST = re.compile(r"^(.*?)[.!?]")
_WORDS = re.compile(r"\b\w+\b")
_STRICT_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n+")
_STRICT_NEGATIVE = re.compile(
    r"\b(?:not|no|nothing|cannot|neither|nor|never|without)\b|n[’']t\b", re.IGNORECASE
)
_CODE = re.compile(r"AU(\d+)")
_DEEPEST = 960
"""Steps of back-tracking at which the released code's recursion ends in an error (Python's limit is 1,000 frames)."""


@dataclass(frozen=True, slots=True)
class RegeRow:
    """One test item and the answer to it."""

    prediction: str
    label: str
    """As in FABA-Instruct's test files: ``"Happiness"`` or ``"0"``; ``"1, 4, 7"``."""
    reference: str | None = None
    """Description that the answer is compared with; None where there is none."""


@dataclass(frozen=True, slots=True)
class RegeScore:
    """Figures in percent."""

    task: str
    mode: str
    recognition: Result
    """S_re: accuracy over the rows, or mean F1 over AUs with the F1 of each in ``parts`` (NaN: left out)."""
    generation: Result
    """S_ge; ``n`` is the number of rows in its mean."""
    absent: tuple[str, ...] = ()
    """AUs without a positive in truth and answers."""
    skipped: tuple[str, ...] = ()
    """AUs that the official mean leaves out."""
    printed: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """F1 by AU as the released script prints it: behind a skipped AU the names shift."""
    unread: int = 0
    """Rows without an emotion: official, the script stops there (no end of sentence); counted as wrong."""
    unscored: int = 0
    """Rows with a reference whose ROUGE fails: outside the official mean, 0 in the strict one."""

    @property
    def total(self) -> float:
        """S_rege, 0..200."""
        return self.recognition.value + self.generation.value


# -- emotions ------------------------------------------------------------------------------------------


def read_emotion(text: str, mode: str = "official") -> str | None:
    """The emotion, one of seven, that the benchmark reads in a description.

    Args:
        text: the description.
        mode: one of `MODES`.

    Returns:
        None: official, the released script stops with an error, because what is left of the text has no ``.``, ``!``
        or ``?`` before its first line break; strict, no emotion is affirmed, or two equally often.
    """
    require_known(mode, MODES, "mode")
    if mode == "strict":
        return _strict_emotion(text)
    kept = " ".join(s for s in _SENTENCES.split(text) if not any(word in s.lower() for word in _NEGATIVES))
    kept = kept or text
    first = _FIRST.match(kept)
    if first is None:
        return None
    for word in _WORDS.findall(first[1].lower()):
        for emotion, synonyms in SYNONYMS.items():
            if word in synonyms:
                return emotion
    rest = _WORDS.findall(_FIRST.sub("", kept).lower())
    counts = {emotion: sum(word in words for word in rest) for emotion, words in SYNONYMS.items()}
    return max(counts, key=lambda emotion: counts[emotion])


def _emotions_of(word: str) -> list[str]:
    named = [emotion for emotion, synonyms in SYNONYMS.items() if word in synonyms]
    spelt = canonical(word)
    return named or ([spelt] if spelt is not None and spelt in SYNONYMS else [])


def _strict_emotion(text: str) -> str | None:
    sentences = [s for s in _STRICT_SENTENCES.split(text) if s.strip() and not _STRICT_NEGATIVE.search(s)]
    hits = [[_emotions_of(word) for word in _WORDS.findall(s.lower())] for s in sentences]
    for emotions in hits[0] if hits else ():
        if len(emotions) == 1:
            return emotions[0]
    counts = Counter(
        emotion for sentence in hits for emotions in sentence for emotion in emotions
    ).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


# -- Action Units --------------------------------------------------------------------------------------


def read_aus(text: str, mode: str = "official", index: str = "faba20") -> dict[str, bool]:
    """Presence of each AU of an index, as the benchmark reads it in a description.

    Args:
        text: the description.
        mode: official, ``AU`` and digits in this very form ("AU 6" and "AU06" are missed, "no AU4" counts); strict,
            every affirmed code, name or movement.
        index: a key of `mien.core.aus.AU_SETS`; other AUs are ignored.
    """
    require_known(mode, MODES, "mode")
    require_known(index, AU_SETS, "AU set")
    if mode == "strict":
        named = {claim.au for claim in read_claims(text) if claim.present}
    else:
        named = _keys(_CODE.findall(text))
    return {key: key in named for key in AU_SETS[index]}


def _keys(numbers: Iterable[str]) -> set[str]:
    """Keys of numbers without a leading zero: the script compares digits as text."""
    return {f"AU{int(number):02d}" for number in numbers if number.isdecimal() and str(int(number)) == number}


# -- generation ----------------------------------------------------------------------------------------


def rouge(prediction: str, reference: str, mode: str = "official") -> float | None:
    """ROUGE-L F of the package ``rouge`` 1.0.1, 0..1.

    Returns:
        None where the released script fails and leaves the sample out: a text without anything but full stops, or a
        sentence so long that its recursion breaks. Strict: 0 and the value, in its place.
    """
    require_known(mode, MODES, "mode")
    told, true = _pieces(prediction), _pieces(reference)
    if not told or not true:
        return 0.0 if mode == "strict" else None
    shared: set[str] = set()
    for sentence in true:
        for other in told:
            common, steps = _common(sentence, other)
            if steps > _DEEPEST and mode != "strict":
                return None
            shared |= common
    recall = len(shared) / len({word for piece in true for word in piece})
    precision = len(shared) / len({word for piece in told for word in piece})
    return 2.0 * (precision * recall / (precision + recall + 1e-8))


def _pieces(text: str) -> list[list[str]]:
    """Words of the pieces between full stops; a piece of white space is one empty word."""
    return [" ".join(piece.split()).split(" ") for piece in text.split(".") if piece]


def _common(x: Sequence[str], y: Sequence[str]) -> tuple[set[str], int]:
    """Words of the longest common subsequence, and the steps that finding it takes."""
    table = [[0] * (len(y) + 1)]
    for word in x:
        above, row = table[-1], [0]
        for place, other in enumerate(y):
            row.append(above[place] + 1 if word == other else max(above[place + 1], row[place]))
        table.append(row)
    found: set[str] = set()
    i, j, steps = len(x), len(y), 0
    while i and j:
        steps += 1
        if x[i - 1] == y[j - 1]:
            found.add(x[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found, steps


# -- the score -----------------------------------------------------------------------------------------


def rege(rows: Sequence[RegeRow], task: str, mode: str = "official", evaluated: str = "faba12") -> RegeScore:
    """REGE of a test set.

    Args:
        rows: items with their answers.
        task: ``"emotion"`` or ``"au"``.
        mode: one of `MODES`.
        evaluated: AU set that S_re runs over; FABA's index is read, or this set where it is no part of it.
    """
    require_known(task, TASKS, "task")
    require_known(mode, MODES, "mode")
    require_known(evaluated, AU_SETS, "AU set")
    scores = [rouge(row.prediction, row.reference, mode) for row in rows if row.reference is not None]
    told = [100.0 * score for score in scores if score is not None]
    mean = math.fsum(told) / len(told) if told else math.nan
    failed = sum(score is None for score in scores)
    if mode == "strict":
        failed = sum(
            rouge(row.prediction, row.reference) is None for row in rows if row.reference is not None
        )
    generation = Result("S_ge", mean, len(told))
    if task == "emotion":
        read = [read_emotion(row.prediction, mode) for row in rows]
        hits = sum(_emotion(row.label) == said for row, said in zip(rows, read, strict=True))
        accuracy = Result("S_re", 100.0 * hits / len(rows) if rows else math.nan, len(rows))
        return RegeScore(task, mode, accuracy, generation, unread=read.count(None), unscored=failed)
    return _au_score(rows, mode, AU_SETS[evaluated], generation, failed)


def _emotion(label: str) -> str:
    words = order("faba")
    said = words[int(label)] if label.isdecimal() and int(label) < len(words) else label
    if said not in words:
        raise BadData(
            got=f"label {label!r}",
            expected=f"0..6 or one of {', '.join(words)}",
            fix="Leave the item out: the benchmark has no such emotion",
        )
    return said.lower()


def _au_score(
    rows: Sequence[RegeRow], mode: str, units: Sequence[str], generation: Result, failed: int
) -> RegeScore:
    index = "faba20" if set(units) <= set(AU_SETS["faba20"]) else next(
        name for name, keys in AU_SETS.items() if tuple(keys) == tuple(units)
    )  # fmt: skip
    said = np.asarray([list(read_aus(row.prediction, mode, index).values()) for row in rows], bool)
    true = np.asarray([[key in _au_label(row.label, mode) for key in AU_SETS[index]] for row in rows], bool)
    parts: dict[str, float] = {}
    absent: list[str] = []
    skipped: list[str] = []
    for key in units:
        column = AU_SETS[index].index(key)
        told, there = (said[:, column], true[:, column]) if rows else (np.zeros(0, bool), np.zeros(0, bool))
        hits = int((told & there).sum())
        parts[key] = 200.0 * hits / (int(told.sum()) + int(there.sum())) if hits else 0.0
        if not told.any() and not there.any():
            absent.append(key)
        if len({*told.tolist(), *there.tolist()}) < 2:
            skipped.append(key)
    if mode != "official":
        skipped = []
    kept = {key: value for key, value in parts.items() if key not in skipped}
    mean = math.fsum(kept.values()) / len(kept) if kept and rows else math.nan
    shown = {key: kept.get(key, math.nan) for key in parts}
    # The script pairs all names with the values that are left.
    printed = dict(zip(parts, kept.values(), strict=False)) if mode == "official" else {}
    recognition = Result("S_re", mean, len(kept) if rows else 0, MappingProxyType(shown))
    return RegeScore(
        "au",
        mode,
        recognition,
        generation,
        tuple(absent),
        tuple(skipped),
        MappingProxyType(printed),
        0,
        failed,
    )


def _au_label(label: str, mode: str) -> set[str]:
    """Keys of a test file's label; the script takes "1, 4" apart at ", " and nothing else."""
    if mode != "strict":
        return _keys(label.split(", "))
    return {au_key(number) for number in re.findall(r"\d+", label)}
