"""From appearance to measurement: landmarks join, rendered truth teaches AUs, real faces adapt, rest is calibrated.

A renderer's pixels differ from a camera's more than their landmarks do. So landmarks alone learn AUs from rendered
truth first, and that model's readings of real faces teach the joint model beside the few human marks there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mien.core.nouns import FloatArray
from mien.models.pocket.evidence import PocketEvidence
from mien.train.pocket.evidence_task import EvidenceArrays, EvidenceCollator

__all__ = [
    "balanced_threshold",
    "calibrate_rest",
    "fit_sharpness",
    "freeze_crop",
    "landmarks_only",
    "predict",
    "predict_base",
    "standardise",
    "teach",
]

_BATCH = 512


def standardise(net: PocketEvidence, tables: Iterable[EvidenceArrays]) -> None:
    """Set the landmark encoder's mean and deviation from the training rows that have landmarks."""
    vectors = np.concatenate([table.landmarks[table.has_landmarks > 0] for table in tables])
    net.landmarks.mean.copy_(torch.from_numpy(vectors.mean(axis=0)))
    net.landmarks.deviation.copy_(torch.from_numpy(vectors.std(axis=0).clip(min=1e-4)))


def freeze_crop(net: PocketEvidence, frozen: bool) -> None:
    """Stop or resume training of the crop encoder."""
    net.crop.requires_grad_(not frozen)


def landmarks_only(table: EvidenceArrays) -> EvidenceArrays:
    """The rows that have landmarks, as if their pixels had been dropped."""
    rows = np.flatnonzero(table.has_landmarks > 0)
    columns = {name: getattr(table, name)[rows] for name in EvidenceArrays.__dataclass_fields__}
    return EvidenceArrays(**{**columns, "has_crop": np.zeros(len(rows), np.float32)})


@torch.no_grad()
def predict(
    net: PocketEvidence, table: EvidenceArrays, *names: str, augment: bool = False
) -> list[FloatArray]:
    """Outputs of `net` by name on every row, e.g. ``au_logits``; crops as they are, or augmented."""
    net.eval()
    collator = EvidenceCollator(table)
    collator.training = augment
    parts: list[list[Tensor]] = [[] for _ in names]
    for start in range(0, len(table), _BATCH):
        batch = collator(list(range(start, min(start + _BATCH, len(table)))))
        near = batch["has_crop"] * torch.from_numpy(table.framed[start : start + _BATCH])
        evidence = [batch[key] for key in ("crop", "landmarks", "has_crop", "has_landmarks")]
        out = net(*evidence, batch["crop"], near)
        for part, name in zip(parts, names, strict=True):
            part.append(getattr(out, name))
    return [torch.cat(part).numpy() for part in parts]


def teach(net: PocketEvidence, table: EvidenceArrays) -> EvidenceArrays:
    """Real faces with the landmark model's AU readings as intensity targets; human marks keep precedence."""
    blind = replace(table, has_crop=np.zeros(len(table), np.float32))
    (logits,) = predict(net, blind, "au_logits")
    readings = 1.0 / (1.0 + np.exp(-logits))
    unknown = np.isnan(table.presence) & (table.has_landmarks > 0)[:, None]
    return replace(table, intensity=np.where(unknown, readings, np.nan).astype(np.float32))


def calibrate_rest(net: PocketEvidence, renders: EvidenceArrays, neutral: EvidenceArrays) -> None:
    """Set each AU's ``rest``: the raw intensity at which presence becomes as likely as absence.

    On rendered faces it is the threshold of best balanced accuracy for truth >= 0.1 (FACS level A). A face that
    raters called neutral should read as absent, so the 90th percentile of neutral training faces bounds it from below.
    """
    (logits,) = predict(net, renders, "au_logits")
    (resting,) = predict(net, neutral, "au_logits")
    raw, still = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-resting))
    rest = np.empty(raw.shape[1], np.float32)
    for unit in range(raw.shape[1]):
        threshold = balanced_threshold(raw[:, unit], renders.intensity[:, unit] >= 0.1)
        rest[unit] = np.clip(max(threshold, float(np.quantile(still[:, unit], 0.9))), 0.02, 0.6)
    net.rest.copy_(torch.from_numpy(rest))


def balanced_threshold(scores: npt.NDArray[Any], truth: npt.NDArray[np.bool_]) -> float:
    """The threshold 0.02..0.6 of raw intensity with the best balanced accuracy."""
    if truth.all() or not truth.any():
        return 0.1  # nothing to tell apart: raw intensity stands as it is
    grid = np.linspace(0.02, 0.6, 117)
    balanced = [(scores[truth] >= t).mean() + (scores[~truth] < t).mean() for t in grid]
    return float(grid[int(np.argmax(balanced))])


def fit_sharpness(intensity: FloatArray, present: FloatArray) -> list[float]:
    """Slope of the logistic in each AU's calibrated intensity around 0.1, by likelihood on rendered truth.

    Args:
        intensity: (N, 22) calibrated.
        present: (N, 22) 0 or 1.
    """
    grid = np.geomspace(4.0, 80.0, 40)
    slopes = []
    for unit in range(intensity.shape[1]):
        margin = np.clip(grid[:, None] * (intensity[:, unit] - 0.1)[None], -30, 30)
        sign = np.where(present[:, unit] > 0.5, 1.0, -1.0)
        loss = np.logaddexp(0.0, -margin * sign[None]).mean(axis=1)
        slopes.append(float(grid[int(np.argmin(loss))]))
    return slopes


@torch.no_grad()
def predict_base(net: PocketEvidence, table: EvidenceArrays) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Before the detail branch: AU logits (N, 22), the same without a mesh, the mesh's feature (N, C)."""
    net.eval()
    parts: tuple[list[Tensor], ...] = ([], [], [])
    for start in range(0, len(table), _BATCH):
        rows = slice(start, start + _BATCH)
        crop = torch.from_numpy(table.crops[rows]).unsqueeze(1).float() / 255.0
        small = torch.nn.functional.avg_pool2d(crop, crop.shape[-1] // net.config.appearance_size)
        others = (table.landmarks, table.has_crop, table.has_landmarks)
        out = net(small, *(torch.from_numpy(column[rows]) for column in others))
        summary = out.visual[:, -1]
        blind = net.au_head(torch.cat([summary, net.no_landmarks.expand(len(summary), -1)], dim=1))
        for part, values in zip(parts, (out.au_logits, blind, out.shape[:, 0]), strict=True):
            part.append(values)
    base, blind, shape = (torch.cat(part).numpy() for part in parts)
    return base, blind, shape
