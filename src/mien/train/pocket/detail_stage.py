"""Trains the pocket model's detail branch: AUs and points from rendered truth, kept sane on real faces.

The encoders before it stay as they are, so what they say of every face is computed once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.trainer_utils import EvalPrediction

from mien.core.nouns import FloatArray
from mien.metrics.au import auc
from mien.models.pocket.detail import PocketDetail, normalised
from mien.models.pocket.evidence import PocketEvidence
from mien.train.data.augment import augment_with_points
from mien.train.pocket import measurement
from mien.train.pocket.evidence_data import join
from mien.train.pocket.evidence_stage import EvidenceStage, ValidatingTrainer, stage_settings
from mien.train.pocket.evidence_task import PRESENCE_EDGE, EvidenceArrays, EvidenceDataset, masked_bce
from mien.train.resume import train_resumed

__all__ = ["DetailArrays", "detail_arrays", "run_detail_stage"]

REAL_WEIGHT = 0.3
"""Of a real face's targets, which are the mesh model's readings and the mesh's own points."""
_POINTS_WEIGHT, _ALONE_WEIGHT = 4.0, 0.5
_DROP_SHAPE = 0.15
_PRESENT = 0.1


@dataclass(frozen=True, slots=True)
class DetailArrays:
    """Columns of the training table; N rows."""

    table: EvidenceArrays
    base: FloatArray
    """(N, 22) AU logits to correct."""
    shape: FloatArray
    """(N, C) the mesh's feature."""
    blind_base: FloatArray
    """(N, 22) what `base` is without a mesh."""
    trust: FloatArray
    """(N,) weight of AU intensities and points."""


def detail_arrays(net: PocketEvidence, renders: EvidenceArrays, real: EvidenceArrays | None) -> DetailArrays:
    """Rendered faces with their truth, then `real` ones with the readings of the mesh as weak targets.

    Both at the side that the detail encoder sees.
    """
    tables = [renders] if real is None else [renders, measurement.teach(net, real)]
    whole = join(tables)
    trust = np.full(len(whole), REAL_WEIGHT, np.float32)
    trust[: len(renders)] = 1.0
    base, blind, shape = measurement.predict_base(net, whole)
    return DetailArrays(whole, base, shape, blind, trust)


class _Collator:
    """Row numbers -> one batch; with a `warp`, augmented, and a share of the rows loses its mesh."""

    def __init__(self, arrays: DetailArrays, no_shape: Tensor, warp: float | None) -> None:
        self.arrays, self.no_shape, self.warp = arrays, no_shape, warp

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        data, index = self.arrays, np.asarray(rows)
        crop = torch.from_numpy(data.table.crops[index]).unsqueeze(1).float() / 255.0
        points = torch.from_numpy(data.table.points[index])
        base, shape = torch.from_numpy(data.base[index]), torch.from_numpy(data.shape[index])
        if self.warp is not None:
            crop, points = augment_with_points(crop, points, self.warp)
            shape = shape + 0.05 * torch.randn_like(shape)
            dropped = (torch.rand(len(index)) < _DROP_SHAPE)[:, None]
            base = torch.where(dropped, torch.from_numpy(data.blind_base[index]), base)
            shape = torch.where(dropped, self.no_shape, shape)
        return {
            "crop": crop,
            "base": base,
            "shape": shape,
            "points": points,
            "trust": torch.from_numpy(data.trust[index]),
            "intensity": torch.from_numpy(data.table.intensity[index]),
            "presence": torch.from_numpy(data.table.presence[index]),
        }


class _Task(nn.Module):
    """`PocketDetail` with its loss: AU intensity and presence of both heads, and the places of the points."""

    def __init__(self, detail: PocketDetail) -> None:
        super().__init__()
        self.detail = detail

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        out = self.detail(
            batch["crop"].contiguous(memory_format=torch.channels_last), batch["shape"], batch["base"]
        )
        trust = batch["trust"]
        known = ~batch["points"].isnan()
        misses = (out.points.float() - batch["points"].nan_to_num()).abs() * known * trust[:, None, None]
        loss = _POINTS_WEIGHT * misses.sum() / known.sum().clamp(min=1)
        for logits, weight in ((out.corrected.float(), 1.0), (out.alone.float(), _ALONE_WEIGHT)):
            loss = loss + weight * masked_bce(logits, batch["intensity"], trust)
            loss = loss + weight * 0.25 * masked_bce(logits - PRESENCE_EDGE, batch["presence"])
        return {"loss": loss, "logits": out.au_logits.float(), "points": out.points.float()}


def run_detail_stage(
    net: PocketEvidence,
    stage: EvidenceStage,
    train: DetailArrays,
    rows: npt.NDArray[np.int64],
    validation: DetailArrays,
    folder: Path,
) -> Path:
    """Train `net.detail`, validate each epoch, and write ``<stage>.safetensors`` into `folder`.

    A killed run goes on from its last epoch. Returns the path of the whole net's weights.
    """
    truth = torch.from_numpy(train.table.points[train.trust == 1.0])
    net.detail.mean_shape.copy_(normalised(truth).mean(dim=0))
    absent = net.no_landmarks.detach()
    trainer = ValidatingTrainer(
        _Collator(train, absent, stage.warp),
        _Collator(validation, absent, None),
        model=_Task(net.detail),
        args=stage_settings(stage, folder, len(rows), ["intensity"]),
        train_dataset=EvidenceDataset(rows),
        eval_dataset=EvidenceDataset(np.arange(len(validation.table))),
        compute_metrics=_validate,
    )
    train_resumed(trainer)
    target = folder / f"{stage.name}.safetensors"
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, target)
    return target


def _validate(prediction: EvalPrediction) -> dict[str, float]:
    """Mean AUC over the AUs for truth from FACS levels A and B."""
    logits: Any = prediction.predictions
    truth: Any = prediction.label_ids
    scores = np.asarray(logits[0] if isinstance(logits, tuple) else logits)
    truth = np.asarray(truth[0] if isinstance(truth, tuple) else truth)
    report = {}
    for name, edge in (("auc_a", _PRESENT), ("auc_b", 0.3)):
        units = [auc(truth[:, unit] >= edge, scores[:, unit]).value for unit in range(truth.shape[1])]
        known = [value for value in units if not math.isnan(value)]
        if known:
            report[name] = sum(known) / len(known)
    return report
