"""A system's own questions, round by round as its published evaluation asks them: each answer is told in the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from mien.backends.torch import Clip, Shown, TorchReader
from mien.core.nouns import Turn
from mien.models.composite.conversing import converse

__all__ = ["own_rounds"]


def own_rounds(
    reader: TorchReader,
    batch: Sequence[Shown],
    rounds: Sequence[Mapping[str, Any]],
    template: str | None = None,
    **options: Any,
) -> list[list[str]]:
    """Free answers to the questions that the system itself puts.

    Args:
        reader: a trained system.
        batch: faces or clips.
        rounds: arguments of `System.ask`, one for each question: ``({"task": "label"}, {"task": "cot"})``. Frames of a
            clip, what an expert tells of the face and the model's layout are added where the question takes them.
        template: of the dialogue, in place of the system's (EmoLA is tested in another than it is trained in).
        options: of generation, over the system's own.

    Returns:
        Per item its answers, in order.
    """
    said: list[list[str]] = []
    for part in reader._parts(batch):
        said += _conversed(reader, part, rounds, template, options)
    return said


def _conversed(
    reader: TorchReader,
    clips: Sequence[Clip],
    rounds: Sequence[Mapping[str, Any]],
    template: str | None,
    options: Mapping[str, Any],
) -> list[list[str]]:
    system = reader.system.laid_out(template)
    takes = signature(system.ask).parameters
    turns: list[list[Turn]] = [[] for _ in clips]
    for asked in rounds:
        for told, (frames, agr) in zip(turns, reader._about(clips), strict=True):
            known = {"layout": reader.options.get("layout"), "frames": frames, "agr": agr}
            more = {name: value for name, value in known.items() if name in takes and value is not None}
            told.append(Turn("user", system.ask(**{**more, **asked})))
    return converse(
        system,
        reader.readouts,
        reader.tokenizer,
        turns,
        lambda told: reader._evidence(clips, told),
        **{**reader.generation, **options},
    )
