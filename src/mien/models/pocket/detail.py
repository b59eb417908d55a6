"""The fine measurement of the pocket model: AU logits from points and details that the mesh misses.

It looks at the crop at twice the size that the appearance encoder sees, and corrects what crop summary and mesh say.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mien.layers.face_detail import FaceDetailEncoder

__all__ = ["POINTS", "DetailOutput", "PocketDetail"]

POINTS = 68
"""Points in iBUG's order, as dlib's."""
_SPREAD = 20.0
"""Deviations of a normalised point are about 1/20."""


@dataclass(frozen=True, slots=True)
class DetailOutput:
    """What one pass gives for a batch of B crops."""

    corrected: Tensor
    """(B, U): the given AU logits with a correction."""
    alone: Tensor
    """(B, U): AU logits from the crop alone."""
    points: Tensor
    """(B, 68, 2): x and y in -1..1 of the crop."""

    @property
    def au_logits(self) -> Tensor:
        """(B, U): the mean of both."""
        return 0.5 * (self.corrected + self.alone)


class PocketDetail(nn.Module):
    """Detail encoder, geometry of its points, and two heads.

    Args:
        units: U, the number of AUs.
        shape_width: width of the mesh's feature.
    """

    mean_shape: Tensor

    def __init__(self, units: int, shape_width: int = 256, width: int = 128) -> None:
        super().__init__()
        self.encoder = FaceDetailEncoder(width=width, points=POINTS)
        self.register_buffer("mean_shape", torch.zeros(2 * POINTS))
        self.geometry = nn.Sequential(nn.Linear(2 * POINTS, 256), nn.LayerNorm(256))
        seen = width + 256
        self.alone = nn.Sequential(nn.Linear(seen, 256), nn.GELU(), nn.Dropout(0.1), nn.Linear(256, units))
        self.correction = nn.Sequential(
            nn.Linear(seen + shape_width, 384), nn.GELU(), nn.Dropout(0.1),
            nn.Linear(384, 384), nn.GELU(), nn.Dropout(0.1), nn.Linear(384, units),
        )  # fmt: skip
        last = self.correction[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, crop: Tensor, shape: Tensor, base: Tensor) -> DetailOutput:
        """Measure a batch.

        Args:
            crop: (B, 1, 128, 128) grey 0..1.
            shape: (B, S) the mesh's feature.
            base: (B, U) AU logits to correct.
        """
        features, points = self.encoder(crop)
        seen = torch.cat([features, self.geometry((normalised(points) - self.mean_shape) * _SPREAD)], dim=1)
        corrected = base + self.correction(torch.cat([seen, shape], dim=1))
        return DetailOutput(corrected, self.alone(seen), points)


def normalised(points: Tensor) -> Tensor:
    """(B, P, 2) -> (B, 2 P): without place and size."""
    centred = points - points.mean(dim=1, keepdim=True)
    size = centred.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return (centred / (size + 1e-6)).flatten(1)
