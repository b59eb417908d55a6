"""Ratios hold at every moment, sources are gone through whole, and weights balance what they should."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.errors import BadConfig, BadInput
from mien.dialogue.say.mixing import imbalance_weights, interleave, mixture, passes, shares

names = st.sampled_from("abcdef")
ratios = st.dictionaries(names, st.floats(0.01, 10.0), min_size=1)
labels = st.lists(st.sampled_from(("happiness", "sadness", "fear", "anger")), min_size=1, max_size=60)


@given(ratios, st.integers(1, 300))
@settings(deadline=None)
def test_every_prefix_holds_the_ratio_within_one(ratio, length):
    wanted = shares(ratio)
    assert sum(wanted.values()) == pytest.approx(1.0)
    drawn = dict.fromkeys(ratio, 0)
    for number, name in enumerate(islice(interleave(ratio), length), 1):
        drawn[name] += 1
        assert all(abs(drawn[one] - number * share) <= 1.0 + 1e-9 for one, share in wanted.items())


def test_three_to_one_by_name():
    assert shares({"label": 3, "cot": 1}) == {"label": 0.75, "cot": 0.25}
    drawn = "".join(name[0] for name in islice(interleave({"label": 0.75, "cot": 0.25}), 12))
    assert Counter(drawn) == {"l": 9, "c": 3}
    assert all(drawn[place : place + 4].count("c") == 1 for place in (0, 4, 8))
    # A name without a share never comes.
    assert set(islice(interleave({"label": 1, "cot": 0}), 20)) == {"label"}


def test_passes_take_the_scarcest_source_once():
    assert passes({"label": 10, "cot": 10}, {"label": 3, "cot": 1}) == {"label": 3.0, "cot": 1.0}
    gone = passes({"label": 100, "cot": 10}, {"label": 3, "cot": 1})
    assert gone["label"] == 1.0
    assert gone["cot"] * 10 / (gone["cot"] * 10 + 100) == pytest.approx(0.25)
    assert passes({"label": 5, "cot": 0}, {"label": 1, "cot": 0}) == {"label": 1.0, "cot": 0.0}


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
@settings(deadline=None)
def test_a_mixture_goes_through_each_source_before_it_repeats(first, second, seed):
    sizes, ratio = {"label": first, "cot": second}, {"label": 3, "cot": 1}
    drawn = list(mixture(sizes, ratio, 120, seed))
    assert drawn == list(mixture(sizes, ratio, 120, seed))
    assert Counter(name for name, _ in drawn) == {"label": 90, "cot": 30}
    for name, size in sizes.items():
        order = [index for source, index in drawn if source == name]
        whole = len(order) // size * size
        for start in range(0, whole, size):
            assert sorted(order[start : start + size]) == list(range(size))


def test_another_seed_gives_another_order():
    sizes, ratio = {"label": 50, "cot": 50}, {"label": 3, "cot": 1}
    assert list(mixture(sizes, ratio, 40, 1)) != list(mixture(sizes, ratio, 40, 2))


@given(labels)
@settings(deadline=None)
def test_full_balance_draws_all_labels_alike(given_labels):
    weights = imbalance_weights(given_labels)
    assert weights.mean() == pytest.approx(1.0)
    mass = {
        label: sum(w for w, one in zip(weights, given_labels, strict=True) if one == label)
        for label in given_labels
    }
    assert list(mass.values()) == pytest.approx([len(given_labels) / len(mass)] * len(mass))


@given(labels, st.floats(0, 1), st.floats(1, 5))
@settings(deadline=None)
def test_power_and_cap_soften_the_weights(given_labels, power, cap):
    weights = imbalance_weights(given_labels, power, cap)
    assert weights.mean() == pytest.approx(1.0)
    assert weights.max() / weights.min() <= cap + 1e-9
    counts = Counter(given_labels)
    rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    assert weights[given_labels.index(rarest)] >= weights[given_labels.index(commonest)] - 1e-12


def test_power_zero_leaves_the_data_as_it_is_and_half_takes_the_root():
    given_labels = ["a"] * 9 + ["b"]
    assert np.array_equal(imbalance_weights(given_labels, power=0.0), np.ones(10))
    half = imbalance_weights(given_labels, power=0.5)
    assert half[-1] / half[0] == pytest.approx(3.0)
    # The sampler of the paper: 1 / count.
    full = imbalance_weights(given_labels)
    assert full[-1] / full[0] == pytest.approx(9.0)


def test_bad_requests_are_refused():
    with pytest.raises(BadConfig, match="ratio"):
        shares({"label": -1})
    with pytest.raises(BadConfig, match="ratio"):
        shares({"label": 0})
    with pytest.raises(BadConfig, match="empty sources"):
        passes({"label": 0}, {"label": 1})
    with pytest.raises(BadConfig, match="empty sources"):
        passes({"label": 5}, {"cot": 1})
    with pytest.raises(BadConfig, match="power"):
        imbalance_weights(["a"], power=2.0)
    with pytest.raises(BadConfig, match="cap"):
        imbalance_weights(["a"], cap=0.5)
    with pytest.raises(BadInput, match="no labels"):
        imbalance_weights([])
