"""Degree words and the FACS levels they claim: one public table, shared by the narrator and the claim reader.

A degree word names a range of levels, not a point: "slightly" fits levels 1 and 2. The narrator chooses among
the words whose range holds the measured level; the reader turns the word back into its range.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEGREES", "Degree", "degrees_for"]


@dataclass(frozen=True, slots=True)
class Degree:
    """Words that claim the same range of levels."""

    levels: tuple[int, int]
    """Lowest and highest FACS level, both included."""
    before: tuple[str, ...]
    """Adverbs that stand before a verb form: ``"slightly raised"``."""
    after: tuple[str, ...]
    """Adverbials that stand after a verb form: ``"raised to a small degree"``."""
    noun: tuple[str, ...]
    """Determiners of a movement noun: ``"a slight lift"``."""
    also_read: tuple[str, ...] = ()
    """Words that the narrator does not use and free text does."""


DEGREES: tuple[Degree, ...] = (
    Degree(
        (1, 1),
        ("barely", "faintly", "very slightly"),
        ("faintly", "very slightly", "by a trace"),
        ("a trace of", "a hint of", "a faint", "a very slight"),
        ("just barely", "hardly", "scarcely", "minimally", "minimal", "barely visible", "barely noticeable",
         "very subtle", "very subtly", "very mild", "very low degree of", "touch of"),
    ),
    Degree(
        (1, 2),
        ("slightly", "a little"),
        ("slightly", "a little", "to a small degree"),
        ("a slight", "a small"),
        ("subtly", "subtle", "lightly", "light", "gently", "gentle", "somewhat", "softly", "soft", "a bit",
         "a slight degree of", "to a slight degree", "to a low degree", "weakly", "weak", "tiny"),
    ),
    Degree((2, 2), ("mildly",), ("mildly",), ("a mild",), ("to a mild degree",)),
    Degree(
        (2, 3),
        ("moderately",),
        ("moderately", "to a moderate degree"),
        ("a moderate",),
        ("a moderate degree of", "fairly", "partially", "partly", "partial", "medium", "half", "halfway"),
    ),
    Degree((2, 4), ("noticeably",), ("noticeably",), ("a noticeable",), ("visibly", "notably", "notable")),
    Degree(
        (3, 4),
        ("clearly", "markedly"),
        ("clearly", "markedly"),
        ("a clear", "a marked", "a pronounced"),
        ("distinctly", "distinct", "significantly", "significant", "considerably", "considerable",
         "prominently", "prominent", "substantially", "substantial", "evident", "evidently"),
    ),
    Degree((3, 5), (), (), (), ("broadly", "broad", "widely", "firmly", "firm", "tightly", "deeply", "deep",
                                "greatly", "sharply", "sharp", "highly", "heavily", "heavy")),
    Degree(
        (4, 5),
        ("strongly",),
        ("strongly", "to a high degree"),
        ("a strong", "an intense"),
        ("intensely", "a high degree of", "severely", "severe", "forcefully", "fully", "very clearly", "very clear",
         "very markedly", "very pronounced", "very noticeably"),
    ),
    Degree(
        (5, 5),
        ("very strongly",),
        ("very strongly", "as far as possible"),
        ("an extreme", "a very strong"),
        ("extremely", "maximally", "maximal", "maximum", "completely", "complete", "to the maximum",
         "to an extreme degree", "very intense", "very intensely", "entirely"),
    ),
)  # fmt: skip
"""All degree words. Levels 1..5 are FACS letters A..E."""


def degrees_for(level: int) -> tuple[Degree, ...]:
    """The entries whose range holds ``level`` (1..5) and that the narrator may use."""
    return tuple(entry for entry in DEGREES if entry.before and entry.levels[0] <= level <= entry.levels[1])
