"""The eyes of the pocket model: crop and landmarks in; AU measurement, emotion logits and evidence rows out.

One pass gives what the tables hold (AU intensities) and what the language model looks at (features, from which
the composite's projectors make rows). Either kind of
evidence may be missing: landmarks-only mode has no crop, a small grey crop may have no landmarks. Training
drops each at random so that one set of weights serves all three cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.aus import AU_SETS, level_edge
from mien.core.emotions import EMOTIONS
from mien.layers.face_crop import FaceCropEncoder
from mien.layers.landmark_mlp import LandmarkMLP
from mien.models.pocket.detail import PocketDetail
from mien.models.pocket.inputs import LANDMARK_FEATURES

__all__ = ["PocketEvidence", "PocketEvidenceConfig", "PocketEvidenceOutput", "calibrated"]


@dataclass(frozen=True, slots=True)
class PocketEvidenceConfig:
    """Shape of the evidence encoders."""

    crop_size: int = 128
    """Side of the grey crop in px, as the detail encoder sees it."""
    appearance_size: int = 64
    """Side in px at which the appearance encoder sees it."""
    crop_widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the crop encoder's stages."""
    landmark_features: int = LANDMARK_FEATURES
    """Length of the landmark feature vector."""
    width: int = 256
    """Width C of every evidence feature."""


@dataclass(frozen=True, slots=True)
class PocketEvidenceOutput:
    """What one pass gives for a batch of B faces."""

    au_logits: Tensor
    """(B, 22): raw intensity = sigmoid(logit), in the order of ``AU_SETS["pocket"]``."""
    emotion_logits: Tensor
    """(B, 8): the plain classifier head, in the order of `EMOTIONS`."""
    visual: Tensor
    """(B, 5, C): four crop quadrants, then the crop's summary."""
    shape: Tensor
    """(B, 1, C): the landmarks."""


class PocketEvidence(nn.Module):
    """Crop encoder + landmark encoder + measurement heads + detail.

    The buffer ``rest`` (22,) is the calibration: the raw intensity of each AU at which it is as likely present as
    absent. `calibrate` maps it to 0.1, the lower edge of FACS level A.
    """

    rest: Tensor

    def __init__(self, config: PocketEvidenceConfig) -> None:
        super().__init__()
        self.config = config
        width, units = config.width, len(AU_SETS["pocket"])
        self.crop = FaceCropEncoder(config.crop_widths)
        self.landmarks = LandmarkMLP(config.landmark_features, width)
        self.no_crop = nn.Parameter(torch.zeros(self.crop.width))
        self.no_landmarks = nn.Parameter(torch.zeros(width))
        joint = self.crop.width + width
        self.emotion_head = nn.Sequential(nn.Dropout(0.2), nn.Linear(joint, len(EMOTIONS)))
        self.au_head = nn.Sequential(
            nn.Linear(joint, width), nn.GELU(), nn.Dropout(0.1), nn.Linear(width, units)
        )
        self.detail = PocketDetail(units, width)
        self.register_buffer("rest", torch.full((units,), 0.1))

    def forward(
        self,
        crop: Tensor,
        landmarks: Tensor,
        has_crop: Tensor,
        has_landmarks: Tensor,
        detail: Tensor | None = None,
        has_detail: Tensor | None = None,
    ) -> PocketEvidenceOutput:
        """Measure a batch.

        Args:
            crop: (B, 1, S, S) grey 0..1, S a multiple of `appearance_size`; any values where `has_crop` is 0.
            landmarks: (B, F) features; any finite values where `has_landmarks` is 0.
            has_crop: (B,) 0 or 1.
            has_landmarks: (B,) 0 or 1.
            detail: (B, 1, `crop_size`, `crop_size`) the crop as its landmarks frame it.
            has_detail: (B,) 0 or 1; without it no details are looked at, as in the stages before theirs.
        """
        seen, shaped = has_crop[:, None].to(crop.dtype), has_landmarks[:, None].to(crop.dtype)
        rows, summary = self._look(crop, has_crop)
        summary = seen * summary + (1 - seen) * self.no_crop
        rows = seen[:, None] * rows + (1 - seen[:, None]) * self.no_crop
        shape = shaped * self.landmarks(landmarks) + (1 - shaped) * self.no_landmarks
        joint = torch.cat([summary, shape], dim=1)
        visual = torch.cat([rows, summary[:, None]], dim=1)
        units = self.au_head(joint)
        if detail is not None and has_detail is not None and self._any(has_detail):
            near = has_detail[:, None].to(crop.dtype)
            units = near * self.detail(detail, shape, units).au_logits + (1 - near) * units
        return PocketEvidenceOutput(units, self.emotion_head(joint), visual, shape[:, None])

    def _look(self, crop: Tensor, has_crop: Tensor) -> tuple[Tensor, Tensor]:
        """Crop features; a batch without any crop skips the convolutions."""
        if not self._any(has_crop):
            zeros = crop.new_zeros(len(crop), 4, self.crop.width)
            return zeros, zeros[:, 0]
        rows, summary = self.crop(F.avg_pool2d(crop, crop.shape[-1] // self.config.appearance_size))
        return rows, summary

    @staticmethod
    def _any(flags: Tensor) -> bool:
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        return tracing or bool(flags.any())

    def calibrate(self, raw: Tensor) -> Tensor:
        """(B, 22) raw intensities 0..1 -> `calibrated` ones."""
        return calibrated(raw, self.rest)


def calibrated(raw: Tensor, rest: Tensor) -> Tensor:
    """Intensities 0..1: linear from 0 to ``rest``, which gives the lower edge of FACS level A, 0.1; linear on to 1."""
    edge = level_edge(1)
    above = edge + (raw - rest) * ((1.0 - edge) / (1.0 - rest))
    return torch.where(raw < rest, raw * (edge / rest), above).clamp(0.0, 1.0)
