"""Is one model better than another? Intervals, paired tests, and the correction for asking many times.

Conventions
    * Intervals are percentiles of a bootstrap with a fixed seed; items that belong together (frames of one person)
      are drawn together as a cluster.
    * Tests are two-sided. A question that cannot be asked (no item, no seed twice) has the p-value NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadInput, require

__all__ = ["Interval", "McNemar", "anova", "bootstrap", "holm", "mcnemar", "wilson"]

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it may lie."""

    value: float
    """On the items themselves."""
    low: float
    high: float
    """Ends of the interval; NaN below two items."""
    n: int
    """Items, or clusters where they are drawn together."""

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference of this kind is told apart from none."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class McNemar:
    """Items that exactly one of two models has right."""

    first_only: int
    second_only: int
    p: float
    """Exact binomial, two-sided; 1 when they never differ."""


def bootstrap(
    measure: Callable[[Rows], float],
    n: int,
    clusters: Sequence[Hashable] | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of any figure of items, a paired difference included.

    Args:
        measure: figure of the items at these places (repeats included); NaN where it is undefined there.
        n: number of items.
        clusters: which items belong together, e.g. their subject; None draws items one by one.
        draws: samples with replacement.
        level: share of the draws inside.
        seed: of the draws: equal inputs give equal ends.

    Raises:
        BadInput: not one cluster per item.
    """
    if clusters is not None and len(clusters) != n:
        raise BadInput(
            got=f"{len(clusters)} cluster names for {n} items", expected="one each", fix="Pass None, or all of them"
        )  # fmt: skip
    value = measure(np.arange(n)) if n else math.nan
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters or ()))}
    groups = None
    if clusters is not None:
        member = np.asarray([names[name] for name in clusters], np.int64)
        groups = [np.flatnonzero(member == place) for place in range(len(names))]
    units = n if groups is None else len(groups)
    if units < 2:
        return Interval(value, math.nan, math.nan, units)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        chosen = rng.integers(units, size=units)
        rows = chosen if groups is None else np.concatenate([groups[place] for place in chosen])
        found.append(measure(rows))
    known = np.asarray([one for one in found if not math.isnan(one)])
    if not len(known):
        return Interval(value, math.nan, math.nan, units)
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2))
    return Interval(value, float(low), float(high), units)


def wilson(share: float, n: int, z: float = 1.959964) -> Interval:
    """Wilson's interval of a share 0..1, by default of 95 %: what a published accuracy over ``n`` items leaves open."""
    if n < 1:
        return Interval(math.nan, math.nan, math.nan, n)
    square = z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return Interval(share, middle - half, middle + half, n)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """McNemar's exact test on the same items.

    Args:
        first: whether the first model is right, item by item.
        second: the same of the second model.

    Raises:
        BadInput: lengths differ.
    """
    if len(first) != len(second):
        raise BadInput(
            got=f"{len(first)} and {len(second)} verdicts",
            expected="the same items",
            fix="Compare the items that both models answered",
        )
    ours = sum(a and not b for a, b in zip(first, second, strict=True))
    theirs = sum(b and not a for a, b in zip(first, second, strict=True))
    total, fewer = ours + theirs, min(ours, theirs)
    logs = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) - total * math.log(2)
        for k in range(fewer + 1)
    ]
    return McNemar(ours, theirs, min(1.0, 2 * math.fsum(map(math.exp, logs))))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjustment for a family of questions; NaN stays NaN and counts as no question."""
    asked = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = list(p_values), 0.0
    for rank, (p, place) in enumerate(asked):
        highest = max(highest, min(1.0, (len(asked) - rank) * p))
        adjusted[place] = highest
    return tuple(adjusted)


def anova(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """One-way analysis of variance: do the settings differ beyond what their seeds do? F and p.

    Args:
        groups: figures of one setting per group, one for each seed.
    """
    sizes = [len(group) for group in groups]
    within = sum(sizes) - len(groups)
    if len(groups) < 2 or min(sizes) < 1 or within < 1:
        return math.nan, math.nan
    grand = math.fsum(value for group in groups for value in group) / sum(sizes)
    means = [math.fsum(group) / len(group) for group in groups]
    between = math.fsum(size * (mean - grand) ** 2 for size, mean in zip(sizes, means, strict=True))
    rest = math.fsum(
        (value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group
    )
    if rest == 0:
        return (math.inf, 0.0) if between else (math.nan, math.nan)
    f = (between / (len(groups) - 1)) / (rest / within)
    special = require("scipy.special", extra="eval", purpose="the p-value of an analysis of variance")
    return f, float(special.fdtrc(len(groups) - 1, within, f))
