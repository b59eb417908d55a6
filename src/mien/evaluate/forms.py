"""Answers of a suite: what the right one looks like, and the ways of reading one.

A value of truth or answer is JSON: ``{"emotion": "happiness"}``, ``{"aus": {"AU01": 1, …}}`` or
``{"text": …}``. What cannot be read is None with a reason: it counts as wrong and is told as a rate, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mien.core.emotions import EMOTIONS, canonical
from mien.core.errors import BadData
from mien.core.nouns import AuReading, FaceResult, Labels
from mien.dialogue.read import au_arrays
from mien.dialogue.read.cot import Unparsed, read_explanation
from mien.dialogue.read.emotion import read_emotion
from mien.dialogue.say.au_texts import read_units
from mien.evaluate.suite import Suite
from mien.metrics import rege

__all__ = ["READINGS", "Value", "measured", "read", "say", "truth_of"]

Value = dict[str, Any]
Read = tuple[Value | None, str | None]

# -- truth and gold -------------------------------------------------------------------------------------


def truth_of(suite: Suite, labels: Labels) -> Value | None:
    """What the suite's task asks about a face; None where the data do not say it, or name a label outside the suite."""
    if suite.task == "emotion":
        known = labels.emotion in suite.labels
        text = labels.description or labels.chain_of_thought
        return {"emotion": labels.emotion} | ({"text": text} if text else {}) if known else None
    if suite.task == "text":
        text = labels.chain_of_thought or labels.description
        if suite.form == "explanation":
            return {"text": text or ""}
        return {"text": text, "emotion": labels.emotion} if text else None
    values = _au_values(suite, labels)
    if not values:
        return None
    return {"aus": values} | ({"text": labels.description} if labels.description else {})


def _au_values(suite: Suite, labels: Labels) -> dict[str, float]:
    """Values of the suite's units; those that are not coded are left out."""
    level, value, presence = labels.au_level or {}, labels.au_intensity or {}, labels.au_presence or {}
    known: dict[str, float] = {}
    for key in suite.units:
        if suite.task == "au-intensity" and key in value:
            known[key] = float(value[key])
        elif suite.task == "au-level" and (key in level or key in value):
            known[key] = level[key] if key in level else AuReading.of(value[key]).level
        elif suite.task == "au-presence":
            if key in level or key in value:
                stage = level[key] if key in level else AuReading.of(value[key]).level
                known[key] = float(stage >= suite.present_from)
            elif key in presence:
                known[key] = float(presence[key])
    return known


def measured(suite: Suite, result: FaceResult) -> tuple[Value | None, dict[str, float] | None]:
    """A measurement as the suite's value, and for emotions the likelihoods over the suite's labels.

    None where it measures none of the suite's labels, or not all of its units.
    """
    if suite.task == "emotion":
        shares = {label: result.emotions[label] for label in suite.labels if label in result.emotions}
        total = sum(shares.values())
        if not shares or total <= 0:
            return None, None
        scores = {label: share / total for label, share in shares.items()}
        return {"emotion": max(scores, key=lambda label: scores[label])}, scores
    readings = {key: result.aus[key] for key in suite.units if key in result.aus and result.aus[key].measured}
    if not readings:
        return None, None
    if suite.task == "au-presence":
        return {"aus": {key: float(one.level >= suite.present_from) for key, one in readings.items()}}, None
    if suite.task == "au-level":
        return {"aus": {key: one.level for key, one in readings.items()}}, None
    return {"aus": {key: one.intensity for key, one in readings.items()}}, None


def say(suite: Suite, value: Value) -> str:
    """The answer that says a value, in the suite's form: of a truth, the gold answer."""
    form = suite.form
    if form in ("description", "explanation") and value.get("text"):
        return str(value["text"])
    if "emotion" in value and value["emotion"] is not None and form != "explanation":
        word = str(suite.labels.get(value["emotion"], value["emotion"]))
        if form == "tags":
            return f"<think>The face shows it.</think><answer>{word}</answer>"
        return f"The face conveys {word}." if form in ("sentence", "description") else word
    values = value.get("aus", {})
    if form in ("codes", "description"):
        return ", ".join(f"AU{int(key[2:])}" for key, there in values.items() if there) or "None"
    texts = {"binary": "{:.0f}", "level": "{:.0f}", "intensity": "{:.2f}"}
    return f"[{', '.join(texts[form].format(values.get(key, 0)) for key in suite.units)}]"


# -- reading --------------------------------------------------------------------------------------------


def _exact(text: str, suite: Suite) -> Read:
    """The whole answer is the word, case and all."""
    found = {word: label for label, word in suite.labels.items()}.get(text.strip())
    return ({"emotion": found}, None) if found else (None, "not one of the words")


_CHOICE = re.compile(r"my choice is\s*:?\s*", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")


def _word(text: str, suite: Suite) -> Read:
    """The one label that a text affirms, in any spelling; behind the guard's "My choice is:" the first one."""
    guarded = _CHOICE.split(text, maxsplit=1)
    if len(guarded) > 1:
        first = next((label for word in _WORD.findall(guarded[1]) if (label := _label(word, suite))), None)
        return ({"emotion": first}, None) if first else (None, "no label")
    # Words that only the data set knows are found as such, and are no synonyms of the eight.
    own = dict.fromkeys(
        word for word in _WORD.findall(text.lower()) if word in suite.labels and word not in EMOTIONS
    )
    rest = re.sub(rf"\b(?:{'|'.join(own)})\b", " ", text, flags=re.IGNORECASE) if own else text
    told = read_emotion(rest)
    found = [*own, *([told.emotion] if told.emotion in suite.labels else [])]
    if len(found) == 1:
        return {"emotion": found[0]}, None
    return None, f"several labels: {', '.join(found)}" if found else told.reason or "no label of the suite"


def _label(word: str, suite: Suite) -> str | None:
    """The suite's label that a word spells."""
    spelt = {shown.lower(): label for label, shown in suite.labels.items()}
    label = spelt.get(word.lower()) or canonical(word)
    return label if label in suite.labels else None


def _conclusion(text: str, suite: Suite) -> Read:
    """The label that the conclusion of a chain of thought names (ExpLLM, Table IV at 0:1)."""
    told = read_explanation(text)
    if isinstance(told, Unparsed):
        return None, told.reason
    return _word(told.conclusion, suite)


def _keywords(text: str, suite: Suite) -> Read:
    """Every label word that occurs, wherever; right is who names the true one (lenient)."""
    found = list(dict.fromkeys(label for word in _WORD.findall(text) if (label := _label(word, suite))))
    return ({"any": found}, None) if found else (None, "no keyword")


_TAG = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.IGNORECASE)
_LAST_TAG = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_FERBENCH_SYNONYMS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "angry": ("anger",), "contempt": ("scorn", "disdain"), "disgust": ("revulsion", "repulsion"),
        "fear": ("terror", "fright"), "happy": ("joy", "happiness"), "sad": ("sorrow", "unhappy"),
        "neutral": ("normal", "calm", "blank"), "surprise": ("shock", "astonishment"),
    }
)  # fmt: skip
"""Of the FERPlus part, in the order in which the released script tries them."""


def _ferbench(text: str, suite: Suite) -> Read:
    """As the released script of FERBench's FERPlus part: contained is enough, the list's order decides."""
    words = {word.lower(): label for label, word in suite.labels.items()}
    tag = _TAG.search(text)
    for where in ((tag[1].strip().lower(),) if tag else ()) + (text.lower(),):
        for word, label in words.items():
            if word in where:
                return {"emotion": label}, None
    for word, others in _FERBENCH_SYNONYMS.items():
        if any(other in text.lower() for other in others):
            return {"emotion": words[word]}, None
    return None, "unknown"


def _tag(text: str, suite: Suite) -> Read:
    """One label as a word in the last answer tag."""
    tags = _LAST_TAG.findall(text)
    return _word(tags[-1], suite) if tags else (None, "no answer tag")


def _codes(text: str, suite: Suite) -> Read:
    """As EmoLA's script: ``AU`` and digits."""
    if not text.strip():
        return None, "empty answer"
    named = {f"AU{int(number):02d}" for number in re.findall(r"AU(\d+)", text)}
    return {"aus": {key: float(key in named) for key in suite.units}}, None


def _claims(text: str, suite: Suite) -> Read:
    """AUs that are affirmed by code, name or movement; both affirmed and denied is no answer."""
    if text.strip().rstrip(".").lower() == "none":
        return {"aus": dict.fromkeys(suite.units, 0.0)}, None
    answer = read_units(text, suite.units)
    if answer.labels is None or answer.labels.au_presence is None:
        return None, answer.reason
    return {"aus": {key: float(there) for key, there in answer.labels.au_presence.items()}}, None


def _array(text: str, suite: Suite) -> Read:
    """The first bracketed list, of as many values as were asked for."""
    answer = au_arrays.read_array(text, suite.form, len(suite.units), suite.units)
    if answer.labels is None:
        return None, answer.reason
    values: Mapping[str, float] = (
        answer.labels.au_presence or answer.labels.au_level or answer.labels.au_intensity or {}
    )
    return {"aus": {key: float(value) for key, value in values.items()}}, None


def _rege(mode: str) -> Callable[[str, Suite], Read]:
    def reading(text: str, suite: Suite) -> Read:
        if suite.task == "emotion":
            label = rege.read_emotion(text, mode)
            return ({"emotion": label, "text": text}, None) if label else (None, "no emotion")
        named = rege.read_aus(text, mode)
        return {"aus": {key: float(named[key]) for key in suite.units}, "text": text}, None

    return reading


def _text(text: str, suite: Suite) -> Read:
    """The text itself."""
    return ({"text": text}, None) if text.strip() else (None, "empty answer")


READINGS: Mapping[str, Callable[[str, Suite], Read]] = MappingProxyType(
    {
        "exact": _exact, "word": _word, "conclusion": _conclusion, "keywords": _keywords, "ferbench": _ferbench,
        "tag": _tag, "codes": _codes, "claims": _claims, "array": _array, "text": _text,
        **{f"rege-{mode}": _rege(mode) for mode in rege.MODES},
    }
)  # fmt: skip
"""Ways of reading an answer."""


def read(suite: Suite, text: str, reading: str) -> Read:
    """A value, or None with the reason.

    Raises:
        BadData: no such way of reading.
    """
    if reading not in READINGS:
        raise BadData(
            got=f"reading {reading!r} of suite {suite.name}",
            expected=f"one of {', '.join(READINGS)}",
            fix="Correct the suite",
        )
    return READINGS[reading](text, suite)
