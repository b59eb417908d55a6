"""Say one Action Unit: every way the narrator has to state a movement with its degree, or its absence."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mien.dialogue.read.degrees import Degree, degrees_for
from mien.dialogue.say.movements import MOVEMENTS, Family

__all__ = ["ATTRIBUTES", "Said", "capitalise", "movement_clauses", "say_absence", "say_movement", "say_pair"]

Meaning = tuple[str, bool, tuple[int, int] | None]
"""AU key, present, claimed level range."""


@dataclass(frozen=True, slots=True)
class Said:
    """A clause or sentence, and what it claims."""

    text: str
    meanings: tuple[Meaning, ...] = ()

    @property
    def words(self) -> int:
        """Number of words."""
        return len(self.text.split())


_OWN = {
    "AU12": "raised lip corners", "AU15": "lowered lip corners", "AU16": "lowered lower lip", "AU20": "stretched lips",
    "AU24": "pressed lips", "AU27": "wide open mouth", "AU28": "sucked-in lips",
}  # fmt: skip
ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        key: _OWN.get(key, f"{first.participles[0]} {first.subjects[0].removeprefix('the ')}")
        for key, (first, *_) in MOVEMENTS.items()
    }
)
"""Each AU as a noun phrase that follows "the"."""

_RESTING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AU25": ("the lips are closed", "the lips remain closed", "the mouth is closed"),
        "AU43": ("the eyes are open", "the eyes remain open", "both eyes are open"),
    }
)
"""States that say an AU's absence without a negation."""


_STATES: Mapping[str, tuple[tuple[tuple[int, int], tuple[str, ...]], ...]] = MappingProxyType(
    {
        "AU27": (((1, 2), ("the mouth is slightly stretched open", "the mouth is stretched open a little")),),
        "AU43": (
            ((1, 1), ("the eyelids droop slightly", "the eyelids droop a little", "the eyelids are slightly lowered")),
            ((2, 3), ("the eyes are half closed", "the eyelids are half closed", "both eyes are half closed")),
            ((4, 5), ("the eyes are closed", "both eyes are closed", "the eyelids are closed", "the eyes are shut")),
        ),
    }
)  # fmt: skip
"""AU -> levels and clauses where the forms of its families would sound odd: nobody's eyes "strongly close"."""


def _states(au: str, level: int) -> tuple[Said, ...]:
    """What is said of an AU of `_STATES`; its upper levels name no degree."""
    ranges = {"AU27": (1, 2), "AU43": (None, (1, 2), (2, 3), (2, 3), None, None)[level]}
    return tuple(
        Said(clause, ((au, True, ranges[au]),))
        for (low, high), clauses in _STATES.get(au, ())
        if low <= level <= high
        for clause in clauses
    )


def capitalise(clause: str) -> str:
    """First letter in upper case, the rest untouched."""
    return clause[:1].upper() + clause[1:]


def _clauses(family: Family, degree: Degree) -> Iterator[str]:
    for subject in family.subjects:
        for participle in family.participles:
            for adverb in degree.before:
                yield f"{subject} {family.be} {adverb} {participle}"
                yield f"{subject} {'appear' if family.plural else 'appears'} {adverb} {participle}"
            for adverb in degree.after:
                yield f"{subject} {family.be} {participle} {adverb}"
        for verb in family.verbs:
            for adverb in degree.before:
                if " little" not in adverb:
                    yield f"{subject} {adverb} {verb}"
            for adverb in degree.after:
                yield f"{subject} {verb} {adverb}"
        for noun in family.nouns:
            for determiner in degree.noun:
                yield f"there is {determiner} {noun} {subject}"
                yield f"{determiner} {noun} {subject} is visible"
                yield f"{determiner} {noun} {subject} can be seen"


def movement_clauses(au: str, level: int) -> tuple[Said, ...]:
    """Every clause the narrator may use for ``au`` at FACS level 1..5."""
    return _states(au, level) or tuple(
        Said(clause, ((au, True, degree.levels),))
        for degree in degrees_for(level)
        for family in MOVEMENTS[au]
        for clause in _clauses(family, degree)
    )


def say_movement(au: str, level: int, rng: random.Random) -> Said:
    """One clause for ``au`` at FACS level 1..5: degree and family drawn first, so that rare forms are heard too."""
    states = _states(au, level)
    if states:
        return rng.choice(states)
    degree = rng.choice(degrees_for(level))
    family = rng.choice(MOVEMENTS[au])
    return Said(rng.choice(tuple(_clauses(family, degree))), ((au, True, degree.levels),))


def say_pair(level: int, rng: random.Random) -> Said:
    """AU1 and AU2 at the same level, in one clause."""
    degree = rng.choice(degrees_for(level))
    raised = rng.choice(("raised", "lifted"))
    text = rng.choice(
        (
            f"the inner and outer brows are {rng.choice(degree.before)} {raised}",
            f"the inner and outer brows are {raised} {rng.choice(degree.after)}",
            f"the brows are {rng.choice(degree.before)} {raised}",
            f"there is {rng.choice(degree.noun)} raising of the brows",
        )
    )
    return Said(text, (("AU01", True, degree.levels), ("AU02", True, degree.levels)))


def say_absence(keys: tuple[str, ...], rng: random.Random) -> Said:
    """One clause that denies one or two AUs."""
    meanings = tuple((key, False, None) for key in keys)
    families = [rng.choice(MOVEMENTS[key]) for key in keys]
    # "Both lips are not parted" may deny one lip only.
    plain = [
        [subject for subject in family.subjects if not subject.startswith("both")] for family in families
    ]
    subjects = [rng.choice(choices) for choices in plain]
    nouns = [
        f"{rng.choice(family.nouns)} {subject}" for family, subject in zip(families, subjects, strict=True)
    ]
    forms = [
        f"there is no {' or '.join(nouns)}",
        f"no {' or '.join(nouns)} is visible",
        f"no {' or '.join(nouns)} can be seen",
    ]
    denials = [
        f"{subject} {family.be} not {rng.choice(family.participles)}"
        for family, subject in zip(families, subjects, strict=True)
    ]
    forms += [", and ".join(denials), " and ".join(denials)]
    if len(keys) == 1:
        forms += _RESTING.get(keys[0], ())
    return Said(rng.choice(forms), meanings)
