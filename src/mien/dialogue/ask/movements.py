"""What a question names: movements, Action Units, emotions and parts of the face, all read by `mien.dialogue.read`.

``"Is she smiling?"`` -> AU12, ``"are the brows raised"`` -> AU1 or AU2, ``"mouth closed"`` -> not (AU25 or AU26 or AU27).
Only what questions ask beyond descriptions stands here: genuine and put-on smiles, teeth, the order of words. Typing
errors of one letter are forgiven where the intended word is one that questions use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from mien.core.aus import AUS, au_key
from mien.dialogue.read.emotion import emotions_named
from mien.dialogue.read.lexicon import LEXICON, Move
from mien.dialogue.read.scan import scan
from mien.dialogue.read.statements import find_statements
from mien.dialogue.say.wording import ATTRIBUTES

__all__ = [
    "PEOPLE",
    "SIDED_PART",
    "Condition",
    "conditions_of",
    "denies",
    "emotions_in",
    "mended",
    "regions_in",
    "units_denied",
    "units_in",
]

SIDED_PART = r"\b(corners?|eyes?|eye ?brows?|brows?|cheeks?|lids?|eyelids?)"
"""Parts that have a side of their own: "the corner on the left"."""
PEOPLE = r"(?:faces?|persons?|people|m[ae]n|wom[ae]n|guys?|lad(?:y|ies)|girls?|boys?|ones?|children|child|kids?|individuals?|subjects?|humans?|folks?|dudes?|chaps?|fell(?:ow|a)s?|adults?|patients?|participants?)"


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of the AUs of one face."""

    aus: tuple[str, ...]
    """AU keys."""
    every: bool = False
    """All of them must be there; else one suffices."""
    absent: bool = False
    """It holds where the AUs are not there (``"mouth closed"``)."""
    words: str = ""
    """How the movement is called in an answer, as a noun phrase: ``"a smile"``."""
    negated: bool = False
    """The question denies it: ``"she is not smiling?"``."""


_SMILE = r"(?:smil|grin|laugh)"
_REAL = r"(?:genuine(?:ly)?|real(?:ly meant)?|for real|true(?= smil)|sincere(?:ly)?|honest|authentic|felt|natural|spontaneous|enjoyment)"
_FAKE = r"(?:fak(?:e|ed|ing)|false|forced|posed|put on|social|polite|artificial|phony|insincere)"
_SMILES: tuple[tuple[re.Pattern[str], Condition], ...] = tuple(
    (re.compile(pattern), Condition(("AU06", "AU12"), every=True, absent=absent, words=words))
    for pattern, absent, words in (
        (
            rf"{_REAL}\b[^.?!]{{0,30}}\b{_SMILE}|{_SMILE}\w*\b[^.?!]{{0,30}}\b{_REAL}\b|duchenne|\beyes?\b[^.?!]{{0,20}}\b(?:smil\w+|join\w*|involved|take part|crinkl\w+)"
            rf"|{_SMILE}\w*\b[^.?!]{{0,12}}\b(?:reach\w*|touch\w*|with|in|involv\w*|includ\w*)[^.?!]{{0,12}}\beyes?\b",
            False, "a genuine (Duchenne) smile",
        ),
        (rf"{_FAKE}\b[^.?!]{{0,25}}\b{_SMILE}|{_SMILE}\w*\b[^.?!]{{0,25}}\b{_FAKE}\b", True, "a posed smile"),
    )
)  # fmt: skip
_TEETH = Condition(("AU25",), words="teeth")
_WIDER: Mapping[tuple[str, ...], tuple[str, ...]] = MappingProxyType(
    {("AU25",): ("AU25", "AU26", "AU27"), ("AU27",): ("AU25", "AU26", "AU27"), ("AU26",): ("AU26", "AU27"), ("AU45",): ("AU43",)}
)  # fmt: skip
"""What people mean by an open mouth, a dropped jaw and a blink is more than one unit, or its neighbour."""
_CALLED: Mapping[tuple[str, ...], str] = MappingProxyType(
    {("AU12",): "a smile", ("AU25", "AU26", "AU27"): "an open mouth", ("AU01", "AU02"): "raised brows"}
)
_MUSCLES = {
    "corrugator": "AU04",
    "zygomatic": "AU12",
    "zygomaticus": "AU12",
    "orbicularis oculi": "AU06",
    "frontalis": "AU01",
}
_NAMES = sorted(
    [(info.name, key) for key, info in AUS.items() if key != "AU45"] + list(_MUSCLES.items()),
    key=lambda one: -len(one[0]),
)
_NAMED = re.compile(rf"\b(?P<name>{'|'.join(name for name, _ in _NAMES)})s?\b")
_KEYS = dict(_NAMES)
_UNIT = re.compile(
    r"\b(?:aus?|action ?units?|units?)[\s#-]*((?:\d{1,2}[a-e]?\b(?!\s*-\s*\d|\.\d)[\s,+&/]*(?:(?:and|or|vs\.?|versus|to|with)\s+(?:au)?\s*)?(?:aus?\s*)?)+)"
)
_POLITE = re.compile(
    r"^\W*(?:is|are|does|do|did|was|has|have|can|could|wo|would)n't\b|\b(?:yes or no|or not|no\?|(?:isn't|doesn't|don't|aren't) (?:it|he|she|they)\W*$)"
)
"""A denial that asks for a yes."""
_OWNER = re.compile(rf"\bof (?:the|this|that) (?:\w+ )?{PEOPLE}(?: (?:on|at|to|in) the \w+)?")
_HOW = re.compile(
    r"\bhow (?:\w+ly |far |wide )?([\w-]+) (is|are|was|were) ((?:the|his|her|their|both|this|that|these)\b(?: (?!on\b|from\b|in\b|at\b|as\b|with\b|right now\b)[\w'-]+)*)"
)


def _as_statement(text: str) -> str:
    """A question with its words in the order of a statement: "how raised are the cheeks" -> "the cheeks are raised"."""
    text = re.sub(rf"{SIDED_PART} on (?:the|his|her|their) (?:left|right)(?: side)?\b", r"\1", text)
    text = re.sub(r"\bhow high (?=are|is)", "how raised ", text)
    text = re.sub(r"\byawn\w*", "mouth wide open", _OWNER.sub("", _POLITE.sub(" ", text)))
    return re.sub(r"\b(?:to|begin|start) (?=smil|frown|blink|grin|laugh)", "", _HOW.sub(r"\3 \2 \1", text))


def denies(text: str) -> bool:
    """A denial inside the question; ``"isn't she …?"`` at its head is only a polite yes."""
    return any(atom.kind in "nz" for atom in scan(_POLITE.sub(" ", text)))


def units_in(text: str) -> list[str]:
    """Keys of the AUs that a lower-case text names by number or FACS name, in order; unknown numbers too."""
    hits = [
        (found.start() + number.start(), au_key(int(number[0])))
        for found in _UNIT.finditer(text)
        for number in re.finditer(r"\d+", found[0])
    ]
    hits += [(found.start(), _KEYS[found["name"]]) for found in _NAMED.finditer(text.replace("-", " "))]
    return list(dict.fromkeys(key for _, key in sorted(hits)))


def units_denied(text: str) -> bool:
    """Whether the question speaks of its AUs as absent: "is AU4 missing?"; of unknown ones too."""
    found = next((one for one in find_statements(_POLITE.sub(" ", text)) if one.move.aus), None)
    return denies(text) if found is None else found.denied


def conditions_of(text: str) -> tuple[Condition, ...]:
    """The movements that a lower-case text asks about, in order; empty when it names none."""
    smile = next((condition for pattern, condition in _SMILES if pattern.search(text)), None)
    if smile is not None or re.search(r"\bteeth\b|\btooth\w*", text):
        return (smile or _TEETH,)
    found = (one for one in find_statements(_as_statement(text)) if not one.code and one.move.aus)
    return tuple(dict.fromkeys(_condition(one.move, one.denied) for one in found))


def _condition(move: Move, denied: bool) -> Condition:
    aus = _WIDER.get(move.aus, move.aus)
    called = _CALLED.get(aus, ATTRIBUTES[aus[0]])
    if move.denies:
        called = {
            "AU25": "a closed mouth",
            "AU43": "open eyes",
            "AU01": "brows at rest",
            "AU05": "lids at rest",
        }.get(aus[0], f"no {called}")
    return Condition(aus, absent=move.denies, words=called, negated=denied != move.denies)


def emotions_in(text: str) -> Mapping[str, bool]:
    """Emotions that a lower-case text names, in order, and whether it denies them."""
    return emotions_named(_POLITE.sub(" ", text))


_REGIONS: Mapping[str, str] = MappingProxyType(
    {"brow": "brows", "forehead": "brows", "lid": "eyes", "eye": "eyes", "nose": "nose", "cheek": "cheeks", "mouth": "mouth", "lips": "mouth",
     "lip": "mouth", "corner": "mouth", "chin": "chin", "jaw": "chin"}
)  # fmt: skip
_HALVES = re.compile(
    r"\b(?P<half>upper|lower|top|bottom) (?:(?:half|part|third|region|portion|area) of (?:the |this |his |her |their )?)?face\b|\b(?P<bare>top|bottom) half\b"
)


def regions_in(text: str) -> list[str]:
    """Regions that a lower-case text names, from brow to chin; a half of the face alone."""
    half = _HALVES.search(text)
    if half is not None:
        return ["upper face" if (half["half"] or half["bare"]) in ("upper", "top") else "lower face"]
    parts = {str(atom.value).split()[-1] for atom in scan(text) if atom.kind == "p"}
    named = {_REGIONS[part] for part in parts if part in _REGIONS} | (
        {"mouth"} if re.search(r"\bsmile\b", text) else set()
    )
    return [region for region in dict.fromkeys(_REGIONS.values()) if region in named]


_SPELLED = frozenset(
    "emotion emotions expression feeling mood happy happiness sadness surprise surprised disgust disgusted anger angry contempt neutral afraid scared fear "
    "smile smiling smiles mouth lips eyebrow eyebrows brows eyes eyelids nose cheeks forehead raised lowered closed open parted apart wrinkle wrinkled action units "
    "intensity level levels present absent active strong strength probability certain confidence second likely describe explain faces people person picture "
    "photo turned tilted gaze looking happen start begin strongest frowning teeth letter array binary quality blurry direction degrees how what which where many does".split()
)  # fmt: skip
_KEEP = frozenset(
    "there their these those three where whose other state stare share smell smelly miles lives noise mount month loose lever reason presence qualify degree starts begins "
    "scored scores score stared cared photos openly anyone seconds pictures letters likely levels".split()
) | {word for entries in LEXICON.values() for words, *_ in entries for word in words}  # fmt: skip


def _near(word: str) -> str | None:
    """The one word of the vocabulary at one insertion, deletion, change or swap of letters."""
    found = {
        known
        for known in _SPELLED
        if known[0] == word[0] and abs(len(known) - len(word)) <= 1 and _one_off(word, known)
    }
    return found.pop() if len(found) == 1 else None


def _one_off(a: str, b: str) -> bool:
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    swapped = len(rest_a) > 1 and len(rest_b) > 1 and rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]
    return swapped or rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:]


@lru_cache(maxsize=4096)
def _mended_word(word: str) -> str:
    return word if word in _SPELLED or word in _KEEP else _near(word) or word


def mended(text: str) -> str:
    """A lower-case text with near misses of the vocabulary put right: ``"eyebrwos"`` -> ``"eyebrows"``."""
    return re.sub(r"(?<![\w'])[a-z]{5,14}(?![\w'])", lambda found: _mended_word(found[0]), text)
