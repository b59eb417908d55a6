"""Is a probability worth its number? ECE, Brier score, likelihood, reliability bins, and a fit that repairs it.

Probabilities are (N, C) with rows that sum to 1; targets are (N,) class indices or (N, C) vote shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadInput
from mien.metrics.result import Result

__all__ = ["Bin", "Scaling", "brier", "ece", "fit_scaling", "nll", "reliability", "softmax"]

Floats = npt.NDArray[np.float64]
_F = TypeVar("_F", np.float32, np.float64)


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability diagram."""

    low: float
    high: float
    """Confidences in ``(low, high]``; the first bin holds 0 too."""
    n: int
    confidence: float
    """Mean confidence, NaN when empty."""
    accuracy: float
    """Share of right answers, NaN when empty."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Calibrated probabilities are ``softmax(logits / temperature + bias)``."""

    temperature: float
    bias: tuple[float, ...]
    """One per class, mean 0."""

    def apply(self, logits: npt.ArrayLike) -> Floats:
        """(N, C) logits -> (N, C) calibrated probabilities."""
        return softmax(np.asarray(logits, dtype=np.float64) / self.temperature + np.asarray(self.bias))


def softmax(logits: npt.NDArray[_F]) -> npt.NDArray[_F]:
    """Logits (..., C) -> probabilities that sum to 1, in the same precision."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=logits.dtype)


def _shares(targets: npt.ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Targets as (N, C) shares."""
    array = np.asarray(targets)
    if array.shape == shape:
        return np.asarray(array, dtype=np.float64)
    if len(shape) != 2 or array.shape != shape[:1]:
        raise BadInput(
            got=f"targets of shape {array.shape} for probabilities of shape {shape}",
            expected="(N,) class indices or (N, C) shares for (N, C) probabilities",
            fix="Pass one target per row",
        )
    whole = array.astype(np.int64)
    if len(whole) and (whole.min() < 0 or whole.max() >= shape[1] or np.any(whole != array)):
        raise BadInput(
            got=f"class indices {array.min()}..{array.max()}",
            expected=f"whole numbers 0..{shape[1] - 1}",
            fix="Use the same label order as the probabilities",
        )
    return np.asarray(np.eye(shape[1])[whole], dtype=np.float64)


def reliability(probabilities: npt.ArrayLike, targets: npt.ArrayLike, bins: int = 15) -> tuple[Bin, ...]:
    """Confidence of the best class against how often it is right, in ``bins`` equal steps of 0..1.

    With vote shares as targets, "right" is the share that the best class got.
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    shares = _shares(targets, chances.shape)
    best = chances.argmax(axis=1) if len(chances) else np.zeros(0, dtype=np.int64)
    rows = np.arange(len(chances))
    confidence, right = chances[rows, best], shares[rows, best]
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    found = []
    for step in range(bins):
        here = place == step
        n = int(here.sum())
        mean = (float(confidence[here].mean()), float(right[here].mean())) if n else (math.nan, math.nan)
        found.append(Bin(step / bins, (step + 1) / bins, n, *mean))
    return tuple(found)


def ece(probabilities: npt.ArrayLike, targets: npt.ArrayLike, bins: int = 15) -> Result:
    """Expected calibration error (Guo et al. 2017): mean gap of confidence and accuracy, weighted by bin size."""
    filled = [step for step in reliability(probabilities, targets, bins) if step.n]
    n = sum(step.n for step in filled)
    gap = math.fsum(step.n * abs(step.confidence - step.accuracy) for step in filled)
    return Result("ECE", gap / n if n else math.nan, n)


def brier(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> Result:
    """Brier score: mean over items of the squared distance to the target, summed over classes, 0..2."""
    chances = np.asarray(probabilities, dtype=np.float64)
    distance = ((chances - _shares(targets, chances.shape)) ** 2).sum(axis=1)
    return Result("Brier", float(distance.mean()) if len(chances) else math.nan, len(chances))


def nll(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> Result:
    """Mean negative log likelihood in nats; cross entropy when targets are shares. Probabilities floor at 1e-12."""
    chances = np.asarray(probabilities, dtype=np.float64)
    loss = -(_shares(targets, chances.shape) * np.log(np.maximum(chances, 1e-12))).sum(axis=1)
    return Result("NLL", float(loss.mean()) if len(chances) else math.nan, len(chances))


def fit_scaling(
    logits: npt.ArrayLike, targets: npt.ArrayLike, with_bias: bool = True, ridge: float = 1e-3
) -> Scaling:
    """Temperature and, if wanted, one bias per class that minimise the likelihood loss on held-out logits.

    The loss is convex in (1/temperature, bias) and is solved by damped Newton steps.

    Args:
        logits: (N, C) logits or log probabilities.
        targets: (N,) class indices or (N, C) shares.
        with_bias: fit the biases too.
        ridge: weight of the squared biases, so that a class without items stays where it is.

    Raises:
        BadInput: no item.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or not len(scores):
        raise BadInput(
            got=f"logits of shape {scores.shape}",
            expected="(N, C) with N > 0",
            fix="Pass the held-out logits",
        )
    scores = scores - scores.mean(axis=1, keepdims=True)
    shares = _shares(targets, scores.shape)
    classes = scores.shape[1]
    # Design of the linear predictor: one column for 1/temperature, one per class bias.
    weights = np.concatenate([[1.0], np.zeros(classes)])
    free = np.arange(classes + 1 if with_bias else 1)

    def loss(candidate: Floats) -> float:
        chances = softmax(scores * candidate[0] + candidate[1:])
        return nll(chances, shares).value + 0.5 * ridge * float(candidate[1:] @ candidate[1:])

    for _ in range(50):
        gradient, curvature = _newton_terms(scores, shares, weights, ridge)
        step = np.zeros_like(weights)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        size = 1.0
        while size > 1e-8 and (
            weights[0] - size * step[0] <= 1e-3 or loss(weights - size * step) > loss(weights)
        ):
            size /= 2.0
        if size <= 1e-8:
            break
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    bias = weights[1:] - weights[1:].mean()
    return Scaling(float(1.0 / weights[0]), tuple(float(value) for value in bias))


def _newton_terms(scores: Floats, shares: Floats, weights: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Gradient (C+1,) and Hessian (C+1, C+1) of the loss in (1/temperature, bias)."""
    n, classes = scores.shape
    chances = softmax(scores * weights[0] + weights[1:])
    design = np.concatenate(
        [scores[:, :, None], np.broadcast_to(np.eye(classes), (n, classes, classes))], axis=2
    )
    gradient = np.einsum("nc,ncp->p", chances - shares, design) / n
    mean = np.einsum("nc,ncp->np", chances, design)
    curvature = (np.einsum("nc,ncp,ncq->pq", chances, design, design) - mean.T @ mean) / n
    gradient[1:] += ridge * weights[1:]
    curvature[np.arange(1, classes + 1), np.arange(1, classes + 1)] += ridge
    curvature[0, 0] += 1e-9
    return gradient, curvature
