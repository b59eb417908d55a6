"""One way to go on with a Hugging Face Trainer that was stopped or killed."""

from __future__ import annotations

from pathlib import Path

from transformers import Trainer
from transformers.trainer_utils import get_last_checkpoint

__all__ = ["train_resumed"]


def train_resumed(trainer: Trainer) -> None:
    """Train from the last checkpoint in the Trainer's output folder, or from the start when there is none."""
    folder = str(trainer.args.output_dir)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(folder) if Path(folder).is_dir() else None)
