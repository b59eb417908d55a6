"""Agreement of label words: accuracy (WAR), UAR, F1 per class, confusion counts.

Conventions
    * A prediction of None (unparsed) is a wrong answer: it counts in ``n`` and hits no class.
    * Recall of a class without truth is undefined (NaN) and stays out of UAR.
    * F1 of a class that occurs in neither truth nor prediction is undefined and stays out of the macro mean;
      a class that is only predicted has F1 0.
    * No item at all: every figure is NaN with n 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadInput
from mien.metrics.result import Result, macro

__all__ = ["accuracy", "class_f1", "confusion", "kappa", "macro_f1", "uar"]


def confusion(
    truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Counts (L, L + 1): rows truth, columns prediction in the order of ``labels``, last column none of them.

    Raises:
        BadInput: lengths differ, or a true label is not among ``labels``.
    """
    if len(truth) != len(predicted):
        raise BadInput(
            got=f"{len(truth)} true and {len(predicted)} predicted labels",
            expected="equal numbers",
            fix="Pass None for an unparsed answer",
        )
    place = {label: index for index, label in enumerate(labels)}
    unknown = sorted({label for label in truth if label not in place})
    if unknown:
        raise BadInput(
            got=f"true labels {', '.join(unknown)}",
            expected=f"only {', '.join(labels)}",
            fix="Map or drop the other labels first",
        )
    counts = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    for true, guess in zip(truth, predicted, strict=True):
        column = len(labels) if guess is None else place.get(guess, len(labels))
        counts[place[true], column] += 1
    return counts


def accuracy(truth: Sequence[str], predicted: Sequence[str | None]) -> Result:
    """Share of items whose prediction equals the truth; the weighted average recall (WAR) of the papers."""
    n = int(confusion(truth, predicted, sorted(set(truth))).sum())
    hits = sum(true == guess for true, guess in zip(truth, predicted, strict=True))
    return Result("accuracy", hits / n if n else math.nan, n)


def uar(truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]) -> Result:
    """Unweighted average recall: mean recall of the classes that occur in the truth.

    ``parts`` holds the recall per class, ``n`` the number of classes in the mean.
    """
    counts = confusion(truth, predicted, labels)
    sizes = counts.sum(axis=1)
    recalls = {
        label: float(counts[row, row] / sizes[row]) if sizes[row] else math.nan
        for row, label in enumerate(labels)
    }
    return macro("UAR", recalls)


def class_f1(
    truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]
) -> dict[str, Result]:
    """F1 per class, ``2 TP / (2 TP + FP + FN)``; ``n`` is the number of true items of the class."""
    counts = confusion(truth, predicted, labels)
    hits = np.diagonal(counts)
    told, true = counts[:, :-1].sum(axis=0), counts.sum(axis=1)
    return {
        label: Result(
            f"F1 {label}",
            float(2 * hits[row] / (told[row] + true[row])) if told[row] + true[row] else math.nan,
            int(true[row]),
        )
        for row, label in enumerate(labels)
    }


def macro_f1(truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]) -> Result:
    """Mean F1 over the classes where it is defined; ``n`` is their number."""
    per_class = class_f1(truth, predicted, labels)
    return macro("macro F1", MappingProxyType({label: result.value for label, result in per_class.items()}))


def kappa(first: Sequence[object], second: Sequence[object]) -> Result:
    """Cohen's kappa (1960) of two raters over the same items: agreement beyond chance, 1 perfect, 0 chance.

    Undefined (NaN) without items, or when both raters use one and the same label throughout.
    """
    words = [[str(one) for one in rater] for rater in (first, second)]
    labels = sorted({*words[0], *words[1]})
    counts = confusion(words[0], words[1], labels)[:, :-1]
    n = int(counts.sum())
    if n == 0 or len(labels) == 1:
        return Result("kappa", math.nan, n)
    chance = float(counts.sum(axis=0) @ counts.sum(axis=1)) / n**2
    return Result("kappa", (float(np.trace(counts)) / n - chance) / (1 - chance), n)
