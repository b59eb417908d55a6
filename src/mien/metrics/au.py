"""Agreement on Action Units: binary F1, AUC, MAE, PCC, CCC and ICC(3,1), one by one and as macro means.

Conventions
    * Presence from a level is the caller's business (DISFA: level >= 2 in EmoLA, > 2 in AU-LLaVA).
    * A NaN on either side is an unmeasured or uncoded item: the pair is left out, ``n`` says how many remain.
    * Undefined figures are NaN and stay out of macro means: F1 with no positive in truth or prediction, AUC
      without both classes, PCC, CCC and ICC without variance or with fewer than two items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from mien.metrics.result import Result, checked_pair, macro

__all__ = ["auc", "ccc", "f1", "icc", "macro_over_aus", "mae", "pcc", "ranks"]

Measure = Callable[[npt.ArrayLike, npt.ArrayLike], Result]


def ranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Ranks from 1, ties sharing their mean rank."""
    array = np.asarray(values, dtype=np.float64)
    _, place, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[place], dtype=np.float64)


def f1(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Result:
    """Binary F1 of the positive class from 0/1 sequences (NaN: uncoded)."""
    true, guess = checked_pair(truth, predicted, "AU presences")
    told, positives = guess > 0.5, true > 0.5
    total = int(told.sum()) + int(positives.sum())
    hits = int((told & positives).sum())
    return Result("F1", 2.0 * hits / total if total else math.nan, len(true))


def auc(truth: npt.ArrayLike, score: npt.ArrayLike) -> Result:
    """Area under the ROC curve by ranks: the chance that a positive scores above a negative, ties counting half."""
    true, value = checked_pair(truth, score, "AU presences and scores")
    positives = true > 0.5
    p, q = int(positives.sum()), int((~positives).sum())
    if p == 0 or q == 0:
        return Result("AUC", math.nan, len(true))
    above = ranks(value)[positives].sum() - p * (p + 1) / 2.0
    return Result("AUC", float(above / (p * q)), len(true))


def mae(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Result:
    """Mean absolute error, in the scale of the inputs."""
    true, guess = checked_pair(truth, predicted, "AU values")
    return Result("MAE", float(np.abs(true - guess).mean()) if len(true) else math.nan, len(true))


def pcc(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Result:
    """Pearson's correlation."""
    true, guess = checked_pair(truth, predicted, "AU values")
    if len(true) < 2 or np.ptp(true) == 0 or np.ptp(guess) == 0:
        return Result("PCC", math.nan, len(true))
    a, b = true - true.mean(), guess - guess.mean()
    return Result("PCC", float(a @ b / math.sqrt((a @ a) * (b @ b))), len(true))


def ccc(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Result:
    """Lin's concordance: ``2 cov / (var + var + (mean - mean)²)``, population moments; also of valence and arousal."""
    true, guess = checked_pair(truth, predicted, "values")
    spread = float(true.var() + guess.var() + (true.mean() - guess.mean()) ** 2) if len(true) > 1 else 0.0
    if spread == 0:
        return Result("CCC", math.nan, len(true))
    covariance = float(((true - true.mean()) * (guess - guess.mean())).mean())
    return Result("CCC", 2.0 * covariance / spread, len(true))


def icc(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Result:
    """ICC(3,1), two-way mixed, consistency, single rater (Shrout & Fleiss 1979): ``(BMS - EMS) / (BMS + EMS)``.

    BMS and EMS are the mean squares between items and of the residual, for two raters.
    """
    true, guess = checked_pair(truth, predicted, "AU values")
    n = len(true)
    if n < 2:
        return Result("ICC(3,1)", math.nan, n)
    both = np.stack([true, guess], axis=1)
    centred = both - both.mean(axis=0)
    items = centred.mean(axis=1)
    between = 2.0 * float(items @ items) / (n - 1)
    residual = centred - items[:, None]
    error = float((residual**2).sum()) / (n - 1)
    total = between + error
    return Result("ICC(3,1)", (between - error) / total if total > 0 else math.nan, n)


def macro_over_aus(
    measure: Measure, truth: Mapping[str, npt.ArrayLike], predicted: Mapping[str, npt.ArrayLike]
) -> Result:
    """Mean of a measure over AUs, each with its own value in ``parts``.

    AUs that one side lacks, or where the measure is undefined, are NaN in ``parts`` and not in the mean; ``n`` is
    the number of AUs in the mean.

    Args:
        measure: `f1`, `auc`, `mae`, `pcc`, `ccc` or `icc`.
        truth: AU key -> values.
        predicted: AU key -> values, of the same length.
    """
    keys = list(dict.fromkeys((*truth, *predicted)))
    results = {key: measure(truth[key], predicted[key]) for key in keys if key in truth and key in predicted}
    parts = {key: results[key].value if key in results else math.nan for key in keys}
    name = next((result.name for result in results.values()), "measure")
    return macro(f"macro {name}", parts)
