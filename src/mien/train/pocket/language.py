"""Training of the pocket decoder and its projectors on cached evidence, on the Hugging Face Trainer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from mien.core.nouns import FloatArray
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.inputs import prior_rows
from mien.train.pocket.language_data import Item
from mien.train.resume import train_resumed

__all__ = [
    "LanguageStage",
    "Rows",
    "TokenBatches",
    "collate_language",
    "collate_text",
    "evidence_of",
    "run_language_stage",
]


@dataclass(frozen=True, slots=True)
class LanguageStage:
    """Hyper-parameters."""

    epochs: float = 1.0
    learning_rate: float = 1.5e-3
    batch_tokens: int = 6144
    """Padded tokens per batch; items of similar length share one."""
    weight_decay: float = 0.05
    warmup_steps: int = 100
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Rows:
    """Cached evidence of N faces."""

    visual: npt.NDArray[np.float16]
    """(N, 5, C)."""
    shape: npt.NDArray[np.float16]
    """(N, 1, C)."""
    intensity: FloatArray
    """(N, 22) calibrated."""


class TokenBatches(Dataset[list[Item]]):
    """Items grouped into batches of similar length; one entry is one batch."""

    def __init__(self, items: Sequence[Item], tokens: int, seed: int) -> None:
        rng = random.Random(seed)
        # A little noise in the sort key, so that neighbours differ in more than length.
        ordered = sorted(items, key=lambda item: len(item.ids) + rng.random() * 3)
        self.batches: list[list[Item]] = []
        current: list[Item] = []
        for item in ordered:
            if current and (len(current) + 1) * len(item.ids) > tokens:
                self.batches.append(current)
                current = []
            current.append(item)
        self.batches.append(current)
        rng.shuffle(self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[Item]:
        return self.batches[index]


def collate_text(items: Sequence[Item]) -> dict[str, Tensor]:
    """Right-padded ids, their mask, and labels (-100 off the answers)."""
    longest = max(len(item.ids) for item in items)
    ids = torch.zeros(len(items), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, item in enumerate(items):
        length = len(item.ids)
        text = torch.from_numpy(item.ids.astype(np.int64))
        ids[row, :length], mask[row, :length] = text, 1
        labels[row, :length] = torch.where(torch.from_numpy(item.learnt), text, -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def collate_language(rows: Rows, items: Sequence[Item]) -> dict[str, Any]:
    """`collate_text` and the evidence of each item's face."""
    return {**collate_text(items), "evidence": evidence_of(rows, [item.face for item in items])}


def evidence_of(rows: Rows, faces: Sequence[int]) -> dict[str, Tensor]:
    """The composite's three kinds of evidence for faces by number."""
    return {
        "image": torch.from_numpy(rows.visual[list(faces)].astype(np.float32)),
        "landmark": torch.from_numpy(rows.shape[list(faces)].astype(np.float32)),
        "prior": torch.from_numpy(prior_rows(rows.intensity[list(faces)])),
    }


class _Collator:
    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __call__(self, batches: list[list[Item]]) -> dict[str, Any]:
        return collate_language(self.rows, [item for batch in batches for item in batch])


def run_language_stage(
    model: FacialLM, stage: LanguageStage, items: Sequence[Item], rows: Rows, folder: Path
) -> FacialLM:
    """Train on `items`; a killed run goes on from its last checkpoint. Returns the trained composite."""
    settings = TrainingArguments(
        output_dir=str(folder / "language"),
        use_cpu=not torch.cuda.is_available(),
        bf16=True,
        num_train_epochs=stage.epochs,
        per_device_train_batch_size=1,
        learning_rate=stage.learning_rate,
        weight_decay=stage.weight_decay,
        warmup_steps=stage.warmup_steps,
        lr_scheduler_type="cosine",
        adam_beta2=0.98,
        save_steps=400,
        save_total_limit=1,
        logging_steps=50,
        report_to=[],
        seed=stage.seed,
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=settings,
        train_dataset=TokenBatches(items, stage.batch_tokens, stage.seed),
        data_collator=_Collator(rows),
    )
    train_resumed(trainer)
    return model
