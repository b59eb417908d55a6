"""Validation of a trained system: its own answers on held-out faces."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from mien.core.errors import BadConfig
from mien.core.nouns import Answer, Labels, Sample, Turn
from mien.evaluate.predictions import Row
from mien.models.composite.conversing import converse
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.readouts import Readouts
from mien.models.composite.systems import System
from mien.train.data.drawn import Instruction, dialogue_about
from mien.train.data.faces import Faces
from mien.train.data.instructions import InstructionCollator
from mien.train.processes import in_shares
from mien.train.recipe import Evaluation

__all__ = ["predict"]

_FORMS = ("au_intensity", "au_level", "au_presence")


def predict(
    model: FacialLM,
    system: System,
    faces: Faces,
    inputs: Inputs,
    tokenizer: Tokenizer,
    wanted: Evaluation,
) -> list[Row]:
    """Ask the model as `wanted` says; one row per face that has the task's label.

    A dialogue of several rounds is asked round by round with the model's own answers (ExpLLM: label, then the
    explanation); the last answer is read.

    Raises:
        BadConfig: no face has the label, or an unknown template.
    """
    system = system.laid_out(wanted.template)
    asked: list[tuple[int, tuple[Turn, ...]]] = []
    for row in _spread(len(faces), wanted.limit):
        made = dialogue_about(system, wanted.task, faces, row, random.Random(row), wanted.dialogue)
        if made is not None:
            asked.append((row, made.turns))
    if not asked:
        raise BadConfig(
            got=f"no validation face with a label for task {wanted.task!r}",
            expected="at least one",
            fix="Change the recipe's validation data, or leave this evaluation out",
        )
    pad_id = tokenizer.token_to_id("<pad>") or 0
    collator = InstructionCollator(system, model.config, inputs, faces, tokenizer, pad_id)
    readouts = Readouts(model, pad_id)

    def answered(batch: Sequence[tuple[int, tuple[Turn, ...]]]) -> list[Row]:
        said = _converse(readouts, collator, batch, wanted)
        return [
            _row(system, faces.samples[face], wanted, turns, texts)
            for (face, turns), texts in zip(batch, said, strict=True)
        ]

    return in_shares(asked, wanted.batch, answered)


def _spread(count: int, limit: int | None) -> list[int]:
    if limit is None or limit >= count:
        return list(range(count))
    return [place * count // limit for place in range(limit)]


def _converse(
    readouts: Readouts,
    collator: InstructionCollator,
    batch: Sequence[tuple[int, tuple[Turn, ...]]],
    wanted: Evaluation,
) -> list[list[str]]:
    """The model's answers, round by round."""
    how: dict[str, Any] = {"do_sample": False}
    if wanted.sampling is not None:
        how = {"do_sample": True, **wanted.sampling.model_dump()}

    def seen(dialogues: Sequence[Sequence[Turn]]) -> Mapping[str, Any]:
        return collator.evidence(
            [
                Instruction(face, wanted.task, tuple(told))
                for (face, _), told in zip(batch, dialogues, strict=True)
            ]
        )

    dialogues = [turns for _, turns in batch]
    how["max_new_tokens"] = wanted.max_new_tokens
    return converse(collator.system, readouts, collator.tokenizer, dialogues, seen, **how)


def _row(
    system: System, sample: Sample, wanted: Evaluation, turns: Sequence[Turn], said: Sequence[str]
) -> Row:
    answer: Answer = system.read(said[-1], task=wanted.task, **wanted.reading)
    right = system.read(turns[-1].text, task=wanted.task, **wanted.reading).labels
    return {
        "id": sample.id,
        "dataset": sample.dataset,
        "task": wanted.task,
        "questions": [turn.text for turn in turns if turn.role == "user"],
        "answers": list(said),
        "status": answer.status,
        "reason": answer.reason,
        "truth": _values(_labelled(sample.labels, right) if "description" in wanted.task else right),
        "said": _values(answer.labels),
        "present_above": system.present_above.get(wanted.task, 0),
    }


def _labelled(known: Labels, right: Labels | None) -> Labels | None:
    """What a described face is labelled with; where it has no label, what is read in its description.

    Elsewhere, what the published read-out reads in the right answer is the truth that an answer is compared with.
    """
    if right is not None and right.au_presence:
        coded = known.au_presence or {}
        return Labels(au_presence={key: coded.get(key, there) for key, there in right.au_presence.items()})
    return Labels(emotion=known.emotion) if known.emotion else right


def _values(read: Labels | None) -> dict[str, Any] | None:
    """An emotion, AU values, or a text."""
    if read is None:
        return None
    for form in _FORMS:
        values = getattr(read, form)
        if values:
            return {"form": form, "aus": {key: float(value) for key, value in values.items()}}
    return {"emotion": read.emotion} if read.emotion else {"text": read.chain_of_thought or read.description}
