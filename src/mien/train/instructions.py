"""Instruction items of a recipe: which face is asked what, as tokens; the tokenizer where none is given."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, processors
from torch import Tensor
from torch.utils.data import Dataset

from mien.core.errors import BadConfig
from mien.core.nouns import Image, Turn
from mien.models.dialogues import build
from mien.models.evidence_inputs import Inputs, evidence_inputs
from mien.models.facial_lm import EvidenceInput, FacialLMConfig
from mien.models.processing import Encoded, collate, lay_out
from mien.models.systems import System
from mien.train.augment import augment_crops
from mien.train.faces import Faces
from mien.train.tokenizer import train_tokenizer

__all__ = [
    "Instruction",
    "InstructionCollator",
    "Instructions",
    "augmented",
    "balanced",
    "draw_instructions",
    "open_tokenizer",
    "question_of",
]

_SINGLE = tuple("0123456789[]")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One dialogue about one face."""

    face: int
    task: str
    turns: tuple[Turn, ...]


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
        options: task -> options of `build`.

    Raises:
        BadConfig: no face gives a dialogue for a task.
    """
    items: list[Instruction] = []
    for task, passes in tasks.items():
        before = len(items)
        for turn in range(int(np.ceil(passes))):
            share = min(1.0, passes - turn)
            for face, sample in enumerate(faces.samples):
                rng = random.Random(f"{seed}/{task}/{turn}/{face}")
                if rng.random() >= share:
                    continue
                made = build(system.name, task, sample, rng, **(options or {}).get(task, {}))
                if made is not None:
                    items.append(Instruction(face, task, made.turns))
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
    """The tokenizer of a file, or a small one trained on the dialogues: words, marks and single digits."""
    if path is not None:
        return Tokenizer.from_file(str(path))
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


def augmented(crops: Sequence[Image]) -> list[Image]:
    """Crops as another camera or detector could have given them; grey, as the pocket model's (see `augment_crops`)."""
    weights = np.asarray([0.299, 0.587, 0.114], np.float32)
    grey = torch.from_numpy(np.stack([crop.astype(np.float32) @ weights for crop in crops]) / 255.0)
    changed = augment_crops(grey[:, None]).clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8).numpy()
    return [np.repeat(crop[0][..., None], 3, axis=2) for crop in changed]


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
    """A batch for `FacialLM`: tokens, labels, and the evidence of each item's face."""

    system: System
    config: FacialLMConfig
    inputs: Inputs
    faces: Faces
    tokenizer: Tokenizer
    pad_id: int
    augment: bool = False
    cached: Mapping[str, Tensor] | None = None
    """Evidence name -> (views, N, rows, width): rows of a frozen encoder, in place of what it reads."""

    def __call__(self, batch: Sequence[tuple[Instruction, Encoded]]) -> dict[str, Any]:
        evidence = self.evidence([item for item, _ in batch])
        shown = [
            [
                name
                for text, name in self.system.placeholders.items()
                if name in evidence and text in self._text(item)
            ]
            for item, _ in batch
        ]
        rows = [{name: _row(evidence[name], place) for name in names} for place, names in enumerate(shown)]
        joined = collate(
            [encoded for _, encoded in batch], rows, pad_id=self.pad_id, side=self.system.padding
        )
        return joined

    def _text(self, item: Instruction) -> str:
        return self.system.template.system + "".join(turn.text for turn in item.turns)

    def evidence(self, items: Sequence[Instruction]) -> dict[str, EvidenceInput]:
        """Of each item's face, by evidence name."""
        rows = [item.face for item in items]
        kept = self.cached or {}
        fresh = [name for name in self.config.evidence if name not in kept]
        made: dict[str, EvidenceInput] = {}
        for name, views in kept.items():
            view = (
                torch.randint(len(views), (len(rows),))
                if self.augment
                else torch.zeros(len(rows), dtype=torch.long)
            )
            made[name] = views[view, torch.tensor(rows)].float()
        if fresh:
            crops = augmented([self.faces.crops[row] for row in rows]) if self.augment else None
            batch = [
                self.faces.evidence(row, None if crops is None else crops[i]) for i, row in enumerate(rows)
            ]
            asked = [question_of(self.system, item.turns) for item in items]
            made |= evidence_inputs(self.config, self.inputs, batch, asked, self.tokenizer, fresh)
        return made


def _row(items: EvidenceInput, row: int) -> EvidenceInput:
    if isinstance(items, Mapping):
        return {name: value[row : row + 1] for name, value in items.items()}
    return items[row : row + 1]
