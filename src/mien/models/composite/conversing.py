"""Dialogues asked round by round: every answer is the model's own, and is told again before the next question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from mien.core.nouns import Turn
from mien.models.composite.readouts import Readouts
from mien.models.composite.systems import System

__all__ = ["converse"]


def converse(
    system: System,
    readouts: Readouts,
    tokenizer: Tokenizer,
    dialogues: Sequence[Sequence[Turn]],
    evidence: Callable[[Sequence[Sequence[Turn]]], Mapping[str, Any]],
    **options: Any,
) -> list[list[str]]:
    """The model's answers to each question of N dialogues with equally many questions; batch and single agree.

    Args:
        system: layout, end and stops of answers.
        readouts: of the model.
        tokenizer: of the dialogues.
        dialogues: turns; what the assistant says in them is left out.
        evidence: open dialogues -> what the model reads beside them.
        options: of generation.
    """
    asked = [[turn for turn in one if turn.role != "assistant"] for one in dialogues]
    told: list[list[Turn]] = [[] for _ in asked]
    said: list[list[str]] = [[] for _ in asked]
    ends = tokenizer.encode(system.template.end, add_special_tokens=False).ids
    for round in range(max(map(len, asked), default=0)):
        for turns, questions in zip(told, asked, strict=True):
            turns.append(questions[round])
        if told[0][-1].role == "system":
            continue
        texts = readouts.texts(
            [system.encode(turns, tokenizer, readouts.model.config).ids for turns in told],
            tokenizer,
            dict(evidence(told)),
            end=ends[0] if len(ends) == 1 else None,
            stop=system.generation.stop,
            **options,
        )
        for turns, answers, text in zip(told, said, texts, strict=True):
            turns.append(Turn("assistant", text))
            answers.append(text)
    return said
