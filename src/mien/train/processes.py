"""What processes of one training do together: sums, rows of all, batch normalisation, shares of a phase."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

__all__ = ["count", "everyones_rows", "rank", "share_batches", "summed"]


def count() -> int:
    """Processes of this training."""
    return int(distributed.get_world_size()) if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is."""
    return int(distributed.get_rank()) if distributed.is_initialized() else 0


def summed(value: Tensor) -> Tensor:
    """The sum over all processes, without a gradient."""
    value = value.detach().clone()
    if count() > 1:
        distributed.all_reduce(value)
    return value


class _Total(torch.autograd.Function):
    """The sum over all processes; the gradient of each addend is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return summed(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return summed(gradients[0].contiguous())


def _total(value: Tensor) -> Tensor:
    total: Tensor = _Total.apply(value)  # type: ignore[no-untyped-call]
    return total


def _own_rows(rows: Tensor) -> tuple[int, int, int]:
    """Where this process's rows begin and end among those of all, and how many there are."""
    sizes = torch.zeros(count(), dtype=torch.long, device=rows.device)
    sizes[rank()] = len(rows)
    ends = summed(sizes).cumsum(0).tolist()
    return ends[rank()] - len(rows), ends[rank()], ends[-1]


def everyones_rows(rows: Tensor) -> Tensor:
    """(N, d) -> the rows of all processes, in their order; gradients go back to where a row came from."""
    if count() == 1:
        return rows
    start, end, whole = _own_rows(rows)
    before, behind = rows.new_zeros(start, *rows.shape[1:]), rows.new_zeros(whole - end, *rows.shape[1:])
    return _total(torch.cat([before, rows, behind]))


class _SharedDropout(nn.Dropout):
    """Dropout as one process would draw it for the whole batch."""

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return values
        start, end, whole = _own_rows(values)
        return values * functional.dropout(values.new_ones(whole, *values.shape[1:]), self.p)[start:end]


class _SharedNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation by the statistics of all processes; torch's own does so on GPUs alone."""

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return super().forward(values)
        dims = [0, *range(2, values.ndim)]
        number = summed(values.new_tensor(float(values.numel() // values.shape[1])))
        shape = (1, -1, *[1] * (values.ndim - 2))
        mean = _total(values.sum(dims)) / number
        centred = values - mean.view(shape)
        spread = _total(centred.square().sum(dims)) / number
        with torch.no_grad():
            share = 0.1 if self.momentum is None else self.momentum
            for kept, now in (
                (self.running_mean, mean),
                (self.running_var, spread * number / (number - 1.0)),
            ):
                if kept is not None:
                    kept.lerp_(now.to(kept.dtype), share)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        normed = centred * (spread + self.eps).rsqrt().view(shape)
        if self.weight is None:
            return normed
        return normed * self.weight.view(shape) + self.bias.view(shape)

    def _check_input_dim(self, input: Any) -> None:
        pass


def share_batches(encoder: nn.Module) -> dict[nn.Module, type[nn.Module]]:
    """Have batch normalisation and dropout treat the parts of all processes as one batch; the classes they had."""
    before: dict[nn.Module, type[nn.Module]] = {}
    for one in encoder.modules() if count() > 1 else ():
        kind = _SharedNorm if isinstance(one, nn.modules.batchnorm._BatchNorm) else _SharedDropout
        if kind is _SharedNorm or type(one) is nn.Dropout:
            before[one], one.__class__ = type(one), kind
    return before
