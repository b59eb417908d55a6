"""The auditor: texts held against the measurement of a face, while they are made and afterwards.

`Grounding` makes an explanation without holes: a sentence of the model stays where the measurement bears it; one that
is contradicted, or that denies a movement whose absence was never shown to be read well, gives way to the narrator's
account, and the conclusion names the table's emotion with words of certainty that follow its probability.

`verify` judges any text, and `reward` turns the same judgement into a number for trainers. All three are deterministic.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from mien.core.codec import decode
from mien.core.errors import BadInput, require_known
from mien.core.nouns import Claim, Explanation, FaceResult, Verification
from mien.dialogue.read.claims import read_claims, split_sentences
from mien.dialogue.read.emotion import emotions_named, read_emotion
from mien.dialogue.say.movements import MOVEMENTS
from mien.dialogue.say.narrator import compose
from mien.dialogue.say.wording import ATTRIBUTES, Said
from mien.metrics.faithfulness import audit

__all__ = ["DENIABLE", "WEIGHTS", "Grounding", "reward", "trl_reward", "verify", "verl_reward"]

DENIABLE: frozenset[str] = frozenset(("AU06", "AU12", "AU25", "AU26"))
"""AUs whose absence may be put into words unasked: their recall on real faces was shown."""
_MOST_DENIALS = 2
_UNEVEN, _TURNED = 0.2, 15.0
"""Difference of the sides' intensities, and degrees, from which they are told."""
_MORE = ("more marked", "stronger", "clearer")
_TURNS = (
    "The head is turned about {} degrees", "The face is turned some {} degrees", "The head points about {} degrees",
    "The head is turned by some {} degrees", "The face points some {} degrees",
)  # fmt: skip
_STRONG = 2
"""Level from which a movement has to be named."""
_ODD = re.compile(
    r"\b(?:eyes?|eyelids?|lids?)\b.*\b(?:clos\w+|shut)\b|\b(?:clos|shut)\w* of (?:the|both) eye"
    r"|\bstretch\w*\b.*\b(?:wide|open)\b.*\b(?:slight\w*|faint\w*|small|little|mild\w*|trace|hint|barely)\b"
    r"|\b(?:slight\w*|faint\w*|small|little|mild\w*|trace|hint|barely)\b.*\bstretch\w* (?:wide|open)\b"
    r"|\b(?:intensely|extremely)\b"
    r"|^(?:around|at|in) the (?:\w+ )?(brow|eye|nose|cheek|mouth|chin|jaw)\w*(?: area)?, .*\b\1",
    re.IGNORECASE,
)
"""Forms of a model's sentences that the narrator says better."""


class Grounding:
    """The explanation ``told`` of a face on its way to one with every sentence borne by the measurement.

    Sentences on movements are the model's where the measurement bears them; for one that it refutes, and for a strong
    movement that is left out, the model may be asked once more (`add`), and then the narrator speaks. What the
    movements come to, how certain that is, and the conclusion follow the probabilities.

    Args:
        told: as generated; its conclusion is never used.
        result: the face's readings and probabilities, which the text must agree with.
    """

    def __init__(self, told: Explanation, result: FaceResult) -> None:
        self._told, self._result, self._part = told, result, _Part(result)
        self._refused = self._part.take(told.observations)

    @property
    def wanting(self) -> bool:
        """Whether the model should be asked once more."""
        return self._refused or bool(_strong(self._result) - self._part.told)

    def add(self, observations: str) -> None:
        """Take in what the model says when it is asked again."""
        self._part.take(observations)

    def ended(self) -> Explanation:
        """The whole explanation; its claims carry their verdicts."""
        result, part = self._result, self._part
        rng = _rng(result)
        draft = compose(result.aus, result.emotions, rng)
        part.add(draft.observations)
        part.sentences += _circumstances(result, rng)
        meant = [said.text for said in draft.interpretation if not said.meanings or _denies(said) <= DENIABLE]
        if not any(said.meanings for said in draft.interpretation):
            group = _Part(result, part.denials)
            group.take(self._told.interpretation)
            meant = group.sentences[:1] + meant
        conclusion = " ".join(said.text for said in draft.conclusion)
        text = Explanation(" ".join(part.sentences), " ".join(meant), conclusion)
        return replace(text, claims=audit(read_claims(text.text), result.aus))


def _circumstances(result: FaceResult, rng: random.Random) -> list[str]:
    """What limits the view, where it was measured: a turned head, hidden regions; and sides that differ."""
    said = []
    uneven = {
        key: one.left - one.right
        for key, one in result.aus.items()
        if one.presence and abs(one.left - one.right) >= _UNEVEN
    }
    if uneven:
        key = max(uneven, key=lambda one: abs(uneven[one]))
        side = "left" if uneven[key] > 0 else "right"
        verb = MOVEMENTS[key][0].be
        said.append(f"The {ATTRIBUTES[key]} {verb} {rng.choice(_MORE)} on the person's {side} side.")
    pose = result.face.pose
    if pose is not None and abs(pose.yaw) >= _TURNED:
        turned = rng.choice(_TURNS).format(f"{round(abs(pose.yaw), -1):.0f}")
        said.append(f"{turned} to the person's {'left' if pose.yaw > 0 else 'right'}.")
    for region in result.hidden:
        verb, what = ("is", "it") if region == "mouth" else ("are", "them")
        name = "brows" if region == "brow" else region
        said.append(f"The {name} {verb} hidden, and nothing is said about {what}.")
    return said


def _rng(result: FaceResult) -> random.Random:
    """The same face gets the same words."""
    values = [reading.intensity for reading in result.aus.values()] + list(result.emotions.values())
    return random.Random(np.asarray(values, np.float32).tobytes())


def _strong(result: FaceResult) -> set[str]:
    """Movements that have to be named."""
    return {key for key, reading in result.aus.items() if reading.measured and reading.at(_STRONG).presence}


@dataclass(slots=True)
class _Part:
    """Sentences that the measurement bears, each movement told once."""

    result: FaceResult
    denials: int = 0
    sentences: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)

    def take(self, text: str) -> bool:
        """Add the sentences of a model's text that may stand; whether one of them was refuted."""
        refused = False
        for start, end in split_sentences(text):
            sentence = text[start:end]
            claims = audit(read_claims(sentence), self.result.aus)
            wrong = any(claim.verdict != "supported" for claim in claims)
            refused = refused or wrong
            named = {claim.au for claim in claims}
            twice = len(claims) > len(named)
            if wrong or twice or not named or named & self.told or _odd(sentence) or emotions_named(sentence):
                continue
            denied = {claim.au for claim in claims if not claim.present}
            if denied - DENIABLE or (denied and self.denials >= _MOST_DENIALS):
                continue
            self.denials += bool(denied)
            self.sentences.append(sentence)
            self.told |= named
        return refused

    def add(self, sentences: Sequence[Said]) -> None:
        """Fill in the narrator's sentences: on strong movements that are not told, or all where nothing is."""
        if not self.told:
            for said in sentences:
                if _denies(said) <= DENIABLE and self.denials + bool(_denies(said)) <= _MOST_DENIALS:
                    self.denials += bool(_denies(said))
                    self.sentences.append(said.text)
            return
        missing = _strong(self.result) - self.told
        for said in sentences:
            named = {au for au, present, _ in said.meanings if present}
            if named & missing and not _denies(said) and not named & self.told:
                self.sentences.append(said.text)
                self.told |= named


def _odd(sentence: str) -> bool:
    """Whether a sentence is true and yet no way to speak: closed eyes have no strength, a wide mouth is not "small"."""
    return _ODD.search(sentence) is not None


def _denies(said: Said) -> frozenset[str]:
    return frozenset(au for au, present, _ in said.meanings if not present)


# -- any text ---------------------------------------------------------------------------------------------

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"aus": 0.5, "uncontradicted": 0.2, "conclusion": 0.2, "format": 0.05, "length": 0.05}
)
"""Parts of the reward, each 0..1: F1 of the affirmed AUs; share of statements that are not contradicted; the emotion
of the text is the face's; no fault of form; a length within `_WORDS`."""
_WORDS = (12, 200)
_LONGEST = 4_000
"""Words beyond which a text is not read: a model that loops."""


def verify(text: str, result: FaceResult) -> Verification:
    """Hold any text against one measured face.

    Args:
        text: an explanation, a list of AUs, an answer; read by `mien.read_claims` and `mien.read_emotion`.
        result: the face's readings (`mien.Analyzer.analyze`), or labels in their form.

    Returns:
        Every statement with its verdict (hedged ones as ``uncertain``, which count for nothing), and the faults of
        form: an empty text, a repeated sentence, an AU both affirmed and denied, another emotion than the face's.
    """
    shown = " ".join(text.split(" ")[:_LONGEST])
    claims = audit(read_claims(shown, uncertain=True), result.aus)
    present = tuple(key for key, reading in result.aus.items() if reading.measured and reading.presence)
    return Verification(tuple(claims), present, tuple(_faults(text, shown, claims, result)))


def _faults(text: str, shown: str, claims: Sequence[Claim], result: FaceResult) -> Iterator[str]:
    sentences = [shown[start:end].strip().lower() for start, end in split_sentences(shown)]
    if not sentences:
        yield "The text is empty."
    if len(set(sentences)) < len(sentences):
        yield "A sentence is repeated."
    if shown != text:
        yield f"The text is longer than {_LONGEST} words."
    firm = [claim for claim in claims if not claim.uncertain]
    both = {one.au for one in firm if one.present} & {one.au for one in firm if not one.present}
    if both:
        yield f"{', '.join(sorted(both))} is affirmed and denied."
    said = read_emotion(shown).emotion
    if said is not None and said != result.emotion:
        yield f"The text says {said}, the face reads {result.emotion}."


def reward(
    texts: Sequence[str], faces: Sequence[FaceResult], weights: Mapping[str, float] | None = None
) -> list[float]:
    """One number per text for a trainer: the weighted mean of the parts of `WEIGHTS`, 0..1; an empty text gets 0.

    Args:
        texts: as generated.
        faces: the measured (or labelled) face of each text.
        weights: other weights for some parts; 0 leaves one out.

    Raises:
        BadInput: not one face per text, or a weight of an unknown part.
    """
    if len(texts) != len(faces):
        raise BadInput(
            got=f"{len(texts)} texts and {len(faces)} faces", expected="one face per text", fix="Pair them"
        )
    for name in weights or {}:
        require_known(name, WEIGHTS, "part of the reward")
    used = {**WEIGHTS, **(weights or {})}
    total = sum(used.values())
    return [
        sum(used[name] * value for name, value in _shares(text, face).items()) / total if total else 0.0
        for text, face in zip(texts, faces, strict=True)
    ]


def _shares(text: str, face: FaceResult) -> dict[str, float]:
    found = verify(text, face)
    checked = found.supported + found.contradicted
    words = len(text.split())
    said = read_emotion(text[: 8 * _LONGEST]).emotion
    return {
        "aus": _f1(found),
        "uncontradicted": found.supported / checked if checked else 0.0,
        "conclusion": float(said == face.emotion),
        "format": float(found.format and bool(checked or said)),
        "length": float(_WORDS[0] <= words <= _WORDS[1]),
    }


def _f1(found: Verification) -> float:
    """Of the affirmed AUs; a face on which nothing moves is described rightly by denials alone."""
    affirmed = any(one.present and not one.uncertain for one in found.claims)
    if not found.present:
        return float(not affirmed and found.supported > 0)
    precision, recall = found.precision, found.recall
    return 0.0 if not precision + recall > 0.0 else 2 * precision * recall / (precision + recall)


def trl_reward(completions: Sequence[Any], faces: Sequence[Any], **columns: Any) -> list[float]:
    """`reward` in the signature of TRL's GRPO trainer: one number per completion.

    Args:
        completions: texts, or conversations whose last message's ``content`` counts.
        faces: the data set's column: `FaceResult`s, or what their ``to_dict()`` gave.
        columns: all other columns; not looked at.
    """
    texts = [one if isinstance(one, str) else str(one[-1]["content"]) for one in completions]
    return reward(texts, [_face(one) for one in faces])


def verl_reward(data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None) -> float:
    """`reward` in the signature of verl's ``compute_score``; ``ground_truth`` is a face as in `trl_reward`."""
    return reward([solution_str], [_face(ground_truth)])[0]


def _face(content: Any) -> FaceResult:
    return content if isinstance(content, FaceResult) else decode(FaceResult, content)
