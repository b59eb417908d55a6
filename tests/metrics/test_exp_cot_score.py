"""The Exp-CoT score: marks in, one figure per judge out."""

from __future__ import annotations

import math

import pytest

from mien.core.errors import BadInput
from mien.metrics.exp_cot import ExpCotMarks, exp_cot_score


def test_the_papers_own_table_comes_out() -> None:
    """Table III prints the mean marks and the score: GPT-4o 2.93, 3.22, 3.25 and .63; ExpLLM 3.53, 3.72, 4.15, .76."""
    for observations, interpretation, conclusion, score in (
        (2.93, 3.22, 3.25, 0.63),
        (3.53, 3.72, 4.15, 0.76),
    ):
        right = round(conclusion * 20)
        marks = [ExpCotMarks(observations, interpretation, 5.0 * (place < right)) for place in range(100)]
        result = exp_cot_score(marks, "gpt-4o")
        assert result.score.parts["conclusion"] == pytest.approx(conclusion)
        assert round(result.score.value, 2) == score


def test_marks_become_a_score() -> None:
    assert ExpCotMarks(4, 3.5, 5).score == pytest.approx(12.5 / 15)
    assert (ExpCotMarks(0, 0, 0).score, ExpCotMarks(5, 5, 5).score) == (0.0, 1.0)


@pytest.mark.parametrize("marks", [(6, 0, 0), (-1, 0, 0), (1, 5.1, 5), (1, 1, 3), (math.nan, 1, 5)])
def test_marks_out_of_range(marks: tuple[float, float, float]) -> None:
    with pytest.raises(BadInput, match="conclusion 0 or 5"):
        ExpCotMarks(*marks)


def test_unread_replies_are_counted_and_not_guessed() -> None:
    result = exp_cot_score([ExpCotMarks(5, 5, 5), None, ExpCotMarks(0, 0, 0), None], "tiny")
    assert (result.score.value, result.score.n, result.unparsed, result.judge) == (0.5, 2, 2, "tiny")
    assert result.score.name == "Exp-CoT score (judge: tiny)"
    assert result.score.parts == {"observations": 2.5, "interpretation": 2.5, "conclusion": 2.5}
    assert result.low < 0.5 < result.high


def test_intervals_are_fixed_narrow_with_more_cases_and_absent_for_one() -> None:
    few = [ExpCotMarks(place % 6, 3, 5 * (place % 2)) for place in range(12)]
    first, again, more = exp_cot_score(few, "j"), exp_cot_score(few, "j"), exp_cot_score(few * 20, "j")
    assert (first.low, first.high) == (again.low, again.high)
    assert more.high - more.low < 0.5 * (first.high - first.low)
    assert first.low <= first.score.value <= first.high
    assert math.isnan(exp_cot_score(few[:1], "j").low)
    nothing = exp_cot_score([None], "j")
    assert math.isnan(nothing.score.value) and (nothing.score.n, nothing.unparsed) == (0, 1)
