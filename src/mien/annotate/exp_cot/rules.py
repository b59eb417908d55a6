"""Offline rules for the steps of the Exp-CoT engine: a narrator, a judge of expressions, a verifier and a refiner.

They answer as a careful teacher would. The description says the measured movements and nothing else; the expression is
what these movements speak for; asked to think again, the next likely label is tried. With the true label given, the
text stays true to both: where the movements do not speak for the label, it says so ("despite the raised lip corners").
Verification and Refinement read the description and know nothing else about the face.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from mien.annotate.exp_cot.gates import MAX_WORDS, claims_of, concluded_labels, description_faults, word_count
from mien.backends.chat import ChatRequest
from mien.core.emotions import EMOTIONS
from mien.dialogue.read.feafa_words import (
    MOVEMENTS_24,
    NAME_PLACES,
    Unit,
    say_short,
    say_unit,
    units_of,
)
from mien.dialogue.say.verdicts import LOOKS

__all__ = ["STEPS", "evidence", "expression_of", "supported"]

_SIGNS: Mapping[str, Mapping[str, float]] = {
    "happiness": {"lip corner pull": 1.0},
    "sadness": {"chin raise": 0.4, "brow lower": 0.35, "lower lip depress": 0.3, "eye close": 0.3},
    "surprise": {"brow raise": 0.5, "lid raise": 0.5, "jaw drop": 0.5},
    "fear": {"lip corner stretch": 0.6, "lid raise": 0.45, "brow raise": 0.2, "brow lower": 0.15},
    "disgust": {"nose wrinkle": 1.0, "upper lip raise": 0.6, "lower lip depress": 0.2},
    "anger": {"brow lower": 0.8, "jaw thrust": 0.3, "lid raise": 0.2},
    "contempt": {"chin raise": 0.25, "lip corner pull": 0.1},
}
"""Weights of movements, after the combinations of `mien.core.emotions.EMFACS` as far as FEAFA has their units."""
_REST = 0.35
"""Strongest value at which a face still counts as at rest; the weight of neutral at no movement at all."""
_SPARE = 4
"""Words kept free below the limit, since not everybody counts hyphens and marks alike."""
_STRONG_SHARE = 0.6


# -- what movements speak for --------------------------------------------------------------------------


def evidence(values: Mapping[str, float]) -> dict[str, float]:
    """How much the values 0..1 by FEAFA name speak for each label; comparable within one face only."""
    strength = {
        key: max((values.get(name, 0.0) for name in movement.names.values()), default=0.0)
        for key, movement in MOVEMENTS_24.items()
    }
    scores = {label: sum(w * strength[key] for key, w in signs.items()) for label, signs in _SIGNS.items()}
    pull = [values.get(name, 0.0) for name in MOVEMENTS_24["lip corner pull"].names.values()]
    scores["contempt"] += abs(pull[0] - pull[1])
    scores["neutral"] = max(_REST - max(strength.values()), 0.0)
    return {label: scores[label] for label in EMOTIONS}


def _ranked(values: Mapping[str, float]) -> list[str]:
    scores = evidence(values)
    return sorted(EMOTIONS, key=lambda label: -scores[label])


def supported(label: str, values: Mapping[str, float]) -> bool:
    """Whether the values speak for ``label`` about as much as for the best one."""
    scores = evidence(values)
    return scores[label] > 0.05 and scores[label] >= _STRONG_SHARE * max(scores.values())


def _signs_of(label: str, values: Mapping[str, float]) -> list[str]:
    """Attributes of the present movements that speak for ``label``, the strongest first."""
    weights = _SIGNS.get(label, {})
    strength = {
        key: weights[key] * max(values.get(name, 0.0) for name in MOVEMENTS_24[key].names.values())
        for key in weights
    }
    return [
        MOVEMENTS_24[key].attribute
        for key in sorted(strength, key=lambda k: -strength[k])
        if strength[key] > 0
    ]


def _strongest(values: Mapping[str, float]) -> str:
    """Attribute of the strongest movement; empty without any."""
    present = [name for name, value in values.items() if value > 0]
    if not present:
        return ""
    return MOVEMENTS_24[NAME_PLACES[max(present, key=lambda name: values[name])][0]].attribute


# -- AU2Des and Reflection -----------------------------------------------------------------------------

_OPENINGS = (
    "Step-by-step analysis of the face.",
    "The face is analysed from the given densities, one movement after the other.",
    "An analysis of the given movements follows, from the first to the last.",
    "Going through the given densities step by step gives this picture.",
)
_SECOND_LOOKS = (
    "A second look at the same densities.",
    "The densities are weighed again.",
    "Revised analysis of the same movements.",
    "Taking the observations up once more.",
)
_NOTHING = (
    "No density is above 0, so the face is at rest.",
    "All densities are 0: no movement is seen.",
    "Nothing moves; every density is 0.",
)
_OTHERS = (
    "All other densities are 0.",
    "Nothing else has a density above 0.",
    "No other movement has a density.",
    "The rest of the face is unmoved.",
)
_HINTING = (
    "suggesting",
    "hinting at",
    "which may suggest",
    "indicating",
    "in line with",
    "which can stand for",
)
_POINTS = (
    "Taken together, the analysis points to {label}.",
    "As a whole, the pattern speaks for {label}.",
    "The expression is therefore read as {label}.",
    "On balance, the expression is {label}.",
    "Weighing all steps, the result is {label}.",
)
_POINTS_WEAKLY = (
    "Although the movements alone give little support, the expression is read as {label}.",
    "The densities alone would lead elsewhere, yet the expression can be read as {label}.",
    "With little support from the movements, the expression is taken as {label}.",
)
_TOLD = (
    "Given the label, and although the movements alone would not lead there, the expression is {label}.",
    "The movements do not show the given label by themselves; still, the expression is {label}.",
    "With the correct expression known, and despite what the movements suggest, the expression is {label}.",
)


def _rng(request: ChatRequest) -> random.Random:
    return random.Random(request.key("rules"))


def _describe(request: ChatRequest, openings: Sequence[str], label: str, points: Sequence[str]) -> str:
    values: Mapping[str, float] = request.facts["aus"]
    rng = _rng(request)
    units = units_of(values)
    sentences = [rng.choice(openings)]
    for place, unit in enumerate(units, 1):
        movement = MOVEMENTS_24[unit.movement]
        sides = movement.names if unit.side == "both" else {unit.side: movement.names[unit.side]}
        numbers = [f"{values[name]:.2f}" for name in sides.values()]
        clause = say_unit(unit, rng)
        shown = numbers[0] if len(set(numbers)) == 1 else " and ".join(numbers)
        hint = f", {rng.choice(_HINTING)} {rng.choice(movement.hints)}" if rng.random() < 0.8 else ""
        lead = f"Step {place}: " if openings is _OPENINGS and rng.random() < 0.2 else ""
        sentences.append(f"{lead}{clause[:1].upper()}{clause[1:]} ({shown}){hint}.")
    sentences.append(rng.choice(_OTHERS if units else _NOTHING))
    sentences.append(rng.choice(points).format(label=label))
    return " ".join(sentences)


def _au2des(request: ChatRequest) -> str:
    label = _ranked(request.facts["aus"])[0]
    return _describe(request, _OPENINGS, label, _POINTS)


def _reflect(request: ChatRequest) -> str:
    """The next likely label that was not tried."""
    values = request.facts["aus"]
    tried = set(request.facts["tried"])
    ranked = _ranked(values)
    label = next((label for label in ranked if label not in tried), ranked[0])
    return _describe(request, _SECOND_LOOKS, label, _POINTS if supported(label, values) else _POINTS_WEAKLY)


def _reflect_with_label(request: ChatRequest) -> str:
    label = request.facts["label"]
    fits = supported(label, request.facts["aus"])
    return _describe(request, _SECOND_LOOKS, label, _POINTS if fits else _TOLD)


# -- Des2Exp and Verification --------------------------------------------------------------------------

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def _values_of(description: str) -> dict[str, float]:
    """Values that a description claims, by FEAFA name: the middle of each claimed range of levels."""
    values: dict[str, float] = {}
    for claim in claims_of(description):
        movement = MOVEMENTS_24.get(claim.movement)
        if movement is None or not claim.present:
            continue
        low, high = claim.level or (2, 2)
        for side, name in movement.names.items():
            if claim.side in {side, "both"}:
                values[name] = max(values.get(name, 0.0), (low + high) / 10.0)
    return values


def expression_of(description: str) -> str:
    """The expression that a description states last, else the one that its movements speak for."""
    for sentence in reversed(_SENTENCE.split(description)):
        labels = concluded_labels(sentence)
        if len(labels) == 1:
            return labels.pop()
    return _ranked(_values_of(description))[0]


def _des2exp(request: ChatRequest) -> str:
    return expression_of(request.facts["description"]).capitalize()


def _verify(request: ChatRequest) -> str:
    facts = request.facts
    wrong = facts["expression"] != facts["label"] or description_faults(facts["description"], facts["aus"])
    return "Incorrect" if wrong else "Correct"


# -- Refinement ----------------------------------------------------------------------------------------

_QUIET = (
    "The face is at rest, and no movement can be seen.",
    "No movement stands out, so the face looks still.",
    "There is no visible movement in any part of the face.",
    "The whole face is still, without any movement.",
    "Every part of the face is at rest.",
    "From brow to chin, the face is at rest.",
    "The face is motionless.",
    "Brows, eyes and mouth are at rest.",
)
_ABSENCES = (
    "There is no sign of {what}.",
    "No sign of {what} can be seen.",
    "The face is free of {what}.",
    "Nothing shows {what}.",
)
_TELLING = (
    "brow raise", "brow lower", "lid raise", "lip corner pull", "lip corner stretch", "jaw drop", "nose wrinkle",
    "upper lip raise", "chin raise",
)  # fmt: skip
"""Movements whose absence tells something."""
_FEW = 5
"""Units below which there is room for an absence."""
_TOGETHER = (
    "Together, {signs} give the face {look}, as is common for {label}.",
    "{Signs} belong together and make {look}, which fits {label}.",
    "The combination of {signs} gives {look} and speaks for {label}.",
    "Seen as a whole, {signs} form {look}, typical of {label}.",
    "{Signs} agree with one another and point to {label}.",
)
_ALONE = (
    "This one sign, {signs}, gives the face {look} and speaks for {label}.",
    "With {signs} as the main sign, the face has {look}, which fits {label}.",
    "The pattern rests on {signs} and makes {look}, as is common for {label}.",
)
_NEUTRAL = (
    "Nothing here is strong enough for an emotion, and the face keeps {look}.",
    "The pattern is weak as a whole and leaves {look}.",
    "No emotion stands out from so little, which leaves {look}.",
    "As a whole, the face has {look}, and no emotion stands out.",
    "This adds up to {look} without a leaning to any emotion.",
    "So little speaks for an emotion that {look} remains.",
    "The face as a whole has {look}, typical of a neutral state.",
)
_OTHERWISE = (
    "Taken alone, {signs} would rather suggest {other}, and support for {label} is weak.",
    "{Signs} alone would speak for {other}; the movements hardly show {label}.",
    "The movements lean towards {other}, mainly by {signs}, and say little about {label}.",
    "There is a tension here: {signs} would rather fit {other} than {label}.",
)
_LITTLE = (
    "Little moves besides {signs}, and the movements say little about {label}.",
    "{Signs} alone hardly speak for any emotion, so support for {label} is weak.",
    "Apart from {signs} the face is quiet, which gives weak support for {label}.",
)
_STILL_FACE = (
    "Without movement, nothing in the face speaks for {label} or against {label}.",
    "The movements alone give no support for {label}, since none was found.",
    "A still face would rather suggest a neutral look than {label}.",
)
_CONCLUDE = (
    "In conclusion, the expression is best described as {label}.",
    "The label that fits best is {label}.",
    "Overall, the face shows a clear case of {label}.",
    "All in all, the apparent expression is {label}.",
    "The expression is therefore {label}.",
    "These signs lead to {label} as the final expression.",
    "The final reading of the expression is {label}.",
)
_CONCLUDE_NEUTRAL = (
    "In conclusion, the expression is best described as neutral.",
    "The label that fits best is neutral.",
    "All in all, the apparent expression is neutral.",
    "The expression is therefore neutral.",
    "The final reading of the expression is neutral.",
    "Overall, the face is best labelled neutral.",
    "With nothing to the contrary, the expression is neutral.",
    "All of this leads to neutral as the final expression.",
)
_DESPITE = (
    "Despite {signs}, the expression is labelled {label}.",
    "Although {signs} would suggest otherwise, the given label is {label}.",
    "In spite of {signs}, the expression as a whole is labelled {label}.",
    "The movements alone do not decide, and the expression is labelled {label}.",
)
_DESPITE_STILLNESS = (
    "Despite the still face, the expression is labelled {label}.",
    "Although no movement was measured, the given label is {label}.",
    "The expression is labelled {label}, on grounds that the movements do not show.",
)


def _refine(request: ChatRequest) -> str:
    """Three parts within the word limit, from what the description claims."""
    description = request.facts["description"]
    rng = _rng(request)
    label, values = expression_of(description), _values_of(description)
    tail = _interpretation(label, values, rng), _conclusion(label, values, rng)
    observations = list(_observations(values, rng))
    forms = [(first, *tail) for first in observations]
    forms.append((observations[-1], *_short_tail(label, values)))
    texts = (
        f"**Key Observations:** {first}\n\n**Overall Emotional Interpretation:** {second}\n\n**Conclusion:** {third}"
        for first, second, third in forms
    )
    text = ""
    for text in texts:
        if word_count(text) <= MAX_WORDS - _SPARE:
            break
    return text


def _observations(values: Mapping[str, float], rng: random.Random) -> Iterator[str]:
    """The first part, from the wordiest form to the shortest."""
    units = units_of(values)
    absent = _absences(values, rng)
    if not units:
        yield f"{rng.choice(_QUIET)} {absent}"
        return
    clauses = [say_unit(unit, rng) for unit in units]
    hinted = [
        f"{clause}, {rng.choice(_HINTING)} {rng.choice(MOVEMENTS_24[unit.movement].hints)}"
        for clause, unit in zip(clauses, units, strict=True)
    ]
    if len(units) < _FEW:
        yield f"{_sentences(hinted)} {absent}"
    yield _sentences(hinted)
    # Every second hint, then none, then a list.
    yield _sentences(
        [one if place % 2 else two for place, (one, two) in enumerate(zip(clauses, hinted, strict=True))]
    )
    yield _sentences(clauses)
    for article in (True, False):
        yield f"Visible are {_listed([say_short(unit, article) for unit in units])}."


def _absences(values: Mapping[str, float], rng: random.Random) -> str:
    """A sentence that denies two or three telling movements; the description gives all others as 0."""
    free = [key for key in _TELLING if not any(values.get(name) for name in MOVEMENTS_24[key].names.values())]
    drawn = sorted(rng.sample(free, min(len(free), rng.randint(2, 3))))
    chosen = [say_short(Unit(key, "both", None), article=True) for key in drawn]
    if not chosen:
        return ""
    joined = chosen[0] if len(chosen) == 1 else f"{', '.join(chosen[:-1])} or {chosen[-1]}"
    return rng.choice(_ABSENCES).format(what=joined)


def _sentences(clauses: Sequence[str]) -> str:
    return " ".join(f"{clause[:1].upper()}{clause[1:]}." for clause in clauses)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _fill(template: str, rng: random.Random, label: str, signs: str = "", other: str = "") -> str:
    upper = f"{signs[:1].upper()}{signs[1:]}"
    text = template.format(signs=signs, Signs=upper, label=label, other=other, look=rng.choice(LOOKS[label]))
    return f"{text[:1].upper()}{text[1:]}"


def _interpretation(label: str, values: Mapping[str, float], rng: random.Random) -> str:
    strongest = _strongest(values)
    if supported(label, values):
        signs = [f"the {sign}" for sign in _signs_of(label, values)[:3]] or [f"the {strongest}"]
        forms: Sequence[str] = _NEUTRAL if label == "neutral" else _TOGETHER if len(signs) > 1 else _ALONE
        return _fill(rng.choice(forms), rng, label, _listed(signs))
    if not strongest:
        return _fill(rng.choice(_STILL_FACE), rng, label)
    other = _ranked(values)[0]
    best = [f"the {sign}" for sign in _signs_of(other, values)[:2]] or [f"the {strongest}"]
    forms = _OTHERWISE if other not in {label, "neutral"} else _LITTLE
    return _fill(rng.choice(forms), rng, label, _listed(best), other)


def _conclusion(label: str, values: Mapping[str, float], rng: random.Random) -> str:
    strongest = _strongest(values)
    if supported(label, values):
        forms: Sequence[str] = _CONCLUDE_NEUTRAL if label == "neutral" else _CONCLUDE
    else:
        forms = _DESPITE if strongest else _DESPITE_STILLNESS
    return _fill(rng.choice(forms), rng, label, f"the {strongest}")


def _short_tail(label: str, values: Mapping[str, float]) -> tuple[str, str]:
    """Interpretation and conclusion for a face on which nearly everything moves."""
    other = _ranked(values)[0]
    link = (
        f"Together, this speaks for {label}."
        if supported(label, values)
        else f"This alone would suggest {other}."
    )
    return link, f"The final label is {label}."


STEPS: Mapping[str, Callable[[ChatRequest], str]] = MappingProxyType(
    {
        "exp-cot/au2des": _au2des,
        "exp-cot/des2exp": _des2exp,
        "exp-cot/verify": _verify,
        "exp-cot/reflect": _reflect,
        "exp-cot/reflect-with-label": _reflect_with_label,
        "exp-cot/refine": _refine,
    }
)
"""The table of `mien.annotate.rules_teacher`."""
