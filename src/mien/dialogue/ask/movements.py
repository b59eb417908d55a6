"""Movements as people ask about them: words of a question -> a condition over Action Units.

``"smiling"`` -> AU12, ``"brows raised"`` -> AU1 or AU2, ``"a genuine smile"`` -> AU6 and AU12, ``"mouth closed"`` -> not
(AU25 or AU26 or AU27). Typing errors of one letter are forgiven where the intended word is one of this vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mien.core.aus import AUS

__all__ = [
    "EMOTION_WORDS",
    "REGION_WORDS",
    "Condition",
    "condition_of",
    "emotions_in",
    "mended",
    "regions_in",
    "units_in",
]


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


_BROW = r"(?:eye ?brows?|brows?|forehead)"
_EYE = r"(?:eyes?)"
_LID = r"(?:eye ?lids?|lids?)"
_MOUTH = r"(?:mouth|lips?)"
_UP = r"(?:raised?|raising|lifted|lift|lifting|up|arched|high|elevated|goes? up|going up|pulled up)"
_DOWN = r"(?:down|downwards?|lower(?:ed|ing)?|droop(?:ing|y|s)?|turned down|pulled down|depressed|sag(?:ging)?|point(?:s|ing)? down|drop(?:ped|ping)?|hang(?:ing)?(?: down)?)"
_GAP = r"[^.?!;]{0,28}?\b"


def _pair(subject: str, deed: str) -> str:
    """The two in either order, near each other."""
    return rf"\b{subject}\b{_GAP}{deed}\b|\b{deed}\b{_GAP}{subject}\b"


_MOVEMENTS: tuple[tuple[str, Condition], ...] = (
    (
        r"(?:genuine(?:ly)?|real|true(?= smil)|sincere(?:ly)?|honest|authentic|felt|natural|spontaneous|enjoyment|duchenne)\b[^.?!]{0,30}\b(?:smil|grin|laugh)|(?:smil|grin|laugh)\w*\b[^.?!]{0,30}\b(?:genuine(?:ly)?|real(?:ly meant)?|for real|sincere(?:ly)?|honest|authentic|felt|natural|spontaneous|reach|duchenne|with (?:the|her|his) eyes)|duchenne|"
        r"\beyes?\b[^.?!]{0,20}\b(?:smil\w+|join\w*|involved|take part|crinkl\w+)|smil\w*\b[^.?!]{0,25}\beyes?\b|crow'?s feet",
        Condition(("AU06", "AU12"), every=True, words="a genuine (Duchenne) smile"),
    ),
    (
        r"(?:fake|false|forced|posed|put on|social|polite|artificial|phony|insincere)\b[^.?!]{0,25}\b(?:smil|grin)|(?:smil|grin)\w*\b[^.?!]{0,25}\b(?:fake|false|forced|posed|put on|social|polite|artificial|phony|insincere)",
        Condition(("AU06", "AU12"), every=True, absent=True, words="a posed smile"),
    ),
    (r"\binner (?:eye ?)?brows?\b" + _GAP + _UP + r"|" + _UP + r"\b" + _GAP + r"\binner (?:eye ?)?brows?", Condition(("AU01",), words="raised inner brows")),
    (r"\bouter (?:eye ?)?brows?\b" + _GAP + _UP + r"|" + _UP + r"\b" + _GAP + r"\bouter (?:eye ?)?brows?", Condition(("AU02",), words="raised outer brows")),
    (
        _pair(_BROW, r"(?:lowered|lower|lowering|down|drawn|together|furrow\w*|knit\w*|contract\w*|pulled together|squeez\w*|bunched|pinched|wrinkl\w+ between)") + r"|\b(?:frown|scowl|glower)\w*|\bknit\w* brows?",
        Condition(("AU04",), words="lowered brows"),
    ),
    (_pair(_BROW, _UP), Condition(("AU01", "AU02"), words="raised brows")),
    (
        _pair(_EYE, r"(?:wide|widened|widening|wide-?open|wide open|opened wide|popping|bulging|staring|big)") + r"|" + _pair(r"upper " + _LID, r"(?:raised?|raising|lifted|up)") + r"|wide-?eyed",
        Condition(("AU05",), words="raised upper lids"),
    ),
    (_pair(r"(?:eyes?|eye ?lids?|lids?)", r"(?:closed|shut|closing|close|closes|blink\w*)") + r"|\bblink\w*|\bwink\w*", Condition(("AU43",), words="closed eyes")),
    (_pair(r"(?:eyes?)", r"(?:open|opened)"), Condition(("AU43",), absent=True, words="open eyes")),
    (_pair(r"cheeks?", r"(?:raised?|raising|lifted|up|pushed up|bunched|apple\w*)"), Condition(("AU06",), words="raised cheeks")),
    (
        _pair(r"(?:eyes?|eye ?lids?|lids?)", r"(?:narrow\w*|tight\w*|tense\w*|squint\w*|squeez\w*|half[- ]closed)") + r"|\bsquint\w*",
        Condition(("AU07",), words="tightened lids"),
    ),
    (_pair(r"(?:nose|nostrils?)", r"(?:wrinkl\w*|scrunch\w*|crinkl\w*|crumpl\w*|screw\w*|curl\w*|turned up|flar\w*)"), Condition(("AU09",), words="a wrinkled nose")),
    (
        _pair(r"(?:corners? of (?:the |her |his |their )?(?:mouth|lips?)|(?:lip|mouth) corners?)", _DOWN) + r"|\bdown-?turned (?:mouth|lips?)|" + _pair(r"mouth", r"(?:turned down|down-?turned|droop\w*|pout\w*)") + r"|\bpout\w*",
        Condition(("AU15",), words="lowered lip corners"),
    ),
    (
        _pair(r"(?:corners? of (?:the |her |his |their )?(?:mouth|lips?)|(?:lip|mouth) corners?)", r"(?:" + _UP[3:-1] + r"|pulled|turned up|upwards?|curl\w*)") + r"|\b(?:smil|grinn?|laugh|beam)(?:e|es|ed|ing|s|y)?\b|\bsmiley\b",
        Condition(("AU12",), words="a smile"),
    ),
    (_pair(r"upper lip", r"(?:raised?|raising|lifted|up|curl\w*|snarl\w*|drawn up)") + r"|\bsnarl\w*|\bsneer\w*", Condition(("AU10",), words="a raised upper lip")),
    (_pair(r"lower lip", r"(?:down|lowered|pulled|depressed|drops?|dropped)"), Condition(("AU16",), words="a lowered lower lip")),
    (r"\bdimpl\w+", Condition(("AU14",), words="tightened lip corners (dimples)")),
    (_pair(r"chin", r"(?:wrinkl\w*|pushed up|boss|dimpled|bunched|crumpl\w*|quiver\w*|puckered)"), Condition(("AU17",), words="a raised chin boss")),
    (_pair(_MOUTH, r"(?:pucker\w*|purs\w*|kiss\w*)") + r"|\bpucker\w*|\bkiss(?:ing|y)\b", Condition(("AU18",), words="puckered lips")),
    (_pair(_MOUTH, r"(?:stretched (?:sideways|horizontally|out)|pulled (?:sideways|back))") + r"|\blips? stretch(?:ed|ing)?\b|\bstretched lips", Condition(("AU20",), words="stretched lips")),
    (_pair(_MOUTH, r"funnel\w*"), Condition(("AU22",), words="funnelled lips")),
    (_pair(_MOUTH, r"(?:press\w*|squeez\w* together|clamped|tight-?lipped|pinched)") + r"|tight-?lipped", Condition(("AU24",), words="pressed lips")),
    (_pair(_MOUTH, r"(?:suck\w*|rolled in|bit(?:ing|es|ten)?|tucked in)"), Condition(("AU28",), words="sucked-in lips")),
    (_pair(r"jaw", r"(?:drop\w*|open\w*|down|hang\w*|lowered|slack)"), Condition(("AU26", "AU27"), words="a dropped jaw")),
    (_pair(_MOUTH, r"(?:closed|shut|sealed)"), Condition(("AU25", "AU26", "AU27"), absent=True, words="a closed mouth")),
    (
        _pair(_MOUTH, r"(?:open\w*|apart|part(?:ed|ing|s)?|ajar|gap(?:e|ing)|wide|separated)") + r"|\bgap(?:e|ing)\b|\byawn\w*|\bagape\b",
        Condition(("AU25", "AU26", "AU27"), words="an open mouth"),
    ),
    (r"\bteeth\b|\btooth\w*", Condition(("AU25",), words="teeth")),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), condition) for pattern, condition in _MOVEMENTS)

_NAMES = tuple(
    sorted(
        ((info.name, key) for key, info in AUS.items() if info.name != "blink"),
        key=lambda pair: -len(pair[0]),
    )
)
_NOUNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "brow lowering": ("AU04",), "brow furrow": ("AU04",), "brow raising": ("AU01", "AU02"), "brow raise": ("AU01", "AU02"),
        "eyebrow raise": ("AU01", "AU02"), "nose wrinkling": ("AU09",), "nose wrinkle": ("AU09",), "cheek raising": ("AU06",),
        "cheek raise": ("AU06",), "lid tightening": ("AU07",), "lip corner pulling": ("AU12",), "lip corner pull": ("AU12",),
        "lips parting": ("AU25",), "lip part": ("AU25",), "jaw dropping": ("AU26",), "mouth stretching": ("AU27",),
        "eye closure": ("AU43",), "eyes closure": ("AU43",), "upper lid raise": ("AU05",), "upper lip raise": ("AU10",),
        "chin raise": ("AU17",), "lip press": ("AU24",), "lip stretch": ("AU20",), "lip suction": ("AU28",), "lip corner depression": ("AU15",),
        "mouth opening": ("AU25", "AU26", "AU27"), "eye opening": ("AU05",), "corrugator": ("AU04",), "zygomatic": ("AU12",),
        "zygomaticus": ("AU12",), "orbicularis oculi": ("AU06",), "frontalis": ("AU01", "AU02"),
    }
)  # fmt: skip

EMOTION_WORDS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        name: re.compile(rf"\b(?:{words})\b")
        for name, words in {
            "neutral": r"neutral(?:ity)?|expressionless|blank|emotionless|calm|relaxed|indifferent|no emotion|deadpan|poker[- ]?face(?:d)?|unemotional",
            "happiness": r"happ(?:y|ier|iest|ily|iness)|joy(?:ful|ous|fully)?|cheer(?:ful|y)|glad|delighted|pleased|content|merry|amused|amusement|elated|good mood|positive",
            "sadness": r"sad(?:der|dest|ly|ness)?|unhapp(?:y|iness)|sorrow(?:ful)?|miserable|gloomy|melanchol(?:y|ic)|upset|grief|grieving|crying|tearful|down(?:cast|hearted)|heartbroken|blue mood",
            "surprise": r"surpris(?:e|ed|ing|es)|astonish(?:ed|ment)|amazed|amazement|startled|shock(?:ed)?|stunned|astounded",
            "fear": r"fear(?:s|ful|ed)?|afraid|scared|frightened|terrified|terror|fright|anxious|anxiety|panic(?:ked)?|nervous|worried|worry",
            "disgust": r"disgust(?:ed|ing)?|revulsion|repulsed|revolted|grossed out|nauseated",
            "anger": r"ang(?:er|ry|rier|riest|rily)|mad|furious|rage|irate|annoyed|annoyance|irritated|irritation|outraged|cross|hostile",
            "contempt": r"contempt(?:uous)?|scorn(?:ful)?|disdain(?:ful)?|smug|condescending|derision|sneering",
        }.items()
    }
)  # fmt: skip

REGION_WORDS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "upper face": re.compile(r"\bupper (?:half of (?:the )?)?face\b|\btop half\b"),
        "lower face": re.compile(r"\blower (?:half of (?:the )?)?face\b|\bbottom half\b"),
        "brows": re.compile(r"\b(?:eye ?brows?|brows?|forehead)\b"),
        "eyes": re.compile(r"\b(?:eyes?|eye ?lids?|lids?|eye region|eye area)\b"),
        "nose": re.compile(r"\b(?:nose|nostrils?|nasal)\b"),
        "cheeks": re.compile(r"\bcheeks?\b"),
        "mouth": re.compile(r"\b(?:mouth|lips?|smile)\b"),
        "chin": re.compile(r"\b(?:chin|jaw)\b"),
    }
)
"""Region -> how it is named."""

_UNIT = re.compile(
    r"\b(?:aus?|action ?units?|units?)[\s#-]*((?:\d{1,2}[a-e]?\b[\s,+&/]*(?:(?:and|or|vs\.?|versus|to|with)\s+(?:au)?\s*)?(?:aus?\s*)?)+)"
)


def units_in(text: str) -> list[str]:
    """Keys of the AUs that a lower-case text names by number or FACS name, in order; unknown numbers too."""
    hits = [
        (found.start() + number.start(), f"AU{int(number[0]):02d}")
        for found in _UNIT.finditer(text)
        for number in re.finditer(r"\d+", found[0])
    ]
    taken: list[tuple[int, int]] = []
    plain = text.replace("-", " ")
    for name, key in (*_NAMES, *((noun, keys[0]) for noun, keys in _NOUNS.items() if len(keys) == 1)):
        for found in re.finditer(rf"\b{name}s?\b", plain):
            if not any(start < found.end() and found.start() < end for start, end in taken):
                taken.append(found.span())
                hits.append((found.start(), key))
    return list(dict.fromkeys(key for _, key in sorted(hits)))


def condition_of(text: str) -> Condition | None:
    """The movement that a lower-case text asks about; None when it names none."""
    for noun, keys in _NOUNS.items():
        if len(keys) > 1 and re.search(rf"\b{noun}s?\b", text):
            return Condition(keys, words=noun)
    return next((condition for pattern, condition in _COMPILED if pattern.search(text)), None)


def emotions_in(text: str) -> list[str]:
    """Emotions that a lower-case text names, in order."""
    hits = [(found.start(), name) for name, words in EMOTION_WORDS.items() if (found := words.search(text))]
    return [name for _, name in sorted(hits)]


def regions_in(text: str) -> list[str]:
    """Regions that a lower-case text names."""
    found = [name for name, words in REGION_WORDS.items() if words.search(text)]
    return found[:1] if found and found[0] in ("upper face", "lower face") else found


_SPELLED = frozenset(
    "emotion emotions expression feeling mood happy happiness sadness surprise surprised disgust disgusted anger angry contempt neutral afraid scared fear "
    "smile smiling smiles mouth lips eyebrow eyebrows brows eyes eyelids nose cheeks forehead raised lowered closed open parted apart wrinkle wrinkled action units "
    "raiser raisers lowerer tightener wrinkler puller dimpler depressor pucker stretcher funneler pressor stretch intensity level levels present absent active strong strength probability certain confidence second likely describe explain faces people person picture "
    "photo turned tilted gaze looking happen start begin strongest frowning teeth letter array binary binary quality blurry direction degrees how what which where many does".split()
)  # fmt: skip
_KEEP = frozenset(
    "there their these those three where whose other state stare share smell smelly miles lives noise mount month loose close chose level lever reason person presence".split()
)


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


def mended(text: str) -> str:
    """A lower-case text with near misses of the vocabulary put right: ``"eyebrwos"`` -> ``"eyebrows"``."""

    def mend(found: re.Match[str]) -> str:
        word = found[0]
        if word in _SPELLED or word in _KEEP:
            return word
        return _near(word) or word

    return re.sub(r"[a-z]{5,14}", mend, text)
