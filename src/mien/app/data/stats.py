"""Counting what a dataset holds: one pass per split, memory for the counts only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mien.app.terminal import shown

if TYPE_CHECKING:
    from rich.table import Table

    from mien.core.nouns import Labels, Sample

__all__ = ["AFFECT_CELLS", "INTENSITY_BINS", "WORDS_STEP", "Stats", "count_labels", "stats_tables"]

AFFECT_CELLS = 20
"""Cells per axis of the count over valence and arousal, each -1..1."""
INTENSITY_BINS = 10
"""Bins of an intensity 0..1."""
WORDS_STEP = 10
"""Width of a bin of description lengths, in words."""
_BAR = 24


@dataclass(slots=True)
class Stats:
    """Counts of one split."""

    samples: int = 0
    unlabelled: int = 0
    """Samples without any emotion."""
    subjects: Counter[str] = field(default_factory=Counter)
    """Subject -> samples."""
    emotions: Counter[str] = field(default_factory=Counter)
    units: dict[str, Counter[str]] = field(default_factory=dict)
    """AU key or FEAFA name -> how often ``present`` and ``coded``; present: marked so, level >= 1, or intensity > 0."""
    levels: dict[str, Counter[int]] = field(default_factory=dict)
    """AU key -> FACS level 0..5 -> samples."""
    intensities: dict[str, Counter[int]] = field(default_factory=dict)
    """AU key or FEAFA name -> bin of its intensity -> samples."""
    affect: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Cell of valence, cell of arousal -> samples."""
    words: Counter[int] = field(default_factory=Counter)
    """Bin of the length of description or chain of thought -> samples."""
    smiles: Counter[bool] = field(default_factory=Counter)
    groups: dict[str, Counter[str]] = field(default_factory=dict)
    """``age``, ``gender``, ``ethnicity`` -> value -> samples."""

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        labels = sample.labels
        self.samples += 1
        if sample.subject is not None:
            self.subjects[sample.subject] += 1
        if labels.emotion is None:
            self.unlabelled += 1
        else:
            self.emotions[labels.emotion] += 1
        self._add_units(labels)
        if labels.valence is not None and labels.arousal is not None:
            self.affect[_cell(labels.valence), _cell(labels.arousal)] += 1
        text = labels.description or labels.chain_of_thought
        if text is not None:
            self.words[len(text.split()) // WORDS_STEP] += 1
        if labels.smile is not None:
            self.smiles[labels.smile] += 1
        for name, value in labels.group.items():
            self.groups.setdefault(name, Counter())[_group_value(name, value)] += 1

    def _add_units(self, labels: Labels) -> None:
        marks: Mapping[str, float] = labels.au_presence or labels.au_level or labels.au_intensity or {}
        for key, mark in marks.items():
            counts = self.units.setdefault(key, Counter(present=0, coded=0))
            counts["coded"] += 1
            counts["present"] += mark > 0
        for key, level in (labels.au_level or {}).items():
            self.levels.setdefault(key, Counter())[level] += 1
        for key, value in (labels.au_intensity or {}).items():
            place = min(int(value * INTENSITY_BINS), INTENSITY_BINS - 1)
            self.intensities.setdefault(key, Counter())[place] += 1

    @property
    def imbalance(self) -> float | None:
        """Samples of the most frequent emotion per sample of the rarest; None with fewer than two emotions."""
        counts = sorted(self.emotions.values())
        return counts[-1] / counts[0] if len(counts) > 1 else None

    def summary(self) -> dict[str, object]:
        """The counts as plain JSON values; empty ones are left out."""
        always: dict[str, object] = {
            "samples": self.samples,
            "without_emotion": self.unlabelled,
            "subjects": len(self.subjects),
            "emotions": dict(self.emotions.most_common()),
            "action_units": {key: dict(counts) for key, counts in sorted(self.units.items())},
        }
        if self.subjects:
            sizes = sorted(self.subjects.values())
            middle = sizes[len(sizes) // 2]
            always["samples_per_subject"] = {"least": sizes[0], "middle": middle, "most": sizes[-1]}
        by_level = {
            key: {str(level): counts[level] for level in sorted(counts)}
            for key, counts in sorted(self.levels.items())
        }
        more: dict[str, object] = {
            "levels": by_level,
            "smile": {str(smiling).lower(): count for smiling, count in self.smiles.items()},
            "groups": {name: dict(counts.most_common()) for name, counts in self.groups.items()},
            "with_valence_and_arousal": self.affect.total(),
            "with_text": self.words.total(),
        }
        return always | {key: value for key, value in more.items() if value}


def _cell(value: float) -> int:
    return min(int((value + 1.0) / 2.0 * AFFECT_CELLS), AFFECT_CELLS - 1)


def _group_value(name: str, value: str) -> str:
    """The value itself, an age in years as its decade."""
    if name == "age" and value.replace(".", "", 1).isdecimal():
        decade = int(float(value)) // 10 * 10
        return f"{decade}-{decade + 9}"
    return value or "(not given)"


def count_labels(samples: Iterable[Sample]) -> Stats:
    """Count one split in a single pass; memory grows with the number of subjects only."""
    stats = Stats()
    for sample in samples:
        stats.add(sample)
    return stats


def stats_tables(stats: Stats) -> Iterator[Table]:
    """The distributions of one split for the terminal."""
    if stats.emotions:
        rows = stats.emotions.most_common()
        if stats.unlabelled:
            rows.append(("(none)", stats.unlabelled))
        yield _shares("emotion", rows, stats.samples)
    if stats.smiles:
        words = {True: "smile", False: "no smile"}
        yield _shares("smile", [(words[s], n) for s, n in stats.smiles.most_common()], stats.smiles.total())
    if stats.units:
        yield _units(stats)
    for name, counts in stats.groups.items():
        rows = sorted(counts.items()) if name == "age" else counts.most_common(12)
        yield _shares(name, rows, counts.total())


def _shares(title: str, rows: list[tuple[str, int]], total: int) -> Table:
    from rich.table import Table

    table = Table(title, "samples", "share", "", box=None, pad_edge=False)
    top = max(count for _, count in rows)
    for word, count in rows:
        bar = "" if word == "(none)" else "█" * max(1, round(_BAR * min(count / top, 1.0)))
        table.add_row(shown(word), f"{count:,}", f"{100 * count / total:.1f} %", bar)
    return table


def _units(stats: Stats) -> Table:
    from rich.table import Table

    table = Table("Action Unit", "present", "coded", "share", "", box=None, pad_edge=False)
    for key, counts in sorted(stats.units.items()):
        share = counts["present"] / counts["coded"]
        bar = "█" * round(_BAR * share)
        table.add_row(key, f"{counts['present']:,}", f"{counts['coded']:,}", f"{100 * share:.1f} %", bar)
    return table
