"""Read the checkable claims of an explanation, and take contradicted sentences out of it.

A claim says that one AU is present or absent, perhaps with a range of FACS levels. Whether it holds is another
room's business (`mien.metrics.faithfulness.audit`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from mien.core.nouns import Claim, Explanation
from mien.dialogue.read.codes import find_codes
from mien.dialogue.read.degrees import MASK, mask_degrees, read_degree
from mien.dialogue.read.statements import HIGHEST_DENIED, Statement, find_statements

__all__ = ["ALL_WITHHELD", "read_claims", "split_sentences", "withhold"]

ALL_WITHHELD = "Every sentence of this part was withheld because the measurement contradicts it."
"""Stands for a part of which no sentence is left."""

_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?!\s|$)|\n(?!\n))+(?:[.!?]+|(?=\n\n)|$)")
_SMALL = rf"any|the|a|an|visible|apparent|signs?|evidence|indications?|of|is|are|both|with|{MASK}+"
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:no|not|without|neither|nor|lack(?:s|ing)?|absence|free|devoid|rather\s+than|instead\s+of)\b|n't)"
    rf"(?P<small>(?:\s+(?:{_SMALL}))*)\s*$",
    re.IGNORECASE,
)
_SEEN = r"(?:visible|seen|present|observed|apparent|evident|detected|found|noted|noticeable|active|involved)"
_DENIED_AFTER = re.compile(
    r"\s*\)?,?\s*(?:(?:is|are|was|were|remains?|seems?|appears?)\s+(?:also\s+|both\s+|all\s+)*"
    rf"(?:(?:not|never|nowhere)\s+(?:to\s+be\s+)?(?:{MASK}+\s+)?{_SEEN}|absent|missing|lacking|inactive)"
    rf"|(?:isn't|aren't)\s+{_SEEN}|can(?:not|\s+not|'t)\s+be\s+{_SEEN}|do(?:es)?\s+not\s+(?:appear|occur|show)"
    r"|(?:(?:is|are|was|were)\s+not|isn't|aren't)(?=\s*(?:[.,;)]|$)))"
    rf"|\s*\)?\**\s*[-:=(,–]?\**\s*(?:not\s+(?:{MASK}+\s+)?{_SEEN}|(?:absent|inactive)\b"
    r"|(?<=[-:=(–*\s])(?:no|none|n/a)(?=\s*(?:[.,;)]|$)))",
    re.IGNORECASE,
)
# The last two lines of the pattern read "while AU4 is not." and entries such as "AU4 (brow lowerer): not present".
_JOIN = re.compile(
    r"\s*\)?(?:(?:,?\s*(?P<word>or|nor|and)|,)\s+|\s*[+/&]\s*)(?:(?:the|any|a|an|both)\s+)*$", re.IGNORECASE
)
_EXCEPTED = re.compile(
    r"\b(?:except(?:ing)?(?:\s+for)?|excluding|other\s+than|apart\s+from|besides)\s+(?:the\s+)?$",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"\s*\)?\**\s*[:–-]")
_CONDITION = re.compile(r"\b(?:if|unless|would|were\s+there)\b", re.IGNORECASE)
_NEAR = re.compile(r"[\s(\[:,-]{0,3}$")


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Character spans of the sentences of ``text``; decimals do not end one, a blank line does."""
    spans = []
    for match in _SENTENCE.finditer(text):
        body = match.group()
        start = match.start() + len(body) - len(body.lstrip())
        if start < match.end():
            spans.append((start, match.end()))
    return spans


def _denied_before(text: str, masked: str, floor: int, one: Statement) -> tuple[bool, int, bool]:
    """Denied by a word in front? Where does the denial start? Is it a denial of a high degree only?"""
    match = _DENIED_BEFORE.search(masked, floor, one.start)
    if match is None:
        return False, one.start, False
    degree = read_degree(text[slice(*match.span("small"))]) or one.level
    return True, match.start(), degree is not None and degree[0] > HIGHEST_DENIED


def _named_again(masked: str, one: Statement, other: Statement) -> bool:
    """Whether ``other`` is the same AU in other words right behind ``one``: "AU6 (cheek raiser)"."""
    return one.au == other.au and _NEAR.fullmatch(masked, one.end, other.start) is not None


def _linked(masked: str, items: list[Statement], place: int) -> bool:
    """Whether the statement at ``place`` continues a list with the one before it."""
    if not place:
        return False
    before, one = items[place - 1], items[place]
    return _named_again(masked, before, one) or _JOIN.fullmatch(masked, before.end, one.start) is not None


def _settle(text: str, masked: str, floor: int, items: list[Statement]) -> list[Statement]:
    """Apply denials that stand outside the statements of one sentence, and let them run along lists."""
    settled: list[Statement] = []
    reach = excepted = False
    for place, one in enumerate(items):
        denied, start, vague = _denied_before(text, masked, floor, one)
        excepted = bool(_EXCEPTED.search(masked, floor, one.start)) or (
            excepted and _linked(masked, items, place)
        )
        if not denied and place and reach:
            between = _JOIN.fullmatch(masked, items[place - 1].end, one.start)
            denied = between is not None and (between["word"] in {"or", "nor"} or not one.finite)
            denied = denied or _named_again(masked, items[place - 1], one)
        # A statement that shares its words with the one before (two AUs in one phrase) shares its denial.
        reach = denied
        if not vague and not excepted:
            settled.append(replace(one, start=start, denies=True, level=None) if denied else one)
    after = False
    for place in reversed(range(len(settled))):
        one = settled[place]
        joined = place + 1 < len(settled) and _linked(masked, settled, place + 1)
        after = bool(_DENIED_AFTER.match(masked, one.end)) or (after and joined and not one.finite)
        if after:
            settled[place] = replace(one, denies=True, level=None)
    return settled


def _merge(text: str, items: list[Statement]) -> Iterator[Statement]:
    """Fold statements of the same AU that overlap or touch ("AU6 (cheek raiser)") into one."""
    kept: list[Statement] = []
    for one in items:
        for place, other in enumerate(kept):
            touching = other.end <= one.start and _NEAR.fullmatch(text, other.end, one.start)
            if other.au != one.au or not (touching or (one.start < other.end and other.start < one.end)):
                continue
            kept[place] = replace(
                other,
                start=min(other.start, one.start),
                end=max(other.end, one.end),
                denies=other.denies or one.denies,
                level=None if other.denies or one.denies else other.level or one.level,
            )
            break
        else:
            kept.append(one)
    yield from kept


def _without_headings(text: str, items: list[Statement]) -> Iterator[Statement]:
    """Leave out an AU that only heads an entry which denies it: "AU26 (jaw drop): there is no jaw drop"."""
    for place, one in enumerate(items):
        heads = not one.denies and one.level is None and _ENTRY.match(text, one.end)
        if not (heads and any(other.au == one.au and other.denies for other in items[place + 1 :])):
            yield one


def read_claims(text: str) -> tuple[Claim, ...]:
    """Every statement of ``text`` about an Action Unit, in text order, verdicts still open (``unmeasured``).

    Understands movements ("the cheeks are slightly raised"), numbers ("AU6", "Action Unit 6 at level 3"), FACS
    names, lists and ranges ("AU23 to AU25"), denials ("without lowered brows") and degree words
    (`mien.dialogue.read.degrees`). Conditional sentences, denials of a high degree ("not strongly raised") and
    exceptions ("apart from AU4") hold no claim.
    """
    masked = mask_degrees(text)
    order = sorted(
        find_statements(text) + find_codes(text, masked), key=lambda one: (one.start, one.end, one.au)
    )
    claims: list[Claim] = []
    for start, end in split_sentences(text):
        condition = _CONDITION.search(text, start, end)
        limit = condition.start() if condition else end
        inside = [one for one in order if start <= one.start < limit]
        settled = _settle(text, masked, start, inside)
        claims += [
            Claim(one.au, not one.denies, one.level, one.start, one.end)
            for one in _without_headings(text, list(_merge(text, settled)))
        ]
    return tuple(sorted(claims, key=lambda claim: (claim.start, claim.end, claim.au)))


def withhold(explanation: Explanation) -> Explanation:
    """Take out every sentence that holds a contradicted claim.

    Sentences go to ``withheld`` in text order; the other claims keep their verdicts and get new spans. A part
    that loses all of its sentences says so (`ALL_WITHHELD`).
    """
    text = explanation.text
    contradicted = [claim for claim in explanation.claims if claim.verdict == "contradicted"]
    if not contradicted:
        return explanation
    parts: list[str] = []
    withheld: list[str] = []
    moved: list[tuple[int, Claim]] = []
    for part, offset in zip(_parts(explanation), _part_starts(explanation), strict=True):
        kept = ""
        for start, end in ((low + offset, high + offset) for low, high in split_sentences(part)):
            if any(claim.start < end and start < claim.end for claim in contradicted):
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
