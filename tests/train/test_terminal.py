"""What a training run shows on the terminal."""

from __future__ import annotations

import io
from itertools import count
from types import SimpleNamespace

import pytest

from mien.train.terminal import StageLine


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock comes half a second after the one before."""
    ticks = count()
    monkeypatch.setattr("mien.train.terminal.time.monotonic", lambda: 0.5 * next(ticks))


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def played(stream: io.StringIO, steps: int, first: bool = True) -> str:
    """What is shown of a stage of ten steps that is gone on with at the fourth."""
    line, arguments = StageLine(stream), SimpleNamespace(output_dir="runs/x/stages/1-stage2-raf")
    state = SimpleNamespace(global_step=4, max_steps=10, is_world_process_zero=first)
    line.on_train_begin(arguments, state, None)
    for step in range(steps):
        state.global_step += 1
        if step == 1:
            line.on_log(arguments, state, None, logs={"loss": 1.23456})
        line.on_step_end(arguments, state, None)
    line.on_train_end(arguments, state, None)
    return stream.getvalue()


def test_a_terminal_sees_one_line_change() -> None:
    shown = played(Screen(), 6)
    assert shown.count("\n") == 1 and shown.endswith("\n")
    parts = shown.split("\r")[1:]
    assert parts[0] == "stage stage2-raf: step 5 of 10, 1.0 steps/s, 0:00:05 left\x1b[K"
    assert "step 10 of 10, loss 1.235," in parts[-1] and " left" not in parts[-1]


def test_a_file_gets_one_line_per_stage_that_is_quick() -> None:
    (line,) = played(io.StringIO(), 6).splitlines()
    assert line.startswith("stage stage2-raf: step 10 of 10, loss 1.235, ")


def test_a_stage_that_was_done_and_other_processes_are_silent() -> None:
    assert played(io.StringIO(), 0) == ""
    assert played(Screen(), 6, first=False) == ""


def test_the_mix_is_told_before_it_is_learnt() -> None:
    stream = io.StringIO()
    StageLine(stream).tell_mix({"expllm/train label": 36813, "expllm/train item": 12271})
    assert stream.getvalue() == (
        "49,084 dialogues in an epoch: expllm/train label 36,813 (75.0%), expllm/train item 12,271 (25.0%)\n"
    )
