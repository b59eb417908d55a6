"""Label agreement: hand-computed values, scikit-learn, permutations, degenerate cases."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from mien.core.errors import BadInput
from mien.metrics.classification import accuracy, class_f1, confusion, macro_f1, uar

LABELS = ("a", "b", "c", "d")
TRUTH = ["a", "a", "a", "b", "b", "c"]
GUESS = ["a", "a", "b", "b", None, "x"]


def cases(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        n = int(rng.integers(1, 40))
        yield [str(x) for x in rng.choice(LABELS, n)], [str(x) for x in rng.choice(LABELS, n)]


def test_values_by_hand():
    assert accuracy(TRUTH, GUESS).value == 3 / 6
    assert accuracy(TRUTH, GUESS).n == 6
    assert confusion(TRUTH, GUESS, LABELS).tolist() == [
        [2, 1, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0],
    ]  # fmt: skip
    recalls = uar(TRUTH, GUESS, LABELS)
    assert recalls.value == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert recalls.n == 3
    assert math.isnan(recalls.parts["d"])
    f1s = class_f1(TRUTH, GUESS, LABELS)
    assert f1s["a"].value == pytest.approx(4 / 5)
    assert f1s["b"].value == pytest.approx(2 / 4)
    assert f1s["c"].value == 0.0
    assert math.isnan(f1s["d"].value)
    assert f1s["b"].n == 2
    assert macro_f1(TRUTH, GUESS, LABELS).value == pytest.approx((4 / 5 + 1 / 2 + 0) / 3)


def test_agrees_with_scikit_learn():
    for truth, guess in cases(200):
        assert accuracy(truth, guess).value == pytest.approx(accuracy_score(truth, guess))
        present = sorted(set(truth))
        expected = recall_score(truth, guess, labels=present, average="macro", zero_division=0)
        assert uar(truth, guess, LABELS).value == pytest.approx(expected)
        either = sorted(set(truth) | set(guess))
        expected = f1_score(truth, guess, labels=either, average="macro", zero_division=0)
        assert macro_f1(truth, guess, LABELS).value == pytest.approx(expected)
        assert (
            confusion(truth, guess, LABELS)[:, :-1] == confusion_matrix(truth, guess, labels=LABELS)
        ).all()


def test_order_of_items_does_not_matter():
    rng = np.random.default_rng(1)
    for truth, guess in cases(20):
        mixed = rng.permutation(len(truth))
        other = [truth[i] for i in mixed], [guess[i] for i in mixed]
        assert accuracy(*other) == accuracy(truth, guess)
        assert uar(*other, LABELS).value == pytest.approx(uar(truth, guess, LABELS).value)
        assert macro_f1(*other, LABELS).value == pytest.approx(macro_f1(truth, guess, LABELS).value)


def test_an_unparsed_answer_is_wrong_and_counts():
    assert accuracy(["a", "a"], ["a", None]).value == 0.5
    assert uar(["a", "a"], ["a", None], LABELS).value == 0.5
    assert class_f1(["a", "a"], ["a", None], LABELS)["a"].value == pytest.approx(2 / 3)


def test_a_class_that_is_only_predicted_has_f1_zero():
    assert class_f1(["a"], ["b"], LABELS)["b"].value == 0.0


def test_no_item_is_nan_with_n_zero():
    for result in (accuracy([], []), uar([], [], LABELS), macro_f1([], [], LABELS)):
        assert math.isnan(result.value)
        assert result.n == 0


def test_mismatch_and_unknown_truth_are_refused():
    with pytest.raises(BadInput, match="1 true and 2 predicted"):
        accuracy(["a"], ["a", "b"])
    with pytest.raises(BadInput, match="true labels x"):
        uar(["x"], ["a"], LABELS)
