"""Read the emotion that a text affirms: one main emotion, those beside it, and those only supposed or denied.

The words of emotions and the words that rank them stand here; denial, contrast and hedges are those of
`mien.dialogue.read.scope`. "Probably" and "most likely" name a choice and are no hedges of a label; "may be" is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from types import MappingProxyType

from mien.core.emotions import EMOTIONS
from mien.core.errors import require_text
from mien.core.nouns import Answer, Labels
from mien.dialogue.read.lexicon import LEXICON, Entry, phrases_of, table_of
from mien.dialogue.read.scan import Atom, scan, sentences
from mien.dialogue.read.scope import DENIED, HEDGED, NONE, Mark, after, find_scopes, joined
from mien.dialogue.read.statements import ANSWER

__all__ = [
    "SYNONYMS",
    "EmotionReading",
    "count_words",
    "emotions_named",
    "read_emotion",
    "read_emotion_answer",
    "weigh_emotions",
]

SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": (
            "neutral|neutrality",
            "calm|calmness|expressionless|impassive|emotionless|unemotional|deadpan|indifferent|indifference|"
            "composed",
            "serene|serenity|placid|blank|tranquil|stoic|matter of fact",
        ),
        "happiness": (
            "happiness|happy|happier|happiest",
            "joy|joyful|joyous|joyfulness|happily|cheerful|cheerfulness|cheery|delighted|delight|glad|gladness|"
            "amused|amusement|pleased|elated|elation|contented|contentment|gleeful|glee|merry|jubilant|ecstatic|"
            "overjoyed|bliss|blissful|enjoyment|mirth|thrilled|euphoria|euphoric|chuffed|stoked|"
            "over the moon|on cloud nine",
            "pleasure|positive emotion|positive emotions|warmth|satisfaction|satisfied|content|good mood",
            "smile*|grin*|laugh*|laughter",
        ),
        "sadness": (
            "sadness|sad|saddened|sadder|saddest",
            "sorrow|sorrowful|grief|grieving|mournful|mourning|gloom|gloomy|melancholy|melancholic|dejected|"
            "dejection|despondent|despondency|heartbroken|heartbreak|miserable|misery|despair|despairing|downcast|"
            "tearful|depressed|woeful|woe|anguish|anguished|forlorn|unhappiness|unhappy|bummed|"
            "bummed out|gutted|down in the dumps",
            "disappointment|disappointed|hurt|emotional pain|distress|distressed|hopelessness|upset",
            "cry*|crying|weeping|tears",
        ),
        "surprise": (
            "surprise|surprised",
            "astonishment|astonished|amazement|amazed|startled|shock|shocked|stunned|astounded|flabbergasted|"
            "dumbfounded|awe|bewilderment|disbelief",
            "wonder|unexpected|puzzled|puzzlement|confusion|confused",
        ),
        "fear": (
            "fear|fearful|fearfulness",
            "scared|afraid|terrified|terror|frightened|fright|panic|panicked|horror|horrified|dread|alarmed|"
            "petrified|scare|spooked|freaked out|creeped out",
            "anxiety|anxious|worried|worry|apprehension|apprehensive|alarm|nervous|nervousness|unease|threatened",
        ),
        "disgust": (
            "disgust|disgusted",
            "revulsion|repulsed|repulsion|revolted|nauseated|aversion|distaste|repelled|grossed out|sickened|"
            "loathing|abhorrence",
            "rejection|repugnance|unpleasant",
        ),
        "anger": (
            "anger|angry|angered|angrier|angriest",
            "mad|pissed|pissed off|ticked off|furious|fury|rage|raging|"
            "enraged|irate|outraged|outrage|irritated|irritation|annoyed|annoyance|"
            "wrath|livid|infuriated|incensed|hostile|hostility|resentful|resentment",
            "frustration|frustrated|aggression|aggressive|displeasure|displeased",
        ),
        "contempt": (
            "contempt|contemptuous",
            "scorn|scornful|disdain|disdainful|derision|condescension|condescending|contemptuousness",
            "superiority|mockery|mocking|smug|smugness|dismissive|disrespect",
            "sneer|sneering",
        ),
    }
)
"""Emotion -> its own words, close synonyms, words that only hint at it, and acts that do."""

_SMALL = {
    "f": (
        "i would say|i'd say|would say|i would call|i'd call|expression|expressions|emotion|emotions|emotional|"
        "emotionally|feeling|feelings|face|faces|look of|mood|state|like|label|sense|sense of|state of|signs of|"
        "sign of|person|person's|expressive|being|clear|apparent|visible|really|particularly|necessarily|likely|"
        "probably|presumably|seemingly|arguably|probable|happy to|glad to|pleased to|i think|i guess|i believe|"
        "display of|look|experience|experiencing|feel|feels|felt|at all|in any way|anything|kind|type|suspect*|"
        "positive|negative|otherwise"
    ),
    "n": (
        "hardly|barely|scarcely|rarely|opposite of|nothing|rule* out|exclude*|conceal*|mask*|hide|hides|hiding|"
        "suppress*|stop* short of|than|hardly any|as if to hide"
    ),
    "q": (
        "mistaken for|confused with|misread as|taken for|possible|possibly|perhaps|maybe|may|might|could|"
        "potentially"
    ),
    "C": (
        "despite|in spite of|although|though|even though|notwithstanding|regardless of|while|whereas|albeit|"
        "unlike"
    ),
    "S": (
        "hint of|hints of|a hint of|touch of|a touch of|trace of|traces of|a trace of|element of|elements of|"
        "undertone of|undertones of|nuance of|nuances of|shade of|shades of|tinge of|tinged with|mixed with|"
        "mingled with|blended with|a bit of|a bit|a little|slight|slightly|mild|mildly|subtle|subtly|secondary|"
        "secondarily|combined with|coupled with|accompanied by|along with|as well as|bordering on|underlying|"
        "flicker of|glimpse of|with|also|additionally|a degree of|some degree of|a measure of|second|somewhat|"
        "to a lesser degree|to a lesser extent|less so|"
        "undercurrent of|undercurrents of|a note of|overtones of|possibly with|linked to|associated with|"
        "related to|followed by|a dash of|minor"
    ),
    "P": (
        "primarily|mainly|predominantly|predominant|mostly|chiefly|dominant|dominantly|primary|main|principal|"
        "principally|essentially|most likely|definitely|best described as|best categorized as|"
        "best categorised as|best interpreted as|best characterized as|best characterised as|best labelled|"
        "best labeled|best labelled as|best labeled as|prevailing|foremost|above all|actually|in fact|"
        "final answer|first and foremost|largely|unmistakably|clearly|most probably|very likely|best read as|"
        "best classified as|overwhelmingly|fundamentally|core|strongest|the label is|the emotion is|my answer is|"
        "the answer is|the expression is"
    ),
}


_CALLED = (
    "described interpreted labelled labeled categorized categorised classified characterized characterised read seen "
    "identified regarded viewed"
).split()


def _small() -> Iterator[tuple[str, str, object]]:
    """The words of scope, as they work around emotions."""
    for known in LEXICON.values():
        for words, kind, value in known:
            if kind in "nkqyejrbhxzfoTt;+!l":
                yield " ".join(words), kind, value
            elif kind in "ig":
                yield " ".join(words), "g", value
    for kind, source in _SMALL.items():
        for phrase in phrases_of(source):
            yield phrase, kind, phrase
    for modal, best, verb, end in product(
        ("may", "might", "could", "can"), ("", "best ", "also "), _CALLED, ("", " as")
    ):
        yield f"{modal} {best}be {verb}{end}", "f", ""
        yield f"{modal} be {best}{verb}{end}", "f", ""


def _own() -> Iterator[tuple[str, str, object]]:
    for emotion, tiers in SYNONYMS.items():
        for tier, source in enumerate(tiers, 1):
            for phrase in phrases_of(source):
                yield phrase, "E", (emotion, tier)


_WORDS: Mapping[str, tuple[Entry, ...]] = MappingProxyType(table_of((*_small(), *_own())))
_NODES = frozenset("E")
_LISTED = re.compile(r",[jr]?[fS]*E")
_CONCLUSION = re.compile(r"\bconclusions?\s*[*_]*\s*:\s*|<answer>", re.IGNORECASE)
_SHARE = re.compile(r"[\s\"'*_]*[:=(,-]?[\s\"'*_]*(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>%|per\s?cent)?")


@dataclass(frozen=True, slots=True)
class EmotionReading:
    """What a text says of the eight emotions."""

    emotion: str | None
    """The main one that it affirms; None when it affirms none, or several alike."""
    secondary: tuple[str, ...] = ()
    """Others that it affirms beside the main one ("with hints of surprise"), in text order."""
    uncertain: tuple[str, ...] = ()
    """Only supposed ("may be sad"), and neither main nor secondary."""
    denied: tuple[str, ...] = ()
    """Only denied."""
    reason: str | None = None
    """Why there is no main emotion."""


@dataclass(slots=True)
class _Mention:
    """One emotion word with what is said of it."""

    emotion: str
    tier: int
    rank: int
    mark: Mark
    place: int
    share: float | None


_PRIMARY, _PLAIN, _BESIDE, _CONCEDED = range(4)


def _mentions(
    text: str, lexicon: Mapping[str, tuple[Entry, ...]] = _WORDS
) -> tuple[list[_Mention], str]:  # fmt: skip
    """All emotion words of ``text``, and the kinds of its atoms."""
    atoms = scan(text, lexicon)
    kinds = "".join(atom.kind for atom in atoms)
    found: list[_Mention] = []
    asked = 0
    for first, last in sentences(atoms):
        answer = ANSWER.match(kinds, first, last) if asked else None
        if answer is not None:
            for one in found[-asked:]:
                one.mark = DENIED if answer["no"] is not None else NONE
        if last - first > 1:
            asked = 0
        if "E" not in kinds[first:last]:
            continue
        mine = _of_sentence(text, atoms, kinds, first, last)
        if kinds[last - 1] == "?":
            for one in mine:
                one.mark |= HEDGED
            asked = len(mine)
        found += mine
    return found, kinds


def _of_sentence(text: str, atoms: Sequence[Atom], kinds: str, first: int, last: int) -> list[_Mention]:
    """The emotion words of one sentence, with what stands before and behind them."""
    scopes = find_scopes(atoms, kinds, first, last, _NODES, NONE)
    ranks = _ranks(atoms, kinds, first, last)
    mark: Mark | None = None
    found: list[_Mention] = []
    for place in reversed(list(scopes.marks)):
        own = after(atoms, kinds, place, last, scopes.before)
        follower = kinds.find("E", place + 1, last)
        if own is not None or follower < 0 or not joined(kinds, place, follower):
            mark = own
        emotion, tier = atoms[place].value
        share = _SHARE.match(text, atoms[place].end)
        number = None if share is None else float(share["number"]) / (100 if share["unit"] else 1)
        settled = scopes.marks[place] if mark is None or mark == NONE else mark
        found.append(_Mention(emotion, tier, ranks[place], settled, place, number))
    return found[::-1]


def _ranks(atoms: Sequence[Atom], kinds: str, first: int, last: int) -> dict[int, int]:
    """How each emotion word of a sentence stands to the others: main, plain, beside another, conceded."""
    ranks: dict[int, int] = {}
    rank, seen = _PLAIN, False
    for place in range(first, last):
        kind = kinds[place]
        if kind == "E":
            ranks[place] = rank
            if rank == _PRIMARY:
                rank = _PLAIN
            seen = True
        elif kind == "P":
            rank, seen = _PRIMARY, False
        elif kind == "S":
            if rank != _CONCEDED and (rank != _PRIMARY or atoms[place].value != "with"):
                rank, seen = _BESIDE, False
        elif kind == "C":
            rank, seen = _CONCEDED, False
        elif kind == ";" or (kind in ",-" and seen) or (kind == "," and rank == _CONCEDED):
            if not (kind == "," and seen and _LISTED.match(kinds, place, last)):
                rank = _PLAIN
        elif kind in "bhg" and seen and rank == _BESIDE:
            rank = _PLAIN
    return ranks


def read_emotion(text: str) -> EmotionReading:
    """The main emotion that ``text`` affirms, and what it says of others.

    Words count at word boundaries in any usual spelling and by synonym ("furious" is anger). A denied one ("far from
    happy", "surprise rather than fear"), a question without an answer and a hedge ("may be sad") are not affirmed. The
    main emotion is the one called so ("primarily happiness"), else the one that stands alone before others ("happiness
    with hints of surprise"); "happy or sad" has none. Under a "Conclusion:" heading only the conclusion is read.
    """
    require_text(text, "a text to read")
    body = _CONCLUSION.split(text)[-1]
    mentions, kinds = _mentions(body)
    firm = [one for one in mentions if one.mark == NONE]
    uncertain = [one for one in mentions if bool(one.mark & HEDGED) and not one.mark & DENIED]
    denied = [one for one in mentions if bool(one.mark & DENIED)]
    named = {one.emotion for one in firm}
    supposed = _unique(one for one in uncertain if one.emotion not in named)
    refused = _unique(one for one in denied if one.emotion not in named and one.emotion not in supposed)
    if not firm:
        reason = "no emotion word" if text.strip() else "empty answer"
        for words, kind in ((refused, "denied"), (supposed, "uncertain")):
            reason = (
                f"only {kind} emotions: {', '.join(sorted(words, key=EMOTIONS.index))}" if words else reason
            )
        return EmotionReading(None, (), supposed, refused, reason)
    main = _main(firm, kinds)
    if main is None:
        several = sorted(named, key=EMOTIONS.index)
        return EmotionReading(
            None, _unique(firm), supposed, refused, f"several emotions: {', '.join(several)}"
        )
    beside = tuple(one for one in _unique(mention for mention in firm if mention.tier < 3) if one != main)
    return EmotionReading(main, beside, supposed, refused)


def _unique(mentions: Iterator[_Mention] | Sequence[_Mention]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.emotion for one in mentions))


def _main(firm: Sequence[_Mention], kinds: str) -> str | None:
    """The one emotion that leads, or None."""
    shares = [one for one in firm if one.share is not None]
    if len({one.emotion for one in shares}) > 1:
        best = max(one.share or 0.0 for one in shares)
        top = {one.emotion for one in shares if one.share == best}
        return top.pop() if len(top) == 1 else None
    sound = [one for one in firm if one.tier < 3] or list(firm)
    rank = min(one.rank for one in sound)
    leading = [one for one in sound if one.rank == rank]
    emotions = {one.emotion for one in leading}
    if len(emotions) == 1:
        return emotions.pop()
    own = [one for one in leading if one.tier == 1]
    if len({one.emotion for one in own}) != 1:
        return None
    places = sorted(one.place for one in leading)
    tied = any(joined(kinds, low, high) for low, high in pairwise(places))
    return None if tied and _differ(leading, kinds) else own[0].emotion


def _differ(leading: Sequence[_Mention], kinds: str) -> bool:
    """Whether two joined mentions are of different emotions."""
    pairs = pairwise(leading)
    return any(one.emotion != two.emotion and joined(kinds, one.place, two.place) for one, two in pairs)


_TIERS = (0.0, 3.0, 1.5, 0.5, 0.5)
_RANKS = (2.0, 1.0, 0.5, 0.2)


def weigh_emotions(text: str) -> dict[str, float]:
    """How much each emotion weighs in a text, by number, closeness and rank of its words; denied ones weigh nothing.

    For texts that discuss several emotions; what is only supposed counts a third.
    """
    weights: dict[str, float] = {}
    for one in _mentions(text)[0]:
        if not one.mark & DENIED:
            sure = 1.0 if one.mark == NONE else 1.0 / 3.0
            weights[one.emotion] = weights.get(one.emotion, 0.0) + _TIERS[one.tier] * _RANKS[one.rank] * sure
    return weights


def emotions_named(text: str) -> dict[str, bool]:
    """Every emotion that a text names, in order, and whether it denies it; acts such as a smile name none."""
    named: dict[str, bool] = {}
    for one in _mentions(text)[0]:
        if one.tier < 4:
            named.setdefault(one.emotion, bool(one.mark & DENIED))
    return named


@lru_cache(maxsize=16)
def _lexicon_of(words: tuple[tuple[str, tuple[str, ...]], ...]) -> Mapping[str, tuple[Entry, ...]]:
    named: dict[str, list[str]] = {}
    for name, phrases in words:
        for phrase in phrases:
            named.setdefault(phrase, []).append(name)
    own = ((phrase, "E", (tuple(names), 1)) for phrase, names in named.items())
    return MappingProxyType(table_of((*_small(), *own)))


def count_words(text: str, words: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """How often a text affirms words of a list, by name in order of first mention; denied ones do not count.

    Args:
        text: any text.
        words: name -> lower-case words; one may stand under several names.
    """
    counts: dict[str, int] = {}
    for one in _mentions(text, _lexicon_of(tuple(words.items())))[0]:
        if not one.mark & DENIED:
            for name in one.emotion:
                counts[name] = counts.get(name, 0) + 1
    return counts


def read_emotion_answer(text: str) -> Answer:
    """`read_emotion` as an `Answer`: ``unparsed`` with the reason when the text has no main emotion."""
    read = read_emotion(text)
    if read.emotion is None:
        return Answer(text, "unparsed", read.reason)
    return Answer(text, "answered", labels=Labels(emotion=read.emotion))
