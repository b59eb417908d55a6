"""Instruction items of a recipe: which face or clip is asked what, as tokens; the tokenizer where none is given."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, processors
from torch import Tensor
from torch.utils.data import Dataset

from mien.core.errors import BadConfig
from mien.core.nouns import Dialogue, Turn
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import EvidenceInput, FacialLMConfig
from mien.models.composite.processing import Encoded, collate, lay_out
from mien.models.composite.systems import System
from mien.models.formats.loading import open_tokenizer_file
from mien.train.data.augmented import augmented, tells_sides
from mien.train.data.face_facts import placed_sample
from mien.train.data.faces import Faces
from mien.train.data.picture_changes import changed_frames
from mien.train.data.tokenizer import train_tokenizer

__all__ = [
    "Instruction",
    "InstructionCollator",
    "Instructions",
    "balanced",
    "dialogue_about",
    "draw_instructions",
    "open_tokenizer",
    "question_of",
]

_SINGLE = tuple("0123456789[]")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One dialogue about one sample: a face, or a clip."""

    face: int
    """Its row in `Faces`."""
    task: str
    turns: tuple[Turn, ...]


def dialogue_about(
    system: System, task: str, faces: Faces, row: int, rng: random.Random, options: Mapping[str, Any]
) -> Dialogue | None:
    """The dialogue of a task about one sample, with as many frames as are shown of it; None where it lacks the label.

    Raises:
        BadConfig: see `System.build`.
    """
    shown: dict[str, Any] = {"frames": len(faces.frames(row))} if system.clips else {}
    if faces.attributes is not None:
        shown["attributes"] = faces.attributes[row]
    return system.build(task, placed_sample(faces, row), rng, **{**options, **shown})


def draw_instructions(
    system: System,
    faces: Faces,
    tasks: Mapping[str, float],
    balance: float,
    seed: int,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Instruction]:
    """Dialogues of one epoch, in face order, pass by pass.

    Every item is reproducible from the seed, the face and its pass. Faces that lack what a task needs give none.

    Args:
        system: the system whose words they are in.
        faces: the labelled faces.
        tasks: task -> passes over the faces.
        balance: see `balanced`.
        seed: of every choice.
        options: task -> options of `System.build`.

    Raises:
        BadConfig: no face gives a dialogue for a task.
    """
    items: list[Instruction] = []
    known: dict[tuple[Turn, ...], tuple[Turn, ...]] = {}
    for task, passes in tasks.items():
        before = len(items)
        for turn in range(int(np.ceil(passes))):
            share = min(1.0, passes - turn)
            for face in range(len(faces)):
                rng = random.Random(f"{seed}/{task}/{turn}/{face}")
                if rng.random() >= share:
                    continue
                made = dialogue_about(system, task, faces, face, rng, (options or {}).get(task, {}))
                if made is not None:
                    # Of a label there are few dialogues: each is held once.
                    items.append(Instruction(face, task, known.setdefault(made.turns, made.turns)))
        if len(items) == before:
            raise BadConfig(
                got=f"task {task!r} for {len(faces)} faces of {', '.join(sorted({s.dataset for s in faces.samples}))}",
                expected="labels that this task speaks of",
                fix="Choose a task that the data has labels for, or name a teacher",
            )
    return balanced(items, faces, balance, seed)


def balanced(items: Sequence[Instruction], faces: Faces, power: float, seed: int) -> list[Instruction]:
    """As many items, drawn with replacement by 1 / count(label)^power (torchsampler's rule at power 1).

    Items about faces without an emotion share one count.
    """
    if power == 0.0:
        return list(items)
    labels = [faces.samples[item.face].labels.emotion for item in items]
    counts = Counter(labels)
    weights = [counts[label] ** -power for label in labels]
    return random.Random(seed).choices(items, weights, k=len(items))


def open_tokenizer(
    system: System, path: Path | None, items: Iterable[Instruction], vocabulary: int
) -> Tokenizer:
    """The tokenizer of a file, or a small one trained on the dialogues: words, marks and single digits.

    Raises:
        MissingWeights: no such file, or no tokenizer in it.
    """
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


def question_of(system: System, turns: Sequence[Turn]) -> str:
    """The first question without its placeholders: what an encoder with an instruction reads."""
    text = next(turn.text for turn in turns if turn.role == "user")
    for placeholder in system.placeholders:
        text = text.replace(placeholder, "")
    return text.strip()


class Instructions(Dataset[tuple[Instruction, Encoded]]):
    """Items with their tokens; encoded when first asked for."""

    def __init__(
        self, system: System, config: FacialLMConfig, items: Sequence[Instruction], tokenizer: Tokenizer
    ) -> None:
        self.system, self.config, self.items, self.tokenizer = system, config, items, tokenizer
        self._encoded: dict[int, Encoded] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Instruction, Encoded]:
        if index not in self._encoded:
            turns = self.items[index].turns
            self._encoded[index] = self.system.encode(turns, self.tokenizer, self.config)
        return self.items[index], self._encoded[index]


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
        ends = list(accumulate(len(self.faces.frames(item.face)) for item in items))
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

    def evidence(self, items: Sequence[Instruction]) -> dict[str, EvidenceInput]:
        """Of each item's frames, one after the other, by evidence name."""
        shown = [self.faces.frames(item.face) for item in items]
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
                question_of(self.system, item.turns)
                for item, one in zip(items, shown, strict=True)
                for _ in one
            ]
            made |= evidence_inputs(self.config, self.inputs, batch, asked, self.tokenizer, fresh)
        return made


def _rows(items: EvidenceInput, start: int, end: int) -> EvidenceInput:
    if isinstance(items, Mapping):
        return {name: value[start:end] for name, value in items.items()}
    return items[start:end]
