"""Tests that cost too much processor fail the run, and only where the bars are held."""

from __future__ import annotations

import pytest

import costs

pytest_plugins = ["pytester"]
BUSY = """
from costs import spent

def test_busy():
    began = spent()
    while spent() - began < {seconds}:
        sum(range(1000))
"""


def run(pytester: pytest.Pytester, seconds: float, hold: bool) -> pytest.RunResult:
    room = pytester.mkdir("tests") / "core"
    room.mkdir()
    (room / "test_it.py").write_text(BUSY.format(seconds=seconds))
    return pytester.runpytest_inprocess("tests", "-p", "no:cacheprovider", plugins=[costs.Costs(hold)])


@pytest.mark.parametrize(("seconds", "hold", "status"), [(0.4, True, 1), (0.4, False, 0), (0.0, True, 0)])
def test_a_dear_room_fails_the_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, seconds: float, hold: bool, status: int
) -> None:
    monkeypatch.setitem(costs.BARS, "core", 0.2)
    monkeypatch.setattr(costs, "measure", lambda: costs.UNIT)
    done = run(pytester, seconds, hold)
    assert done.ret == status
    done.assert_outcomes(passed=1)
    if status:
        done.stdout.fnmatch_lines(
            ["together *", "*tests/core/test_it.py::test_busy", "over its bar: tests/core: *"]
        )


def test_a_room_without_a_bar_has_none() -> None:
    counted = costs.Costs(hold=True)
    counted.tests = {"tests/cellar/test_it.py::test_x": 0.1}
    assert counted.over(1.0) == ["tests/cellar: 0 s of processor, at most 0"]


def test_bars_follow_the_machine_and_fit_into_six_minutes_of_two_cores() -> None:
    assert costs.slower(3 * costs.UNIT) == pytest.approx(3) and costs.slower(costs.UNIT / 3) == 1
    assert sum(costs.BARS.values()) <= 6 * 60 * 2
