"""FEAFA's 24 action values in words: which part of the face moves how, on which side, to which degree.

FEAFA (Yan et al. 2019) has values per side where FACS has one unit, and values that FACS units of mien do not have
(jaw slides, jaw thrust, cheek puff). A *movement* here is one way to move; its sides are the values. The reader of such
sentences is `mien.dialogue.read.movements`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mien.core.aus import au_level
from mien.dialogue.read.degrees import degrees_for

__all__ = ["MOVEMENTS_24", "NAME_PLACES", "Movement", "Unit", "level_of", "say_short", "say_unit", "units_of"]


@dataclass(frozen=True, slots=True)
class Movement:
    """One way to move, with its values."""

    names: Mapping[str, str]
    """``left``/``right`` or ``both`` -> FEAFA name."""
    region: str
    """``brow``, ``eye``, ``nose``, ``cheek``, ``mouth``, ``chin`` or ``jaw``."""
    whole: tuple[str, ...]
    """Subjects for both sides, with article."""
    one: tuple[str, ...]
    """Subjects for one ``{side}``; empty for movements without sides."""
    plural: bool
    participles: tuple[str, ...]
    """After "is/are"."""
    nouns: tuple[str, ...]
    """Before a subject: ``"upward pull of"``."""
    short: tuple[str, str, str]
    """Shortest form: participle, subject for one side, subject for both: ``("raised", "brow", "brows")``."""
    hints: tuple[str, ...]
    """What the movement may suggest; never a label word, never a movement."""

    @property
    def attribute(self) -> str:
        """Noun phrase that follows "the": ``"raised lip corners"``."""
        return f"{self.short[0]} {self.short[2]}"


_WORDS = """
eye close / eye / the eyes|both eyes / the {side} eye / plural / closed|shut / closing of / closed|eye|eyes
    / withdrawal|rest|a turn inward|fatigue|relaxation
lid raise / eye / the eyelids|the upper eyelids|both eyelids / the {side} eyelid|the {side} upper eyelid /
    plural / raised|lifted|elevated / raising of|lift of|elevation of / raised|eyelid|eyelids /
    alertness|attention|vigilance|interest
brow lower / brow / the brows|the eyebrows|both brows / the {side} brow|the {side} eyebrow / plural /
    lowered|pulled down|drawn down / lowering of / lowered|brow|brows /
    tension|effort|concern|concentration|strain
brow raise / brow / the brows|the eyebrows|both brows / the {side} brow|the {side} eyebrow / plural /
    raised|lifted|elevated / raising of|lift of|elevation of / raised|brow|brows /
    curiosity|openness|attention|doubt
jaw drop / jaw / the jaw|the lower jaw /  / single / dropped|lowered / dropping of|lowering of / dropped|jaw
    / loosened control|astonishment|amazement|speech
jaw slide left / jaw / the jaw /  / single / shifted to the left|moved to the left / slide to the left of /
    left-shifted|jaw / unease|hesitation|restlessness
jaw slide right / jaw / the jaw /  / single / shifted to the right|moved to the right / slide to the right
    of / right-shifted|jaw / unease|hesitation|restlessness
lip corner pull / mouth / the lip corners|the corners of the mouth|both lip corners / the {side} lip
    corner|the {side} corner of the mouth / plural / pulled up|raised|turned up|drawn upward / upward pull
    of|lift of|raising of / raised|lip corner|lip corners / warmth|amusement|friendliness|pleasure
lip corner stretch / mouth / the lip corners|the corners of the mouth|both lip corners / the {side} lip
    corner|the {side} corner of the mouth / plural / stretched|stretched sideways|drawn sideways / sideways
    stretch of|stretching of / stretched|lip corner|lip corners / tension|unease|strain|apprehension
upper lip suck / mouth / the upper lip /  / single / sucked in|rolled inward|drawn inward / inward rolling
    of / inward-rolled|upper lip / restraint|self-control|holding back
lower lip suck / mouth / the lower lip /  / single / sucked in|rolled inward|drawn inward / inward rolling
    of / inward-rolled|lower lip / restraint|self-control|holding back
jaw thrust / jaw / the jaw|the lower jaw /  / single / thrust forward|pushed forward / forward thrust of /
    forward-thrust|jaw / defiance|determination|resistance
upper lip raise / mouth / the upper lip /  / single / raised|lifted|pulled up|drawn up / raising of|lift of
    / raised|upper lip / aversion|discomfort|rejection|displeasure
lower lip depress / mouth / the lower lip /  / single / pulled down|lowered|depressed|drawn downward /
    lowering of / lowered|lower lip / displeasure|distress|effort
chin raise / chin / the chin /  / single / raised|pushed up|lifted / raising of|lift of / raised|chin /
    doubt|restraint|heaviness|reluctance
lip pucker / mouth / the lips|both lips /  / plural / puckered|pursed / puckering of|pursing of /
    puckered|lips / thought|hesitation|reserve
cheek puff / cheek / the cheeks|both cheeks /  / plural / puffed|puffed out|blown up / puffing of /
    puffed|cheeks / held breath|suppressed effort|strain
nose wrinkle / nose / the nose|the bridge of the nose /  / single / wrinkled|scrunched|crinkled / wrinkling
    of / wrinkled|nose / aversion|rejection|distaste
"""
"""Each: name / region / subjects for both sides / subjects for one side, where it has sides / number / participles /
nouns / shortest form / hints."""


def _movement(line: str) -> Movement:
    name, region, whole, one, number, participles, nouns, short, hints = (
        tuple(part.strip() for part in field.split("|") if part.strip()) for field in line.split(" / ")
    )
    names = {side: f"{side} {name[0]}" for side in ("left", "right")} if one else {"both": name[0]}
    return Movement(
        MappingProxyType(names), region[0], whole, one, number == ("plural",), participles, nouns,
        (short[0], short[1], short[-1]), hints,
    )  # fmt: skip


_TABLE = tuple(_movement(line.replace("\n    ", " ")) for line in re.split(r"\n(?=\S)", _WORDS.strip()))

MOVEMENTS_24: Mapping[str, Movement] = MappingProxyType(
    {next(iter(movement.names.values())).removeprefix("left "): movement for movement in _TABLE}
)
"""Movements by name without side (``"lip corner pull"``), in FEAFA's order; 18 movements hold the 24 values.

*Jaw slide left* and *right* are two movements and no sides of one: the jaw can do one of them at a time."""
NAME_PLACES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {name: (key, side) for key, movement in MOVEMENTS_24.items() for side, name in movement.names.items()}
)
"""FEAFA name -> (movement, side): ``"left lid raise"`` -> ``("lid raise", "left")``."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One movement on one or both sides at one level: what a clause says."""

    movement: str
    side: str
    """``left``, ``right`` or ``both``."""
    level: int | None
    """FACS level 1..5, or None when no degree is known."""


def level_of(value: float) -> int:
    """Level 1..5 of a positive value 0..1; what rounds to level 0 counts as the weakest trace."""
    return max(au_level(value), 1)


def units_of(values: Mapping[str, float]) -> list[Unit]:
    """Units of the positive values in FEAFA's order; equal levels of left and right make one unit."""
    units: list[Unit] = []
    for key, movement in MOVEMENTS_24.items():
        levels = {
            side: level_of(values[name]) for side, name in movement.names.items() if values.get(name, 0.0) > 0
        }
        if len(levels) == 2 and levels["left"] == levels["right"]:
            levels = {"both": levels["left"]}
        units += [Unit(key, side, level) for side, level in levels.items()]
    return units


_SHORT_DEGREES = ("", "faintly", "slightly", "moderately", "clearly", "strongly")


def say_short(unit: Unit, article: bool = False) -> str:
    """The fewest words for one unit, a noun phrase: ``"slightly raised left brow"``; ``article`` sets "a" before it."""
    movement = MOVEMENTS_24[unit.movement]
    participle, single, both = movement.short
    sided = unit.side != "both"
    subject = f"{unit.side} {single}" if sided else both
    said = f"{_SHORT_DEGREES[unit.level or 0]} {participle} {subject}".strip()
    return f"a {said}" if article and (sided or not movement.plural) else said


def say_unit(unit: Unit, rng: random.Random) -> str:
    """One clause, lower case and without a stop: ``"the left eyelid is slightly raised"``."""
    movement = MOVEMENTS_24[unit.movement]
    sided = unit.side != "both"
    subject = rng.choice(movement.one).format(side=unit.side) if sided else rng.choice(movement.whole)
    be = "are" if movement.plural and not sided else "is"
    if unit.level is None:
        return f"{subject} {be} {rng.choice(movement.participles)}"
    degree = rng.choice(degrees_for(unit.level))
    participle = rng.choice(movement.participles)
    form = rng.random()
    if form < 0.5:
        return f"{subject} {be} {rng.choice(degree.before)} {participle}"
    if form < 0.7:
        return f"{subject} {be} {participle} {rng.choice(degree.after)}"
    noun = f"{rng.choice(degree.noun)} {rng.choice(movement.nouns)} {subject}"
    return rng.choice((f"there is {noun}", f"{noun} is visible", f"{noun} can be seen"))
