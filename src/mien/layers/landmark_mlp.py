"""A residual perceptron over aligned landmarks and their geometry: the shape evidence of the pocket model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["LandmarkMLP"]


class LandmarkMLP(nn.Module):
    """(B, F) landmark features -> (B, C) row.

    FacePhi reads landmarks with PointMLP, whose ball grouping exists for clouds without order. The mesh of 478
    points has a fixed order, so a perceptron sees every distance directly and costs 0.3 ms; PointMLP serves the
    full-size system.

    Args:
        features: length of the input vector; each is standardised by the stored training mean and deviation.
        width: C.
    """

    float32_inputs = True
    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, width: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.enter = nn.Linear(features, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, width),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(width, width),
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        # A deviation may be a hundredth of its mean, which half precision would not resolve.
        standard = (features.float() - self.mean) / self.deviation
        x = self.enter(standard.clamp(-6.0, 6.0).to(self.enter.weight.dtype))
        for block in self.blocks:
            x = x + block(x)
        normed: Tensor = self.norm(x)
        return normed
