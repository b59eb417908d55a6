"""Teaches the decoder's likelihood read-out the raters' distributions, after it has learnt its language.

Words drawn from votes (the language stage) teach a rare emotion once in a hundred answers. Here each answer is the
whole distribution, faces with rare votes are shown more often, and dialogues go on beside it, so that the rest stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from mien.core.nouns import FloatArray
from mien.models.composite.facial_lm import FacialLM
from mien.train.pocket.language import TokenBatches, collate_text
from mien.train.pocket.language_data import Item
from mien.train.pocket.readout import asked
from mien.train.pocket.state import StageState

__all__ = ["ReadoutStage", "readout_shares", "run_readout_stage"]

Evidence = Callable[[Sequence[int]], Mapping[str, Tensor]]
"""Face numbers -> the composite's evidence of each."""
_SAVED_EVERY = 25


@dataclass(frozen=True, slots=True)
class ReadoutStage:
    """Hyper-parameters."""

    steps: int = 300
    learning_rate: float = 4e-4
    batch_size: int = 128
    weight_decay: float = 0.05
    rarity: float = 0.5
    """Faces are drawn by their votes' frequency to the power -rarity: 0 as they come, 1 every emotion alike."""
    language_every: int = 1
    """After so many steps comes one batch of dialogues: at every third, lists of AUs in words got worse."""
    batch_tokens: int = 2048
    seed: int = 1


def readout_shares(votes: FloatArray, rarity: float) -> npt.NDArray[np.float64]:
    """(N,) how likely each face is drawn, sum 1; 0 for faces without votes.

    Args:
        votes: (N, 8) raters' distributions, or zeros.
        rarity: of `ReadoutStage`.
    """
    frequency = votes.sum(axis=0) / max(float(votes.sum()), 1e-9)
    shares = votes.astype(np.float64) @ np.maximum(frequency, 1e-6) ** -rarity
    return np.asarray(shares / shares.sum())


def run_readout_stage(
    model: FacialLM,
    tokenizer: Tokenizer,
    stage: ReadoutStage,
    evidence: Evidence,
    votes: FloatArray,
    items: Sequence[Item],
    folder: Path,
) -> FacialLM:
    """Train `model`; a killed run goes on from its last state in `folder`. Returns the model.

    Args:
        model: the composite that has learnt its language.
        tokenizer: its words.
        stage: numbers.
        evidence: of faces by number.
        votes: (N, 8) raters' distributions of the faces, zeros where there are none.
        items: dialogues about the same faces.
        folder: holds the state.
    """
    device = next(model.parameters()).device
    ids, words = (tensor.to(device) for tensor in asked(tokenizer))

    def seen(faces: Sequence[int]) -> dict[str, Tensor]:
        return {name: rows.to(device) for name, rows in evidence(faces).items()}

    optimiser = torch.optim.AdamW(model.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.learning_rate, total_steps=stage.steps, pct_start=0.1
    )
    state = StageState(folder / "readout.state", "step", model=model, optimiser=optimiser, schedule=schedule)
    shares, batches = readout_shares(votes, stage.rarity), TokenBatches(items, stage.batch_tokens, stage.seed)
    model.train()
    for step in (shown := tqdm(range(state.done, stage.steps), "readout", stage.steps, initial=state.done)):
        torch.manual_seed(stage.seed * 100_003 + step)
        faces = np.random.default_rng([stage.seed, step]).choice(len(votes), stage.batch_size, p=shares)
        wanted = torch.from_numpy(votes[faces]).to(device)
        loss = _readout_loss(model, ids, words, seen(faces.tolist()), wanted)
        if step % stage.language_every == 0:
            told = batches[step // stage.language_every % len(batches)]
            text = {name: tensor.to(device) for name, tensor in collate_text(told).items()}
            loss = loss + model(**text, evidence=seen([item.face for item in told])).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        shown.set_postfix(loss=round(float(loss.detach()), 3))
        if (step + 1) % _SAVED_EVERY == 0 or step + 1 == stage.steps:
            state.save(step + 1)
    return model


def _readout_loss(
    model: FacialLM, ids: Tensor, words: Tensor, evidence: Mapping[str, Tensor], votes: Tensor
) -> Tensor:
    """Cross-entropy of the next word after the question against the raters' distribution over the label words."""
    text = ids.expand(len(votes), -1)
    out = model(input_ids=text, evidence=evidence, logits_to_keep=1)
    likely = F.log_softmax(out.logits[:, -1].float(), dim=1)[:, words]
    loss: Tensor = -(votes * likely).sum(dim=1).mean()
    return loss
