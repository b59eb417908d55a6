"""Face Info Mining of EMO-LLaMA: visual rows enriched by global and local facial information, pooled (Eq. 3).

The paper defines the module by Eq. 3 alone; heads, norms, residual paths and the regions of local attention are
not published. Each open point is an option here, with the usual choice as default.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import torch
from torch import Tensor, nn

from mien.core.errors import BadInput, require_known

__all__ = ["AU_REGIONS", "FaceInfoMining", "region_centres", "region_maps", "region_rows"]

AU_REGIONS: MappingProxyType[str, tuple[tuple[int, int], float]] = MappingProxyType(
    {
        "AU01": ((21, 22), -1.0 / 2.0),
        "AU02": ((18, 25), -1.0 / 3.0),
        "AU04": ((19, 24), 1.0 / 3.0),
        "AU06": ((41, 46), 1.0),
        "AU07": ((38, 43), 0.0),
        "AU09": ((32, 34), -1.0 / 2.0),
        "AU10": ((61, 63), 0.0),
        "AU12 AU14 AU15": ((48, 54), 0.0),
        "AU17 AU26": ((56, 58), 1.0 / 2.0),
        "AU23 AU24 AU25": ((51, 57), 0.0),
    }
)
"""AUs -> the two of 68 landmarks (from 0) that centre their region, and a shift down in units of r, the distance
between the inner eye corners in x (JAA-Net, Shao et al. 2018)."""

_SIDE, _FALL = 0.14, 0.56
_INNER_EYE_CORNERS = (39, 42)


def region_centres(landmarks: Tensor) -> Tensor:
    """(B, 68, 2) landmarks, y down -> (B, 10, 2, 2): two centres for each entry of `AU_REGIONS`, same unit.

    Raises:
        BadInput: another shape.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise BadInput(
            got=f"landmarks of shape {tuple(landmarks.shape)}",
            expected="(faces, 68, 2) in -1..1",
            fix="Use the 68-point layout (iBUG); DLIB68 picks it from the 478-point mesh",
        )
    left, right = _INNER_EYE_CORNERS
    unit = (landmarks[:, left, 0] - landmarks[:, right, 0]).abs()
    centres = []
    for pair, shift in AU_REGIONS.values():
        points = torch.stack([landmarks[:, place] for place in pair], dim=1)
        down = torch.stack([torch.zeros_like(unit), shift * unit], dim=-1)
        centres.append(points + down[:, None])
    return torch.stack(centres, dim=1)


def region_maps(landmarks: Tensor, size: int) -> Tensor:
    """(B, 68, 2) landmarks in -1..1 -> (B, 10, size, size) weights 0..1 around each region's two centres.

    A square of side 0.14 · size; inside, 1 - 0.56 (|dx| + |dy|) / (0.14 · size); the larger of the two centres'
    values. Centres outside the map are moved to its edge.
    """
    pixels = ((region_centres(landmarks) + 1.0) * size - 1.0) / 2.0
    pixels = pixels.clamp(0.0, size - 1.0)
    grid = torch.arange(size, dtype=landmarks.dtype, device=landmarks.device)
    dx = (grid[None, None, None, None, :] - pixels[..., 0, None, None]).abs()
    dy = (grid[None, None, None, :, None] - pixels[..., 1, None, None]).abs()
    side = _SIDE * size
    # The nearest pixel always counts, however small the map.
    reach = max(side / 2.0, 0.5)
    value = (1.0 - _FALL * (dx + dy) / side).clamp(min=1e-3)
    return (value * (dx <= reach) * (dy <= reach)).amax(dim=2)


def region_rows(face: Tensor, landmarks: Tensor) -> Tensor:
    """(B, n², C) facial rows of a square map -> (B, 10, C): their mean over each region, weighted by its map.

    Raises:
        BadInput: the rows form no square map.
    """
    size = math.isqrt(int(face.shape[1]))
    if size * size != face.shape[1]:
        raise BadInput(
            got=f"{face.shape[1]} facial rows", expected="a square map such as 56 · 56", fix="Pass every row"
        )
    weights = region_maps(landmarks, size).flatten(2)
    return weights / weights.sum(dim=2, keepdim=True) @ face


class _Attention(nn.Module):
    """Multi-head attention with the norm before it; without ``residual`` just the attention."""

    def __init__(self, width: int, heads: int, residual: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if residual else nn.Identity()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, queries: Tensor, keys: Tensor | None = None) -> Tensor:
        normed = self.norm(queries)
        keys = normed if keys is None else keys
        attended: Tensor = self.attention(normed, keys, keys, need_weights=False)[0]
        return attended


class FaceInfoMining(nn.Module):
    """(B, N, C) visual rows, (B, N', F) facial rows, (B, 68, 2) landmarks -> (B, C).

    Args:
        width: C.
        face_width: F; facial rows pass a Linear to C first.
        heads: of each attention.
        residual: ``True``: S = X + SAttn(LN X), G = S + GFAttn(LN S, F), FFN(LN G) + G; ``False``: Eq. 3 as printed.
        strategy: ``"mining"``; ``"pool_concat"`` is the ablation of Table 7: both pooled, side by side, one Linear.
        branches: ``"both"``, ``"global"`` or ``"local"`` terms of Eq. 3.

    Raises:
        BadConfig: unknown strategy or branches.
    """

    def __init__(
        self,
        width: int = 1408,
        face_width: int = 256,
        heads: int = 8,
        residual: bool = True,
        strategy: str = "mining",
        branches: str = "both",
    ) -> None:
        super().__init__()
        require_known(strategy, ("mining", "pool_concat"), "strategy")
        require_known(branches, ("both", "global", "local"), "branches")
        self.strategy, self.branches, self.residual = strategy, branches, residual
        self.reads_landmarks = strategy == "mining" and branches != "global"
        self.face = nn.Linear(face_width, width)
        if strategy == "pool_concat":
            self.join = nn.Linear(2 * width, width)
            return
        self.own = _Attention(width, heads, residual)
        if branches != "local":
            self.whole = _Attention(width, heads, residual)
            norm = nn.LayerNorm(width) if residual else nn.Identity()
            self.forward_network = nn.Sequential(
                norm, nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )
        if branches != "global":
            self.local = _Attention(width, heads, residual)

    def forward(self, visual: Tensor, face: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """One row per face; landmarks are read where `reads_landmarks`.

        Raises:
            BadInput: no landmarks or those of another layout, or facial rows that form no square map.
        """
        face = self.face(face)
        if self.strategy == "pool_concat":
            pooled: Tensor = self.join(torch.cat([visual.mean(dim=1), face.mean(dim=1)], dim=1))
            return pooled
        kept = 1.0 if self.residual else 0.0
        own = kept * visual + self.own(visual)
        mined = torch.zeros_like(own)
        if self.branches != "local":
            whole = kept * own + self.whole(own, face)
            mined = mined + kept * whole + self.forward_network(whole)
        if self.branches != "global":
            if landmarks is None:
                raise BadInput(
                    got="no landmarks",
                    expected="(faces, 68, 2) in -1..1",
                    fix="Pass them, or mine globally only",
                )
            mined = mined + self.local(own, region_rows(face, landmarks))
        return mined.mean(dim=1)
