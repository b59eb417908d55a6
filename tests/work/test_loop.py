"""The loop: order, bounds, the barrier of an item, shards."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.errors import BadConfig, BadInput, OutputFailed
from mien.core.paths import output_errors
from mien.work.loop import Pace, Shard, Unexpected, attempt, in_order, stamp


def raising(error: BaseException) -> Callable[[], int]:
    def task() -> int:
        raise error

    return task


@pytest.mark.parametrize(
    "error",
    [ValueError("aspect\n 5000:1"), MemoryError(), RecursionError("deep"), AssertionError(), OSError(5, "x")],
)
def test_any_error_of_an_item_becomes_its_own(error: Exception) -> None:
    found = attempt(raising(error), "clip.mp4")
    assert isinstance(found, Unexpected)
    assert type(error).__name__ in str(found)
    assert "clip.mp4" in str(found)
    assert "test_loop.py" in str(found)
    assert "\n" not in str(found)


def test_an_error_on_purpose_stays_as_it_is() -> None:
    error = BadInput(got="this", expected="that", fix="Do so")
    assert attempt(raising(error), "x") is error
    assert attempt(lambda: 3, "x") == 3


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(2), GeneratorExit(), OutputFailed(got="full", expected="", fix="")],
)
def test_what_ends_a_run_passes_the_barrier(error: BaseException) -> None:
    with pytest.raises(type(error)):
        attempt(raising(error), "x")
    with pytest.raises(LookupError):
        attempt(raising(KeyError("x")), "x", (LookupError,))


def test_a_name_that_the_disk_refuses_is_the_items_fault_a_full_disk_is_not() -> None:
    def write(number: int) -> None:
        with output_errors(Path("x")):
            raise OSError(number, os.strerror(number))

    assert isinstance(attempt(partial(write, errno.ENAMETOOLONG), "x"), OutputFailed)
    with pytest.raises(OutputFailed):
        attempt(partial(write, errno.ENOSPC), "x")


@pytest.mark.parametrize("workers", [1, 5])
def test_results_come_in_order_and_no_more_are_under_way(workers: int) -> None:
    begun, most, lock = 0, 0, threading.Lock()
    taken = 0

    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    def tasks() -> Iterator[Callable[[], int]]:
        nonlocal begun, most
        for number in range(60):
            with lock:
                begun += 1
                most = max(most, begun - taken)
            yield partial(work, number)

    results = in_order(tasks(), workers, 8)
    for number, result in enumerate(results):
        taken += 1
        assert result == number
    assert (begun, taken) == (60, 60)
    assert most <= 9


def test_the_first_error_comes_in_its_turn_and_drops_the_rest() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        done.append(number)
        return number

    results = in_order((partial(work, number) for number in range(100)), 1, 4)
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert done[:3] == [0, 1, 2]
    assert len(done) < 10


def test_a_tick_comes_while_the_work_takes_long_and_its_own_timeout_is_an_error() -> None:
    ticks: list[float] = []
    list(in_order([partial(time.sleep, 0.6)], tick=lambda: ticks.append(time.monotonic())))
    assert len(ticks) >= 2
    with pytest.raises(TimeoutError):
        list(in_order([raising(TimeoutError())], tick=lambda: None))


@given(st.integers(1, 12), st.integers(0, 60))
def test_shards_share_out_every_item_once(of: int, items: int) -> None:
    shards = [Shard.parse(f"{number}/{of}") for number in range(1, of + 1)]
    taken = [sum(shard.takes(place) for shard in shards) for place in range(items)]
    assert taken == [1] * items


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", "", "1/10000000"])
def test_a_wrong_shard_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match="shard"):
        Shard.parse(text)


def test_pace() -> None:
    pace = Pace(total=100, done=40, now=20, seconds=10.0)
    assert (pace.rate, pace.left) == (2.0, 30.0)
    assert Pace(1, 0, 0, 0.0).left is None


def test_new_bytes_under_old_size_and_time_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    before, status = stamp(path), path.stat()
    assert stamp(path) == before
    time.sleep(0.02)
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    if os.name == "posix":
        assert stamp(path) != before
    assert stamp(tmp_path / "gone") == "absent"
    assert stamp("a\0b") == "absent"
