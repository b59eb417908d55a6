"""What the tests cost: processor seconds per room, held against a bar on a machine that does nothing else.

Processor time, that of child processes included, grows far less on a busy machine than time by the clock. What is left
of the difference, and the speed of the machine, is taken out by a piece of work that is timed beside the tests.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

# Seconds on the machine whose `measure` is `UNIT`. Two cores share them: 720 are six minutes.
BARS = {
    "analyze": 90, "annotate": 45, "app": 80, "architecture": 35, "backends": 30, "benchmarks": 5, "core": 15,
    "data": 25, "dialogue": 30, "docs": 45, "evaluate": 25, "face": 20, "fuzz": 25, "layers": 20, "metrics": 5,
    "models": 50, "packaging": 5, "serve": 30, "study": 15, "tools": 15, "train": 95, "work": 15,
}  # fmt: skip
UNIT = 0.05
# So many are listed one by one; so many tests are a whole suite, whose costs are always told.
DEAREST, WHOLE = 20, 1000


_elsewhere = [0.0]


def spent() -> float:
    """Processor seconds of this process, of the children that it has waited for, and what was added."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return _elsewhere[0] + sum(one.ru_utime + one.ru_stime for one in used)


def add(seconds: float) -> None:
    """Count work of a process that somebody else waited for."""
    _elsewhere[0] += seconds


def measure() -> float:
    """Processor seconds of a fixed piece of work, best of five."""
    best = float("inf")
    for _ in range(5):
        began = spent()
        sorted(str(number * 7919 % 100_003) for number in range(100_000))
        best = min(best, spent() - began)
    return best


def slower(measured: float) -> float:
    """How many times as long work takes here as on the machine of `BARS`; a faster machine keeps the bars."""
    return max(measured / UNIT, 1.0)


class Costs:
    """Collects processor seconds per test, shows them, and fails a run that costs more than its bars."""

    def __init__(self, hold: bool) -> None:
        self.hold = hold
        self.tests: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._began = spent()
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.when == "teardown":
            item.user_properties.append(("processor", spent() - self._began))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seconds = dict(report.user_properties).get("processor")
        if report.when == "teardown" and isinstance(seconds, float):
            self.tests[report.nodeid] = seconds

    def rooms(self) -> Counter[str]:
        """Seconds by room."""
        found: Counter[str] = Counter()
        for name, seconds in self.tests.items():
            found[Path(name.split("::")[0]).parts[1]] += seconds
        return found

    def over(self, factor: float) -> list[str]:
        """The rooms that cost more than their bars times ``factor``, in words."""
        return [
            f"tests/{room}: {seconds:.0f} s of processor, at most {BARS.get(room, 0) * factor:.0f}"
            for room, seconds in sorted(self.rooms().items())
            if seconds > BARS.get(room, 0) * factor
        ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.hold and len(self.tests) < WHOLE:
            return
        rooms = sorted(self.rooms().items(), key=lambda pair: -pair[1])
        terminalreporter.section("processor seconds")
        terminalreporter.write_line(", ".join(f"{room} {seconds:.0f}" for room, seconds in rooms))
        terminalreporter.write_line(f"together {sum(self.tests.values()):.0f}")
        for name, seconds in sorted(self.tests.items(), key=lambda pair: -pair[1])[:DEAREST]:
            terminalreporter.write_line(f"{seconds:6.1f} {name}")
        for line in self.over(slower(measure())) if self.hold else ():
            terminalreporter.write_line(f"over its bar: {line}", red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.hold and self.over(slower(measure())) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
