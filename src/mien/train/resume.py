"""One way to go on with a Hugging Face Trainer that was stopped or killed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

__all__ = ["train_resumed"]


def train_resumed(trainer: Trainer) -> None:
    """Train from the last whole checkpoint in the Trainer's output folder, or from the start when there is none."""
    trainer.train(resume_from_checkpoint=_last_whole(Path(str(trainer.args.output_dir))))


def _last_whole(folder: Path) -> str | None:
    """A kill may leave a checkpoint half written: it is passed over, and written anew when its step comes again."""
    found = {
        int(step[1]): path
        for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if (step := re.fullmatch(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)", path.name))
    }
    whole = [step for step in found if _is_whole(found[step], step)]
    return str(found[max(whole)]) if whole else None


def _is_whole(checkpoint: Path, step: int) -> bool:
    # The Trainer writes its state last. Random numbers follow from each batch: how many processes go on is open.
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(state["global_step"] == step)
