"""Trains the net that tells hidden regions: things drawn anew over faces in every epoch.

A killed run goes on from its last epoch; the random numbers of an epoch come from the seed and its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from mien.core.nouns import FloatArray
from mien.models.pocket.regions import PocketRegions
from mien.train.data.augment import degrade, draw_warps, expose, warp_crops
from mien.train.pocket.evidence_task import masked_bce
from mien.train.pocket.occluders import HARMLESS, TRAINING, occlude
from mien.train.pocket.state import StageState

__all__ = ["HiddenStage", "cover_faces", "hidden_probabilities", "run_hidden_stage"]

_BATCH = 512


@dataclass(frozen=True, slots=True)
class HiddenStage:
    """Hyper-parameters."""

    epochs: int = 12
    faces: int = 12_000
    """Drawn anew for each epoch."""
    learning_rate: float = 4e-3
    batch_size: int = 128
    weight_decay: float = 0.02
    covered: float = 0.5
    """Share of faces that wear something which hides a region."""
    harmless: float = 0.2
    """Share of faces that wear something which hides none."""
    false_flags: float = 0.012
    """Share of bare training faces that each region's output flags: sets the outputs' bias."""
    seed: int = 1


def cover_faces(
    crops: npt.NDArray[np.uint8], points: FloatArray, stage: HiddenStage, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """(N, S, S) faces, most with something drawn over them, and (N, 3) what that hides (NaN: partly).

    Args:
        crops: grey faces.
        points: (N, 68, 2) iBUG points in px of the crops.
        stage: the shares.
        rng: source of every random number.
    """
    covered, hidden = np.array(crops), np.zeros((len(crops), 3), np.float32)
    for row, draw in enumerate(rng.random(len(crops))):
        if draw < stage.covered + stage.harmless:
            kinds = list(TRAINING if draw < stage.covered else HARMLESS)
            kind = kinds[int(rng.integers(len(kinds)))]
            covered[row], hidden[row] = occlude(crops[row], points[row], kind, rng)
    return covered, hidden


def run_hidden_stage(
    net: PocketRegions, stage: HiddenStage, crops: npt.NDArray[np.uint8], points: FloatArray, folder: Path
) -> PocketRegions:
    """Train on (N, 64, 64) grey `crops` whose (N, 68, 2) `points` are known; returns the net."""
    torch.manual_seed(stage.seed)
    faces = min(stage.faces, len(crops))
    steps = max(1, faces // stage.batch_size)
    optimiser = torch.optim.AdamW(net.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.learning_rate, total_steps=steps * stage.epochs
    )
    state = StageState(folder / "hidden.state", "epoch", net=net, optimiser=optimiser, schedule=schedule)
    for epoch in (
        progress := tqdm(range(state.done, stage.epochs), "hidden", stage.epochs, initial=state.done)
    ):
        torch.manual_seed(stage.seed * 100_003 + epoch)
        rng = np.random.default_rng([stage.seed, epoch])
        rows = rng.permutation(len(crops))[:faces]
        covered, hidden = cover_faces(crops[rows], points[rows], stage, rng)
        losses = []
        net.train()
        for start in range(0, steps * stage.batch_size, stage.batch_size):
            batch = slice(start, start + stage.batch_size)
            shown = _changed(covered[batch])
            loss = masked_bce(net(shown), torch.from_numpy(hidden[batch]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        state.save(epoch + 1)
        progress.set_postfix(loss=round(sum(losses) / len(losses), 4))
    return _set_false_flags(net, stage, crops[:: max(1, len(crops) // 8000)])


def _changed(crops: npt.NDArray[np.uint8]) -> Tensor:
    faces = torch.from_numpy(crops).unsqueeze(1).float() / 255.0
    return degrade(expose(warp_crops(faces, draw_warps(len(faces))))).clamp(0.0, 1.0)


def _set_false_flags(net: PocketRegions, stage: HiddenStage, bare: npt.NDArray[np.uint8]) -> PocketRegions:
    """Move the outputs' bias so that each flags the share of bare faces that `stage` allows."""
    chances = torch.from_numpy(hidden_probabilities(net, bare)).double().clamp(1e-6, 1 - 1e-6)
    edge = torch.quantile(torch.logit(chances), 1.0 - stage.false_flags, dim=0)
    with torch.no_grad():
        net.head.bias.sub_(edge.float())
    return net


@torch.no_grad()
def hidden_probabilities(net: PocketRegions, crops: npt.NDArray[np.uint8]) -> FloatArray:
    """(N, 3) probabilities that mouth, eyes and brow of (N, 64, 64) grey crops are hidden."""
    net.eval()
    parts = [
        torch.sigmoid(net(torch.from_numpy(crops[start : start + _BATCH]).unsqueeze(1).float() / 255.0))
        for start in range(0, len(crops), _BATCH)
    ]
    return torch.cat(parts).numpy()
