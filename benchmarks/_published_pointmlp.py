"""PointMLP as its paper and its published pure-torch code compute it, from a state dictionary; evaluation mode.

Written from the equations for comparison: every group is materialised, every layer runs over the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

State = Mapping[str, Tensor]


def farthest_points(xyz: Tensor, count: int) -> Tensor:
    batch, total, _ = xyz.shape
    centroids = torch.zeros(batch, count, dtype=torch.long)
    distance = torch.full((batch, total), 1e10)
    farthest = torch.zeros(batch, dtype=torch.long)
    rows = torch.arange(batch)
    for index in range(count):
        centroids[:, index] = farthest
        centroid = xyz[rows, farthest].view(batch, 1, 3)
        squared = torch.sum((xyz - centroid) ** 2, -1)
        distance = torch.min(distance, squared)
        farthest = torch.max(distance, -1)[1]
    return centroids


def index_points(values: Tensor, indices: Tensor) -> Tensor:
    rows = torch.arange(values.shape[0]).view(-1, *[1] * (indices.ndim - 1)).expand_as(indices)
    return values[rows, indices]


def neighbors(count: int, xyz: Tensor, anchors: Tensor) -> Tensor:
    squared = -2 * torch.matmul(anchors, xyz.permute(0, 2, 1))
    squared += torch.sum(anchors**2, -1)[:, :, None]
    squared += torch.sum(xyz**2, -1)[:, None, :]
    return torch.topk(squared, count, dim=-1, largest=False, sorted=False)[1]


def conv_norm(state: State, name: str, x: Tensor) -> Tensor:
    x = functional.conv1d(x, state[f"{name}.0.weight"])
    return norm(state, f"{name}.1", x)


def norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return functional.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"])


def residuals(state: State, name: str, x: Tensor) -> Tensor:
    block = 0
    while f"{name}.{block}.net1.0.weight" in state:
        inner = functional.relu(conv_norm(state, f"{name}.{block}.net1", x))
        x = functional.relu(conv_norm(state, f"{name}.{block}.net2", inner) + x)
        block += 1
    return x


def forward(state: State, xyz: Tensor, points: int = 1024, k: int = 24) -> Tensor:
    """(B, N, 3) points -> (B, C) features or logits."""
    batch = xyz.shape[0]
    x = functional.relu(conv_norm(state, "embedding.net", xyz.permute(0, 2, 1)))
    stage, count = 0, points
    while f"local_grouper_list.{stage}.affine_alpha" in state:
        count //= 2
        x = x.permute(0, 2, 1)
        chosen = farthest_points(xyz, count)
        anchors, centre = index_points(xyz, chosen), index_points(x, chosen)
        grouped = index_points(x, neighbors(k, xyz, anchors))
        difference = grouped - centre.unsqueeze(-2)
        std = torch.std(difference.reshape(batch, -1), dim=-1, keepdim=True)[..., None, None]
        grouper = f"local_grouper_list.{stage}"
        affine = (
            state[f"{grouper}.affine_alpha"] * (difference / (std + 1e-5)) + state[f"{grouper}.affine_beta"]
        )
        grouped = torch.cat([affine, centre.view(batch, count, 1, -1).repeat(1, 1, k, 1)], dim=-1)
        y = grouped.permute(0, 1, 3, 2).reshape(batch * count, grouped.shape[-1], k)
        y = functional.relu(conv_norm(state, f"pre_blocks_list.{stage}.transfer.net", y))
        y = residuals(state, f"pre_blocks_list.{stage}.operation", y)
        y = functional.adaptive_max_pool1d(y, 1).view(batch, count, -1).permute(0, 2, 1)
        x = residuals(state, f"pos_blocks_list.{stage}.operation", y)
        xyz, stage = anchors, stage + 1
    x = functional.adaptive_max_pool1d(x, 1).squeeze(-1)
    for linear, batch_norm in ((0, 1), (4, 5)):
        x = functional.linear(x, state[f"classifier.{linear}.weight"], state[f"classifier.{linear}.bias"])
        x = functional.relu(norm(state, f"classifier.{batch_norm}", x))
    if "classifier.8.weight" in state:
        x = functional.linear(x, state["classifier.8.weight"], state["classifier.8.bias"])
    return x
