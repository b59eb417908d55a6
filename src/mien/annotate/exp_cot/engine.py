"""The Exp-CoT engine (Lan et al. 2025, section III-B): face and label -> a verified chain of thought in three parts.

    Img2AU        24 FEAFA values of the face (`mien.annotate.exp_cot.items`); the teacher never sees the picture
    AU2Des        values -> free step-by-step description
    Des2Exp       description -> one of eight labels
    Verification  are all positive AUs in it, at their degrees, and is the label the true one?
    Reflection    if not: think again, with the memory of all earlier rounds; after the limit, with the true label
    Refinement    three heads, at most 130 words, no AU indices, no pronouns

What the paper leaves open, and what is done here: the limit is three rounds of Reflection and one with the label;
a text passes Verification only if the teacher says "Correct" **and** mien's own checks pass it; a refined text
that breaks the rules is sent back, twice at most. Values count to two decimals, as they are printed in the prompts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mien.annotate.engine import Item, Kept, Rejected, Steps
from mien.annotate.exp_cot import prompts
from mien.annotate.exp_cot.gates import (
    PROFILES,
    Fault,
    description_faults,
    fails,
    read_expression,
    read_verdict,
    refined_faults,
    word_count,
)
from mien.annotate.exp_cot.items import AuSource, FeafaReading, file_name, from_dataset
from mien.backends.chat import ChatMessage, ChatRequest, Reply
from mien.core.aus import FEAFA_24
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadInput, require_known, require_range
from mien.core.nouns import Sample
from mien.dialogue.read.cot import Unparsed, read_explanation, say_explanation

__all__ = ["ExpCot", "ExpCotOptions", "exp_cot_engine"]

_NAMES = tuple(value.name for value in FEAFA_24)
_NEAR_ZERO = 0.005


@dataclass(frozen=True, slots=True)
class ExpCotOptions:
    """What may be chosen; all of it is part of a run's settings.

    Raises:
        BadConfig: a number out of its range.
    """

    rounds: int = 3
    """Reflections without the label, 0 or more."""
    hints: int = 1
    """Reflections with the true label, 0 or more."""
    refinements: int = 3
    """Tries of Refinement, 1 or more."""
    temperature: float = 0.0
    max_tokens: int = 700
    """Longest reply."""
    seed: int | None = 0
    """Every item gets a seed of its own from this one, so that faces with the same values and label need not get the
    same text. None sends no seed: such faces share their requests, and are paid for once."""
    profile: str = "strict"
    """How the checks judge, a key of `mien.annotate.exp_cot.gates.PROFILES`: ``strict`` or ``paper``."""

    def __post_init__(self) -> None:
        require_known(self.profile, PROFILES, "profile of the checks")
        if self.rounds < 0 or self.hints < 0 or self.refinements < 1 or self.max_tokens < 1:
            raise BadConfig(
                got=f"rounds {self.rounds}, hints {self.hints}, refinements {self.refinements}",
                expected="rounds and hints of 0 or more, refinements and max_tokens of 1 or more",
            )
        require_range(self.temperature, "temperature", 0, 2, fix="Use 0, the default")


@dataclass(slots=True)
class _Told:
    """What one item has led to so far."""

    label: str
    values: dict[str, float]
    """Positive values by FEAFA name, two decimals."""
    memory: list[ChatMessage]
    """Conversation up to the current description; holds the true label only after a hint."""
    tried: list[str] = field(default_factory=list)
    """Expression of each round, empty where none could be read; for the offline teacher."""
    seed: int | None = None
    description: str = ""
    refined: str = ""
    refinements: int = 0


class ExpCot:
    """The engine over a list of samples; see `mien.annotate.engine.Engine`.

    Args:
        samples: faces with an emotion label; one without is rejected with the reason ``"no label"``.
        aus: where the 24 values come from.
        root: folder that ``file_name`` of the rows is relative to; None keeps the last part of each path.
        options: limits and settings of the teacher.
    """

    name = "exp-cot"

    def __init__(
        self, samples: Sequence[Sample], aus: AuSource, root: str | None = None,
        options: ExpCotOptions | None = None,
    ) -> None:  # fmt: skip
        self._samples, self._aus, self._root = samples, aus, root
        self.options = options or ExpCotOptions()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Options, prompt version and the source of the values."""
        return asdict(self.options) | {"prompts": prompts.VERSION, "aus": self._aus.name}

    def items(self) -> Iterable[Item]:
        """One item per sample, in their order; no picture is opened."""
        return from_dataset(self._samples)

    def process(self, item: Item) -> Steps:
        """The six processes for one face.

        Returns:
            `Kept` with a row that `mien.data.expllm` reads (``file_name``, ``emo``, ``au``, ``description``) and its
            ``provenance``, or `Rejected`: ``"no label"``, ``"no AU reading"``, ``"not verified: …"`` or
            ``"not refined: …"`` with the first fault of the last try.
        """
        sample = item.sample
        label = sample.labels.emotion if sample is not None else None
        if sample is None or label not in EMOTIONS:
            return Rejected("no label", f"{label!r} is none of the eight" if label else "")
        try:
            reading = self._aus.read(sample)
        except BadInput as error:
            return Rejected("no AU reading", str(error))
        values = {
            name: round(reading.values[name], 2) for name in _NAMES if reading.values[name] >= _NEAR_ZERO
        }
        told = _Told(str(label), values, [ChatMessage("user", prompts.au2des(values))], seed=self._seed(item))
        faults = yield from self._describe(told)
        if faults:
            return Rejected(f"not verified: {faults[0].reason}", "; ".join(map(str, faults)))
        faults = yield from self._refine(told)
        if faults:
            return Rejected(f"not refined: {faults[0].reason}", "; ".join(map(str, faults)))
        return Kept(self._row(sample, told, reading))

    def _describe(self, told: _Told) -> Generator[ChatRequest, Reply, list[Fault]]:
        """AU2Des, Des2Exp, Verification, Reflection; returns the faults of the last round, none when it passed."""
        faults: list[Fault] = []
        step = "au2des"
        facts: dict[str, Any] = {"aus": dict(told.values)}
        for round_ in range(1 + self.options.rounds + self.options.hints):
            if round_:
                hint = round_ > self.options.rounds
                feedback = prompts.reflect_with_label(told.label) if hint else prompts.REFLECT
                told.memory.append(ChatMessage("user", feedback))
                step = "reflect-with-label" if hint else "reflect"
                facts = {"aus": dict(told.values), "tried": list(told.tried)}
                facts |= {"label": told.label} if hint else {}
            reply = yield self._request(told, step, told.memory, facts)
            told.description = reply.text
            told.memory.append(ChatMessage("assistant", reply.text))
            if reply.finish == "length":
                faults = [Fault("cut off", f"after {reply.tokens_out or self.options.max_tokens} tokens")]
                told.tried.append("")
                continue
            faults = yield from self._verify(told)
            if not faults:
                return []
        return faults

    def _verify(self, told: _Told) -> Generator[ChatRequest, Reply, list[Fault]]:
        """Des2Exp and Verification of the current description."""
        told.memory.append(ChatMessage("user", prompts.DES2EXP))
        facts: dict[str, Any] = {"description": told.description}
        answer = yield self._request(told, "des2exp", told.memory, facts)
        told.memory.append(ChatMessage("assistant", answer.text))
        expression = read_expression(answer.text)
        told.tried.append(expression or "")
        question = ChatMessage("user", prompts.verify(told.values, told.label))
        facts |= {"aus": dict(told.values), "expression": expression, "label": told.label}
        # The question names the true label, so it stays out of the memory.
        verdict = yield self._request(told, "verify", [*told.memory, question], facts)
        faults = description_faults(told.description, told.values, self.options.profile)
        if expression is None:
            faults.append(Fault("no single label", answer.text.strip()[:80]))
        elif expression != told.label:
            faults.append(Fault("label mismatch", f"{expression} instead of {told.label}"))
        said = read_verdict(verdict.text)
        if said is None:
            faults.append(Fault("no verdict", verdict.text.strip()[:80]))
        elif not said and not faults:
            faults.append(Fault("teacher disagrees"))
        return _worst_first(faults)

    def _refine(self, told: _Told) -> Generator[ChatRequest, Reply, list[Fault]]:
        """Refinement until a text keeps the rules; returns the faults of the last one."""
        messages = [ChatMessage("user", prompts.refine(told.description))]
        faults: list[Fault] = []
        for attempt in range(self.options.refinements):
            if attempt:
                again = prompts.refine_again([str(fault) for fault in faults])
                messages += [ChatMessage("assistant", told.refined), ChatMessage("user", again)]
            facts = {"description": told.description, "expression": told.label}
            reply = yield self._request(told, "refine", messages, facts, attempt)
            told.refined, told.refinements = reply.text, attempt + 1
            faults = refined_faults(reply.text, told.values, told.label, self.options.profile)
            if reply.finish == "length":
                faults.insert(0, Fault("cut off"))
            faults = _worst_first(faults)
            if not faults:
                break
        return faults

    def _request(
        self, told: _Told, step: str, messages: Sequence[ChatMessage], facts: Mapping[str, Any], attempt: int = 0
    ) -> ChatRequest:  # fmt: skip
        options = self.options
        return ChatRequest(
            f"{self.name}/{step}", prompts.VERSION, tuple(messages), facts, options.temperature,
            options.max_tokens, seed=told.seed, attempt=attempt,
        )  # fmt: skip

    def _seed(self, item: Item) -> int | None:
        """31 bits for one item."""
        if self.options.seed is None:
            return None
        digest = hashlib.sha256(f"{self.options.seed}:{item.id}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def _row(self, sample: Sample, told: _Told, reading: FeafaReading) -> dict[str, Any]:
        parts = read_explanation(told.refined)
        if isinstance(parts, Unparsed):
            raise BadInput(
                got=f"a refined text without its parts ({parts.reason})",
                expected="the three parts that the checks have seen",
                fix="Report this as a fault of mien",
            )
        rounds = len(told.tried) - 1
        text = say_explanation(parts, markdown=True)
        return {
            "file_name": file_name(sample, self._root),
            "emo": told.label.capitalize(),
            "au": [told.values.get(name, 0.0) for name in _NAMES],
            "description": text,
            "provenance": {
                "dataset": sample.dataset,
                "split": sample.split,
                "aus": self._aus.name,
                "unmeasured": list(reading.unmeasured),
                "reflections": rounds,
                "hinted": rounds > self.options.rounds,
                "refinements": told.refinements,
                "words": word_count(text),
            },
        }


def _worst_first(faults: list[Fault]) -> list[Fault]:
    """The faults that reject a text, the dearest first; none when they are only scored and within the budget."""
    return sorted(faults, key=lambda fault: -fault.cost) if fails(faults) else []


def exp_cot_engine(
    samples: Iterable[Sample], aus: AuSource, rounds: int = 3, hints: int = 1, *, refinements: int = 3,
    temperature: float = 0.0, max_tokens: int = 700, seed: int | None = 0, profile: str = "strict",
    root: str | None = None,
) -> ExpCot:  # fmt: skip
    """The engine over ``samples``.

    Args:
        samples: faces with an emotion label, in the order of the rows.
        aus: source of the 24 values, from `mien.annotate.exp_cot.items.open_aus` or one of that file's classes.
        rounds: reflections without the label.
        hints: reflections with it.
        refinements: tries of Refinement.
        temperature: of the teacher, 0..2.
        max_tokens: of one reply.
        seed: from which each item gets its own; None sends none.
        profile: ``strict``, every fault of a text rejects it, or ``paper``, looser in degree and coverage.
        root: folder that ``file_name`` of the rows is relative to.
    """
    options = ExpCotOptions(rounds, hints, refinements, temperature, max_tokens, seed, profile)
    return ExpCot(tuple(samples), aus, root, options)
