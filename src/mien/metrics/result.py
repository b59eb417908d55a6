"""A measured figure with its name and the number of items it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadInput

__all__ = ["Result", "checked_pair", "macro"]


@dataclass(frozen=True, slots=True)
class Result:
    """One figure."""

    name: str
    """E.g. ``"accuracy"``."""
    value: float
    """NaN when undefined for these items."""
    n: int
    """Items it was computed from: samples, or for a macro mean classes or AUs."""
    parts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """The figure per class or AU, where there are such."""


def checked_pair(first: npt.ArrayLike, second: npt.ArrayLike, what: str) -> tuple[
    npt.NDArray[np.float64], npt.NDArray[np.float64]
]:  # fmt: skip
    """Both as float arrays of one dimension and equal length, pairs with a NaN on either side left out.

    Raises:
        BadInput: lengths differ or an array is not one-dimensional.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise BadInput(
            got=f"{what} of shapes {a.shape} and {b.shape}",
            expected="two one-dimensional sequences of equal length",
            fix="Pass one prediction per truth",
        )
    both = ~(np.isnan(a) | np.isnan(b))
    return a[both], b[both]


def macro(name: str, parts: Mapping[str, float]) -> Result:
    """Mean of the defined parts; ``n`` is how many are defined, and undefined ones stay visible as NaN."""
    defined = [value for value in parts.values() if not math.isnan(value)]
    mean = math.fsum(defined) / len(defined) if defined else math.nan
    return Result(name, mean, len(defined), MappingProxyType(dict(parts)))
