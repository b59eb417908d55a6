"""A cloud as many rows: groups of points through a small PointNet and a transformer (Point-BERT, as PointLLM uses it).

Yu et al. 2022: farthest points as centres, their nearest neighbours relative to them, one token per group, a class
token before them, position embedding from the centres.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.core.errors import BadInput
from mien.layers.point_sampling import farthest_points, nearest, normalize_points, pick

__all__ = ["PointGroups"]


class PointGroups(nn.Module):
    """(B, N, 3) points -> (B, 1 + groups, width) rows; the geometry is computed in float32.

    Args:
        groups: centres; at most N.
        neighbors: points of a group.
        width: of the rows.
        layers: of the transformer.
        heads: of its attention.
        normalization: see `normalize_points`; PointLLM centres and divides by the largest radius.
    """

    float32_inputs = True

    def __init__(
        self,
        groups: int = 512,
        neighbors: int = 32,
        width: int = 384,
        layers: int = 12,
        heads: int = 6,
        normalization: str = "unit_sphere",
    ) -> None:
        super().__init__()
        self.groups, self.neighbors, self.normalization = groups, neighbors, normalization
        inner = max(width // 3, 8)
        self.local = nn.Sequential(nn.Linear(3, inner), nn.GELU(), nn.Linear(inner, 2 * inner))
        self.whole = nn.Sequential(nn.Linear(4 * inner, 4 * inner), nn.GELU(), nn.Linear(4 * inner, width))
        self.place = nn.Sequential(nn.Linear(3, inner), nn.GELU(), nn.Linear(inner, width))
        self.class_token = nn.Parameter(torch.empty(2, 1, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Class token and its position: N(0, 0.02)."""
        nn.init.normal_(self.class_token, std=0.02)

    def forward(self, points: Tensor) -> Tensor:
        """Rows of each cloud.

        Raises:
            BadInput: another shape, or fewer points than groups or neighbours.
        """
        if points.ndim != 3 or points.shape[2] != 3 or points.shape[1] < max(self.groups, self.neighbors):
            raise BadInput(
                got=f"points of shape {tuple(points.shape)}",
                expected=f"(clouds, {max(self.groups, self.neighbors)} or more, 3)",
                fix="Pass more points, or configure fewer groups",
            )
        cloud = normalize_points(points.float(), self.normalization)
        centres = pick(cloud, farthest_points(cloud, self.groups))
        offsets = pick(cloud, nearest(cloud, centres, self.neighbors)) - centres[:, :, None]
        offsets, centres = offsets.to(self.class_token.dtype), centres.to(self.class_token.dtype)
        each: Tensor = self.local(offsets)
        shared = each.amax(dim=2, keepdim=True).expand_as(each)
        tokens = self.whole(torch.cat([shared, each], dim=3)).amax(dim=2)
        first, place = self.class_token.expand(2, points.shape[0], -1)[:, :, None]
        rows = torch.cat([first + place, tokens + self.place(centres)], dim=1)
        done: Tensor = self.norm(self.blocks(rows))
        return done
