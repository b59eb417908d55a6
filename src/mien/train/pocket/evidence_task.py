"""The loss of the pocket model's evidence encoders, and the data it is computed on.

Soft emotion votes, AU intensities of rendered faces, and binary marks on real faces train one network; each
sample carries only the targets it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from mien.core.aus import level_edge
from mien.models.pocket.evidence import PocketEvidence
from mien.train.data.augment import augment_crops

__all__ = [
    "PRESENCE_EDGE",
    "EvidenceArrays",
    "EvidenceCollator",
    "EvidenceDataset",
    "EvidenceTask",
    "masked_bce",
]

PRESENCE_EDGE = float(np.log(level_edge(1) / (1.0 - level_edge(1))))
"""Logit of the lower edge of FACS level A: a presence mark says on which side of it the AU is."""


@dataclass(frozen=True, slots=True)
class EvidenceArrays:
    """Columns of the training table; N rows."""

    crops: npt.NDArray[np.uint8]
    """(N, S, S) grey."""
    has_crop: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    """(N, F)."""
    has_landmarks: npt.NDArray[np.float32]
    emotion: npt.NDArray[np.float32]
    """(N, 8) distribution, or zeros when there is none."""
    emotion_weight: npt.NDArray[np.float32]
    intensity: npt.NDArray[np.float32]
    """(N, 22) AU intensity 0..1 or NaN."""
    presence: npt.NDArray[np.float32]
    """(N, 22) AU presence 0/1 or NaN."""
    points: npt.NDArray[np.float32]
    """(N, 68, 2) x and y in -1..1 of the crop, in iBUG's order, or NaN."""
    framed: npt.NDArray[np.float32]
    """(N,) 1 where landmarks frame the crop, as details need it; 0 for pictures taken whole."""

    def __len__(self) -> int:
        return len(self.crops)


class EvidenceDataset(Dataset[int]):
    """Row numbers of an `EvidenceArrays`, some repeated; the collator fetches whole batches at once."""

    def __init__(self, rows: npt.NDArray[np.int64]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> int:
        return int(self.rows[index])


class EvidenceCollator:
    """Row numbers -> one batch of tensors, with augmentation and evidence dropout when training.

    Args:
        drop_crop: share of rows with both kinds of evidence that lose their crop.
        drop_landmarks: share of rows with both kinds of evidence that lose their landmarks.
    """

    def __init__(self, arrays: EvidenceArrays, drop_crop: float = 0.0, drop_landmarks: float = 0.0) -> None:
        self.arrays, self.drop_crop, self.drop_landmarks = arrays, drop_crop, drop_landmarks
        self.training = True

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        data, index = self.arrays, np.asarray(rows)
        crop = torch.from_numpy(data.crops[index]).unsqueeze(1).float() / 255.0
        has_crop, has_landmarks = (
            torch.from_numpy(data.has_crop[index]),
            torch.from_numpy(data.has_landmarks[index]),
        )
        landmarks = torch.from_numpy(data.landmarks[index])
        if self.training:
            crop = augment_crops(crop)
            landmarks = landmarks + 0.004 * torch.randn_like(landmarks)
            both, draw = (has_crop * has_landmarks) > 0, torch.rand(len(index))
            has_crop = torch.where(both & (draw < self.drop_crop), 0.0, has_crop)
            has_landmarks = torch.where(both & (draw > 1 - self.drop_landmarks), 0.0, has_landmarks)
        return {
            "crop": crop,
            "landmarks": landmarks,
            "has_crop": has_crop,
            "has_landmarks": has_landmarks,
            "emotion": torch.from_numpy(data.emotion[index]),
            "emotion_weight": torch.from_numpy(data.emotion_weight[index]),
            "intensity": torch.from_numpy(data.intensity[index]),
            "presence": torch.from_numpy(data.presence[index]),
        }


class EvidenceTask(nn.Module):
    """`PocketEvidence` with its loss: soft cross-entropy + AU intensity + AU presence."""

    def __init__(self, net: PocketEvidence, au_weight: float = 1.0) -> None:
        super().__init__()
        self.net, self.au_weight = net, au_weight

    def forward(self, **batch: Any) -> dict[str, Tensor]:
        evidence = {key: batch[key] for key in ("crop", "landmarks", "has_crop", "has_landmarks")}
        evidence["crop"] = evidence["crop"].contiguous(memory_format=torch.channels_last)
        out = self.net(**evidence)
        au_logits, emotion_logits = out.au_logits.float(), out.emotion_logits.float()
        weight = batch["emotion_weight"]
        per_row = -(batch["emotion"] * F.log_softmax(emotion_logits, dim=1)).sum(dim=1)
        loss = (weight * per_row).sum() / len(weight)
        loss = loss + self.au_weight * masked_bce(au_logits, batch["intensity"]) * 2.0
        loss = loss + self.au_weight * masked_bce(au_logits - PRESENCE_EDGE, batch["presence"]) * 0.5
        return {"loss": loss, "logits": torch.cat([emotion_logits, au_logits], dim=1)}


def masked_bce(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy over the entries that are not NaN, rows weighed; 0 when there is none."""
    known = (~targets.isnan()).float()
    losses = F.binary_cross_entropy_with_logits(logits, targets.nan_to_num(), reduction="none") * known
    if weight is not None:
        losses = losses * weight[:, None]
    return losses.sum() / known.sum().clamp(min=1)
