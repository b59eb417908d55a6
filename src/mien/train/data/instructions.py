"""Instruction items of a recipe: which face or clip is asked what, as tokens; the tokenizer where none is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, processors
from torch import Tensor
from torch.utils.data import Dataset

from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import EvidenceInput, FacialLMConfig
from mien.models.composite.processing import Encoded, collate, lay_out, placeholders
from mien.models.composite.systems import System
from mien.models.formats.loading import open_tokenizer_file
from mien.train.data.augmented import augmented, tells_sides
from mien.train.data.drawn import Drawn, Instruction
from mien.train.data.faces import Faces
from mien.train.data.picture_changes import changed_frames
from mien.train.data.tokenizer import train_tokenizer

__all__ = [
    "InstructionCollator",
    "Instructions",
    "open_tokenizer",
]

_SINGLE = tuple("0123456789[]")
_LETTERS = 4
"""Of a token of English."""


def open_tokenizer(
    system: System, path: Path | None, items: Iterable[Instruction], vocabulary: int
) -> Tokenizer:
    """The tokenizer of a file, or a small one trained on the dialogues: words, marks and single digits."""
    if path is not None:
        return open_tokenizer_file(path)
    start = "<s>" if system.special_tokens else "<|endoftext|>"
    texts = []
    for item in items:
        text = "".join(part for part, _ in lay_out(item.turns, system.template))
        for special in (*system.placeholders, start, "</s>"):
            text = text.replace(special, "")
        texts.append(text)
    tokenizer = train_tokenizer([*texts, *_SINGLE], vocabulary, _SINGLE, ("<pad>", start, "</s>"))
    if system.special_tokens:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


class Instructions(Dataset[tuple[Instruction, Encoded]]):
    """Items with their tokens. `Drawn` items are those of the epoch that it was turned to."""

    def __init__(
        self, system: System, config: FacialLMConfig, items: Sequence[Instruction], tokenizer: Tokenizer
    ) -> None:
        self.system, self.config, self.items, self.tokenizer = system, config, items, tokenizer

    def turn_to(self, epoch: int) -> None:
        """Draw the dialogues of another epoch."""
        if isinstance(self.items, Drawn):
            self.items.turn_to(epoch)

    def length(self, index: int) -> int:
        """About how long an item is, by its letters: to put alike ones together, before anything is tokenised."""
        text = "".join(turn.text for turn in self.items[index].turns)
        rows = sum(text.count(mark) * len(ids) for mark, ids in placeholders(self.config).items())
        return len(text) + _LETTERS * rows

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Instruction, Encoded]:
        item = self.items[index]
        return item, self.system.encode(item.turns, self.tokenizer, self.config)


@dataclass(frozen=True, slots=True)
class InstructionCollator:
    """A batch for `FacialLM`: tokens, labels, and the evidence of each item's face or frames, in reading order."""

    system: System
    config: FacialLMConfig
    inputs: Inputs
    faces: Faces
    tokenizer: Tokenizer
    pad_id: int
    augment: bool | str = False
    """Change crops at random; a name of `mien.train.data.picture_changes.CHANGES`: as published."""
    cached: Mapping[str, Tensor] | None = None
    """Evidence name -> (views, F, rows, width): rows of a frozen encoder, in place of what it reads."""

    def __call__(self, batch: Sequence[tuple[Instruction, Encoded]]) -> dict[str, Any]:
        items = [item for item, _ in batch]
        evidence = self.evidence(items)
        ends = list(accumulate(len(self._shown(item)) for item in items))
        rows = [
            {
                name: _rows(evidence[name], start, end)
                for text, name in self.system.placeholders.items()
                if name in evidence and text in self._text(item)
            }
            for item, start, end in zip(items, [0, *ends], ends, strict=False)
        ]
        joined = collate(
            [encoded for _, encoded in batch], rows, pad_id=self.pad_id, side=self.system.padding
        )
        return joined

    def _text(self, item: Instruction) -> str:
        return self.system.template.system + "".join(turn.text for turn in item.turns)

    def _shown(self, item: Instruction) -> list[int]:
        """Its frames in reading order: once, or again with every question that shows them."""
        return [*self.faces.frames(item.face)] * len(self.system.instructions(item.turns))

    def evidence(self, items: Sequence[Instruction]) -> dict[str, EvidenceInput]:
        """Of each item's frames, one after the other, by evidence name."""
        shown = [self._shown(item) for item in items]
        counts, frames = torch.tensor([len(one) for one in shown]), [frame for one in shown for frame in one]
        kept = self.cached or {}
        fresh = [name for name in self.config.evidence if name not in kept]
        made: dict[str, EvidenceInput] = {}
        if kept:
            # Rows of one view belong together: its picture was turned as its points were.
            views = min(len(rows) for rows in kept.values()) if self.augment else 1
            view = torch.randint(views, (len(items),)).repeat_interleave(counts)
            made = {name: rows[view, torch.tensor(frames)].float() for name, rows in kept.items()}
        if fresh:
            if isinstance(self.augment, str):
                batch = changed_frames(self.augment, self.faces, frames)
            elif self.augment:
                batch = augmented(self.faces, shown, [not tells_sides(item.turns) for item in items])
            else:
                batch = [self.faces.evidence(frame) for frame in frames]
            asked = [
                question
                for item in items
                for question in self.system.instructions(item.turns)
                for _ in self.faces.frames(item.face)
            ]
            made |= evidence_inputs(self.config, self.inputs, batch, asked, self.tokenizer, fresh)
        return made


def _rows(items: EvidenceInput, start: int, end: int) -> EvidenceInput:
    if isinstance(items, Mapping):
        return {name: value[start:end] for name, value in items.items()}
    return items[start:end]
