"""Read which of FEAFA's movements a free description states, on which side and to which degree.

`mien.dialogue.read.claims` reads FACS units of a whole face; a description made from FEAFA's 24 values speaks of sides
("the left eyelid is slightly raised, the right one is not"), names values ("left lip corner pull: 0.42") and moves the
jaw sideways. Sentences are cut into clauses and segments; a movement is a part of the face beside an action that this
part can do. A segment without a part continues the last one, a part without an action waits for the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mien.dialogue.read.degrees import MASK, mask_degrees, read_degree
from mien.dialogue.read.feafa_words import MOVEMENTS_24

__all__ = ["OPEN_MOUTH", "OTHER_MOVEMENTS", "MovementClaim", "read_movements"]

OPEN_MOUTH = "mouth open"
"""Parted lips or an open mouth: no value of FEAFA's, but what a dropped jaw or moved lips show."""
OTHER_MOVEMENTS: tuple[str, ...] = ("lip corner depress", "lip press", "cheek raise")
"""Movements that FEAFA has no value for; a description made from its values has no grounds for them."""


@dataclass(frozen=True, slots=True)
class MovementClaim:
    """One statement."""

    movement: str
    """A key of `MOVEMENTS_24`, `OPEN_MOUTH`, or one of `OTHER_MOVEMENTS`."""
    side: str
    """``left``, ``right``; ``both`` when both or no side is named."""
    present: bool
    """False for a denial."""
    level: tuple[int, int] | None = None
    """Range of FACS levels that degree words or numbers claim; None without."""


_UP = r"rais\w*|lift\w*|elevat\w*|ris(?:e|es|en|ing)\b|rose\b|up(?:ward|wards|turned)?\b|higher\b"
_DOWN = (
    r"lower(?!\s+(?:face|half|part|region|area|third))\w*|down\w*|depress\w*|drop\w*|droop\w*|sag\w*|"
    r"fall(?:s|en|ing)?\b"
)
_IN = r"suck\w*|roll\w*|inward\w*|(?:drawn|pulled|tucked|folded|curled)\s+in\b|tuck\w*"
_SIDEWAYS = r"stretch\w*|sideways|lateral\w*|outward\w*|horizontal\w*"
_SHUT = r"clos\w+|shut\w*|blink\w*"

_PARTS: dict[str, str] = {
    "corner": r"(?:outer\s+)?(?:lip|mouth)[\s-]+corners?|corners?\s+of\s+(?:the\s+|both\s+)?(?:lips?|mouth)",
    "upper lip": r"upper[\s-]+lip",
    "lower lip": r"(?:lower|bottom)[\s-]+lip",
    "brow": r"(?:(?:inner|outer)\s+(?:corners?|ends?|parts?)\s+of\s+(?:the\s+|both\s+)?)?(?:eye[\s-]?)?brows?",
    "lid": r"(?:(?:upper|lower)\s+)?(?:eye[\s-]?)?lids?",
    "eye": r"eyes?",
    "nose": r"nose|nasal(?:\s+bridge)?|nostrils?",
    "lips": r"lips?|mouth",
    "jaw": r"(?:lower\s+)?jaws?|mandible",
    "chin": r"chin",
    "cheek": r"cheeks?",
}
_PART = re.compile(
    "|".join(rf"(?P<p{place}>\b(?:{source})\b)" for place, source in enumerate(_PARTS.values()))
)
_PART_NAMES = tuple(_PARTS)


def _rules(*pairs: tuple[str, str]) -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    return tuple((tuple(names.split("+")), re.compile(rf"\b(?:{source})")) for names, source in pairs)


# The first rule of a part that fits the words beside it counts.
_ACTIONS = {
    "corner": _rules(
        ("lip corner stretch", _SIDEWAYS), ("lip corner depress", _DOWN),
        ("lip corner pull", rf"{_UP}|pull\w*|curl\w*|curv\w*|smil\w*"),
    ),
    "upper lip": _rules(("upper lip suck", _IN), ("upper lip raise", rf"{_UP}|curl\w*|retract\w*")),
    "lower lip": _rules(
        ("lower lip suck", _IN), ("lower lip depress", _DOWN), ("chin raise", _UP),
    ),
    "brow": _rules(
        ("brow lower", rf"{_DOWN}|furrow\w*|knit\w*|frown\w*|together|contract\w*|squeez\w*"),
        ("brow raise", rf"{_UP}|arch\w*"),
    ),
    "lid": _rules(("lid raise", _UP), ("eye close", rf"{_SHUT}|{_DOWN}|narrow\w*|tight\w*|squint\w*")),
    "eye": _rules(
        ("lid raise", r"wid(?:e|en|ens|ened|ening|er)\b|enlarg\w*"), ("eye close", rf"{_SHUT}|narrow\w*|squint\w*"),
    ),
    "nose": _rules(("nose wrinkle", r"wrinkl\w*|scrunch\w*|crinkl\w*|flar\w*")),
    "lips": _rules(
        ("upper lip suck+lower lip suck", _IN), ("lip pucker", r"pucker\w*|purs\w*|protru\w*"),
        ("lip press", r"press\w*|compress\w*|tight\w*"), ("lip corner stretch", _SIDEWAYS),
        (OPEN_MOUTH, r"open\w*|part(?:ed|ing|s)?\b|agape|separat\w*|gap(?:es|ing)\b"),
        ("lip corner depress", r"downturned|turned\s+down\w*"),
        ("lip corner pull", r"upturned|smil\w*|curv\w*\s+up\w*"),
    ),
    "jaw": _rules(
        ("jaw thrust", r"thrust\w*|forward\w*|jut\w*|protru\w*"),
        ("jaw slide", r"slid\w*|shift\w*|sideways|mov(?:es|ed|ing)\s+(?:\w+\s+)?to\b|lateral\w*"),
        ("jaw drop", rf"{_DOWN}|open\w*|slack\w*|gap\w*"),
    ),
    "chin": _rules(("chin raise", rf"{_UP}|push\w*|wrinkl\w*|tens\w*")),
    "cheek": _rules(("cheek puff", r"puff\w*|inflat\w*|blow\w*|bulg\w*|swell\w*"), ("cheek raise", _UP)),
}  # fmt: skip
_SMILE = re.compile(r"\b(?:smil(?:e|es|ing)|grin(?:s|ning)?)\b")
_ECHO = re.compile(r"\b(?:mirror\w*|match\w*|follow\w*|likewise|same|similar\w*|too|does)\b")

_SENTENCE = re.compile(r"(?<=[.!?])\s+|[\n;]+")
_SEGMENT = re.compile(
    r",(?!\d)|\s+[-\u2013\u2014]\s+|\b(?:and(?!\s+[01]?\.\d)|while|whereas|but|although|though|with|as|plus|which|yet)\b"
    r"|\b(?=(?:without|rather\s+than|instead\s+of)\b)"
)
_STOPS_DENIAL = re.compile(r"\b(?:while|whereas|but|although|though|yet)\b")
_DENIAL = re.compile(
    r"\b(?:no|not|never|nothing|without|neither|nor|lacks?|lacking|absence|absent|free\s+of|devoid|rather\s+than|instead\s+of)\b"
    r"(?!\s+only)|n't\b"
)
_DENIED_AFTER = re.compile(
    r"\b(?:is|are|was|were|remains?)\s+(?:not\s+(?:visible|seen|present|observed)|absent|missing)"
)
_CONTINUES = re.compile(rf"^\W*(?:(?:is|are|also|then|both|or|nor|without|not|no|any|{MASK}+)\s+)*$")
_OWN_VERB = re.compile(r"\b(?:is|are|shows?|appears?|there)\b")
_NUMBER = re.compile(r"(?<![\d.])(?:0?\.\d+|1\.0+)(?!\d)")
_SMALL_WORDS = re.compile(
    r"\b(?:at|an?|the|intensity|density|degree|value|of|is|measured|around|about|on|left|right)\b|\W"
)
_TWO_SIDES = re.compile(
    r"\b(?:left\s+(?:and|or|as\s+well\s+as)\s+(?:the\s+)?right|right\s+(?:and|or)\s+(?:the\s+)?left)\b"
)
_SIDE = re.compile(r"\b(left|right)\b")
_HIGHEST_DENIED = 2


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of a sentence between separators."""

    text: str
    masked: str
    """The same with degree phrases masked."""
    before: str
    """The separator in front; empty at the start of the sentence."""

    @property
    def level(self) -> tuple[int, int] | None:
        """Levels that its numbers, else its degree words, claim."""
        numbers = [float(match.group()) for match in _NUMBER.finditer(self.text)]
        if numbers:
            levels = [max(int(5.0 * number + 0.5), 1 if number > 0 else 0) for number in numbers]
            return min(levels), max(levels)
        return read_degree(self.text) if MASK in self.masked else None


@dataclass(slots=True)
class _State:
    """What the segments of one sentence hand on."""

    parts: list[tuple[str, str]] = field(default_factory=list)
    """(part, side) of the last segment that named one."""
    waiting: list[tuple[str, str]] = field(default_factory=list)
    """Parts that have no action yet."""
    action: str = ""
    """Words of the last segment with an action."""
    level: tuple[int, int] | None = None
    denied: bool = False
    found: list[MovementClaim] = field(default_factory=list)


def read_movements(text: str) -> tuple[MovementClaim, ...]:
    """Every movement that ``text`` states or denies, in text order.

    Names of values ("left lip corner pull"), clauses, noun phrases, lists and denials are understood, degree words by
    `mien.dialogue.read.degrees` and numbers 0..1 as intensities. Denials of a high degree ("not strongly raised")
    are no statements. Made to be forgiving: words of another order are still read, so a text with long digressions
    may give a claim that a careful reader would not draw.
    """
    claims: list[MovementClaim] = []
    plain = _TWO_SIDES.sub(lambda m: "both".ljust(len(m.group())), text.lower().replace("\u2019", "'"))
    for sentence in _SENTENCE.split(plain):
        state = _State()
        for segment in _segments(sentence):
            if _STOPS_DENIAL.search(segment.before):
                state.denied = False
            _read_segment(segment, state)
        _settle_waiting(state, state.action, state.level)
        claims += state.found
    return tuple(claims)


def _segments(sentence: str) -> Iterator[_Segment]:
    masked = mask_degrees(sentence)
    start, before = 0, ""
    for match in _SEGMENT.finditer(masked):
        yield _Segment(sentence[start : match.start()], masked[start : match.start()], before)
        start, before = match.end(), match.group() or "|"
    yield _Segment(sentence[start:], masked[start:], before)


def _read_segment(segment: _Segment, state: _State) -> None:
    masked, level = segment.masked, segment.level
    parts = list(_PART.finditer(masked))
    words = _blanked(masked, [part.span() for part in parts])
    own = _DENIAL.search(masked)
    if parts and own is None and segment.before and _OWN_VERB.search(masked):
        state.denied = False
    denied_before = state.denied
    state.denied = state.denied or own is not None
    if not parts:
        _continue(segment.text, words, level, state)
        return
    named = [(_PART_NAMES[int((part.lastgroup or "p0")[1:])], _side(masked, part)) for part in parts]
    state.parts = named
    after = bool(_DENIED_AFTER.search(masked))
    for place, (part, found) in enumerate(zip(named, parts, strict=True)):
        low = parts[place - 1].end() if place else 0
        high = parts[place + 1].start() if place + 1 < len(parts) else len(masked)
        # A segment with one part lends it all its words; with several, each takes those around it.
        around = words[low:high]
        denied = denied_before or after or (own is not None and own.start() <= found.end())
        names = _match(part[0], around)
        if names:
            _settle_waiting(state, around, level)
            _add(state, names, part[1], denied or (own is not None and own.start() <= high), level)
            state.action, state.level = around, level
        elif _ECHO.search(around) and state.action:
            _add(state, _match(part[0], state.action), part[1], denied, state.level)
        else:
            state.waiting.append(part)
    _smile(words, level, state)


def _continue(text: str, words: str, level: tuple[int, int] | None, state: _State) -> None:
    """A segment that names no part: an action of the last parts, a smile, or a number of the last claim."""
    number = _NUMBER.search(text)
    if number and state.found and state.found[-1].level is None and not _words_of(text, number):
        state.found[-1] = replace(state.found[-1], level=level)
    for part, side in state.parts:
        for names, pattern in _ACTIONS[part]:
            action = pattern.search(words)
            if action and _CONTINUES.match(words[: action.start()]):
                _settle_waiting(state, words, level)
                _add(state, _sided_jaw(names, words), side, state.denied, level)
                break
    _smile(words, level, state)


def _words_of(segment: str, number: re.Match[str]) -> str:
    """Words of a segment beside its number, but for small ones."""
    return _SMALL_WORDS.sub("", segment[: number.start()] + segment[number.end() :])


def _smile(words: str, level: tuple[int, int] | None, state: _State) -> None:
    match = _SMILE.search(words)
    if match and not any(claim.movement == "lip corner pull" for claim in state.found):
        state.found.append(
            MovementClaim("lip corner pull", "both", not state.denied, None if state.denied else level)
        )


def _settle_waiting(state: _State, words: str, level: tuple[int, int] | None) -> None:
    for part, side in state.waiting:
        _add(state, _match(part, words), side, state.denied, level)
    state.waiting = []


def _match(part: str, words: str) -> tuple[str, ...]:
    """Movements of ``part`` that ``words`` hold, by the first of its rules that fits."""
    for names, pattern in _ACTIONS[part]:
        if pattern.search(words):
            return _sided_jaw(names, words)
    return ()


def _sided_jaw(names: tuple[str, ...], words: str) -> tuple[str, ...]:
    if names != ("jaw slide",):
        return names
    side = _SIDE.search(words)
    return (f"jaw slide {side.group()}",) if side else ("jaw slide left", "jaw slide right")


def _add(
    state: _State, names: tuple[str, ...], side: str, denied: bool, level: tuple[int, int] | None
) -> None:  # fmt: skip
    if denied and level is not None and level[0] > _HIGHEST_DENIED:
        return
    for name in names:
        sided = name in MOVEMENTS_24 and bool(MOVEMENTS_24[name].one)
        state.found.append(
            MovementClaim(name, side if sided else "both", not denied, None if denied else level)
        )


def _side(masked: str, part: re.Match[str]) -> str:
    """The side named nearest before the part, else after it within the segment."""
    before = list(_SIDE.finditer(masked, 0, part.start()))
    if before:
        return before[-1].group()
    after = _SIDE.search(masked, part.end())
    return after.group() if after else "both"


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text
