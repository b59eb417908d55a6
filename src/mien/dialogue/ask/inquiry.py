"""What a question asks, and the parts of it that any question may have: which face, when, denied or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mien.dialogue.ask.movements import PEOPLE, SIDED_PART, Condition

__all__ = ["PEOPLE", "YES_NO", "Form", "Inquiry", "moment_of", "place_of", "places_in"]

Form = Literal["binary", "level", "intensity"]


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a question asks."""

    intent: str
    """``declined`` and ``unclear`` carry their `reason`; all others are answered from a measurement or about the tool."""
    reason: str = ""
    """What to say instead of an answer."""
    topic: str = ""
    """Why it is declined."""
    units: tuple[str, ...] = ()
    """AU keys named by number or FACS name."""
    condition: Condition | None = None
    either: tuple[Condition, ...] = ()
    """Two movements between which is chosen: "raised or lowered"."""
    emotions: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    form: Form = "level"
    """Of numbers."""
    letters: bool = False
    lines: bool = False
    """One item per line."""
    json: bool = False
    """As an object of JSON, in place of a list of pairs."""
    negated: bool = False
    """``"isn't … ?"`` inside the sentence: yes means absent."""
    angle: str = "all"
    """``yaw``, ``pitch``, ``roll`` or ``all``."""
    way: str = ""
    """``up`` or ``down``, of the head."""
    place: str | int | None = None
    """Which face: ``left``, ``right``, ``middle``, a number from 1 (largest first), minus a number from the right,
    ``("left", n)`` written as ``100 + n``; None for the largest."""
    quantifier: str = ""
    """``all``, ``any``, ``none``, ``most``, ``least``, ``count`` or ``same``."""
    among: tuple[str, ...] = ()
    """Places that are compared; empty for all faces."""
    moment: float | str | None = None
    """Seconds in a clip, ``start``, ``middle`` or ``end``."""
    course: str = ""
    """``onset``, ``offset``, ``peak``, ``duration``, ``ever``, ``change`` or ``times``: over a clip."""
    yes_no: bool = False
    """Asked so that yes or no answers it."""
    parts: tuple[Inquiry, ...] = ()
    """Of a question that asks several things (intent ``parts``), each on its own."""

    @property
    def over_time(self) -> bool:
        """Whether one frame of a clip is not enough to answer."""
        return (
            self.intent == "course" or self.moment is not None or any(part.over_time for part in self.parts)
        )


_ORDINALS = {
    word: number
    for number, words in enumerate(
        "first 1st|second 2nd|third 3rd|fourth 4th|fifth 5th|sixth 6th".split("|"), 1
    )
    for word in words.split()
}


_SIDEWAYS = re.compile(
    r"\b(?:turn|look|facing|point|lean|tilt|rotat|gaz)\w*(?: \w+){0,3}? (?:to )?(?:the |his |her |their )?(?:left|right)\b"
    r"(?: or (?:to )?(?:the |his |her |their )?(?:left|right)\b)?|\b(?:am|was|are) (?:i|we|you) right\b"
    rf"|{SIDED_PART} on (?:the|his|her|their) (?:left|right)\b"
)
"""Where a head or an eye points, which is no face's place; and "am I right"."""


def place_of(text: str) -> str | int | None:
    """The face that is meant; sides of one face (``left eye``) name none."""
    part = r"(?:eyes?|eye ?brows?|brows?|cheeks?|eye ?lids?|lids?|corners?|half|side of (?:the|her|his|their) (?:face|mouth)|lip|nostril)"
    number = re.search(
        rf"\b(?:face|person|subject)\s*(?:number|no\.?|nr\.?|#)?\s*(\d+)\b|\b{PEOPLE}\s+(?:number|no\.?|#)\s*(\d+)\b",
        text,
    )
    if number:
        return int(number[1] or number[2])
    from_side = re.search(
        r"\b(" + "|".join(_ORDINALS) + rf")\b(?: {PEOPLE})?(?: counted)? (?:from |on )(?:the )?(left|right)",
        text,
    )
    if from_side:
        count = _ORDINALS[from_side[1]]
        return 100 + count if from_side[2] == "left" else -count
    ordinal = re.search(r"\b(" + "|".join(_ORDINALS) + rf")\b {PEOPLE}\b", text)
    if ordinal:
        return 100 + _ORDINALS[ordinal[1]]
    text = _SIDEWAYS.sub(" ", text)
    for name, words in (
        ("left", r"\bleft-?most\b|\bleft(?!\s*" + part + r"\b)(?! or right| and right|-right)\b"),
        (
            "right",
            r"\bright-?most\b|\bright(?!\s*"
            + part
            + r"\b)(?! now| away|\?|$| label| answer| or left| and left)\b",
        ),
        ("middle", r"\bmiddle(?! of the (?:clip|video))\b|\bcent(?:re|er|ral)\b"),
        ("smallest", rf"\bsmallest {PEOPLE}\b"),
    ):
        if re.search(words, text):
            return name
    return None


def moment_of(text: str) -> float | str | None:
    """The time in a clip that is meant."""
    when = re.search(
        r"\b(?:at|after|around|about|near|second|t ?=)\s*(?:second |time |t ?= ?)?(\d+(?:\.\d+)?)\s*(?:s|sec|secs|seconds?)?\b(?! ?(?:degrees|%|percent|px|to))",
        text,
    )
    timed = re.search(r"\b(\d+(?:\.\d+)?)\s*(?:s|sec|secs|seconds?)\b", text)
    if timed:
        return float(timed[1])
    if when and re.search(r"\bsecond\b|\btime\b|t ?=", text):
        return float(when[1])
    if re.search(
        r"\b(?:at|by|towards?) the (?:very )?end\b|\b(?:last|final) (?:frame|moment|second)\b|\bfinally\b|\bin the end\b|\b(?:clip|video|film|recording) (?:end|finish|conclude|stop|close)s?\b|\bend(?:s|ing)? (?:with|on)\b",
        text,
    ):
        return "end"
    if re.search(
        r"\b(?:at|in) the (?:very )?(?:start|beginning)\b|\bfirst (?:frame|moment|second)\b|\bat first\b|\binitially\b|\b(?:clip|video|film|recording) (?:start|begin|open)s?\b|\b(?:start|begin)s? with\b",
        text,
    ):
        return "start"
    return None


YES_NO = re.compile(
    r"^\W*(?:(?:and|so|ok|well|please|tell me|say|can you (?:see|tell|detect|find|say|confirm)|do you (?:see|detect|find|think|notice)|could you|would you say|is it true|check|yes or no|whether|if)\b[\s,:]*(?:that |whether |if )?)*"
    r"(?:is|are|was|were|does|do|did|has|have|can|could|would|any|isn't|aren't|doesn't|hasn't|don't)\b|\byes or no\b|\btrue or false\b|\bdo you (?:see|detect|notice)\b|\bcan you (?:see|detect)\b"
)


def places_in(text: str) -> tuple[str, ...]:
    """All places that are named."""
    return tuple(
        name
        for name, words in (
            ("left", r"\bleft"),
            ("right", r"\bright"),
            ("middle", r"\bmiddle|\bcent(?:re|er)"),
        )
        if re.search(words, text)
    )
