"""Patterns that find a statement about one Action Unit in running text; the reader's half of the AU vocabulary.

A statement is a *subject* (what moves) beside an *action* (how), in either order, with nothing but small words
between them: "the cheeks are slightly raised", "slightly raised cheeks", "a slight raising of the cheeks". The
list of small words is closed, so that an action never pairs with the subject of another clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from mien.dialogue.read.degrees import MASK, mask_degrees, read_degree

__all__ = ["HIGHEST_DENIED", "Statement", "find_statements"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One match, before negation is settled."""

    au: str
    start: int
    end: int
    level: tuple[int, int] | None
    denies: bool
    """True when the words between subject and action deny it, or the action itself does ("closed lips")."""
    finite: bool
    """True when a verb form ties subject and action: a whole clause rather than a noun phrase."""
    subject: tuple[int, int]
    action: tuple[int, int]
    coordinated: bool = False
    """True when another subject stands between ("raised cheeks and lip corners")."""


_BROW = r"(?:eye\s?)?brows?"
_LID = r"(?:eye\s?)?lids?"
_PARTS = r"(?:corners?|ends?|parts?|portions?|edges?|halves|half)"
_OF = r"\s+(?:of|at)\s+(?:the\s+|both\s+|his\s+|her\s+|their\s+)*"
_BROW_PART = rf"(?:{_BROW}|{_PARTS}{_OF}{_BROW}|{_BROW}\s+{_PARTS})"
_CORNERS = rf"(?:(?:lip|mouth)\s+corners?|corners?{_OF}(?:lips?|mouth)|outer\s+lip\s+corners?)"
_EYES = r"(?:eyes?)"
_LIPS = r"lips?(?!\s+corners?)"
_UPPER_LIP = r"upper\s+lip"
_LOWER_LIP = r"(?:lower|bottom)\s+lip"
_DEG = rf"{MASK}+"


def _directed(verbs: str, directions: str) -> str:
    forms = r"(?:ed|ing|es|s|e|d|n|ped|ping|ved|led|ling)?"
    return rf"(?:{verbs}){forms}(?:\s+{_DEG})?[\s-]+(?:{directions})\b"


_MOVE = r"pull|push|draw|drew|turn|mov|curv|curl|tilt|tug|shift"
_LIFT = (
    r"(?:rais(?:ed|es|e|ing)|lift(?:ed|s|ing)?|elevat(?:ed|es|e|ing|ion)|rise[sn]?|rising|rose|upturned)\b"
)
_UP = rf"(?:{_LIFT}|{_directed(_MOVE, 'up|upwards?')})"
_NOUN = r"(?:lips?|jaws?|lids?|eyelids?|face|teeth|brows?|eyebrows?|corners?|cheeks?|mouth|half|part)\b"
_DOWN = (
    rf"(?:(?:lower(?:ed|s|ing)|lower(?!\s+{_NOUN})|depress(?:ed|es|ing|ion)?|drop(?:ped|s|ping)?|droop(?:ed|s|ing|y)?|downturned|"
    rf"sag(?:ged|s|ging)?)\b|{_directed(_MOVE, 'down|downwards?')})"
)
_TOGETHER = (
    rf"(?:{_directed('draw|pull|squeez|bring|knit|com', 'together')}|drawn\s+together|brought\s+together|"
    r"furrow(?:ed|s|ing)?\b|knit(?:ted|ting)?\b|contract(?:ed|s|ing)?\b)"
)
_WRINKLE = r"(?:(?:wrinkl|crinkl|scrunch)(?:ed|es|e|ing)(?:\s+up)?\b)"
_INWARD = _directed("pull|draw|press|tuck|suck|roll|fold|curl|turn", "in|inwards?|inside")
_SIDEWAYS = (
    rf"(?:{_directed('stretch|pull|draw|spread|mov', 'sideways|horizontally|laterally|outwards?|apart|back')}"
    r"|(?:sideways|horizontal|lateral)(?:ly)?[\s-]+stretch(?:ed|es|ing)?\b)"
)
_WIDE_OPEN = (
    r"(?:(?:stretch(?:ed|es|ing)?|open(?:ed|s|ing)?|gap(?:ed|es|ing))(?:\s+very)?[\s-]+(?:wide[\s-]+)?open\b"
    rf"|{_directed('stretch|open|gap', 'wide')}(?:[\s-]+open\b)?"
    r"|wide[\s-]+open(?:ed|ing)?\b|agape\b|gaping\b|vertical(?:ly)?[\s-]+stretch(?:ed|es|ing)?\b"
    r"|stretch(?:ed|es|ing)?\s+vertically\b)"
)
_CLOSED = r"(?:clos(?:ed|es|e|ing|ure)|shut(?:s|ting)?)\b"
_REST = r"(?:relaxed|at\s+rest|resting|unmoved|in\s+(?:a|their|its)\s+(?:neutral|resting)\s+position)\b"
_OPEN = (
    r"(?:(?<!wide\s)(?<!wide-)(?<!stretched\s)(?<!stretching\s)(?<!stretches\s)"
    r"(?:part(?:ed|s|ing)?|open(?:ed|s|ing)?|separat(?:ed|e|es|ing|ion)|apart)\b(?!\s+wide|-wide))"
)

_RULES: tuple[tuple[tuple[str, ...], str, str, bool], ...] = (
    (("AU01",), rf"(?:outer\s+(?:and|or)\s+)?inner(?:\s+(?:and|or)\s+outer)?\s+{_BROW_PART}", _UP, False),
    (("AU02",), rf"(?:inner\s+(?:and|or)\s+)?outer(?:\s+(?:and|or)\s+inner)?\s+{_BROW_PART}", _UP, False),
    (("AU01", "AU02"), rf"(?<!inner\s)(?<!outer\s){_BROW}(?!\s+(?:{_PARTS}|lower|area))",
     rf"(?:{_UP}|arch(?:ed|ing)?\b)", False),
    (("AU04",), rf"{_BROW}", rf"(?:{_DOWN}|{_TOGETHER})", False),
    (("AU05",), rf"upper\s+{_LID}", _UP, False),
    (("AU05",), _EYES,
     rf"(?:widen(?:ed|s|ing)?\b|wide[\s-]+open(?:ed)?\b|wide\b|{_directed('open', 'wide')}|enlarged\b)", False),
    (("AU06",), r"cheeks?", _UP, False),
    (("AU07",), rf"(?:lower\s+|upper\s+)?{_LID}", r"(?:tight(?:en(?:ed|s|ing)?)?|tens(?:ed|es|ing|ion))\b", False),
    (("AU07",), _EYES, r"(?:narrow(?:ed|s|ing)?|squint(?:ed|s|ing)?)\b", False),
    (("AU09",), r"(?:bridge\s+of\s+the\s+nose|nos(?:e|al)(?:\s+bridge)?)", _WRINKLE, False),
    (("AU10",), _UPPER_LIP, _UP, False),
    (("AU11",), r"nasolabial\s+(?:folds?|furrows?|lines?)", r"deep(?:en(?:ed|s|ing)?)?\b", False),
    (("AU12",), _CORNERS, _UP, False),
    (("AU12",), "mouth", rf"(?:upturned\b|{_directed('turn|curv|curl', 'up|upwards?')})", False),
    (("AU14",), _CORNERS, rf"(?:tight(?:en(?:ed|s|ing)?)?\b|{_INWARD}|dimpl(?:ed|es|e|ing)\b)", False),
    (("AU14",), r"(?:cheeks?|mouth)", r"dimpl(?:ed|es|e|ing)\b", False),
    (("AU15",), _CORNERS, _DOWN, False),
    (("AU15",), "mouth", rf"(?:downturned\b|{_directed('turn|curv|curl', 'down|downwards?')})", False),
    (("AU16",), _LOWER_LIP, _DOWN, False),
    (("AU17",), r"(?:chin(?:\s+boss)?)", rf"(?:{_UP}|{_directed('push', 'up|upwards?')})", False),
    (("AU17",), _LOWER_LIP, _UP, False),
    (("AU18",), rf"(?:{_LIPS}|mouth)", r"(?:pucker(?:ed|s|ing)?|purs(?:ed|es|ing))\b", False),
    (("AU20",), rf"(?:{_CORNERS}|{_LIPS}|mouth)", _SIDEWAYS, False),
    (("AU20",), _LIPS, r"stretch(?:ed|es|ing)?\b", False),
    (("AU22",), _LIPS, rf"(?:funnel(?:ed|led|s|ing|ling)?(?:\s+outwards?)?\b|"
     rf"{_directed('push|protrud|flar', 'outwards?|forwards?')})", False),
    (("AU23",), rf"(?:{_LIPS}|mouth)", r"(?:tight(?:en(?:ed|s|ing)?)?|narrow(?:ed|s|ing)?)\b", False),
    (("AU24",), _LIPS, rf"(?:(?:press|clamp|squeez)(?:ed|es|ing)(?:\s+(?:{_DEG}\s+)?(?:together|shut))?"
     r"|press\s+together|compress(?:ed|ing|ion)?)\b", False),
    (("AU25",), rf"(?:(?<!upper\s)(?<!lower\s){_LIPS}|mouth)", _OPEN, False),
    (("AU25",), rf"(?:{_LIPS}|mouth)", rf"(?:{_CLOSED}|sealed\b)", True),
    (("AU26",), r"(?:lower\s+)?jaws?",
     rf"(?:{_DOWN}|slack\b|hang(?:s|ing)?\s+open\b|open(?:ed|s|ing)?\b(?!\s+wide))", False),
    (("AU26",), r"(?:lower\s+)?jaws?", _CLOSED, True),
    (("AU27",), r"(?:mouth|jaws?)", _WIDE_OPEN, False),
    (("AU28",), _LIPS, rf"(?:{_INWARD}|inward\s+rolling\b)", False),
    (("AU43",), rf"(?:{_EYES}|{_LID})", _CLOSED, False),
    (("AU43",), _EYES, r"(?<!wide\s)(?<!wide-)open\b(?!\s+wide|-wide)", True),
    (("AU45",), _EYES, r"blink(?:ed|s|ing)?\b", False),
    (("AU01", "AU02", "AU04"), _BROW, _REST, True),
    (("AU05", "AU07"), _LID, _REST, True),
    (("AU06",), r"cheeks?", _REST, True),
)  # fmt: skip
"""(AUs, subject, action, action denies): all the pairs that make a statement."""

_IDIOMS: tuple[tuple[tuple[str, ...], str, bool], ...] = (
    (("AU06",), r"(?:reach(?:es|ed|ing)?|touch(?:es|ing)?|extend(?:s|ing)?\s+to)\s+the\s+eyes", False),
    (("AU06",), r"(?:do(?:es)?\s+not|doesn't|not|never|without)\s+(?:fully\s+)?(?:reach(?:ing)?|touch(?:ing)?"
     r"|extend(?:ing)?\s+to)\s+the\s+eyes", True),
    (("AU06",), r"crow'?s[\s-]+feet", False),
    (("AU12",), rf"(?:(?:{_DEG})\s+)?(?<!to )(?:smil(?:es?|ing)|grin(?:s|ning)?)\b", False),
    (("AU14",), r"dimples\b", False),
)  # fmt: skip
"""(AUs, whole pattern, denies): statements that name no subject and action."""

_BE = r"is|are|was|were|be|been|being|seems?|appears?|looks?|remains?|stays?|kept|held"
_FILL = (
    rf"{_BE}|to|have|has|had|both|also|then|now|not|never|no|quite|only|just|itself|shows?|displays?|a|an|some|any"
    r"|signs?|of|together|and"
)
_DETERMINERS = r"the|both|left|right|a|an|his|her|their|its|any|that|person's|subject's|two"
_ANY_SUBJECT = (
    r"(?:(?:inner|outer|upper|lower|left|right)\s+)*"
    rf"(?:{_CORNERS}|{_BROW}|{_LID}|eyes?|cheeks?|nose|lips?|mouth|jaw|chin)"
)
_ANY_ACTION = (
    rf"(?:{_UP}|{_DOWN}|{_TOGETHER}|{_OPEN}|{_WRINKLE}|tightened|narrowed|widened|stretched|pressed)"
)
_COMMA = r"\s*,\s*(?:(?:the|both)\s+)?"
_WORD_JOIN = r"\s*,?\s+(?:and|or|nor)\s+(?:(?:the|both)\s+)?"
_GAP = (
    rf"(?P<gap>(?P<others>(?:{_COMMA}{_ANY_SUBJECT})*{_WORD_JOIN}{_ANY_SUBJECT})?"
    rf"(?:\s+(?:{_FILL}|{_DEG})|\s*n't|\s+{_ANY_ACTION}(?:\s+{_DEG})?\s*,?\s+(?:and|or|but))*[\s-]+)"
)
_REVERSE_GAP = (
    rf"(?P<gap>[\s-]+(?:(?:of|in|at)\s+)?(?:(?:{_DETERMINERS}|{_DEG})\s+)*"
    rf"(?P<others>(?:{_ANY_SUBJECT}(?:{_COMMA}|{_WORD_JOIN}))*?))"
)
_BEFORE = rf"(?:(?P<before>{_DEG})(?:\s+(?:the|both|left|right))?\s+)?"
_NUMBER = (
    r"\s*[(,]?\s*(?:(?:with\s+|at\s+)?(?:an?\s+)?(?:intensity|density|degree|value)\s*(?:of|=|:)?\s*)?"
    r"(?P<number>[01]?\.\d+)(?:\s*(?:-|–|to\b)\s*(?P<top>[01]?\.\d+))?\)?"
)
_AFTER = rf"(?:\s+(?P<after>{_DEG})(?!\s+{_ANY_ACTION})|{_NUMBER})?"


@cache
def _probe(subject: str) -> re.Pattern[str]:
    return re.compile(subject, re.IGNORECASE)


@cache
def _pair(subject: str, action: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The two orders of a rule, compiled when a text first holds its subject: most texts need half of the rules."""
    parts = rf"(?P<subject>{subject})", rf"(?P<action>{action})"
    forward = rf"{_BEFORE}{parts[0]}{_GAP}{parts[1]}(?!\s+of\b){_AFTER}"
    reverse = rf"{_BEFORE}{parts[1]}{_REVERSE_GAP}\b{parts[0]}\b{_AFTER}"
    # A look-ahead finds overlapping matches: one subject may end a phrase and begin a clause.
    first, second = (re.compile(rf"\b(?=(?P<all>{source}))", re.IGNORECASE) for source in (forward, reverse))
    return first, second


def _pair_statements(text: str, masked: str) -> Iterator[Statement]:
    for aus, subject, action, denies in _RULES:
        if _probe(subject).search(masked) is None:
            continue
        for pattern in _pair(subject, action):
            for match in pattern.finditer(masked):
                yield from _statements(text, match, aus, denies)


_FINITE = re.compile(rf"\b(?:{_BE})\b", re.IGNORECASE)
_DENIAL = re.compile(r"\b(?:not|never|no)\b(?!\s+only)|n't", re.IGNORECASE)
HIGHEST_DENIED = 2
"""Denying a degree whose range starts here or lower ("not noticeably raised") denies the movement itself; denying
a higher one ("not strongly raised") neither claims nor denies it, and is no statement."""
_NOT_DEGREE = re.compile(rf"(?:\b(?:not|no)|n't)\s+(?:\w+\s+)?{_DEG}", re.IGNORECASE)


def _statements(text: str, match: re.Match[str], aus: tuple[str, ...], denies: bool) -> Iterator[Statement]:
    gap = match["gap"]
    denied = bool(_DENIAL.search(re.split(r"\bbut\b", gap, flags=re.IGNORECASE)[-1]))
    level = read_degree(text[slice(*match.span("all"))]) if MASK in match["all"] else None
    if denied and level is not None and level[0] > HIGHEST_DENIED and _NOT_DEGREE.search(match["all"]):
        return
    if match["number"]:
        ends = [int(5.0 * min(float(end), 1.0) + 0.5) for end in (match["number"], match["top"]) if end]
        denied, level = denied or max(ends) == 0, (max(min(ends), 1), max(ends))
    absent = denied != denies
    finite = match.start("subject") < match.start("action") and bool(_FINITE.search(gap))
    for au in aus:
        yield Statement(
            au,
            *match.span("all"),
            level=None if absent else level,
            denies=absent,
            finite=finite,
            subject=match.span("subject"),
            action=match.span("action"),
            coordinated=bool(match["others"]),
        )


def _inside(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1] and inner != outer


def _shadowed(one: Statement, others: list[Statement]) -> bool:
    """Whether a better reading of the same words exists: a longer subject or action, a longer whole, a nearer pair."""
    for other in others:
        same_words = one.au == other.au and one.subject == other.subject and one.action == other.action
        if same_words and _inside((one.start, one.end), (other.start, other.end)):
            return True
        same_action = one.action[0] < other.action[1] and other.action[0] < one.action[1]
        same_subject = one.subject[0] < other.subject[1] and other.subject[0] < one.subject[1]
        if same_action and _inside(one.subject, other.subject):
            return True
        if same_subject and _inside(one.action, other.action):
            return True
        if one.coordinated and not other.coordinated and same_subject:
            return True
    return False


def find_statements(text: str) -> list[Statement]:
    """All statements about AUs in ``text`` made of a subject and an action, or by idiom, in text order."""
    masked = mask_degrees(text)
    found = list(_pair_statements(text, masked))
    kept = [one for one in found if not _shadowed(one, found)]
    for aus, source, denies in _IDIOMS:
        for match in _probe(rf"\b{source}").finditer(masked):
            span = match.span()
            level = None if denies else read_degree(text[slice(*span)])
            kept += [Statement(au, *span, level, denies, False, span, span) for au in aus]
    return sorted(kept, key=lambda statement: (statement.start, statement.end, statement.au))
