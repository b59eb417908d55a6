"""Which items are learnt when, by how many processes ever: steps, micro-batches, and the random choices of each.

Everything follows from seed, epoch and items, never from how many processes there are: a step of two processes is
the step of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import TrainerCallback

from mien.models.composite.processing import IGNORED

__all__ = ["LEARNT", "NAMES", "PLACES", "SEED", "Epochs", "Steps", "Visited", "loader"]

NAMES, SEED, LEARNT, PLACES = "item_names", "dropout_seed", "learnt", "places"
"""Of a batch: its items, what its dropout is drawn from, how many tokens of each item are learnt, and (P,) the places
b * T + t before them, all found before anything is on a device."""


@dataclass(slots=True, eq=False)
class Steps(Sampler[list[int]]):
    """The micro-batches of one process. Within a step items of like length stand together, the longest first.

    An epoch's last step may be short: processes without a share of it get a micro-batch that does not count (its items
    are given as ``~place``).

    Args:
        items: of an epoch.
        batch: items of a step, over all processes.
        micro: items of a micro-batch.
        seed: of the order.
        processes: how many share a step.
        process: which one this is.
        length: of an item, to put alike ones together; None leaves them as drawn.
        even: spread a short step over all processes, where they exchange rows of encoders: none of them is then empty.
        epoch: whose order is drawn next.
    """

    items: int
    batch: int
    micro: int
    seed: int
    processes: int = 1
    process: int = 0
    length: Callable[[int], int] | None = None
    even: bool = False
    epoch: int = 0

    def turn_to(self, epoch: int) -> None:
        """The epoch whose order is drawn next."""
        self.epoch = epoch

    def _shares(self, count: int) -> int:
        """Micro-batches of each process in a step of ``count`` items."""
        return -(-count // (self.micro * self.processes))

    def __len__(self) -> int:
        whole, rest = divmod(self.items, self.batch)
        return whole * self._shares(self.batch) + self._shares(rest)

    def __iter__(self) -> Iterator[list[int]]:
        drawn = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.items, generator=drawn).tolist()
        for start in range(0, self.items, self.batch):
            step = order[start : start + self.batch]
            if self.length is not None and self.micro < self.batch:
                step.sort(key=self.length, reverse=True)
            parts = self._parts(step)
            yield from parts[self.process :: self.processes]

    def _parts(self, step: list[int]) -> list[list[int]]:
        wanted = self._shares(len(step)) * self.processes
        size = -(-len(step) // wanted) if self.even else self.micro
        parts = [step[at : at + size] for at in range(0, len(step), size)]
        return parts + [[~step[0]]] * (wanted - len(parts))


class _Counting(Dataset[tuple[Any, bool]]):
    """Items, and whether they count."""

    def __init__(self, data: Dataset[Any]) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def __getitem__(self, place: int) -> tuple[Any, bool]:
        return self.data[max(place, ~place)], place >= 0


class Visited:
    """A collator whose random choices follow from seed, epoch and items alone; it names the items (`NAMES`)."""

    def __init__(
        self, collator: Callable[[Sequence[Any]], Mapping[str, Any]], name: Callable[[Any], str], seed: int
    ) -> None:
        self.collator, self.name, self.seed, self.epoch = collator, name, seed, 0

    def turn_to(self, epoch: int) -> None:
        """The epoch whose choices are drawn next."""
        self.epoch = epoch

    def __call__(self, pairs: Sequence[tuple[Any, bool]]) -> dict[str, Any]:
        batch = [item for item, _ in pairs]
        names = [self.name(item) for item in batch]
        digest = hashlib.sha256("\n".join([f"{self.seed}/{self.epoch}", *names]).encode()).digest()
        seed = int.from_bytes(digest[:8], "big") >> 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = {**self.collator(batch), NAMES: names, SEED: seed ^ 1}
        if not all(counts for _, counts in pairs):
            _take_out(made)
        if "labels" in made:
            learnt = functional.pad(made["labels"][:, 1:] != IGNORED, (0, 1))
            made[LEARNT], made[PLACES] = learnt.sum(dim=1).tolist(), learnt.flatten().nonzero()[:, 0]
        return made


def _take_out(batch: dict[str, Any]) -> None:
    """Nothing of it is learnt."""
    for name, nothing in (("labels", IGNORED), ("emotion", 0.0), ("units", torch.nan)):
        if name in batch:
            batch[name] = torch.full_like(batch[name], nothing)


def loader(data: Dataset[Any], steps: Steps, visited: Visited, workers: int, pinned: bool) -> DataLoader[Any]:
    """Batches of one process."""
    return DataLoader(
        _Counting(data),
        batch_sampler=steps,
        collate_fn=visited,
        num_workers=workers,
        pin_memory=pinned,
        prefetch_factor=4 if workers else None,
    )


class Epochs(TrainerCallback):
    """Turns data, order and collator to the epoch that begins, or goes on."""

    def __init__(self, *turned: Any) -> None:
        self.turned = turned

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The epoch that begins."""
        for one in self.turned:
            if hasattr(one, "turn_to"):
                one.turn_to(int(state.epoch or 0))
