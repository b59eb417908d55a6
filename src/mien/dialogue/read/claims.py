"""Read the checkable claims of a text about a face, and take contradicted sentences out of an explanation.

A claim says that one AU is present or absent, perhaps with a range of FACS levels and a side. Whether it holds is
another room's business (`mien.metrics.faithfulness.audit`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from mien.core.errors import require_text
from mien.core.nouns import Claim, Explanation
from mien.dialogue.read.scan import Side
from mien.dialogue.read.statements import find_statements

__all__ = ["ALL_WITHHELD", "read_claims", "split_sentences", "withhold"]

ALL_WITHHELD = "Every sentence of this part was withheld because the measurement contradicts it."
"""Stands for a part of which no sentence is left."""

_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?!\s|$)|\n(?!\n))+(?:[.!?]+|(?=\n\n)|$)")
_NEAR = re.compile(r"[\s(\[:,*_\u2013-]{0,6}$")
_ENTRY = re.compile(r"[\s)*_]*[:\u2013-]")
_REACH = 6
"""Claims looked back at for one of the same AU."""


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Character spans of the sentences of ``text``; decimals do not end one, a blank line does."""
    spans = []
    for match in _SENTENCE.finditer(text):
        body = match.group()
        start = match.start() + len(body) - len(body.lstrip())
        if start < match.end():
            spans.append((start, match.end()))
    return spans


def read_claims(text: str, uncertain: bool = False) -> tuple[Claim, ...]:
    """Every statement of ``text`` about an Action Unit, in text order, verdicts still open (``unmeasured``).

    Understands movements ("the cheeks are slightly raised"), numbers ("AU6", "AU1+2+5", "6B+12C"), FACS names, lists
    and ranges ("AU23 to AU25"), headings ("Absent: AU1"), questions with their answer, denials, contrasts ("raised
    rather than lowered"), levels in words, letters, numbers and per cent, and sides. Denials of a high degree ("not
    strongly raised"), questions without an answer, conditions and hedges ("AU12 may be present") claim nothing.

    Args:
        text: any text; 32,000 characters take less than 50 ms.
        uncertain: also give what is only supposed, as claims with ``uncertain=True``.
    """
    require_text(text, "a text to read")
    kept: list[_Found] = []
    for one in find_statements(text):
        if one.hedged and not uncertain:
            continue
        for au in one.move.aus:
            found = _Found(au, not one.denied, one.level, one.start, one.end, one.side, one.hedged, one.code)
            other = _same(text, kept, found)
            if other is None:
                kept.append(found)
            else:
                other.fold(found)
    return tuple(one.claim() for one in _without_entries(text, kept))


@dataclass(slots=True)
class _Found:
    """A claim under construction."""

    au: str
    present: bool
    level: tuple[int, int] | None
    start: int
    end: int
    side: Side
    uncertain: bool
    code: bool

    def fold(self, other: _Found) -> None:
        """Take in the same AU in other words."""
        self.present = self.present and other.present
        self.level = (self.level or other.level) if self.present else None
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        self.side = self.side or other.side

    def claim(self) -> Claim:
        return Claim(
            self.au, self.present, self.level, self.start, self.end, side=self.side, uncertain=self.uncertain
        )  # fmt: skip


def _same(text: str, kept: list[_Found], found: _Found) -> _Found | None:
    """A claim of the same AU in the same words or right before: "AU6 (cheek raiser)"."""
    for place in range(1, min(len(kept), _REACH) + 1):
        other = kept[-place]
        if other.au != found.au or other.uncertain != found.uncertain:
            continue
        apart = other.end <= found.start
        if not apart or _NEAR.fullmatch(text, other.end, found.start):
            sides = {other.side, found.side}
            if apart or len(sides) == 1 or None in sides:
                return other
        return None
    return None


def _without_entries(text: str, kept: list[_Found]) -> Iterator[_Found]:
    """Leave out an AU that only heads an entry which denies it: "AU26 (jaw drop): there is no jaw drop"."""
    for place, one in enumerate(kept):
        heads = one.code and one.present and one.level is None and _ENTRY.match(text, one.end)
        ahead = kept[place + 1 : place + 1 + _REACH] if heads else ()
        denial = next((other for other in ahead if other.au == one.au), None)
        if denial is None or denial.present or "\n\n" in text[one.end : denial.start]:
            yield one


def withhold(explanation: Explanation, unseen: Collection[str] = ()) -> Explanation:
    """Take out every sentence that holds a contradicted claim, or one about an AU that something hides (``unseen``).

    Sentences go to ``withheld`` in text order; the other claims keep their verdicts and get new spans. A part
    that loses all of its sentences says so (`ALL_WITHHELD`).
    """
    text = explanation.text
    wrong = [one for one in explanation.claims if one.verdict == "contradicted" or one.au in unseen]
    if not wrong:
        return explanation
    parts: list[str] = []
    withheld: list[str] = []
    moved: list[tuple[int, Claim]] = []
    for part, offset in zip(_parts(explanation), _part_starts(explanation), strict=True):
        kept = ""
        for start, end in ((low + offset, high + offset) for low, high in split_sentences(part)):
            if any(claim.start < end and start < claim.end for claim in wrong):
                withheld.append(text[start:end])
                continue
            kept += (" " if kept else "") + text[start:end]
            shift = len(kept) - end
            inside = [claim for claim in explanation.claims if start <= claim.start and claim.end <= end]
            moved += [(len(parts), replace(c, start=c.start + shift, end=c.end + shift)) for c in inside]
        parts.append(kept or (ALL_WITHHELD if part else ""))
    observations, interpretation, conclusion = parts
    gone = (*explanation.withheld, *withheld)
    bare = Explanation(observations, interpretation, conclusion, withheld=gone)
    starts = _part_starts(bare)
    shifted = (replace(c, start=c.start + starts[part], end=c.end + starts[part]) for part, c in moved)
    return replace(bare, claims=tuple(shifted))


def _parts(explanation: Explanation) -> tuple[str, str, str]:
    return explanation.observations, explanation.interpretation, explanation.conclusion


def _part_starts(explanation: Explanation) -> list[int]:
    """Where each part starts in `Explanation.text`; its headings end in ": "."""
    starts, offset = [], 0
    for part in _parts(explanation):
        starts.append(explanation.text.index(": ", offset) + 2)
        offset = starts[-1] + len(part)
    return starts
