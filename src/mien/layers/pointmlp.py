"""PointMLP and PointMLP-elite (Ma et al. 2022), the landmark encoder of FacePhi.

Parameters carry the names of the published checkpoints (ma-xu/pointMLP-pytorch, salesforce/ULIP), so that a state
dictionary loads without renaming. Training runs layer by layer as published. In evaluation the same function is
computed by matrix products on one sample's groups at a time, with batch normalisation folded in: see `PointMLP._fused`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn

from mien.core.errors import BadConfig, BadInput, require_known
from mien.layers.point_sampling import farthest_points, nearest, normalize_points, pick, without_autocast

__all__ = ["SHAPES", "PointMLP", "PointMLPShape"]


@dataclass(frozen=True, slots=True)
class PointMLPShape:
    """Widths and depths of one published variant."""

    embed: int
    bottleneck: float
    """Inner width of a residual block relative to its outer width."""
    expansion: tuple[int, ...]
    """By how much each stage widens."""
    pre_blocks: tuple[int, ...]
    """Residual blocks per stage before the maximum over neighbours."""
    pos_blocks: tuple[int, ...]
    """Residual blocks per stage after it."""
    head: tuple[int, int] = (512, 256)


_CACHED_ROWS = 1536
"""Neighbours that are computed at a time: few enough to stay in a core's cache, enough for fast products."""
SHAPES: Mapping[str, PointMLPShape] = MappingProxyType(
    {
        "pointmlp": PointMLPShape(64, 1.0, (2, 2, 2, 2), (2, 2, 2, 2), (2, 2, 2, 2)),
        "elite": PointMLPShape(32, 0.25, (2, 2, 2, 1), (1, 1, 2, 1), (1, 1, 2, 1)),
        "tiny": PointMLPShape(8, 0.5, (2, 2), (1, 1), (1, 1), head=(32, 16)),
    }
)
"""The two published variants, and one for tests."""


class _ConvBNReLU(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(width_in, width, 1, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y


class _Residual(nn.Module):
    def __init__(self, width: int, bottleneck: float) -> None:
        super().__init__()
        inner = int(width * bottleneck)
        self.net1 = nn.Sequential(
            nn.Conv1d(width, inner, 1, bias=False), nn.BatchNorm1d(inner), nn.ReLU(inplace=True)
        )
        self.net2 = nn.Sequential(nn.Conv1d(inner, width, 1, bias=False), nn.BatchNorm1d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.net2(self.net1(x)) + x)


class _Grouper(nn.Module):
    """The geometric affine's alpha and beta; grouping itself has no parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.affine_alpha = nn.Parameter(torch.ones(1, 1, 1, width))
        self.affine_beta = nn.Parameter(torch.zeros(1, 1, 1, width))


class _PreExtraction(nn.Module):
    def __init__(self, width_in: int, width: int, blocks: int, bottleneck: float) -> None:
        super().__init__()
        self.transfer = _ConvBNReLU(2 * width_in, width)
        self.operation = nn.Sequential(*(_Residual(width, bottleneck) for _ in range(blocks)))

    def forward(self, groups: Tensor) -> Tensor:
        """(B, S, k, 2C) -> (B, C', S): the maximum over the k neighbours."""
        batch, anchors = groups.shape[:2]
        x = groups.flatten(0, 1).transpose(1, 2)
        y: Tensor = self.operation(self.transfer(x)).amax(dim=2)
        return y.reshape(batch, anchors, -1).transpose(1, 2)


class _PosExtraction(nn.Module):
    def __init__(self, width: int, blocks: int, bottleneck: float) -> None:
        super().__init__()
        self.operation = nn.Sequential(*(_Residual(width, bottleneck) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.operation(x)
        return y


def _fold(layers: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Conv1d(kernel 1) and the BatchNorm behind it as one (in, out) matrix and a bias."""
    conv, norm = layers[0], layers[1]
    assert isinstance(conv, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return (conv.weight[:, :, 0] * scale[:, None]).t().contiguous(), norm.bias - norm.running_mean * scale


def _folded(blocks: nn.Sequential) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Both layers of every residual block, folded."""
    return [(*_fold(block.net1), *_fold(block.net2)) for block in cast("list[_Residual]", list(blocks))]


def _residuals(
    x: Tensor, folded: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]], inner: Tensor | None = None
) -> Tensor:
    """(M, C) -> (M, C), in place: new memory for every product would cost a tenth of its time.

    Args:
        x: is overwritten.
        folded: of the blocks.
        inner: (M or more, inner width) to work in.
    """
    inner = x.new_empty(len(x), folded[0][0].shape[1]) if inner is None else inner[: len(x)]
    for first, first_bias, second, second_bias in folded:
        torch.addmm(first_bias, x, first, out=inner).relu_()
        x.add_(second_bias).addmm_(inner, second).relu_()
    return x


def _spread(features: Tensor, anchors: Tensor, neighbors: Tensor) -> Tensor:
    """(B,) unbiased deviation of grouped - anchor over all groups, neighbours and channels of a sample.

    From scalars per pair instead of the (S, k, C) differences; in double precision, as squares cancel.
    """
    double = features.double()
    gram = pick(double, anchors) @ double.transpose(1, 2)
    square, total = double.square().sum(dim=2), double.sum(dim=2)
    count = neighbors[0].numel() * features.shape[2]

    def grouped(values: Tensor) -> Tensor:
        return values.gather(1, neighbors.flatten(1)).reshape(neighbors.shape)

    def anchored(values: Tensor) -> Tensor:
        return values.gather(1, anchors)[..., None]

    squares = (grouped(square) + anchored(square) - 2.0 * gram.gather(2, neighbors)).sum(dim=(1, 2))
    sums = (grouped(total) - anchored(total)).sum(dim=(1, 2))
    variance = (squares - sums.square() / count) / (count - 1)
    return variance.clamp(min=0.0).sqrt().to(features.dtype)


class PointMLP(nn.Module):
    """(B, N, 3) points -> (B, 256) features >= 0, or (B, classes) logits.

    Normalisation, sampling and neighbours are computed in float32 whatever the weights are in: bfloat16 moves a pixel
    at x = 900 by up to 2 px.

    Args:
        variant: ``"pointmlp"`` (13.2 M parameters), ``"elite"`` (0.7 M) or ``"tiny"``.
        classes: None cuts the last layer off (ULIP's encoder, width 256); a number keeps it (ma-xu's classifier).
        points: decides the anchors of the stages: points // 2, // 4 … The published 1024 works with 478 points
            too: the surplus anchors are copies of the first.
        neighbors: k of the grouping.
        normalization: what is done to the cloud first; see `normalize_points`.
        sampling: ``"per_sample"``: farthest points of each cloud; ``"fixed"``: the indices of one reference cloud for
            all, given once by `fix_sampling` and stored with the weights (for clouds in mesh order).
        cloud: points that every cloud has to have; any number by default.

    Raises:
        BadConfig: unknown variant or sampling.
    """

    float32_inputs = True

    def __init__(
        self,
        variant: str = "pointmlp",
        classes: int | None = None,
        points: int = 1024,
        neighbors: int = 24,
        normalization: str = "none",
        sampling: str = "per_sample",
        cloud: int | None = None,
    ) -> None:
        super().__init__()
        require_known(variant, SHAPES, "PointMLP variant")
        require_known(sampling, ("per_sample", "fixed"), "sampling")
        shape = SHAPES[variant]
        self.neighbors, self.normalization, self.sampling = neighbors, normalization, sampling
        self.cloud = cloud
        self.anchor_counts = [points // 2 ** (stage + 1) for stage in range(len(shape.expansion))]
        self.embedding = _ConvBNReLU(3, shape.embed)
        self.local_grouper_list, self.pre_blocks_list, self.pos_blocks_list = (nn.ModuleList() for _ in "abc")
        width = shape.embed
        stages = zip(shape.expansion, shape.pre_blocks, shape.pos_blocks, strict=True)
        for expansion, pre_blocks, pos_blocks in stages:
            self.local_grouper_list.append(_Grouper(width))
            wider = width * expansion
            self.pre_blocks_list.append(_PreExtraction(width, wider, pre_blocks, shape.bottleneck))
            self.pos_blocks_list.append(_PosExtraction(wider, pos_blocks, shape.bottleneck))
            width = wider
        first, self.width = shape.head
        head: list[nn.Module] = [
            nn.Linear(width, first), nn.BatchNorm1d(first), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Linear(first, self.width), nn.BatchNorm1d(self.width), nn.ReLU(inplace=True), nn.Dropout(0.5),
        ]  # fmt: skip
        if classes is not None:
            head.append(nn.Linear(self.width, classes))
            self.width = classes
        self.classifier = nn.Sequential(*head)
        if sampling == "fixed":
            for stage, count in enumerate(self.anchor_counts):
                self.register_buffer(f"anchors_{stage}", torch.full((count,), -1, dtype=torch.long))

    def fix_sampling(self, reference: Tensor) -> None:
        """Take the farthest points of a reference cloud (N, 3) for every cloud from now on.

        Raises:
            BadConfig: the encoder was not built with ``sampling="fixed"``.
        """
        if self.sampling != "fixed":
            raise BadConfig(
                got=f"sampling {self.sampling!r}",
                expected="an encoder with sampling 'fixed'",
                fix="Build it so, or leave fix_sampling out",
            )
        cloud = normalize_points(reference[None], self.normalization)
        for stage, count in enumerate(self.anchor_counts):
            anchors = farthest_points(cloud, count)
            self.get_buffer(f"anchors_{stage}").copy_(anchors[0])
            cloud = pick(cloud, anchors)

    def _anchors(self, stage: int, points: Tensor) -> Tensor:
        if self.sampling == "per_sample":
            return farthest_points(points, self.anchor_counts[stage])
        stored = self.get_buffer(f"anchors_{stage}")
        if int(stored.min()) < 0 or int(stored.max()) >= points.shape[1]:
            raise BadInput(
                got=f"stored anchors {int(stored.min())}..{int(stored.max())} for {points.shape[1]} points",
                expected="indices of a reference cloud with as many points",
                fix="Call fix_sampling(reference) once before use",
            )
        return stored.expand(points.shape[0], -1)

    def forward(self, points: Tensor) -> Tensor:
        """Features of (B, N, 3) points.

        Raises:
            BadInput: another shape or number of points, or points that are not finite.
        """
        # A graph that is being exported cannot look at values, and wants operations that do not depend on the batch.
        exporting = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        shaped = points.ndim == 3 and points.shape[2] == 3 and self.cloud in (None, points.shape[1])
        if not shaped or not (exporting or bool(points.isfinite().all())):
            raise BadInput(
                got=f"points of shape {tuple(points.shape)}",
                expected=f"finite values of shape (clouds, {self.cloud or 'points'}, 3)",
                fix="Pass 3-D landmarks; leave faces without landmarks out",
            )
        cloud = normalize_points(points.float(), self.normalization)
        entered = cloud.transpose(1, 2).to(self.embedding.net[0].weight.dtype)  # type: ignore[arg-type]
        features: Tensor = self.embedding(entered).transpose(1, 2)
        fused = not (self.training or exporting or torch.is_grad_enabled())
        for stage in range(len(self.anchor_counts)):
            anchors = self._anchors(stage, cloud)
            centres = pick(cloud, anchors)
            neighbors = nearest(cloud, centres, self.neighbors)
            if fused:
                with without_autocast(features):
                    features = self._fused(stage, features.to(entered.dtype), anchors, neighbors)
            else:
                features = self._published(stage, features, anchors, neighbors)
            cloud = centres
        logits: Tensor = self.classifier(features.amax(dim=1))
        return logits

    def _published(self, stage: int, features: Tensor, anchors: Tensor, neighbors: Tensor) -> Tensor:
        """(B, N, C) -> (B, S, C'), layer by layer."""
        grouper = cast(_Grouper, self.local_grouper_list[stage])
        centre = pick(features, anchors)[:, :, None]
        offsets = pick(features, neighbors) - centre
        deviation = offsets.flatten(1).std(dim=1)[:, None, None, None]
        offsets = grouper.affine_alpha * (offsets / (deviation + 1e-5)) + grouper.affine_beta
        groups = torch.cat([offsets, centre.expand_as(offsets)], dim=3)
        x: Tensor = self.pos_blocks_list[stage](self.pre_blocks_list[stage](groups))
        return x.transpose(1, 2)

    def _fused(self, stage: int, features: Tensor, anchors: Tensor, neighbors: Tensor) -> Tensor:
        """As `_published` up to rounding.

        The first layer is linear in a neighbour and in its anchor, so it is applied to N + S rows instead of to S · k
        pairs, which only add up. What follows runs on a few groups at a time, in place, small enough for the cache.
        Surplus anchors repeat the first group.
        """
        pre = cast(_PreExtraction, self.pre_blocks_list[stage])
        pos = cast(_PosExtraction, self.pos_blocks_list[stage])
        grouper = cast(_Grouper, self.local_grouper_list[stage])
        weight, bias = _fold(pre.transfer.net)
        width = features.shape[2]
        moved = weight[:width] * grouper.affine_alpha.reshape(-1, 1)
        bias = bias + grouper.affine_beta.reshape(-1) @ weight[:width]
        scale = (1.0 / (_spread(features, anchors, neighbors) + 1e-5))[:, None, None]
        by_point = (features @ moved) * scale
        by_anchor = pick(features, anchors) @ weight[width:] - pick(by_point, anchors) + bias
        distinct = min(anchors.shape[1], features.shape[1])
        rows = by_point.new_empty(*anchors.shape, weight.shape[1])
        before, after = _folded(pre.operation), _folded(pos.operation)
        width, neighbors, by_anchor = weight.shape[1], neighbors[:, :distinct], by_anchor[:, :distinct]
        step = max(1, _CACHED_ROWS // neighbors.shape[2])
        groups, inner = (rows.new_empty(step * neighbors.shape[2], n) for n in (width, before[0][0].shape[1]))
        for sample in range(features.shape[0]):
            for start in range(0, distinct, step):
                near = neighbors[sample, start : start + step]
                x = torch.index_select(by_point[sample], 0, near.flatten(), out=groups[: near.numel()])
                x.unflatten(0, near.shape).add_(by_anchor[sample, start : start + step, None])
                _residuals(x.relu_(), before, inner)
                torch.amax(x.unflatten(0, near.shape), dim=1, out=rows[sample, start : start + len(near)])
        rows[:, distinct:] = rows[:, :1]
        return _residuals(rows.flatten(0, 1), after).reshape(rows.shape)
