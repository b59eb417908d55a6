"""A small pyramid over one grey face crop that finds 68 points and the details between them.

The attention mesh places its points as a generic face would have them; a raised brow or a pressed lip is a matter of
one or two pixels. Points learnt from rendered truth, where every one is known exactly, make such actions readable.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.layers.face_crop import ResidualBlock, standardised, start_convolutions

__all__ = ["FaceDetailEncoder"]

_LATERAL = 48


class FaceDetailEncoder(nn.Module):
    """(B, 1, 128, 128) grey crop 0..1 -> (B, C) features and (B, P, 2) points, x and y in -1..1 of the crop.

    Points are the expectation of one heat map each (integral regression, Sun 2018) on a feature pyramid (Lin 2017).

    Args:
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the crop.
        width: C.
        points: P.
    """

    def __init__(
        self, widths: tuple[int, int, int, int] = (16, 32, 64, 128), width: int = 128, points: int = 68
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(before, after, 2), ResidualBlock(after, after, 1))
            for before, after in pairwise(widths)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(channels, _LATERAL, 1) for channels in widths[1:])
        self.mix = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(_LATERAL, _LATERAL, 3, 1, 1, bias=False),
            nn.BatchNorm2d(_LATERAL),
            nn.ReLU(),
            nn.Conv2d(_LATERAL, points, 1),
        )
        self.squeeze = nn.Sequential(
            nn.Conv2d(widths[3], 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
            nn.Dropout(0.2), nn.Linear(32 * 8 * 8, width), nn.LayerNorm(width), nn.GELU(),
        )  # fmt: skip
        start_convolutions(self)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(standardised(crop))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        pyramid: Tensor | None = None
        for lateral, features in zip(reversed(self.lateral), reversed(maps), strict=True):
            side = lateral(features)
            if pyramid is not None:
                side = side + F.interpolate(pyramid, scale_factor=2.0, mode="bilinear", align_corners=False)
            pyramid = side
        return self.squeeze(x), _expectation(self.mix(pyramid).float())


def _expectation(heat: Tensor) -> Tensor:
    """(B, P, H, W) logits -> (B, P, 2): the mean place under their softmax, -1..1."""
    batch, points, height, width = heat.shape
    share = torch.softmax(heat.flatten(2), dim=2).view(batch, points, height, width)
    across = (torch.arange(width, device=heat.device) + 0.5) * (2.0 / width) - 1.0
    down = (torch.arange(height, device=heat.device) + 0.5) * (2.0 / height) - 1.0
    return torch.stack([(share.sum(dim=2) * across).sum(dim=2), (share.sum(dim=3) * down).sum(dim=2)], dim=2)
