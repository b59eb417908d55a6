"""The Exp-CoT score (Lan et al. 2025, section III-B7): how near a chain of thought is to its reference.

A judge gives three marks: key observations 0-5 (names and intensities of AUs), overall emotional interpretation 0-5
(combinations of AUs and their emotions), conclusion 0 or 5 (the label). The score is their sum over 15, so 0-1; the
paper's table III agrees with that (2.93 + 3.22 + 3.25 = .63 * 15). Scores of different judges cannot be compared, so
every result names its judge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mien.core.errors import BadInput
from mien.metrics.result import Result

__all__ = ["HIGHEST_MARK", "ExpCotMarks", "ExpCotResult", "exp_cot_score"]

HIGHEST_MARK = 5.0
"""Best mark of one part."""
_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class ExpCotMarks:
    """Marks of one chain of thought.

    Raises:
        BadInput: a mark out of 0..5, or a conclusion that is neither 0 nor 5.
    """

    observations: float
    interpretation: float
    conclusion: float

    def __post_init__(self) -> None:
        marks = (self.observations, self.interpretation, self.conclusion)
        if not all(0.0 <= mark <= HIGHEST_MARK for mark in marks) or self.conclusion not in (
            0.0,
            HIGHEST_MARK,
        ):
            raise BadInput(
                got=f"marks {self.observations:g}, {self.interpretation:g} and {self.conclusion:g}",
                expected="observations and interpretation 0 to 5, conclusion 0 or 5",
                fix="Ask the judge again, or count the case as unparsed",
            )

    @property
    def score(self) -> float:
        """Sum of the marks over their best sum, 0..1."""
        return (self.observations + self.interpretation + self.conclusion) / (3.0 * HIGHEST_MARK)


@dataclass(frozen=True, slots=True)
class ExpCotResult:
    """Scores of many chains of thought by one judge."""

    judge: str
    """Model name of the judge."""
    score: Result
    """Mean score 0..1 over the marked cases; ``parts`` holds the mean marks 0..5."""
    low: float
    high: float
    """95 % interval of the mean: percentiles of a bootstrap over the cases, fixed seed; NaN below two cases."""
    unparsed: int
    """Cases that the judge did not mark readably; they count in no mean."""


def exp_cot_score(marks: Sequence[ExpCotMarks | None], judge: str) -> ExpCotResult:
    """Mean score and marks with a 95 % interval.

    Args:
        marks: one entry per case; None where the judge's reply could not be read.
        judge: model name of the judge.
    """
    known = [mark for mark in marks if mark is not None]
    table = np.asarray([(m.observations, m.interpretation, m.conclusion) for m in known], np.float64).reshape(
        -1, 3
    )
    means = table.mean(axis=0) if len(known) else np.full(3, math.nan)
    parts = dict(zip(("observations", "interpretation", "conclusion"), map(float, means), strict=True))
    scores = table.sum(axis=1) / (3.0 * HIGHEST_MARK)
    mean = float(scores.mean()) if len(known) else math.nan
    low, high = _interval(scores)
    result = Result(f"Exp-CoT score (judge: {judge})", mean, len(known), MappingProxyType(parts))
    return ExpCotResult(judge, result, low, high, len(marks) - len(known))


def _interval(scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    if len(scores) < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(0).integers(len(scores), size=(_DRAWS, len(scores)))
    low, high = np.percentile(scores[draws].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)
