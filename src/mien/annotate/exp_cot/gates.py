"""mien's own checks of the Exp-CoT engine: a teacher's "Correct" is not taken on trust.

Each check gives a `Fault` with a reason from a closed list, so that rejections can be counted. What a text says of
movements is read by `mien.dialogue.read.movements`; degrees must agree with the value within one FACS level on
either side of the named range, as in `mien.metrics.faithfulness`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from mien.core.emotions import EMOTIONS, canonical
from mien.dialogue.read.cot import Unparsed, read_explanation, say_explanation
from mien.dialogue.read.emotion import read_emotion_answer
from mien.dialogue.read.feafa_words import MOVEMENTS_24, NAME_PLACES, level_of
from mien.dialogue.read.movements import OPEN_MOUTH, OTHER_MOVEMENTS, MovementClaim, read_movements
from mien.metrics.faithfulness import TOLERANCE

__all__ = [
    "MAX_WORDS",
    "Fault",
    "claims_of",
    "concluded_labels",
    "description_faults",
    "movement_faults",
    "read_expression",
    "read_verdict",
    "refined_faults",
    "word_count",
]  # fmt: skip

MAX_WORDS = 130
"""ExpLLM's limit for a refined text, headings included."""
_OPENS_MOUTH = ("jaw drop", "lower lip depress", "upper lip raise", "lip corner pull", "lip corner stretch")
_INDEX = re.compile(r"\bA\.?U\.?\s*[-_#]?\s*\d+|\baction\s+units?\s+\d+", re.IGNORECASE)
# "It" and "its" name the face or a movement in these texts, so they are no personal pronouns here.
_PRONOUN = re.compile(
    r"\b(?:I|me|my|mine|myself|we|us|our|ours|ourselves|you|your|yours|yourself|yourselves|he|him|his|himself|she|her|"
    r"hers|herself|they|them|their|theirs|themselves|themself)\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^\W*(?:i(?:['\u2019]m| am) (?:very |really )?sorry|sorry,|as an ai\b|unfortunately, i\b|"
    r"i (?:can(?:no|'|\u2019)t|am (?:not able|unable)|won['\u2019]t|will not)\b)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z]+", re.IGNORECASE)
_LOOKS = {"smile", "smiling", "calm"}
_CLAUSE = re.compile(r"[.!?;:,\n]|\b(?:but|while|although|though|yet)\b", re.IGNORECASE)
_ASIDE = re.compile(
    r"\b(?:no|not|never|without|neither|nor|rather\s+than|instead\s+of|despite|unlike|absence|ruling\s+out|rules?\s+out)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason against a text."""

    reason: str
    """From a closed list: ``"AU missing"``, ``"degree mismatch"``, ``"movement not given"``, ``"AU denied"``,
    ``"refused"``, ``"empty"``, ``"heads missing"``, ``"too long"``, ``"AU index"``, ``"personal pronoun"``,
    ``"label not concluded"``."""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


@lru_cache(maxsize=512)
def claims_of(text: str) -> tuple[MovementClaim, ...]:
    """`read_movements`, remembered: a text is looked at by several steps in a row."""
    return read_movements(text)


def word_count(text: str) -> int:
    """Words between white space, without Markdown's bold marks."""
    return len(text.replace("*", " ").split())


def read_expression(reply: str) -> str | None:
    """The one label word of a Des2Exp reply, however it is quoted or spelled; None when there is no single one."""
    labels = read_emotion_answer(reply).labels
    return labels.emotion if labels is not None else None


def read_verdict(reply: str) -> bool | None:
    """True for "Correct", False for "Incorrect" (or "not correct"), None when the reply says neither or both."""
    words = [word.lower() for word in _LABEL.findall(reply)]
    wrong = "incorrect" in words or ("correct" in words and "not" in words)
    right = "correct" in words and "not" not in words
    return None if right == wrong else right


def concluded_labels(conclusion: str) -> set[str]:
    """Labels that a conclusion affirms: their nouns or adjectives, but not behind "no", "rather than", "despite" …

    "Smile" and "calm" are looks here and no labels.
    """
    found = set()
    for clause in _CLAUSE.split(conclusion):
        aside = _ASIDE.search(clause)
        for match in _LABEL.finditer(clause, 0, aside.start() if aside else len(clause)):
            found.add(canonical(match.group()) if match.group().lower() not in _LOOKS else None)
    return {label for label in found if label is not None}


def description_faults(text: str, values: Mapping[str, float]) -> list[Fault]:
    """Faults of an AU2Des description against the values 0..1 by FEAFA name (names left out are 0)."""
    if not text.strip():
        return [Fault("empty")]
    if _REFUSAL.search(text):
        return [Fault("refused", text.strip()[:80])]
    return movement_faults(text, values)


def movement_faults(text: str, values: Mapping[str, float]) -> list[Fault]:
    """AU coverage and degrees: every positive value stated, at its degree, and nothing stated that is not positive."""
    claims = claims_of(text)
    stated = {(c.movement, side) for c in claims if c.present for side in _sides(c)}
    faults = [
        Fault("AU missing", name)
        for name, value in values.items()
        if value > 0 and NAME_PLACES[name] not in stated
    ]
    for claim in claims:
        fault = _fault_of(claim, values)
        if fault is not None and fault not in faults:
            faults.append(fault)
    return faults


def _sides(claim: MovementClaim) -> tuple[str, ...]:
    movement = MOVEMENTS_24.get(claim.movement)
    if movement is None or not movement.one:
        return ("both",)
    return ("left", "right") if claim.side == "both" else (claim.side,)


def _fault_of(claim: MovementClaim, values: Mapping[str, float]) -> Fault | None:
    what = claim.movement if claim.side == "both" else f"{claim.side} {claim.movement}"
    if claim.movement in OTHER_MOVEMENTS:
        return Fault("movement not given", what) if claim.present else None
    if claim.movement == OPEN_MOUTH:
        opens = any(
            values.get(name, 0.0) > 0 for key in _OPENS_MOUTH for name in MOVEMENTS_24[key].names.values()
        )
        return Fault("movement not given", what) if claim.present and not opens else None
    names = MOVEMENTS_24[claim.movement].names
    levels = [level_of(values[names[side]]) for side in _sides(claim) if values.get(names[side], 0.0) > 0]
    if not claim.present:
        # A denial of both sides is wrong as soon as one of them moves.
        return Fault("AU denied", what) if levels else None
    if not levels:
        return Fault("movement not given", what)
    if claim.level is None:
        return None
    low, high = claim.level
    if any(low - TOLERANCE <= level <= high + TOLERANCE for level in levels):
        return None
    return Fault("degree mismatch", f"{what}: said {low}-{high}, measured {'/'.join(map(str, levels))}")


def refined_faults(text: str, values: Mapping[str, float], label: str) -> list[Fault]:
    """Faults of a refined text: three heads, length, wording, movements, and the one label of its conclusion."""
    if not text.strip():
        return [Fault("empty")]
    if _REFUSAL.search(text):
        return [Fault("refused", text.strip()[:80])]
    parts = read_explanation(text)
    if isinstance(parts, Unparsed):
        return [Fault("heads missing", parts.reason)]
    # Words before the first head are dropped with the rest of the wrapping.
    text = say_explanation(parts)
    faults: list[Fault] = []
    words = word_count(text)
    if words > MAX_WORDS:
        faults.append(Fault("too long", f"{words} words, at most {MAX_WORDS}"))
    index, pronoun = _INDEX.search(text), _PRONOUN.search(text)
    if index:
        faults.append(Fault("AU index", index.group()))
    if pronoun:
        faults.append(Fault("personal pronoun", pronoun.group()))
    labels = concluded_labels(parts.conclusion)
    if labels != {label}:
        said = ", ".join(sorted(labels, key=EMOTIONS.index)) or "none"
        faults.append(Fault("label not concluded", f"{said} instead of {label}"))
    return faults + movement_faults(text, values)
