"""Explanations without holes: what the model says is kept where the measurement bears it, the rest is the narrator's.

Each sentence is audited on its own. One that is contradicted, or that denies a movement whose absence was never shown
to be read well, gives way to the narrator's account of what was measured; the conclusion always names the table's
emotion, with words of certainty that follow its probability.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien.core.nouns import Explanation, FaceResult
from mien.dialogue.ask.movements import emotions_in
from mien.dialogue.read.claims import read_claims, split_sentences
from mien.dialogue.say.narrator import compose
from mien.dialogue.say.wording import Said
from mien.metrics.faithfulness import audit

__all__ = ["DENIABLE", "grounded"]

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
    named = set(emotions_in(sentence.lower()))
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
