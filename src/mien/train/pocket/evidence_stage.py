"""Runs one training stage of the evidence encoders on the Hugging Face Trainer: resumable at every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from mien.train.pocket.evidence_task import EvidenceArrays, EvidenceCollator, EvidenceDataset, EvidenceTask
from mien.train.resume import train_resumed

__all__ = ["EvidenceStage", "ValidatingTrainer", "run_evidence_stage", "stage_settings"]


@dataclass(frozen=True, slots=True)
class EvidenceStage:
    """Hyper-parameters of one stage."""

    name: str
    epochs: float
    learning_rate: float
    batch_size: int = 128
    weight_decay: float = 0.02
    warmup_share: float = 0.05
    drop_crop: float = 0.0
    drop_landmarks: float = 0.0
    schedule: str = "cosine"
    warp: float = 1.0
    """How far crops are turned, scaled and shifted, of the most that `augment_crops` does; detail stages read it."""
    seed: int = 1


class ValidatingTrainer(Trainer):
    """The stock Trainer with a plain collator for evaluation: no augmentation, no dropped evidence."""

    def __init__(self, collator: Any, validation: Any, **settings: Any) -> None:
        super().__init__(data_collator=collator, **settings)
        self.validation: Any = validation
        self.data_collator: Any = collator

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        training, self.data_collator = self.data_collator, self.validation
        loader = super().get_eval_dataloader(eval_dataset)
        self.data_collator = training
        return loader


def run_evidence_stage(
    task: EvidenceTask,
    stage: EvidenceStage,
    train: EvidenceArrays,
    rows: npt.NDArray[np.int64],
    validation: EvidenceArrays,
    folder: Path,
) -> Path:
    """Train, validate each epoch, and write ``<stage>.safetensors`` into `folder`.

    A killed run goes on from its last epoch. Returns the path of the weights.
    """
    target = folder / f"{stage.name}.safetensors"
    plain = EvidenceCollator(validation)
    plain.training = False
    trainer = ValidatingTrainer(
        EvidenceCollator(train, stage.drop_crop, stage.drop_landmarks),
        plain,
        model=task,
        args=stage_settings(stage, folder, len(rows), ["emotion", "presence", "intensity"]),
        train_dataset=EvidenceDataset(rows),
        eval_dataset=EvidenceDataset(np.arange(len(validation))),
        compute_metrics=_validate,
    )
    train_resumed(trainer)
    save_file({key: value.contiguous() for key, value in task.net.state_dict().items()}, target)
    return target


def stage_settings(stage: EvidenceStage, folder: Path, rows: int, labels: list[str]) -> TrainingArguments:
    """The Trainer's settings; `rows` are those of one epoch."""
    steps = int(np.ceil(rows / stage.batch_size) * stage.epochs)
    return TrainingArguments(
        output_dir=str(folder / stage.name),
        use_cpu=not torch.cuda.is_available(),
        bf16=True,
        num_train_epochs=stage.epochs,
        per_device_train_batch_size=stage.batch_size,
        per_device_eval_batch_size=256,
        learning_rate=stage.learning_rate,
        weight_decay=stage.weight_decay,
        warmup_steps=int(stage.warmup_share * steps),
        lr_scheduler_type=stage.schedule,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=50,
        report_to=[],
        seed=stage.seed,
        remove_unused_columns=False,
        label_names=labels,
        disable_tqdm=True,
    )


def _validate(prediction: EvalPrediction) -> dict[str, float]:
    """Emotion accuracy over rows with a label; mean AUC over AUs with presence marks of both kinds."""
    from mien.metrics.au import auc

    logits = np.asarray(prediction.predictions)
    emotion, presence, _ = prediction.label_ids
    labelled = emotion.max(axis=1) > 0
    top = emotion[labelled]
    sole = (top == top.max(axis=1, keepdims=True)).sum(axis=1) == 1
    hits = logits[labelled][sole, :8].argmax(axis=1) == top[sole].argmax(axis=1)
    report = {"accuracy": float(hits.mean())}
    for unit in range(presence.shape[1]):
        known = ~np.isnan(presence[:, unit])
        if len(np.unique(presence[known, unit])) == 2:
            report[f"auc_{unit}"] = float(auc(presence[known, unit] > 0.5, logits[known, 8 + unit]).value)
    return report
