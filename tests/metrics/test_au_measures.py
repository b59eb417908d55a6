"""AU agreement: hand-computed values, scikit-learn, permutations, degenerate and missing values."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, mean_absolute_error, roc_auc_score

from mien.core.errors import BadInput
from mien.metrics.au import auc, ccc, f1, icc, macro_over_aus, mae, pcc, ranks

NAN = math.nan
MEASURES = (f1, auc, mae, pcc, ccc, icc)


def test_values_by_hand():
    assert f1([1, 1, 0, 0], [1, 0, 1, 0]).value == pytest.approx(0.5)
    assert auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value == pytest.approx(0.75)
    assert auc([0, 1], [0.5, 0.5]).value == 0.5
    assert mae([0, 2, 5], [1, 2, 3]).value == pytest.approx(1.0)
    assert pcc([1, 2, 3], [2, 4, 6]).value == pytest.approx(1.0)
    assert pcc([1, 2, 3, 4], [1, 3, 2, 4]).value == pytest.approx(0.8)
    assert ccc([1, 2, 3], [2, 4, 6]).value == pytest.approx((8 / 3) / (22 / 3))
    assert ccc([1, 2, 3], [1, 2, 3]).value == pytest.approx(1.0)
    assert ccc([1, 1], [2, 2]).value == 0.0
    assert ranks([10, 20, 20, 5]).tolist() == [2.0, 3.5, 3.5, 1.0]


def test_icc_by_hand():
    # A constant offset does not lower consistency; a factor of two does: BMS 4.5, EMS .5.
    assert icc([1, 2, 3], [2, 3, 4]).value == pytest.approx(1.0)
    assert icc([1, 2, 3], [2, 4, 6]).value == pytest.approx((4.5 - 0.5) / (4.5 + 0.5))
    assert icc([1, 2, 3], [3, 2, 1]).value == pytest.approx(-1.0)
    # Shrout & Fleiss (1979), table 2, first two judges: rows 9 6 8 7 10 6 and 2 1 4 1 5 2.
    first, second = np.array([9, 6, 8, 7, 10, 6.0]), np.array([2, 1, 4, 1, 5, 2.0])
    covariance = np.cov(first, second)
    expected = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1])
    assert icc(first, second).value == pytest.approx(expected)


def test_agrees_with_scikit_learn_and_numpy():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(4, 60))
        truth = rng.integers(0, 2, n)
        truth[:2] = (0, 1)
        scores = np.round(rng.random(n), int(rng.integers(1, 4)))
        guess = (scores > 0.5).astype(float)
        assert auc(truth, scores).value == pytest.approx(roc_auc_score(truth, scores))
        assert f1(truth, guess).value == pytest.approx(f1_score(truth, guess))
        a, b = rng.random(n), rng.random(n)
        assert mae(a, b).value == pytest.approx(mean_absolute_error(a, b))
        assert pcc(a, b).value == pytest.approx(np.corrcoef(a, b)[0, 1])
        covariance = np.cov(a, b)
        consistency = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1])
        assert icc(a, b).value == pytest.approx(consistency)


@pytest.mark.parametrize("measure", MEASURES)
def test_order_of_items_does_not_matter(measure):
    rng = np.random.default_rng(2)
    truth, guess = rng.integers(0, 2, 30).astype(float), rng.integers(0, 2, 30).astype(float)
    mixed = rng.permutation(30)
    assert measure(truth[mixed], guess[mixed]).value == pytest.approx(measure(truth, guess).value)


@pytest.mark.parametrize("measure", MEASURES)
def test_missing_values_are_left_out_in_pairs(measure):
    truth, guess = [1, 0, 1, 0, NAN, 1], [1, 0, 0, 1, 1, NAN]
    assert measure(truth, guess) == measure(truth[:4], guess[:4])
    assert measure(truth, guess).n == 4


@pytest.mark.parametrize("measure", MEASURES)
def test_undefined_is_nan_not_zero(measure):
    empty = measure([], [])
    assert math.isnan(empty.value)
    assert empty.n == 0
    if measure is not mae:
        assert math.isnan(measure([0, 0, 0], [0, 0, 0]).value)


def test_one_class_has_no_auc_and_f1_of_only_false_alarms_is_zero():
    assert math.isnan(auc([1, 1], [0.2, 0.4]).value)
    assert f1([0, 0], [1, 0]).value == 0.0


def test_macro_keeps_missing_aus_visible_and_out_of_the_mean():
    truth = {"AU01": [1, 0, 1], "AU02": [0, 0, 0], "AU04": [1, 1, 0]}
    guess = {"AU01": [1, 0, 0], "AU02": [0, 0, 0], "AU12": [1, 1, 1]}
    result = macro_over_aus(f1, truth, guess)
    assert result.name == "macro F1"
    assert result.n == 1
    assert result.value == pytest.approx(2 / 3)
    assert list(result.parts) == ["AU01", "AU02", "AU04", "AU12"]
    assert [math.isnan(value) for value in result.parts.values()] == [False, True, True, True]
    assert math.isnan(macro_over_aus(mae, {}, {}).value)


def test_unequal_lengths_are_refused():
    with pytest.raises(BadInput, match="shapes"):
        mae([1, 2], [1])
