"""How often each dialogue is seen: mixing ratios between tasks, and sampling weights against class imbalance.

Pure functions; a training loop hands the weights to its own weighted sampler.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadConfig, BadInput

__all__ = ["imbalance_weights", "interleave", "mixture", "passes", "shares"]


def shares(ratio: Mapping[str, float]) -> dict[str, float]:
    """A ratio by name as shares that sum to 1: ``{"label": 3, "cot": 1}`` -> ``{"label": 0.75, "cot": 0.25}``.

    Raises:
        BadConfig: no name, a negative or infinite share, or nothing but zeros.
    """
    total = sum(ratio.values())
    if any(not 0.0 <= share < math.inf for share in ratio.values()) or not 0.0 < total < math.inf:
        raise BadConfig(
            got=f"ratio {dict(ratio)}",
            expected="a share of 0 or more for each name, one of them above 0",
            fix="Write it as in label: 0.75, cot: 0.25",
        )
    return {name: share / total for name, share in ratio.items()}


def passes(sizes: Mapping[str, int], ratio: Mapping[str, float]) -> dict[str, float]:
    """How often each source is gone through in one epoch so that its items have their share.

    The source with the most items for its share is gone through once: with ExpLLM's two equal sources and 0.75 : 0.25
    that is 3 passes over the labels for one over the chains of thought.

    Args:
        sizes: items of each source.
        ratio: wanted shares, by the same names.

    Raises:
        BadConfig: the names differ, a source with a share is empty, or as `shares`.
    """
    wanted = shares(ratio)
    if set(sizes) != set(wanted) or any(sizes[name] < 1 for name, share in wanted.items() if share):
        raise BadConfig(
            got=f"sources {dict(sizes)} for the ratio {dict(ratio)}",
            expected="items for each name of the ratio",
            fix="Leave empty sources out of both",
        )
    length = max(sizes[name] / share for name, share in wanted.items() if share)
    return {name: length * share / sizes[name] if share else 0.0 for name, share in wanted.items()}


def interleave(ratio: Mapping[str, float]) -> Iterator[str]:
    """Names without end, each at its share; after any number of draws every count is within 1 of its share.

    Deterministic: the quota method of apportionment, which takes the earlier name on a tie.
    """
    wanted = {name: share for name, share in shares(ratio).items() if share}
    drawn = dict.fromkeys(wanted, 0)
    for number in itertools.count(1):
        # Among names that would not run ahead, the one whose turn ends first: this keeps every count within 1.
        ready = [name for name, share in wanted.items() if drawn[name] <= share * number]
        name = min(ready, key=lambda one: (drawn[one] + 1) / wanted[one])
        drawn[name] += 1
        yield name


def mixture(
    sizes: Mapping[str, int], ratio: Mapping[str, float], total: int, seed: int = 0
) -> Iterator[tuple[str, int]]:
    """``total`` items as (source, index), mixed at a ratio: no item of a source comes again before all others came.

    Args:
        sizes: items of each source.
        ratio: shares by source.
        total: number of items; an epoch of ``passes`` has ``sum(sizes[name] * passes[name])``.
        seed: of the order within each source, which differs from pass to pass.

    Raises:
        BadConfig: as `passes`, on the first item.
    """
    passes(sizes, ratio)
    orders = {name: _orders(size, f"{seed}/{name}") for name, size in sizes.items()}
    for _, name in zip(range(total), interleave(ratio), strict=False):
        yield name, next(orders[name])


def _orders(size: int, seed: str) -> Iterator[int]:
    rng = random.Random(seed)
    while True:
        order = list(range(size))
        rng.shuffle(order)
        yield from order


def imbalance_weights(
    labels: Sequence[str], power: float = 1.0, cap: float | None = None
) -> npt.NDArray[np.float64]:
    """Sampling weights that draw rare labels more often, for sampling with replacement.

    ``power=1`` without a cap is the sampler of EMO-LLaMA's category instructions (``torchsampler``): weight
    1 / count of the label, so that all labels are drawn alike.

    Args:
        labels: label of each of N items.
        power: weight is ``count ** -power``: 1 balances fully, 0 leaves the data as it is.
        cap: no item weighs more than ``cap`` times the lightest one.

    Returns:
        (N,) weights with mean 1.

    Raises:
        BadConfig: ``power`` outside 0..1, or ``cap`` below 1.
        BadInput: no labels.
    """
    if not 0.0 <= power <= 1.0 or (cap is not None and not cap >= 1.0):
        raise BadConfig(
            got=f"power {power:g}, cap {cap}",
            expected="a power in 0..1, and a cap of 1 or more or none",
            fix="Start with power 1 and no cap",
        )
    if not labels:
        raise BadInput(
            got="no labels", expected="the label of each item", fix="Leave out unlabelled items first"
        )
    counts = Counter(labels)
    by_label = {label: float(count) ** -power for label, count in counts.items()}
    if cap is not None:
        limit = cap * min(by_label.values())
        by_label = {label: min(weight, limit) for label, weight in by_label.items()}
    weights = np.array([by_label[label] for label in labels], dtype=np.float64)
    scaled: npt.NDArray[np.float64] = weights / weights.mean()
    return scaled
