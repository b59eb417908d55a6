"""Chains of thought in the published style, made from FEAFA values: loose in degree and coverage, as teachers write.

Our own wording. Weak movements are left out at times, degree words lie up to one level off, impressions are added, and
the interpretation calls movements by what they resemble.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

_SIDED = {
    "lid raise": (
        "eyelid", ("elevated", "raised", "lifted"), ("elevation", "lift"),
        ("alertness", "heightened attention"),
    ),
    "brow raise": (
        "eyebrow", ("raised", "elevated", "lifted"), ("lift", "elevation"),
        ("curiosity", "openness"),
    ),
    "brow lower": (
        "brow", ("lowered", "furrowed", "pulled downward"), ("lowering", "downward pull"),
        ("tension", "strain"),
    ),
    "eye close": (
        "eye", ("closed", "shut"), ("closure", "closing"),
        ("withdrawal", "introspection"),
    ),
    "lip corner pull": (
        "lip corner", ("lifted", "pulled upward", "upturned"), ("upward pull", "lift"),
        ("warmth", "amusement"),
    ),
    "lip corner stretch": (
        "lip corner", ("stretched sideways", "stretched"), ("lateral stretch", "stretch"),
        ("unease", "strain"),
    ),
}  # fmt: skip
_SINGLE = {
    "jaw drop": ("jaw", ("dropped", "lowered"), ("drop", "lowering"), ("loosened control", "a sudden reaction")),
    "upper lip raise": ("upper lip", ("raised", "lifted"), ("raise", "lift"), ("rejection", "displeasure")),
    "lower lip depress": (
        "lower lip", ("depressed", "lowered", "pulled down"), ("depression", "drop"), ("displeasure", "distress"),
    ),
    "nose wrinkle": ("nose", ("wrinkled", "scrunched"), ("wrinkle", "wrinkling"), ("distaste", "aversion")),
    "chin raise": ("chin", ("raised", "pushed up"), ("raise", "lift"), ("restraint", "doubt")),
    "lip pucker": ("lips", ("puckered", "pursed"), ("puckering", "pursing"), ("hesitation", "thought")),
    "cheek puff": ("cheeks", ("puffed", "inflated"), ("puffing", "inflation"), ("held breath", "suppressed effort")),
    "jaw thrust": ("jaw", ("thrust forward", "pushed forward"), ("forward thrust",), ("defiance", "resistance")),
}  # fmt: skip
_ADVERBS = (
    ("minimally", "barely", "very slightly"), ("slightly", "subtly", "gently"), ("moderately", "mildly", "noticeably"),
    ("noticeably", "significantly", "markedly", "clearly"), ("strongly", "fully", "intensely"),
)  # fmt: skip
_ADJECTIVES = (
    ("minimal", "barely noticeable"), ("slight", "subtle"), ("moderate", "noticeable"),
    ("pronounced", "significant", "clear"), ("strong", "intense"),
)  # fmt: skip
_IMPRESSIONS = {
    "happiness": ("a warm and open mood", "a pleasant emotional state"), "sadness": ("a subdued mood", "a heavy mood"),
    "surprise": ("a sudden reaction", "an unexpected moment"), "fear": ("a guarded state", "a sense of threat"),
    "disgust": ("a reaction to something unpleasant", "a sense of rejection"), "anger": ("a confrontational attitude",
    "a readiness to react"), "contempt": ("a distant attitude", "a sense of superiority"),
    "neutral": ("a calm demeanor", "a composed demeanor"),
}  # fmt: skip
_CONCLUSIONS = (
    "In summary, the facial expression clearly communicates {x}, reflecting {mood}.",
    "This analysis confirms that the observed expression represents {x}, with its features pointing to {mood}.",
    "Overall, the expression is predominantly one of {x}, rather than {y}.",
    "The combination of cues effectively conveys {x}, illustrating {mood}.",
    "Taken together, these signs strongly indicate {x}, with no evidence of {y}.",
    "The expression is best interpreted as **{x}**, reflecting {mood}.",
    "Ultimately, the interplay of these features leads to {x} as the final expression.",
    "The face conveys {x}, possibly mixed with traces of {y}.",
)
_LINKS = (
    "Together, the {signs} create {mood}. The interplay of these movements suggests {x} rather than {y}.",
    "The combination of {signs} conveys {mood}, reinforcing a sense of {x}.",
    "Collectively, these facial movements express {mood}. The absence of {y} further supports this reading.",
    "The {signs} work in harmony and underline {mood}, which may be accompanied by mild tension.",
)
LABELS = tuple(_IMPRESSIONS)


@dataclass
class Case:
    """One face and its text."""

    values: dict[str, float]
    label: str
    sentences: list[tuple[str, str, str, int]] = field(default_factory=list)
    """(movement, side, sentence, level) of the observations."""
    link: str = ""
    end: str = ""

    def value(self, movement: str, side: str) -> float:
        return self.values.get(
            f"{'left' if side == 'both' else side} {movement}", self.values.get(movement, 0.0)
        )

    def text(self) -> str:
        observations = " ".join(sentence for _, _, sentence, _ in self.sentences)
        return (
            f"**Key Observations:** {observations}\n\n**Overall Emotional Interpretation:** {self.link}\n\n"
            f"**Conclusion:** {self.end}"
        )


def _level(value: float) -> int:
    return min(max(int(5 * value + 0.5), 1), 5)


def _part(movement: str, side: str) -> tuple[str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    part, done, nouns, hints = (_SIDED | _SINGLE)[movement]
    if movement in _SINGLE:
        return (
            part,
            "are" if (part.endswith("s") and part != "lips") or part == "lips" else "is",
            done,
            nouns,
            hints,
        )
    return (
        (f"{part}s", "are", done, nouns, hints)
        if side == "both"
        else (f"{side} {part}", "is", done, nouns, hints)
    )


def sentence(movement: str, side: str, level: int | None, rng: random.Random, denied: bool = False) -> str:
    """One observation; ``level`` 1..5 chooses the degree word, None leaves it out."""
    part, be, done, nouns, hints = _part(movement, side)
    tail = rng.choice((f", suggesting {rng.choice(hints)}", f", indicating {rng.choice(hints)}", ""))
    if denied:
        return rng.choice(
            (
                f"The {part} {be} not {rng.choice(done)}{tail}.",
                f"There is no {rng.choice(nouns)} of the {part}.",
            )
        )
    if level is None:
        return rng.choice(
            (
                f"The {part} {be} {rng.choice(done)}{tail}.",
                f"The {rng.choice(nouns)} of the {part} stands out{tail}.",
            )
        )
    adverb, adjective = rng.choice(_ADVERBS[level - 1]), rng.choice(_ADJECTIVES[level - 1])
    show = "show" if be == "are" else "shows"
    return rng.choice(
        (
            f"The {part} {be} {adverb} {rng.choice(done)}{tail}.",
            f"The {part} {show} a {adjective} {rng.choice(nouns)}{tail}.",
            f"There is a {adjective} {rng.choice(nouns)} of the {part}{tail}.",
        )
    )


def _values(rng: random.Random) -> dict[str, float]:
    values: dict[str, float] = {}
    keys = [*_SIDED, *_SINGLE]
    for movement in rng.sample(keys, rng.randint(2, 6)):
        if movement in ("brow lower", "brow raise") and any("brow" in name for name in values):
            continue
        value = round(min(max(rng.betavariate(1.3, 3.0), 0.02), 0.98), 2)
        if movement in _SIDED:
            values[f"left {movement}"] = value
            values[f"right {movement}"] = round(min(max(value + rng.uniform(-0.08, 0.08), 0.02), 1.0), 2)
        else:
            values[movement] = value
    return values


def make(rng: random.Random) -> Case:
    """A face with its text."""
    values, label = _values(rng), rng.choice(LABELS)
    case = Case(values, label)
    for movement in dict.fromkeys(name.removeprefix("left ").removeprefix("right ") for name in values):
        sides = ("left", "right") if movement in _SIDED and rng.random() < 0.2 else ("both",)
        for side in sides:
            value = case.value(movement, side)
            if value < 0.1 and rng.random() < 0.5:
                continue
            near = _level(value) + rng.choice((0, 0, 0, 0, 1 if value < 0.5 else -1))
            level = None if rng.random() < 0.4 else min(max(near, 1), 5)
            case.sentences.append((movement, side, sentence(movement, side, level, rng), _level(value)))
    if not case.sentences:
        name = max(values, key=lambda one: values[one]).removeprefix("left ").removeprefix("right ")
        case.sentences.append((name, "both", sentence(name, "both", None, rng), 1))
    named = [movement for movement, *_ in case.sentences][:2]
    signs = " and ".join(
        f"{(_SIDED | _SINGLE)[one][1][0]} {_part(one, 'both')[0]}" for one in dict.fromkeys(named)
    )
    mood, other = rng.choice(_IMPRESSIONS[label]), rng.choice([one for one in LABELS if one != label])
    fill = {"x": label, "y": other, "mood": mood, "signs": signs}
    case.link, case.end = rng.choice(_LINKS).format(**fill), rng.choice(_CONCLUSIONS).format(**fill)
    return case


def plant(case: Case, fault: str, rng: random.Random) -> str:
    """The text with one planted fault: ``label``, ``swap``, ``negation`` or ``degree``; empty where it has no place."""
    if fault == "label":
        other = rng.choice(
            [one for one in LABELS if one not in (case.label, "neutral") and one not in case.end]
        )
        return Case(case.values, other, case.sentences, case.link, case.end.replace(case.label, other)).text()
    least = 0.3 if fault == "degree" else 0.05
    places = [
        at for at, (movement, side, *_) in enumerate(case.sentences) if case.value(movement, side) >= least
    ]
    if not places:
        return ""
    at = rng.choice(places)
    movement, side, _, level = case.sentences[at]
    if fault == "swap":
        free = [one for one in (*_SIDED, *_SINGLE) if not any(one in name for name in case.values)]
        new = sentence(rng.choice(free), "both", rng.choice((None, 3)), rng)
    elif fault == "negation":
        new = sentence(movement, side, None, rng, denied=True)
    else:
        new = sentence(movement, side, 5 if level < 3 else 1, rng)
    changed = [*case.sentences]
    changed[at] = (movement, side, new, level)
    return Case(case.values, case.label, changed, case.link, case.end).text()
