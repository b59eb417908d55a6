"""Random changes to a batch of crops, and points on them, that a camera or a detector could have made."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "augment_crops",
    "augment_with_points",
    "degrade",
    "draw_warps",
    "erase",
    "expose",
    "move_points",
    "retouch",
    "warp_crops",
]


_MIRRORED = torch.tensor([
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
])  # fmt: skip
"""iBUG's 68 points as a mirror shows them."""


def augment_crops(crops: Tensor) -> Tensor:
    """(B, C, S, S) in 0..1 -> the same shape: warp, exposure, blur, noise, erased patch; flipped half the time.

    Channels change alike: grey stays grey.

    Random numbers come from torch's global generator, which the Trainer saves and restores.
    """
    return retouch(warp_crops(crops, draw_warps(len(crops))))


def augment_with_points(crops: Tensor, points: Tensor, warp: float = 1.0) -> tuple[Tensor, Tensor]:
    """The same with (B, 68, 2) points, x and y in -1..1 of the crop, moved along; NaN stays NaN.

    Rotation, scale and shift are `warp` times as large.
    """
    theta = draw_warps(len(crops), warp)
    return retouch(warp_crops(crops, theta)), move_points(points, theta, _MIRRORED)


def move_points(points: Tensor, theta: Tensor, mirrored: Tensor) -> Tensor:
    """(B, P, 2 or 3) points, x and y in -1..1 of the old crop, in the new one; depth grows with the face.

    Args:
        points: of each crop; NaN stays NaN.
        theta: of `draw_warps`.
        mirrored: (P,) the number of each point's partner on the other side; its own on the midline.
    """
    turn = theta[:, :, :2]
    flipped = torch.linalg.det(turn) < 0
    points = torch.where(flipped[:, None, None], points[:, mirrored], points)
    flat: Tensor = (points[..., :2] - theta[:, None, :, 2]) @ torch.linalg.inv(turn).transpose(1, 2)
    if points.shape[2] == 2:
        return flat
    grown = torch.linalg.det(turn).abs().rsqrt()
    return torch.cat([flat, points[..., 2:] * grown[:, None, None]], dim=2)


def retouch(crops: Tensor) -> Tensor:
    """(B, C, S, S) in 0..1: exposure, blur, noise and an erased patch; nothing moves."""
    return erase(degrade(expose(crops)))


def _uniform(count: int, low: float, high: float) -> Tensor:
    return torch.empty(count).uniform_(low, high)


def draw_warps(count: int, warp: float = 1.0, mirror: Tensor | None = None) -> Tensor:
    """(B, 2, 3) from the new crop to the old: rotation to 14 degrees, scale 0.82 to 1.18, shift to 8 %, mirror.

    ``mirror`` (B,) tells which may be mirrored; None: all.
    """
    angle = torch.randn(count).clamp(-2, 2) * math.radians(7) * warp
    scale = 1.0 + torch.randn(count).clamp(-2, 2) * 0.09 * warp
    chosen = torch.rand(count) < 0.5
    side = torch.where(chosen if mirror is None else chosen & mirror, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = side * scale * angle.cos(), -scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = side * scale * angle.sin(), scale * angle.cos()
    theta[:, :, 2] = _uniform(count * 2, -0.16 * warp, 0.16 * warp).view(count, 2)
    return theta


def warp_crops(crops: Tensor, theta: Tensor) -> Tensor:
    """(B, C, S, S) crops moved by `draw_warps`; their border is repeated."""
    grid = F.affine_grid(theta, list(crops.shape), align_corners=False)
    return F.grid_sample(crops, grid, padding_mode="border", align_corners=False)


def expose(crops: Tensor) -> Tensor:
    """(B, C, S, S) in 0..1 under another light: gamma, and a ramp from side to side."""
    count = crops.shape[0]
    gamma = torch.exp(_uniform(count, -0.35, 0.35)).view(-1, 1, 1, 1)
    side = _uniform(count, -0.25, 0.25).view(-1, 1, 1, 1)
    ramp = torch.linspace(-1, 1, crops.shape[-1]).view(1, 1, 1, -1)
    return (crops.clamp(1e-3, 1).pow(gamma) * (1 + side * ramp)).clamp(0, 1)


def degrade(crops: Tensor) -> Tensor:
    """A third of the batch is shrunk and enlarged again; all get a little noise."""
    count, size = crops.shape[0], crops.shape[-1]
    chosen = torch.rand(count) < 0.35
    if chosen.any():
        small = int(torch.randint(size // 3, size, (1,)))
        low = F.interpolate(crops[chosen], size=(small, small), mode="bilinear", antialias=True)
        crops = crops.clone()
        crops[chosen] = F.interpolate(low, size=(size, size), mode="bicubic").clamp(0, 1)
    return crops + torch.randn_like(crops[:, :1]) * _uniform(count, 0.0, 0.03).view(-1, 1, 1, 1)


def erase(crops: Tensor) -> Tensor:
    """Zhong et al. 2020: a patch of grey in 30 % of the crops."""
    count, size = crops.shape[0], crops.shape[-1]
    axis = torch.arange(size).view(1, -1)
    centre, side = (
        _uniform(2 * count, 0, size).view(2, count, 1),
        _uniform(2 * count, size / 8, size * 3 / 8).view(2, count, 1),
    )
    rows, columns = (axis - centre[0]).abs() < side[0] / 2, (axis - centre[1]).abs() < side[1] / 2
    patch = rows[:, :, None] & columns[:, None, :] & (torch.rand(count) < 0.3)[:, None, None]
    return torch.where(patch[:, None], crops.mean(dim=(2, 3), keepdim=True), crops)
