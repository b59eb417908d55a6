"""Statistics of FABA-style data: the paper's Table 2 and the three parts of its figure 6 (Li et al. 2024, EmoLA).

Figure 6: (a) how often each Action Unit is described, (b) how often each emotion, told by synonyms, (c) which words
are used most. `mien.app.annotate.faba_page` draws them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from mien.annotate.faba.filters import affirmed_units
from mien.core.aus import AU_SETS
from mien.core.emotions import canonical, order
from mien.dialogue.read.emotion import count_words
from mien.metrics.rege import SYNONYMS

__all__ = ["PUBLISHED", "FabaStatistics", "described_emotion", "faba_statistics"]


PUBLISHED: Mapping[str, float] = MappingProxyType(
    {
        "Total images": 19_877,
        "Emotion training samples": 19_474,
        "Emotion testing samples": 403,
        "Emotion description average length": 50.47,
        "AU training samples": 15_835,
        "AU testing samples": 350,
        "AU description average length": 207.35,
    }
)
"""The paper's Table 2, for comparison."""

_EMOTIONS: tuple[str, ...] = tuple(str(canonical(word)) for word in order("faba"))
_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
_EDGES = (25, 50, 75, 100, 150, 200, 250, 300, 400)
_CLOUD = 60
_STOP = frozenset(
    (
        "a an and are as at be been but by can could do does for from has have in indicate indicates into is it its "
        "may might more of on or other s so such than that the their them there these they this to towards very was "
        "were which while who with would also not no be both any some each all only face facial person person's "
        "individual expression expressions au aus action unit units"
    ).split()
)


def described_emotion(text: str) -> str | None:
    """The emotion of FABA's seven that a description tells, by the paper's rule (section 3.2).

    The emotion with most synonyms wins, the one named first in a tie; denied words do not count, where the released
    code leaves out whole sentences (and takes "nose" for a negation). None when no synonym is left.
    """
    counts = count_words(text, SYNONYMS)
    return max(counts, key=lambda emotion: counts[emotion]) if counts else None


@dataclass(frozen=True, slots=True)
class FabaStatistics:
    """What Table 2 and figure 6 show."""

    images: int
    train: Mapping[str, int]
    """Training samples by task, ``emotion`` and ``au``."""
    test: Mapping[str, int]
    words: Mapping[str, float]
    """Mean words per description by task; 0 without descriptions."""
    lengths: Mapping[str, Mapping[str, int]]
    """Histogram of words per task: ``"25-49"`` -> descriptions."""
    emotions: Mapping[str, int]
    """Figure 6b: training descriptions by emotion; ``"none"`` counts those without a synonym."""
    aus: Mapping[str, int]
    """Figure 6a: training descriptions that say an AU is present, by AU key."""
    cloud: Mapping[str, Mapping[str, int]]
    """Figure 6c: the most frequent words of each task's training descriptions, most frequent first."""
    instructions: Mapping[str, int]
    """Distinct instructions by task."""

    def table(self) -> list[tuple[str, float]]:
        """The rows of Table 2, under the paper's names (`PUBLISHED`)."""
        return [
            ("Total images", self.images),
            ("Emotion training samples", self.train["emotion"]),
            ("Emotion testing samples", self.test["emotion"]),
            ("Emotion description average length", self.words["emotion"]),
            ("AU training samples", self.train["au"]),
            ("AU testing samples", self.test["au"]),
            ("AU description average length", self.words["au"]),
        ]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values, the table beside the published one."""
        table = {name: {"here": value, "published": PUBLISHED[name]} for name, value in self.table()}
        return {"table": table, **asdict(self)}


def faba_statistics(
    train: Sequence[Mapping[str, Any]], test: Sequence[Mapping[str, Any]] = ()
) -> FabaStatistics:
    """Count rows of the faba engine.

    Args:
        train: rows of the training part, both tasks.
        test: rows of the test part.
    """
    texts: dict[str, list[str]] = {"emotion": [], "au": []}
    asked: dict[str, set[str]] = {"emotion": set(), "au": set()}
    for row in train:
        texts[row["task"]].append(row["conversations"][-1]["value"])
        asked[row["task"]].add(row["conversations"][0]["value"])
    lengths = {
        task: [
            len(str(row["conversations"][-1]["value"]).split())
            for row in (*train, *test)
            if row["task"] == task
        ]
        for task in texts
    }
    found = Counter(described_emotion(text) or "none" for text in texts["emotion"])
    units = Counter(key for text in texts["au"] for key in affirmed_units(text))
    return FabaStatistics(
        images=len({row["image"] for row in (*train, *test)}),
        train={task: len(texts[task]) for task in texts},
        test={task: sum(row["task"] == task for row in test) for task in texts},
        words={task: round(sum(own) / len(own), 2) if own else 0.0 for task, own in lengths.items()},
        lengths={task: _histogram(own) for task, own in lengths.items()},
        emotions={name: found[name] for name in (*_EMOTIONS, "none")},
        aus={key: units[key] for key in AU_SETS["faba20"]},
        cloud={task: _cloud(own) for task, own in texts.items()},
        instructions={task: len(own) for task, own in asked.items()},
    )


def _histogram(lengths: Iterable[int]) -> dict[str, int]:
    edges = (0, *_EDGES)
    names = [f"{low}-{high - 1}" for low, high in pairwise(edges)] + [f"{edges[-1]}+"]
    places = Counter(sum(length >= edge for edge in _EDGES) for length in lengths)
    return {name: places[place] for place, name in enumerate(names)}


def _cloud(texts: Iterable[str]) -> dict[str, int]:
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower()) if word not in _STOP)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: counts[word] for word in ranked[:_CLOUD]}
