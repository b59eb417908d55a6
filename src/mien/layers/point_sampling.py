"""Farthest point sampling, nearest neighbours and the normalisation of point clouds (PointMLP's front part).

All of it computes in float32 at least, under mixed precision too: bfloat16 rounds away which of two points is nearer.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from mien.core.errors import BadInput, require_known

__all__ = ["NORMALIZATIONS", "farthest_points", "nearest", "normalize_points", "pick", "without_autocast"]

NORMALIZATIONS: tuple[str, ...] = ("none", "unit_sphere", "minmax_axis", "minmax_global")
"""How a cloud is brought to a common size. FacePhi says that coordinates "uniformly span" -1..1 without saying per
axis or in all; ULIP and PointLLM centre and divide by the largest radius."""


def without_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """Where mixed precision is on for the device of ``tensor``, it is off within this context."""
    device = tensor.device.type
    # Some devices, such as ``meta``, know no mixed precision at all.
    mixed = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if mixed else nullcontext()


def _exact(points: Tensor) -> Tensor:
    return points.float() if points.dtype in (torch.bfloat16, torch.float16) else points


def normalize_points(points: Tensor, mode: str) -> Tensor:
    """(B, N, 3) -> (B, N, 3), each cloud on its own; half precision becomes float32.

    Args:
        points: any unit.
        mode: ``"unit_sphere"``: centred on its mean, largest radius 1; ``"minmax_axis"``: each axis to -1..1;
            ``"minmax_global"``: one scale for all axes, the longest one to -1..1; ``"none"``: as it came.
    """
    require_known(mode, NORMALIZATIONS, "point normalisation")
    points = _exact(points)
    tiny = torch.finfo(points.dtype).tiny
    if mode == "none":
        return points
    if mode == "unit_sphere":
        centred = points - points.mean(dim=1, keepdim=True)
        radius = centred.norm(dim=2).amax(dim=1)[:, None, None]
        sphere: Tensor = centred / radius.clamp(min=tiny)
        return sphere
    low, high = points.amin(dim=1, keepdim=True), points.amax(dim=1, keepdim=True)
    half = (high - low) / 2.0
    if mode == "minmax_global":
        half = half.amax(dim=2, keepdim=True)
    return (points - (low + high) / 2.0) / half.clamp(min=tiny)


def farthest_points(points: Tensor, count: int) -> Tensor:
    """(B, N, 3) -> (B, count) indices, each the point farthest from those before it; the first is point 0.

    The published pure-torch code starts at a random point, so that two runs differ; the published CUDA kernel
    starts at 0 but skips points near the origin. This starts at 0 and skips none. When ``count`` exceeds N, the
    surplus are copies of index 0, as in both.
    """
    points = _exact(points)
    nearest_chosen = points.new_full(points.shape[:2], torch.inf)
    chosen = torch.zeros(points.shape[0], dtype=torch.long, device=points.device)
    indices = [chosen]
    axes = points.unbind(dim=2)
    for _ in range(min(count, points.shape[1]) - 1):
        distance = torch.zeros_like(nearest_chosen)
        for axis in axes:
            distance += (axis - axis.gather(1, chosen[:, None])).square_()
        nearest_chosen = torch.minimum(nearest_chosen, distance)
        chosen = nearest_chosen.argmax(dim=1)
        indices.append(chosen)
    sampled = torch.stack(indices, dim=1)
    return torch.nn.functional.pad(sampled, (0, count - sampled.shape[1]))


def nearest(points: Tensor, anchors: Tensor, count: int) -> Tensor:
    """(B, N, 3) points, (B, S, 3) anchors -> (B, S, count) indices of each anchor's nearest points, unsorted.

    Distances are |a|² + |p|² - 2ap as published: another formula rounds near ties differently.

    Raises:
        BadInput: fewer points than neighbours.
    """
    if points.shape[1] < count:
        raise BadInput(
            got=f"{points.shape[1]} points for {count} neighbours",
            expected="at least as many points as neighbours",
            fix="Pass more points, or configure fewer neighbours",
        )
    points, anchors = _exact(points), _exact(anchors)
    with without_autocast(points):
        distance = -2.0 * torch.matmul(anchors, points.transpose(1, 2))
    distance += anchors.square().sum(dim=2, keepdim=True)
    distance += points.square().sum(dim=2)[:, None, :]
    return distance.topk(count, dim=2, largest=False, sorted=False).indices


def pick(values: Tensor, indices: Tensor) -> Tensor:
    """(B, N, C) values, (B, ...) indices -> (B, ..., C)."""
    flat = indices.flatten(1)
    picked = values.gather(1, flat[..., None].expand(-1, -1, values.shape[2]))
    return picked.reshape(*indices.shape, values.shape[2])
