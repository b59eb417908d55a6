"""The offline teacher's side of the *faba* engine: descriptions from the request's facts, without a network.

`FABA_STEPS` maps step names to functions of the request, for the rules teacher. They say only what the facts hold:
the label, emotion probabilities and AU intensities. Where the facts say nothing they answer ``UNUSABLE``, as a model
that cannot read the face is asked to.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mien.backends.chat import ChatRequest
from mien.core.aus import AU_SETS, AUS
from mien.core.emotions import EMFACS, EMOTIONS
from mien.core.nouns import AuReading
from mien.dialogue.say.interactions import INTERACTIONS
from mien.dialogue.say.verdicts import CONTRASTS, LOOKS
from mien.dialogue.say.wording import capitalise, say_absence, say_movement

__all__ = ["FABA_STEPS", "describe_emotion", "describe_units", "present_units", "request_rng"]

_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": ("a neutral state", "neutrality", "a calm and neutral state", "a mostly neutral mood"),
        "happiness": ("happiness", "joy", "amusement", "contentment", "cheerful happiness"),
        "sadness": ("sadness", "distress and sadness", "somber sadness", "quiet sadness"),
        "surprise": ("surprise", "astonishment", "startled surprise", "disbelief and surprise"),
        "fear": ("fear", "anxiety and fear", "alarm", "apprehension"),
        "disgust": ("disgust", "distaste", "disgust and disapproval", "a sense of distaste"),
        "anger": ("anger", "frustration and anger", "irritated anger", "agitation and anger"),
        "contempt": ("contempt", "disdain", "cool contempt"),
    }
)
_STRENGTH = (
    (0.25, ("a faint touch of", "a trace of", "the beginnings of")),
    (0.45, ("a mild form of", "a gentle degree of", "a moderate degree of")),
    (0.7, ("a clear sense of", "a distinct degree of", "an evident sense of")),
    (1.1, ("a strong sense of", "an intense degree of", "a powerful display of")),
)
_OPENINGS = (
    "The face in the picture appears to show {x}.",
    "This face conveys {x}.",
    "The expression on this face suggests {x}.",
    "The person in the picture displays {x}.",
    "What this face expresses is best described as {x}.",
    "The facial expression points to {x}.",
    "There is {x} in this face.",
    "The overall impression of the face is {x}.",
)
_SIGNS = (
    "This can be told from the details: {m}.",
    "Several details speak for it: {m}.",
    "The signs are easy to name: {m}.",
    "It can be read from the muscles of the face, as {m}.",
    "Looking closer, {m}.",
    "The reading rests on what is seen: {m}.",
)
_CLOSINGS = (
    "Together these details give the face {look}.",
    "As a whole, the face has {look}.",
    "The result is {look}.",
    "All in all, this makes for {look}.",
    "The impression that stays is {look}.",
)
_MIXED = (
    "There may also be a touch of {y}, so the emotion is not quite pure.",
    "A second reading, {y}, is almost as plausible.",
    "It blends with some {y}, which makes the expression more complex.",
    "Hints of {y} can be found in it as well.",
)
_BARE = (
    "The expression is spread over the whole face rather than bound to one single movement.",
    "Eyes, brows and mouth contribute to this impression together.",
    "The impression comes from the face as a whole.",
    "It is the interplay of the upper and the lower face that leaves this impression.",
)
_ABSENT = (
    "What is missing tells something as well: {m}.",
    "Stronger signs are not to be found, as {m}.",
    "At the same time, {m}.",
    "It is also worth noting that {m}.",
    "By contrast, {m}.",
)
_INTROS = (
    "The following action units are present in this face:",
    "In this face, these action units can be identified:",
    "Looking at the face, these action units stand out:",
    "The action units of this face are:",
    "A breakdown of the visible action units:",
)
_CAUSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "muscle": (
            "This is the work of the {m}.",
            "The muscle behind it is the {m}.",
            "It is brought about by the {m}.",
            "The {m} contracts here.",
        ),
        "relaxed": (
            "It comes about as the {m} lets go.",
            "Here the {m} gives way.",
            "This happens when the {m} loosens its hold.",
            "A release of the {m} is behind it.",
        ),
    }
)
_GOES_WITH = (
    "It is often associated with {x}.",
    "Such a movement is commonly seen in {x}.",
    "On its own it is not decisive, but it fits {x}.",
    "It can be indicative of {x}.",
    "This tends to accompany {x}.",
)
_FREE = (
    "It belongs to many expressions, so it has to be read along with the others.",
    "Taken alone, this movement says little about the emotion.",
    "It can come from speech as well as from emotion.",
    "Many people show it without any particular feeling.",
    "Its meaning depends on the movements around it.",
    "It adds little to the emotion and more to the detail of the face.",
)
_ENDS = (
    "Taken together, these action units are in keeping with {x}.",
    "In combination, they suggest {x}.",
    "Overall, this pattern of movements points to {x}.",
    "The combination is what is usually seen in {x}.",
)
_NOTHING_KNOWN = "UNUSABLE: nothing is known of this face"
_QUIET = (
    "None of the known action units reaches a visible degree in this face; it is at rest.",
    "The face is at rest, and no action unit can be told with any confidence.",
    "There is no marked movement in this face, so there are no action units to list.",
)
_OPEN_ENDS = (
    "Taken together, they do not add up to one typical emotion.",
    "The combination leaves room for more than one reading.",
)


def request_rng(request: ChatRequest) -> random.Random:
    """Chance fixed by the item, the seed, the step and the try."""
    facts = request.facts
    text = f"{request.step}:{facts.get('id')}:{facts.get('seed')}:{request.attempt}"
    return random.Random(hashlib.sha256(text.encode()).digest())


def present_units(aus: Mapping[str, float], most: int = 20) -> dict[str, float]:
    """The AUs of level A or more (intensity 0.1), strongest first, at most ``most``."""
    here = {key: value for key, value in aus.items() if key in AUS and AuReading.of(value).presence}
    ranked = sorted(here, key=lambda key: (-here[key], key))
    return {key: here[key] for key in ranked[:most]}


def describe_emotion(facts: Mapping[str, Any], rng: random.Random) -> str:
    """A paragraph of about 50 words on the emotion, or ``UNUSABLE`` when the facts know none.

    Args:
        facts: ``emotion``, ``emotions``, ``aus`` as `mien.annotate.pictures.measured_facts` gives them.
        rng: the same state gives the same text.
    """
    emotion = facts.get("emotion")
    if not emotion:
        return _NOTHING_KNOWN
    shares: Mapping[str, float] = facts.get("emotions") or {}
    units = present_units(facts.get("aus") or {})
    named = rng.choice(_WORDS.get(emotion, (emotion,)))
    strength = shares.get(emotion, max(units.values(), default=0.5))
    if emotion != "neutral":
        named = f"{rng.choice(next(words for limit, words in _STRENGTH if strength < limit))} {named}"
    sentences = [rng.choice(_OPENINGS).format(x=named)]
    if units:
        keys = list(units)[: rng.randint(2, 3)]
        clauses = [say_movement(key, AuReading.of(units[key]).level, rng).text for key in keys]
        listed = clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"
        sentences.append(rng.choice(_SIGNS).format(m=listed))
    else:
        sentences.append(rng.choice(_BARE))
    if len(units) < 2:
        sentences += _missing(emotion, facts.get("aus") or {}, rng)
    second = _second(emotion, shares)
    if second is not None:
        sentences.append(rng.choice(_MIXED).format(y=second))
    if emotion in LOOKS:
        sentences.append(rng.choice(_CLOSINGS).format(look=rng.choice(LOOKS[emotion])))
    return " ".join(sentences)


def _missing(emotion: str, aus: Mapping[str, float], rng: random.Random) -> list[str]:
    """A sentence on two telling movements that were measured and not found, where there are such."""
    free = [key for key in CONTRASTS.get(emotion, ()) if key in aus and AuReading.of(aus[key]).level == 0]
    if not free:
        return []
    keys = tuple(rng.sample(free, min(2, len(free))))
    return [rng.choice(_ABSENT).format(m=say_absence(keys, rng).text)]


def _second(emotion: str, shares: Mapping[str, float]) -> str | None:
    """The runner-up when it comes within 0.15 of the emotion."""
    rest = {word: share for word, share in shares.items() if word != emotion}
    if emotion not in shares or not rest:
        return None
    best = max(rest, key=lambda word: rest[word])
    return best if shares[emotion] - rest[best] < 0.15 and best != "neutral" else None


def describe_units(facts: Mapping[str, Any], rng: random.Random) -> str:
    """A line per AU of FABA's twenty, with an opening and an end, or ``UNUSABLE`` when the facts hold no AU.

    Args:
        facts: ``emotion`` and ``aus``.
        rng: the same state gives the same text.
    """
    known: Mapping[str, float] = facts.get("aus") or {}
    here = present_units(known)
    units = {key: here[key] for key in AU_SETS["faba20"] if key in here}
    if not units:
        return rng.choice(_QUIET) if known else _NOTHING_KNOWN
    lines = [rng.choice(_INTROS)]
    emotion = facts.get("emotion")
    said: set[str] = set()
    for key in units:
        # Two units may have a muscle or a meaning in common: each sentence comes once.
        sentences = [one for one in _unit_sentences(key, units, emotion, rng) if one not in said]
        said.update(sentences)
        lines.append(" ".join([_heading(key, rng), *sentences]))
    signs = {key for combination in EMFACS.get(str(emotion), ()) for key in combination}
    if emotion in EMOTIONS and signs & set(units):
        lines.append(rng.choice(_ENDS).format(x=rng.choice(_WORDS[emotion])))
    else:
        lines.append(rng.choice(_OPEN_ENDS))
    return "\n\n".join(lines)


def _heading(key: str, rng: random.Random) -> str:
    name = AUS[key].name.title()
    return rng.choice(
        (f"{AUS[key].prose} - {name}:", f"**{AUS[key].prose} ({name}):**", f"{AUS[key].prose} ({name}):")
    )


def _unit_sentences(key: str, units: Mapping[str, float], emotion: object, rng: random.Random) -> list[str]:
    clause = say_movement(key, AuReading.of(units[key]).level, rng).text
    sentences = [capitalise(clause) + "."]
    muscle = AUS[key].muscle.split(",")[0]
    if rng.random() < 0.6:
        kind = "relaxed" if "relaxed" in muscle else "muscle"
        sentences.append(rng.choice(_CAUSES[kind]).format(m=muscle.replace("relaxed", "").strip()))
    groups = [group for group in INTERACTIONS if key == group.present[0] and set(group.present) <= set(units)]
    groups = [group for group in groups if len(group.present) > 1 and not group.absent]
    if groups and rng.random() < 0.7:
        sentences.append(rng.choice(rng.choice(groups).sentences))
    else:
        fitting = [word for word, sets in EMFACS.items() if any(key in combination for combination in sets)]
        if emotion in fitting:
            # What the face shows is named; other emotions only where it shows none of them.
            fitting = [str(emotion)]
        pool = _GOES_WITH if emotion in fitting or (fitting and rng.random() < 0.3) else _FREE
        sentences.append(rng.choice(pool).format(x=" or ".join(rng.sample(fitting, min(2, len(fitting))))))
    return sentences


def _emotion_step(request: ChatRequest) -> str:
    return describe_emotion(request.facts, request_rng(request))


def _units_step(request: ChatRequest) -> str:
    return describe_units(request.facts, request_rng(request))


FABA_STEPS: Mapping[str, Callable[[ChatRequest], str]] = MappingProxyType(
    {"faba/emotion": _emotion_step, "faba/au": _units_step}
)
"""Step name -> the offline teacher's reply."""
