"""mien's own checks of the Exp-CoT engine: a teacher's "Correct" is not taken on trust.

Each check gives a `Fault` with a reason from a closed list, so that rejections can be counted. What a text says of
movements is read by `mien.dialogue.read.movements`; degrees must agree with the value within one FACS level on
either side of the named range, as in `mien.metrics.faithfulness`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from mien.annotate.refusals import refuses
from mien.core.aus import level_position
from mien.core.emotions import EMOTIONS
from mien.dialogue.read.cot import Unparsed, read_explanation, read_label, say_explanation
from mien.dialogue.read.emotion import read_emotion
from mien.dialogue.read.feafa_words import MOVEMENTS_24, NAME_PLACES, level_of
from mien.dialogue.read.movements import OPEN_MOUTH, MovementClaim, read_movements
from mien.metrics.faithfulness import TOLERANCE

__all__ = [
    "BUDGET",
    "MAX_WORDS",
    "PROFILES",
    "Fault",
    "Profile",
    "claims_of",
    "concluded_labels",
    "description_faults",
    "fails",
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
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Profile:
    """How strict the checks are."""

    most_words: int
    """Words above which a refined text fails."""
    loose: bool
    """Whether degrees, unnamed movements, pronouns and mere impressions are scored instead of forbidden."""


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {"strict": Profile(MAX_WORDS, False), "paper": Profile(220, True)}
)
"""``strict``: every fault fails. ``paper``: texts as the paper keeps them. There hard faults fail (label, form, a
movement denied or invented from FACS level B on), and the others cost a part of `BUDGET`."""
BUDGET = 1.0
"""Cost of scored faults at which a text fails."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason against a text."""

    reason: str
    """From a closed list: ``"AU missing"``, ``"degree mismatch"``, ``"movement not given"``, ``"AU denied"``,
    ``"refused"``, ``"empty"``, ``"heads missing"``, ``"too long"``, ``"AU index"``, ``"personal pronoun"``,
    ``"label not concluded"``."""
    detail: str = ""
    cost: float = BUDGET
    """Part of `BUDGET` that it takes; a hard fault takes all of it."""

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
    return read_emotion(reply).emotion


def read_verdict(reply: str) -> bool | None:
    """True for "Correct", False for "Incorrect" (or "not correct"), None when the reply says neither or both."""
    words = [word.lower() for word in _WORD.findall(reply)]
    wrong = "incorrect" in words or ("correct" in words and "not" in words)
    right = "correct" in words and "not" not in words
    return None if right == wrong else right


def concluded_labels(conclusion: str) -> set[str]:
    """Labels that a conclusion affirms, as one or beside another (`mien.read_emotion`)."""
    read = read_emotion(conclusion)
    return {label for label in (read.emotion, *read.secondary) if label is not None}


def fails(faults: Sequence[Fault]) -> bool:
    """Whether faults together use up `BUDGET`; one hard fault does."""
    return sum(fault.cost for fault in faults) > BUDGET - 1e-9


def description_faults(text: str, values: Mapping[str, float], profile: str = "strict") -> list[Fault]:
    """Faults of an AU2Des description against the values 0..1 by FEAFA name (names left out are 0)."""
    if not text.strip():
        return [Fault("empty")]
    if refuses(text):
        return [Fault("refused", text.strip()[:80])]
    return movement_faults(text, values, profile)


def movement_faults(
    text: str, values: Mapping[str, float], profile: str = "strict", rest: str = ""
) -> list[Fault]:
    """AU coverage and degrees: every positive value stated, at its degree, and nothing stated that is not positive.

    Args:
        text: a description, or the observations of a refined text.
        values: 0..1 by FEAFA name; names left out are 0.
        profile: one of `PROFILES`.
        rest: interpretation and conclusion, which may name what was observed and are read more loosely.
    """
    loose = PROFILES[profile].loose
    here, there = claims_of(text), claims_of(rest) if rest else ()
    stated = {(c.movement, side) for c in (*here, *there) if c.present for side in _sides(c)}
    faults = [
        Fault("AU missing", name, _missing_cost(value) if loose else BUDGET)
        for name, value in values.items()
        if value > 0 and NAME_PLACES[name] not in stated
    ]
    for claim, observed in (*((one, True) for one in here), *((one, False) for one in there)):
        fault = _fault_of(claim, values, loose, observed)
        if fault is not None and all(
            (fault.reason, fault.detail) != (one.reason, one.detail) for one in faults
        ):
            faults.append(fault)
    return [fault for fault in faults if fault.cost > 0]


def _sides(claim: MovementClaim) -> tuple[str, ...]:
    movement = MOVEMENTS_24.get(claim.movement)
    if movement is None or not movement.one:
        return ("both",)
    return ("left", "right") if claim.side == "both" else (claim.side,)


def _values_of(claim: MovementClaim, values: Mapping[str, float]) -> list[float]:
    """Positive values of the claim's movement, on its sides."""
    if claim.movement not in MOVEMENTS_24:
        keys = _OPENS_MOUTH if claim.movement == OPEN_MOUTH else ()
        names = [name for key in keys for name in MOVEMENTS_24[key].names.values()]
    else:
        names = [MOVEMENTS_24[claim.movement].names[side] for side in _sides(claim)]
    return [values[name] for name in names if values.get(name, 0.0) > 0]


def _fault_of(
    claim: MovementClaim, values: Mapping[str, float], loose: bool, observed: bool
) -> Fault | None:  # fmt: skip
    """What is wrong with one claim."""
    what = claim.movement if claim.side == "both" else f"{claim.side} {claim.movement}"
    here = _values_of(claim, values)
    if claim.present and not here:
        return Fault(
            "movement not given", what, _invented_cost(claim, values, observed) if loose else BUDGET
        )  # fmt: skip
    if not claim.present:
        # A denial of both sides is wrong as soon as one of them moves.
        if not here or claim.movement not in MOVEMENTS_24:
            return None
        return Fault("AU denied", what, _denied_cost(max(here), observed) if loose else BUDGET)
    levels = [level_of(value) for value in here]
    if claim.level is None or claim.movement not in MOVEMENTS_24:
        return None
    cost = _degree_cost(claim, values, observed) if loose else BUDGET
    if not loose and any(_miss(claim.level, level) <= TOLERANCE for level in levels):
        return None
    low, high = claim.level
    return Fault("degree mismatch", f"{what}: said {low}-{high}, measured {'/'.join(map(str, levels))}", cost)


def _miss(claimed: tuple[int, int], level: int) -> int:
    """Levels between a measured one and the nearest that was claimed."""
    return max(claimed[0] - level, level - claimed[1], 0)


# -- what a fault costs in a loose profile -------------------------------------------------------------

_KIN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "lip corner depress": ("lower lip depress", "lip corner stretch", "chin raise"),
        "lip press": ("upper lip suck", "lower lip suck", "lip pucker", "chin raise"),
        "cheek raise": ("lip corner pull", "eye close", "nose wrinkle", "cheek puff"),
        OPEN_MOUTH: _OPENS_MOUTH,
        "eye close": ("brow lower",),
        "lid raise": ("brow raise",),
        "brow raise": ("lid raise",),
        "lip corner pull": ("lip corner stretch",),
        "lip corner stretch": ("lip corner pull",),
        "upper lip raise": ("nose wrinkle",),
        "nose wrinkle": ("upper lip raise",),
        "jaw drop": ("lower lip depress",),
        "lower lip depress": ("jaw drop",),
        "upper lip suck": ("lower lip suck",),
        "lower lip suck": ("upper lip suck",),
        "jaw slide left": ("jaw slide right",),
        "jaw slide right": ("jaw slide left",),
    }
)
"""Movements that look alike or come together: one may be called by the other's name."""
_TRACE, _WEAK, _LEVEL_B = 0.04, 0.1, 0.3
"""Values 0..1: what nobody need see, what few would name, and where FACS level B begins."""
_OVER, _UNDER = 1.9, 1.4
"""Levels by which the middle of a claimed range may lie above or below the value; teachers exaggerate."""


def _missing_cost(value: float) -> float:
    """An unnamed movement: dearer the stronger it is."""
    return 0.02 if value < _WEAK else 0.05 if value < _LEVEL_B else 0.1


def _denied_cost(value: float, observed: bool) -> float:
    """A denied movement."""
    if value >= (_TRACE if observed else _LEVEL_B):
        return BUDGET
    return 0.6 if value >= _WEAK else 0.2


def _invented_cost(claim: MovementClaim, values: Mapping[str, float], observed: bool) -> float:
    """A movement that is not given: hard where it is observed, cheap where it is the look of one that is given."""
    names = [name for key in _KIN.get(claim.movement, ()) for name in MOVEMENTS_24[key].names.values()]
    kin = any(values.get(name, 0.0) >= _WEAK for name in names)
    slight = claim.level is not None and claim.level[0] < 2
    if not observed:
        return 0.1 if kin else 0.2
    if claim.movement in MOVEMENTS_24:
        return 0.6 if slight else BUDGET
    return 0.1 if kin else 0.3


def _degree_cost(claim: MovementClaim, values: Mapping[str, float], observed: bool) -> float:
    """A degree word off by about two levels, on all sides that it speaks of; teachers exaggerate what is weak."""
    here = _values_of(claim, values)
    if claim.level is None or not claim.present or not here or claim.movement not in MOVEMENTS_24:
        return 0.0
    off = [(sum(claim.level) + 1.0) / 2.0 - level_position(value) for value in here]
    wrong = all(one >= _OVER or one <= -_UNDER for one in off)
    weak = max(here) < _LEVEL_B and min(off) > 0
    return (BUDGET if observed and not weak else 0.3) if wrong else 0.0


def refined_faults(
    text: str, values: Mapping[str, float], label: str, profile: str = "strict"
) -> list[Fault]:
    """Faults of a refined text: three heads, length, wording, movements, and the one label of its conclusion.

    Args:
        text: the teacher's reply.
        values: 0..1 by FEAFA name; names left out are 0.
        label: the true one, of `EMOTIONS`.
        profile: one of `PROFILES`; `fails` tells whether the faults reject the text.
    """
    if not text.strip():
        return [Fault("empty")]
    if refuses(text):
        return [Fault("refused", text.strip()[:80])]
    parts = read_explanation(text)
    if isinstance(parts, Unparsed):
        return [Fault("heads missing", parts.reason)]
    limits = PROFILES[profile]
    # Words before the first head are dropped with the rest of the wrapping.
    clean = say_explanation(parts)
    faults: list[Fault] = []
    words = word_count(clean)
    if words > limits.most_words:
        faults.append(Fault("too long", f"{words} words, at most {limits.most_words}"))
    index, pronoun = _INDEX.search(clean), _PRONOUN.search(clean)
    if index:
        faults.append(Fault("AU index", index.group()))
    if pronoun:
        faults.append(Fault("personal pronoun", pronoun.group(), 0.05 if limits.loose else BUDGET))
    said = concluded_labels(parts.conclusion)
    if limits.loose:
        arrived = read_label(text)
        said = set() if arrived is None else {arrived}
    if said != {label}:
        named = ", ".join(sorted(said, key=EMOTIONS.index)) or "none"
        faults.append(Fault("label not concluded", f"{named} instead of {label}"))
    rest = f"{parts.interpretation}\n\n{parts.conclusion}"
    if limits.loose:
        return faults + movement_faults(parts.observations, values, profile, rest)
    return faults + movement_faults(clean, values)
