"""What processes of one training do together: sums, rows of all, batch normalisation, shares of a phase.

Collectives of training have a short limit, so that a lost process is found soon. Between them lie phases that may take
hours (finding faces, validation): who is done waits in a group of its own, with a limit of a month.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState  # type: ignore[import-untyped]
from torch import Tensor, distributed, nn
from torch.nn import functional

__all__ = [
    "LIMIT",
    "begin",
    "count",
    "everyones",
    "everyones_rows",
    "filled_by_all",
    "first_alone",
    "first_to_fail",
    "in_shares",
    "meet",
    "rank",
    "share_batches",
    "summed",
]

T = TypeVar("T")
LIMIT = timedelta(minutes=15)
"""For one collective of training: a process that answers later counts as lost."""
_PHASE = timedelta(days=30)
_waiting: list[Any] = []


def _store() -> Any:
    """The store of ``torchrun``, open before the processes have joined; None where it did not start this one."""
    known = os.environ
    if int(known.get("WORLD_SIZE", "1")) == 1 or "TORCHELASTIC_RUN_ID" not in known:
        return None
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        known["MASTER_ADDR"], int(known["MASTER_PORT"]), is_master=False, timeout=LIMIT
    )
    names = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
    return distributed.PrefixStore(  # type: ignore[attr-defined]
        "/".join(["mien", *(known.get(name, "0") for name in names)]), store
    )


def first_to_fail() -> bool:
    """Whether this process fails before any other: one says why, the others only end.

    ``torchrun`` ends the others as soon as one has ended.
    """
    try:
        store = _store()
        return store is None or int(store.add("failed", 1)) == 1
    except (RuntimeError, OSError):
        return True


def begin(limit: timedelta = LIMIT) -> torch.device:
    """Join the processes that ``torchrun`` started, where it did; the device of this one."""
    store = None if distributed.is_initialized() else _store()
    if store is not None:
        # Some machines load for minutes longer than others; joining has the limit of a collective.
        store.set(f"here/{os.environ['RANK']}", "")
        store.wait([f"here/{one}" for one in range(int(os.environ["WORLD_SIZE"]))], LIMIT)
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=limit)
    _waiting[:] = [distributed.new_group(backend="gloo", timeout=_PHASE)] if count() > 1 else []
    return torch.device(state.device)


def count() -> int:
    """Processes of this training."""
    return int(distributed.get_world_size()) if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is."""
    return int(distributed.get_rank()) if distributed.is_initialized() else 0


def meet() -> None:
    """Wait for all processes, however long it takes."""
    if count() > 1:
        distributed.all_reduce(torch.zeros(1), group=_waiting[0])


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process does it before the others, which then find it done."""
    if rank():
        meet()
    yield
    if not rank():
        meet()


def everyones(value: T) -> list[T]:
    """What each process has, as JSON can hold it, in their order; floats come to the last digit."""
    if count() == 1:
        return [value]
    text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    sizes = [torch.zeros(1, dtype=torch.long) for _ in range(count())]
    distributed.all_gather(sizes, torch.tensor([len(text)]), group=_waiting[0])
    longest = int(max(sizes))
    padded = functional.pad(text, (0, longest - len(text)))
    texts = [torch.zeros(longest, dtype=torch.uint8) for _ in sizes]
    distributed.all_gather(texts, padded, group=_waiting[0])
    return [json.loads(bytes(one[: int(size)].tolist())) for one, size in zip(texts, sizes, strict=True)]


def in_shares(items: Sequence[Any], size: int, work: Callable[[Sequence[Any]], Sequence[T]]) -> list[T]:
    """What ``work`` makes of all items, in their order; batches are the same however many processes share them.

    Args:
        items: any.
        size: of a batch.
        work: batch -> one result per item, as JSON can hold it.
    """
    starts = range(0, len(items), size)
    own = {start: list(work(items[start : start + size])) for start in starts[rank() :: count()]}
    if count() == 1:
        return [one for start in starts for one in own[start]]
    whole: dict[str, list[T]] = {}
    for told in everyones({str(start): results for start, results in own.items()}):
        whole |= told
    return [one for start in starts for one in whole[str(start)]]


def filled_by_all(rows: Tensor) -> Tensor:
    """Rows of which each process filled its own, zeros elsewhere."""
    if count() > 1:
        distributed.all_reduce(rows, group=_waiting[0])
    return rows


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
