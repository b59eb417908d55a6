"""Calibration: hand-computed values, scikit-learn, recovery of a known temperature and bias."""

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from mien.core.errors import BadInput
from mien.metrics.calibration import brier, ece, fit_scaling, nll, reliability

HALF = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
CLASSES = np.array([0, 1, 1, 0])


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def drawn(rng, chances):
    return np.array([rng.choice(len(row), p=row) for row in chances])


def test_values_by_hand():
    assert brier(HALF, CLASSES).value == pytest.approx((0.08 + 0.72 + 0.18 + 0.02) / 4)
    assert nll(HALF, CLASSES).value == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.9]).mean())
    # Five bins: .6 wrong; .7 and .8 right; .9 right.
    assert ece(HALF, CLASSES, bins=5).value == pytest.approx((0.6 + 2 * 0.25 + 0.1) / 4)
    bins = reliability(HALF, CLASSES, bins=5)
    assert [step.n for step in bins] == [0, 0, 1, 2, 1]
    assert bins[3].confidence == pytest.approx(0.75)
    assert bins[3].accuracy == 1.0
    assert math.isnan(bins[0].accuracy)


def test_vote_shares_are_targets_too():
    votes = np.array([[0.9, 0.1], [0.5, 0.5]])
    chances = np.array([[0.9, 0.1], [0.6, 0.4]])
    assert brier(chances, votes).value == pytest.approx(0.01)
    assert nll(chances, votes).value == pytest.approx(
        -(0.9 * np.log(0.9) + 0.1 * np.log(0.1) + np.log(0.24) / 2) / 2
    )
    assert ece(chances, votes, bins=10).value == pytest.approx(0.05)


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(2, 50))
        chances = softmax(rng.normal(size=(n, 4)))
        classes = rng.integers(0, 4, n)
        assert nll(chances, classes).value == pytest.approx(log_loss(classes, chances, labels=range(4)))
        squared = ((chances - np.eye(4)[classes]) ** 2).sum(1).mean()
        assert brier(chances, classes).value == pytest.approx(squared)


def test_order_of_items_does_not_matter():
    rng = np.random.default_rng(1)
    chances, classes = softmax(rng.normal(size=(60, 8))), rng.integers(0, 8, 60)
    mixed = rng.permutation(60)
    for measure in (ece, brier, nll):
        assert measure(chances[mixed], classes[mixed]).value == pytest.approx(measure(chances, classes).value)


def test_perfect_calibration_has_little_ece_and_overconfidence_much():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(4000, 3)) * 1.5
    classes = drawn(rng, softmax(logits))
    assert ece(softmax(logits), classes).value < 0.03
    assert ece(softmax(4 * logits), classes).value > 0.15


def test_the_fit_recovers_temperature_and_bias():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(6000, 4)) * 3
    bias = np.array([0.8, -0.4, 0.0, -0.4])
    classes = drawn(rng, softmax(logits / 2.5 + bias))
    found = fit_scaling(logits, classes)
    assert found.temperature == pytest.approx(2.5, rel=0.08)
    assert np.allclose(found.bias, bias, atol=0.12)
    assert nll(found.apply(logits), classes).value < nll(softmax(logits), classes).value
    plain = fit_scaling(logits, classes, with_bias=False)
    assert plain.bias == (0.0, 0.0, 0.0, 0.0)
    assert nll(plain.apply(logits), classes).value >= nll(found.apply(logits), classes).value


def test_the_fit_is_a_minimum():
    rng = np.random.default_rng(4)
    logits, classes = rng.normal(size=(300, 3)), rng.integers(0, 3, 300)
    logits[np.arange(300), classes] += 1.0
    found = fit_scaling(logits, classes, with_bias=False)
    best = nll(found.apply(logits), classes).value
    for factor in (0.95, 1.05):
        assert nll(softmax(logits / (found.temperature * factor)), classes).value > best


def test_a_class_without_items_does_not_break_the_fit():
    rng = np.random.default_rng(5)
    logits, classes = rng.normal(size=(200, 4)), rng.integers(0, 3, 200)
    found = fit_scaling(logits, classes)
    assert math.isfinite(found.temperature)
    assert all(math.isfinite(value) for value in found.bias)
    assert np.allclose(found.apply(logits).sum(axis=1), 1.0)


def test_no_item_is_nan_with_n_zero():
    none = np.zeros((0, 3))
    for measure in (ece, brier, nll):
        result = measure(none, np.zeros(0, dtype=int))
        assert math.isnan(result.value)
        assert result.n == 0
    with pytest.raises(BadInput, match="N > 0"):
        fit_scaling(none, np.zeros(0, dtype=int))


@pytest.mark.parametrize("targets", [[0, 1, 2, 0], [0, 1], [0, 0.5, 1, 0], [-1, 0, 0, 0]])
def test_bad_targets_are_refused(targets):
    with pytest.raises(BadInput):
        brier(HALF, targets)
