"""PointMLP as a plain classifier of landmarks (FacePhi's Table 1): the one baseline that says no words."""

from __future__ import annotations

from torch import nn

from mien.core.emotions import EMOTIONS
from mien.layers.pointmlp import PointMLP
from mien.models.composite.backbones import at_scale
from mien.models.facephi.system import LANDMARKS

__all__ = ["classifier"]


def classifier(
    scale: str = "paper", classes: int = len(EMOTIONS), normalization: str = "minmax_global"
) -> nn.Module:
    """PointMLP as a plain classifier of landmarks: (N, 478, 3) -> (N, classes) logits."""
    variants = {"paper": "pointmlp", "base": "pointmlp", "small": "elite", "tiny": "tiny"}
    variant = at_scale(variants, scale)
    if variant == "tiny":
        return PointMLP(variant, classes, points=64, neighbors=8, normalization=normalization)
    points = 1024 if scale == "paper" else LANDMARKS
    return PointMLP(variant, classes, points=points, normalization=normalization)
