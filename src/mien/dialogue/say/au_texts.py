"""Action Units in words: the list (``"AU6, AU12"``), the description, and the one grammar that reads both.

EmoLA answers category questions with a list of codes and FABA-Instruct describes unit by unit
(``"AU4 (brow lowerer): the brows are slightly lowered."``). The reader takes either form, in any order, with movements
that are named by no code at all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from mien.core.aus import AUS
from mien.core.errors import BadConfig
from mien.core.nouns import Answer, AuReading, Labels
from mien.dialogue.read.claims import read_claims
from mien.dialogue.say.wording import say_movement

__all__ = ["NO_UNIT", "names_codes", "read_units", "say_descriptions", "say_list"]

NO_UNIT = "No Action Unit is visible."
"""Said when none is present."""

_CODE = re.compile(r"\b(?:AU|Action Units?)\s?\d", re.IGNORECASE)
_NONE = re.compile(
    r"\bno(?:ne)?\b(?:\s+of\s+the)?(?:\s+(?:\w+\s+){0,2})?(?:action\s+units?|aus?|facial\s+(?:movements?|actions?))\b",
    re.IGNORECASE,
)


def _known(keys: Sequence[str]) -> Sequence[str]:
    unknown = [key for key in keys if key not in AUS]
    if unknown:
        raise BadConfig(
            got=f"AU keys {', '.join(unknown)}",
            expected="keys of mien.core.aus.AUS such as 'AU06'",
        )
    return keys


def say_list(keys: Sequence[str], names: bool = False) -> str:
    """Present AUs as ``"AU6, AU12"``, with ``names`` as ``"AU6 (cheek raiser), AU12 (lip corner puller)"``."""
    units = [AUS[key] for key in _known(keys)]
    said = (f"{unit.prose} ({unit.name})" if names else unit.prose for unit in units)
    return ", ".join(said) or NO_UNIT


def say_descriptions(readings: Mapping[str, AuReading | bool], rng: random.Random) -> str:
    """One sentence for each present AU: its code, its name, and the movement with its degree.

    Args:
        readings: AU key -> reading, or only whether it is present; then no degree is named.
        rng: chooses the words.
    """
    _known(tuple(readings))
    sentences = []
    for key, reading in readings.items():
        unit = AUS[key]
        if isinstance(reading, bool):
            said = unit.movement if reading else ""
        else:
            # A reading below its cut-off is absent, though its level may be above 0.
            said = say_movement(key, reading.level, rng).text if reading.presence else ""
        if said:
            sentences.append(f"{unit.prose} ({unit.name}): {said}.")
    return " ".join(sentences) or NO_UNIT


def names_codes(text: str) -> bool:
    """Whether a text names an AU by its number, as descriptions of AUs do and those of emotions do not."""
    return _CODE.search(text) is not None


def read_units(text: str, units: Sequence[str] | None = None) -> Answer:
    """Which AUs a text affirms and denies, by code, FACS name or movement (`read_claims`).

    Args:
        text: a list or a description.
        units: AUs that were asked for: those that the text does not name count as absent, others are left out. Without
            it only what the text names is told.

    Returns:
        Labels with ``au_presence``. Unparsed: a text without a statement about an AU, or with two that contradict.
    """
    asked = None if units is None else _known(units)
    claims = read_claims(text)
    said: dict[str, bool] = {}
    for claim in claims:
        if said.setdefault(claim.au, claim.present) != claim.present:
            return Answer(text, "unparsed", f"{AUS[claim.au].prose} is both affirmed and denied")
    if not claims and not _NONE.search(text):
        return Answer(
            text, "unparsed", "no statement about an Action Unit" if text.strip() else "empty answer"
        )
    if asked is not None:
        said = {key: said.get(key, False) for key in asked}
    return Answer(text, "answered", labels=Labels(au_presence=said))
