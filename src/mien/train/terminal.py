"""What a training run shows on standard error: its mix, then one line per stage; no chatter of the libraries."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from transformers import TrainerCallback
from transformers.utils import logging

__all__ = ["StageLine", "quiet_libraries"]

_SECONDS = 10.0
"""Between two lines where the line cannot be written over."""
_KNOWN = (".*mtime may not be reliable.*", ".*is_gradient_checkpointing.*")
"""Warnings of the Trainer and of PEFT that tell a user of a recipe nothing to do."""


def quiet_libraries() -> None:
    """Keep notes, bars and harmless warnings of the libraries off the terminal; errors still come through."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for message in _KNOWN:
        warnings.filterwarnings("ignore", message=message)


class StageLine(TrainerCallback):
    """Step, loss, speed and time left of the running stage, in one line; of several processes the first one speaks.

    Args:
        stream: standard error by default. A terminal sees the line change; a file gets one every ten seconds.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._loss = ""
        self._first, self._started, self._spoke = 0, 0.0, 0.0

    def tell_mix(self, counts: Mapping[str, int]) -> None:
        """What an epoch holds, before anything is learnt: dialogues by data part and task, and their shares."""
        whole = sum(counts.values())
        told = (f"{name} {count:,} ({count / whole:.1%})" for name, count in counts.items())
        self.stream.write(f"{whole:,} dialogues in an epoch: {', '.join(told)}\n")
        self.stream.flush()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A stage begins, or goes on."""
        self._loss = ""
        self._first, self._started = state.global_step, time.monotonic()
        self._spoke = self._started

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """The loss, as the Trainer averages it."""
        if logs and "loss" in logs:
            self._loss = f", loss {float(logs['loss']):.3f}"

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step is done."""
        now, live = time.monotonic(), self.stream.isatty()
        if live or now - self._spoke >= _SECONDS:
            self._spoke = now
            self._write(self._line(args, state), live, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A stage is done."""
        if state.global_step > self._first:
            self._write(self._line(args, state), self.stream.isatty(), state)
            self._end(state)

    def _line(self, args: Any, state: Any) -> str:
        name = Path(args.output_dir).name.partition("-")[2]
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = (state.global_step - self._first) / seconds
        left = round((state.max_steps - state.global_step) / rate) if rate else 0
        ahead = f", {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left" if left else ""
        return f"stage {name}: step {state.global_step} of {state.max_steps}{self._loss}, {rate:.1f} steps/s{ahead}"

    def _write(self, line: str, live: bool, state: Any) -> None:
        if state.is_world_process_zero:
            # \x1b[K clears what a longer line before it has left.
            self.stream.write(f"\r{line}\x1b[K" if live else f"{line}\n")
            self.stream.flush()

    def _end(self, state: Any) -> None:
        if state.is_world_process_zero and self.stream.isatty():
            self.stream.write("\n")
            self.stream.flush()
