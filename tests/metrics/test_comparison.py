"""Intervals and paired tests: hand values, scipy, coverage, clusters, and questions that cannot be asked."""

import math

import numpy as np
import pytest
from scipy import stats

from mien.core.errors import BadInput
from mien.metrics.comparison import anova, bootstrap, holm, mcnemar, wilson


def test_the_interval_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    found = bootstrap(lambda rows: float(values[rows].mean()), 400)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)
    assert found == bootstrap(lambda rows: float(values[rows].mean()), 400)
    assert found.excludes_zero


def test_a_paired_difference_is_narrower_than_two_intervals():
    rng = np.random.default_rng(0)
    first = (rng.random(500) < 0.7).astype(float)
    second = np.where(rng.random(500) < 0.05, 1 - first, first)
    paired = bootstrap(lambda rows: float((first[rows] - second[rows]).mean()), 500)
    single = bootstrap(lambda rows: float(first[rows].mean()), 500)
    assert paired.high - paired.low < 0.6 * (single.high - single.low)


def test_frames_of_one_person_are_drawn_together():
    people = [place // 50 for place in range(500)]
    values = np.repeat(np.random.default_rng(1).normal(size=10), 50)
    together = bootstrap(lambda rows: float(values[rows].mean()), 500, clusters=people)
    alone = bootstrap(lambda rows: float(values[rows].mean()), 500)
    assert together.n == 10 and alone.n == 500
    assert together.high - together.low > 4 * (alone.high - alone.low)
    with pytest.raises(BadInput, match="cluster"):
        bootstrap(lambda rows: 0.0, 3, clusters=[1])


def test_too_few_items_have_no_interval():
    assert math.isnan(bootstrap(lambda rows: 1.0, 1).low)
    assert math.isnan(bootstrap(lambda rows: 1.0, 0).value)
    assert math.isnan(bootstrap(lambda rows: math.nan, 9).high)
    assert not bootstrap(lambda rows: 1.0, 1).excludes_zero


def test_wilson_on_a_published_accuracy():
    # 91.03 % of 3,068 faces: 89.97 to 91.99.
    found = wilson(0.9103, 3068)
    assert (round(100 * found.low, 2), round(100 * found.high, 2)) == (89.97, 91.99)
    assert math.isnan(wilson(0, 0).low)


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (3, 9), (40, 20), (5, 5), (400, 300)])
def test_mcnemar_equals_the_binomial_test(ours, theirs):
    first = [True] * ours + [False] * theirs + [True, False]
    second = [False] * ours + [True] * theirs + [True, False]
    found = mcnemar(first, second)
    assert (found.first_only, found.second_only) == (ours, theirs)
    total = ours + theirs
    expected = stats.binomtest(ours, total).pvalue if total else 1.0
    assert found.p == pytest.approx(expected, rel=1e-9)
    with pytest.raises(BadInput):
        mcnemar([True], [])


def test_holm_by_hand():
    # Holm (1979): .01·4, .013·3, .02·2 raised to the one before it, .04·1.
    assert holm([0.01, 0.04, 0.013, 0.02]) == pytest.approx((0.04, 0.04, 0.04, 0.04))
    assert holm([0.001, 0.5, 0.4]) == pytest.approx((0.003, 0.8, 0.8))
    adjusted = holm([0.02, math.nan])
    assert adjusted[0] == 0.02 and math.isnan(adjusted[1])
    assert holm([]) == ()


def test_anova_equals_scipy():
    groups = [[0.81, 0.80, 0.83], [0.78, 0.79, 0.80, 0.77], [0.82, 0.81]]
    f, p = anova(groups)
    expected = stats.f_oneway(*groups)
    assert (f, p) == pytest.approx((expected.statistic, expected.pvalue))
    for seedless in ([], [[1.0]], [[1.0], [2.0]], [[1.0, 1.0], [1.0]]):
        assert math.isnan(anova(seedless)[0])
    assert anova([[1.0, 1.0], [2.0, 2.0]]) == (math.inf, 0.0)
