"""Trains the expression encoder on the raters' votes: rare emotions drawn more often, clear common ones less.

The loop keeps an exponential average of the weights, which is what the stage returns, and can be killed at any
time: it goes on from its last epoch, and every epoch draws its random numbers from the seed and its own number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm  # type: ignore[import-untyped]

from mien.core.emotions import EMOTIONS
from mien.core.nouns import FloatArray, Sample
from mien.models.pocket.expression import ExpressionClassifier
from mien.train.data.augment import draw_warps, erase, expose, warp_crops
from mien.train.pocket.state import StageState

__all__ = ["ExpressionStage", "draw_shares", "run_expression_stage"]

_RARE = tuple(EMOTIONS.index(name) for name in ("fear", "disgust", "contempt"))
_COMMON = tuple(EMOTIONS.index(name) for name in ("neutral", "happiness"))


@dataclass(frozen=True, slots=True)
class ExpressionStage:
    """Hyper-parameters."""

    epochs: int = 13
    small_epochs: int = 7
    """So many of them come first, on crops of `small_size` px: half the time, while the rate is high anyway."""
    small_size: int = 48
    learning_rate: float = 2e-3
    """Highest of the one-cycle schedule (Smith & Topin 2019)."""
    batch_size: int = 64
    weight_decay: float = 0.05
    dropout: float = 0.3
    average: float = 0.998
    """Decay of the weights' exponential average, per step."""
    rare_share: float = 2.5
    """How often an epoch shows a face of FER+ with at least 4 of 10 votes for fear, disgust or contempt."""
    clear_share: float = 0.4
    """The same of one with at least 8 votes for neutral or happiness."""
    machine_share: float = 0.2
    """The same of LFW's faces, whose labels are mostly a machine's."""
    seed: int = 1


def draw_shares(samples: Sequence[Sample], votes: FloatArray, stage: ExpressionStage) -> FloatArray:
    """(N,) how often an epoch shows each face on average; 0 for faces without an emotion label.

    Args:
        samples: the faces.
        votes: (N, 8) raters' distributions, or zeros.
    """
    shares = np.zeros(len(samples), np.float32)
    for row, sample in enumerate(samples):
        if not votes[row].any():
            continue
        shares[row] = 1.0 if sample.dataset != "lfw_emotion" else stage.machine_share
        if sample.dataset == "ferplus":
            if votes[row, list(_RARE)].max() >= 0.4:
                shares[row] = stage.rare_share
            elif votes[row, list(_COMMON)].max() >= 0.8:
                shares[row] = stage.clear_share
    return shares


def run_expression_stage(
    net: ExpressionClassifier,
    stage: ExpressionStage,
    crops: npt.NDArray[np.uint8],
    votes: FloatArray,
    shares: FloatArray,
    folder: Path,
    epochs: int | None = None,
) -> ExpressionClassifier:
    """Train on (N, S, S) grey `crops` and their (N, 8) `votes`; returns the averaged net.

    Args:
        net: its weights are the start.
        stage: numbers.
        crops: faces.
        votes: distributions.
        shares: of `draw_shares`.
        folder: holds the last epoch's state.
        epochs: stop after this many, to go on later; None: all of them.
    """
    torch.manual_seed(stage.seed)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(stage.average), use_buffers=True)
    steps = max(1, round(float(shares.sum()) / stage.batch_size))
    optimiser = torch.optim.AdamW(net.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.learning_rate, total_steps=steps * stage.epochs, pct_start=0.25
    )
    state = StageState(
        folder / "expression.state", "epoch", net=net, average=average, optimiser=optimiser, schedule=schedule
    )
    last = min(stage.epochs, epochs or stage.epochs)
    for epoch in (shown := tqdm(range(state.done, last), "expression", stage.epochs, initial=state.done)):
        losses = []
        torch.manual_seed(stage.seed * 100_003 + epoch)
        size = stage.small_size if epoch < stage.small_epochs else crops.shape[-1]
        for rows in _batches(shares, steps, stage.batch_size):
            losses.append(_step(net, crops[rows], votes[rows], size, optimiser))
            schedule.step()
            average.update_parameters(net)
        state.save(epoch + 1)
        shown.set_postfix(loss=round(sum(losses) / len(losses), 4))
    averaged = average.module
    assert isinstance(averaged, ExpressionClassifier)
    # As weights lie that are read from a file: else those of a run that goes on round otherwise.
    averaged.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return averaged.eval()


def _batches(shares: FloatArray, steps: int, size: int) -> list[npt.NDArray[np.int64]]:
    """Row numbers of one epoch: each face its whole share, and once more with its share's fraction as the chance."""
    chances = torch.from_numpy(shares)
    counts = chances.floor() + (torch.rand(len(shares)) < chances.frac())
    rows = torch.repeat_interleave(torch.arange(len(shares)), counts.long())
    rows = rows[torch.randperm(len(rows))].repeat(2)[: steps * size]
    return list(rows.view(steps, size).numpy())


def _step(
    net: ExpressionClassifier,
    crops: npt.NDArray[np.uint8],
    votes: FloatArray,
    size: int,
    optimiser: torch.optim.Optimizer,
) -> float:
    net.train()
    faces = torch.from_numpy(crops).unsqueeze(1).float() / 255.0
    if size != faces.shape[-1]:
        faces = F.interpolate(faces, size=(size, size), mode="bilinear", antialias=True)
    faces = erase(expose(warp_crops(faces, draw_warps(len(faces)))))
    logits = net(faces.contiguous(memory_format=torch.channels_last))
    loss = F.cross_entropy(logits, torch.from_numpy(votes))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())
