"""The auditor: texts held against the measurement of a face, while they are made and afterwards.

`grounded` makes an explanation without holes: a sentence of the model stays where the measurement bears it; one that is
contradicted, or that denies a movement whose absence was never shown to be read well, gives way to the narrator's
account, and the conclusion names the table's emotion with words of certainty that follow its probability.

`verify` judges any text, and `reward` turns the same judgement into a number for trainers. All three are deterministic.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from mien.core.codec import decode
from mien.core.errors import BadInput, require_known
from mien.core.nouns import Claim, Explanation, FaceResult, Verification
from mien.dialogue.read.claims import read_claims, split_sentences
from mien.dialogue.read.emotion import emotions_named, read_emotion
from mien.dialogue.say.narrator import compose
from mien.dialogue.say.wording import Said
from mien.metrics.faithfulness import audit

__all__ = ["DENIABLE", "WEIGHTS", "grounded", "reward", "trl_reward", "verify", "verl_reward"]

DENIABLE: frozenset[str] = frozenset(("AU06", "AU12", "AU25", "AU26"))
"""AUs whose absence may be put into words unasked: their recall on real faces was shown."""
_MOST_DENIALS = 2
_STRONG = 2
"""Level from which a movement has to be named."""
_SURE = 0.8
_CERTAIN_WORDS = re.compile(
    r"\b(?:clear(?:ly)?|certain(?:ly)?|undoubted\w*|unmistakabl\w*|no doubt|strongly|consistent with|definite\w*)\b",
    re.IGNORECASE,
)


def grounded(told: Explanation, result: FaceResult) -> Explanation:
    """The explanation ``told`` of a face with every sentence borne by its measurement; claims carry their verdicts.

    Args:
        told: as generated; its conclusion is never used.
        result: the face's readings and probabilities, which the text must agree with.
    """
    draft = compose(result.aus, result.emotions, _rng(result))
    observations, denials = _borne(told.observations, result, _MOST_DENIALS)
    observations += _missing(" ".join(observations), draft.observations, result)
    if not observations:
        observations = [said.text for said in draft.observations if _denies(said) <= DENIABLE]
    interpretation, _ = _borne(told.interpretation, result, _MOST_DENIALS - denials)
    if not interpretation:
        interpretation = [said.text for said in draft.interpretation if _denies(said) <= DENIABLE]
    conclusion = " ".join(said.text for said in draft.conclusion)
    text = Explanation(" ".join(observations), " ".join(interpretation), conclusion)
    return replace(text, claims=audit(read_claims(text.text), result.aus))


def _rng(result: FaceResult) -> random.Random:
    """The same face gets the same words."""
    values = [reading.intensity for reading in result.aus.values()] + list(result.emotions.values())
    return random.Random(np.asarray(values, np.float32).tobytes())


def _borne(part: str, result: FaceResult, denials: int) -> tuple[list[str], int]:
    """The sentences of a part that may stand, and how many of them deny something."""
    kept, denied = [], 0
    for start, end in split_sentences(part):
        sentence = part[start:end]
        claims = audit(read_claims(sentence), result.aus)
        refused = [claim for claim in claims if not claim.present]
        if any(claim.verdict != "supported" for claim in claims) or not _fitting(sentence, result):
            continue
        if {claim.au for claim in refused} - DENIABLE or (refused and denied >= denials):
            continue
        denied += bool(refused)
        kept.append(sentence)
    return kept, denied


def _fitting(sentence: str, result: FaceResult) -> bool:
    """Whether a sentence names no other emotion than the table's, and claims no certainty that is not there."""
    named = set(emotions_named(sentence))
    certain = _CERTAIN_WORDS.search(sentence) is not None
    return named <= {result.emotion} and not (certain and named and result.emotions[result.emotion] < _SURE)


def _missing(said: str, sentences: Sequence[Said], result: FaceResult) -> list[str]:
    """The narrator's sentences on strong movements that ``said`` leaves out."""
    told = {claim.au for claim in read_claims(said)}
    strong = {key for key, reading in result.aus.items() if reading.measured and reading.at(_STRONG).presence}
    return [
        one.text
        for one in sentences
        if {au for au, present, _ in one.meanings if present} & (strong - told)
        and not _denies(one)
        and not {au for au, *_ in one.meanings} & told
    ]


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
