"""A question in anybody's words -> an `Inquiry`: what is asked, of which face, when; or why it is declined.

    understand("is teh left woman smiling?")  ->  Inquiry("movement", condition=AU12, place="left")

A grammar over normalised text, not a model: it needs no weights, takes well under 5 ms, and every decision can be
looked up. Long texts are read at both ends only (`_WINDOW` characters each).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from mien.dialogue.ask.inquiry import YES_NO, Inquiry, moment_of, place_of
from mien.dialogue.ask.intents import INTENTS, WEAK
from mien.dialogue.ask.movements import (
    Condition,
    conditions_of,
    denies,
    emotions_in,
    mended,
    regions_in,
    units_denied,
    units_in,
)
from mien.dialogue.ask.scope import GREETING, HARD, HELP, greets, language_of, topic_of

__all__ = ["understand"]

_WINDOW = 500
_MOST_PARTS = 3


def understand(question: str) -> Inquiry:
    """Read a question of any length and content; never raises."""
    raw = unicodedata.normalize("NFKC", question)
    if len(raw) > 2 * _WINDOW:
        raw = raw[:_WINDOW] + " . " + raw[-_WINDOW:]
    text = _plain(raw)
    if not raw.strip():
        return Inquiry("declined", f"I got no question. {HELP}", "empty")
    if re.fullmatch(r"[\W\d]*\d\s*[-+*/^x×÷=]+\s*\d[\W\dx]*", text):
        return Inquiry("declined", f"I do not do sums. {HELP}", "off-topic")
    if not re.search(r"[^\W\d_]", text):
        return _unclear("I got no question.")
    foreign = language_of(raw)
    if foreign is not None:
        name, line = foreign
        reason = f"{line} I understand questions in English only, and this looks like {name}; please ask in English.".lstrip()
        return Inquiry("declined", reason, "language")
    if greets(text):
        return Inquiry("declined", GREETING, "greeting")
    asked = mended(text)
    found = _parts(asked) or _in_scope(_last_question(asked)) or _in_scope(asked)
    strong = found is not None and found.intent not in WEAK
    topic = topic_of(re.sub(r"[\s?.!]+$", "", text))
    if (
        topic is not None
        and not _sincere_smile(found)
        and (topic[0] in HARD or not strong or _yields(topic[0], asked))
    ):
        return Inquiry("declined", f"{topic[1]} {HELP}", topic[0])
    if _noise(asked, found):
        return _unclear("I did not understand that.")
    if found is None:
        return Inquiry(
            "declined",
            f"I cannot answer that: it is not about an expression that I measure. {HELP}",
            "off-topic",
        )
    return found


_SPLIT = re.compile(
    r"(?<=\?)\s+(?=[a-z])|(?:,|;|\.)?\s+(?:and|plus|and also|and then|also)\s+(?=(?:also |please |then )?(?:is|are|does|do|did|was|has|have|can|how|what|which|who|where|when|why|list|give|tell me|describe|explain|name|show|count)\b)"
)


def _parts(text: str) -> Inquiry | None:
    """A question that asks two or three things ("… and how sure are you?"), where each is understood on its own."""
    sentences = [one for one in _SPLIT.split(text) if re.search(r"\w", one)] if len(text) <= _WINDOW else []
    if not 2 <= len(sentences) <= _MOST_PARTS:
        return None
    if any(re.search(r"^(?:\w+ ){1,3}(?:it|them|this|that|so)\W*$", one) for one in sentences[1:]):
        return None
    parts = [_in_scope(one) for one in sentences]
    known = tuple(dict.fromkeys(part for part in parts if part is not None))
    if len(known) < len(parts) or (
        len({part.intent for part in known}) < len(known) and len({part.condition for part in known}) < 2
    ):
        return None
    places = [part.place for part in known if part.place is not None]
    return Inquiry(
        "parts",
        parts=tuple(replace(one, place=places[0]) if places and one.place is None else one for one in known),
    )


def _last_question(text: str) -> str:
    """The last sentence that asks, and what is said of its answer ("Use an array."); the text itself where it is one."""
    sentences = [one for one in re.split(r"(?<=[.?!])\s+(?=\D)", text) if re.search(r"\w", one)]
    last = max(
        (place for place, one in enumerate(sentences) if one.endswith("?")), default=len(sentences) - 1
    )
    form = [
        one
        for one in sentences[last + 1 :]
        if re.match(r"(?:please )?(?:answer|give|use|reply|respond|write|format|return|output|as|in)\b", one)
    ]
    return " ".join([*sentences[max(last, 0) : last + 1], *form]) or text


def _plain(raw: str) -> str:
    text = re.sub(r"[\u2018\u2019\u201b]", "'", raw.lower())
    text = re.sub(r"[\u201c\u201d\u00ab\u00bb]", '"', re.sub(r"[\u2010-\u2015]", "-", text))
    for short, full in (
        (r"\bwhats\b", "what is"), (r"\bwhat's\b", "what is"), (r"\bhow's\b", "how is"), (r"\bwho's\b", "who is"), (r"\bhe's\b", "he is"), (r"\bshe's\b", "she is"),
        (r"\bit's\b", "it is"), (r"\bu\b", "you"), (r"\br\b", "are"), (r"\bpls\b|\bplz\b", "please"), (r"\bteh\b", "the"), (r"\bgonna\b", "going to"), (r"\bwanna\b", "want to"), (r"\bchains? of thoughts?\b", "reasoning"), (r"\bpic\b", "picture"), (r"\bpp?l\b", "people"),
        (r"\bdoesnt\b", "doesn't"), (r"\bisnt\b", "isn't"), (r"\bdont\b", "don't"), (r"\bcant\b", "can't"), (r"\baction-units?\b", "action units"), (r"\b(au)[ _-]+(?=\d)", r"\1"), (r"\bwink(?:s|ed|ing)?\b", "au46"), (r"\bbit(?:e|es|ing|ten) (?:on |of )?(?:the |her |his |their )?(?:lower |upper )?lips?\b|\blip bit(?:e|ing)\b", "au32"),
        (r"\bjaw (?:is )?clench\w*|\b(?:clench|grit|grind)\w* (?:the |her |his |their )?(?:jaw|teeth)\b", "au31"), (r"\bpuff\w* (?:up |out )?(?:the |her |his |their )?cheeks?\b|\bcheeks? puff\w*", "au34"),
        (r"\btongue (?:out|shown|visible|show)\b|\b(?:stick|show|put)\w* (?:out )?(?:the |her |his |their )?tongue\b(?: out)?", "au19"),
    ):  # fmt: skip
        text = re.sub(short, full, text)
    text = re.sub(
        r"\b(from|between) zero (to|and) (one|five)\b",
        lambda found: f"{found[1]} 0 {found[2]} {_NUMBERS.index(found[3])}",
        text,
    )
    text = _SPELT.sub(lambda found: f"{found[1]} {_NUMBERS.index(found[2])}", text)
    return re.sub(r"\s+", " ", text).strip()


_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
).split()
_SPELT = re.compile(rf"\b(au|action units?|units?|level) ({'|'.join(_NUMBERS)})\b")
"""Numbers in words: "action unit twelve"."""


def _unclear(why: str) -> Inquiry:
    return Inquiry("unclear", f"{why} {HELP}", "unclear")


_SMILING = re.compile(
    r"\b(?:(?:smil|grin|laugh|frown|scowl|cry)\w*|happy|sad|angry|scared|surprised|disgusted)(?= (?:man|woman|guy|lady|girl|boy|person|face|child|one)\b)"
)
_OVER = {
    **dict.fromkeys(("character", "thoughts", "health"), ("is_emotion",)),
    "future": ("is_emotion", "movement"),
}
"""Topics outside scope -> intents that they outdo: "is he angry at me?", "is she about to smile?"."""


def _yields(topic: str, text: str) -> bool:
    """Whether a clear question gives way to a topic outside scope; "the smiling man" only says who is meant."""
    found = _in_scope(_SMILING.sub("", text))
    return found is None or found.intent in _OVER.get(topic, ()) or found.intent in WEAK


def _sincere_smile(found: Inquiry | None) -> bool:
    return (
        found is not None
        and found.condition is not None
        and found.condition.every
        and "smile" in found.condition.words
    )


_COMMON = frozenset(
    "explain describe write translate calculate sing draw print play buy sell help meaning define a about after all also am an and any anybody anyone anything are as at be been before being best between both but by can come could did do does doing done each either else end ever every "
    "everybody everyone face faces facial few for from get give go good got had has have having he her here hers him his how i if in into is it its just know left let like list look looks looking made make "
    "man many may me mean middle might mine more most much must my name near no nobody none nor not now of off on one only or other our out over own part people person photo picture image video clip frame "
    "please point possible put quite rather right said same say see seem seems she should show shows side so some somebody someone something still such sure take tell than that the their them then there these "
    "they thing think this those though time to too top two up upon us use very want was way we well were what when where whether which while who whom whose why will with woman without would yes yet you your".split()
)


def _noise(text: str, found: Inquiry | None) -> bool:
    """Whether most of it is no word of any question: keys hit at random."""
    words = re.findall(r"[a-z']+|\d+", text)
    letters = [word for word in words if word.isalpha()]
    if found is None:
        known = sum(word in _COMMON for word in letters)
        odd = [word for word in letters if word not in _COMMON and not _speakable(word)]
        return (
            bool(letters)
            and (len(odd) == len(letters) or (known == 0 and len(letters) <= 3))
            and known * 3 <= len(letters)
        )
    repeated = len(letters) > 4 and max(map(letters.count, letters)) > len(letters) * 0.4
    unspeakable = [word for word in letters if len(word) > 1 and word not in _COMMON and not _speakable(word)]
    return repeated or len(unspeakable) * 3 > len(letters)


def _speakable(word: str) -> bool:
    """Whether a word could be English by its letters alone."""
    if word in ("au", "aus", "facs"):
        return True
    return bool(re.search(r"[aeiouy]", word)) and not re.search(
        r"[^aeiouy]{5}|(.)\1\1|[aeiou]{4}|^(?:[bcdfgjkmnpqtvxz]{2}(?!l|r|h|w|y))", word
    )


def _in_scope(text: str) -> Inquiry | None:
    conditions, units, emotions = conditions_of(text), tuple(units_in(text)), emotions_in(text)
    condition = conditions[0] if conditions else None
    about = Inquiry(
        "", units=units, emotions=tuple(emotions), regions=() if "color" in text or "colour" in text else tuple(regions_in(text)), condition=condition, either=conditions[:2] if re.search(r"\bor\b", text) else (), negated=_negated(text, condition, units, emotions),
        place=place_of(text), moment=moment_of(text), yes_no=bool(YES_NO.search(text)), letters=bool(re.search(r"\bletters?\b|\ba ?- ?e\b|facs codes?\b|\bgrades?\b", text)),
    )  # fmt: skip
    return next((found for test in INTENTS if (found := test(text, about)) is not None), None)


_TAG = re.compile(
    r"n[o']t\b.*,\s*(?:is|are|was|were|does|do|did|has|have) (?:he|she|they|it|there|this|that)\W*$"
)


def _negated(
    text: str, condition: Condition | None, units: tuple[str, ...], emotions: Mapping[str, bool]
) -> bool:
    """Whether the thing asked for is denied in the question; "he isn't sad, is he?" asks for a plain no."""
    if _TAG.search(text):
        return False
    if units:
        return units_denied(text)
    if condition is not None:
        return condition.negated
    return next(iter(emotions.values())) if emotions else denies(text)
