"""Which regions of a face something covers: a small net of its own, so that no emotion or AU label reaches it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.layers.face_crop import FaceCropEncoder
from mien.models.pocket.inputs import HIDDEN_REGIONS

__all__ = ["REGIONS_SIZE", "PocketRegions"]

REGIONS_SIZE = 64
"""Side in px at which the net sees the crop."""


class PocketRegions(nn.Module):
    """(B, 1, 64, 64) grey crop 0..1 -> (B, 3) logits that each of `HIDDEN_REGIONS` is hidden.

    The quadrants are read apart, since what is covered is a question of place.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 24, 32, 48)) -> None:
        super().__init__()
        self.encoder = FaceCropEncoder(widths, blocks=1)
        self.head = nn.Linear(4 * widths[-1], len(HIDDEN_REGIONS))

    def forward(self, crop: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.flatten(self.encoder(crop)[0], 1))
        return logits
