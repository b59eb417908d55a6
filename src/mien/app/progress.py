"""Progress on standard error: a bar with rate and time left in a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mien.app.terminal import give_up, say, shown
from mien.core.nouns import FrameResult
from mien.work.loop import Pace

__all__ = ["ProgressWatch", "clock", "tell_shares"]

_LINE_SECONDS = 10.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


class _Console(Console):
    """One whose stream may be full or gone: progress ends no run."""

    def _write_buffer(self) -> None:
        try:
            super()._write_buffer()
        except OSError:
            give_up(sys.stderr)


class ProgressWatch:
    """Shows how a run gets on; errors of single items are printed as they come, at most ``max_errors``.

    Args:
        quiet: print nothing but errors.
        max_errors: further errors are only counted (all stand in ``errors.jsonl``).
    """

    def __init__(self, quiet: bool = False, max_errors: int = 20) -> None:
        self._console = _Console(stderr=True)
        self._quiet, self._max_errors = quiet, max_errors
        self._bar: Progress | None = None
        self._task = None if quiet else self._make_bar()
        self._started = self._spoke = time.monotonic()
        self._items = self._done = self._earlier = self._frames = self._expected = self._errors = 0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, items: int, done: int, frames: int) -> None:
        """See `mien.analyze.jobs.Watch`."""
        self._items, self._done, self._earlier, self._expected = items, done, done, frames
        self._started = self._spoke = time.monotonic()
        if done and not self._quiet:
            self._console.print(f"{done} of {items} items were finished by an earlier run.", highlight=False)
        if self._bar is not None and self._task is not None:
            self._bar.reset(self._task, total=max(frames, 1), visible=True)

    def advance(self, frames: Sequence[FrameResult], items: int) -> None:
        """See `mien.analyze.jobs.Watch`."""
        self._frames += len(frames)
        self._done += items
        for frame in frames:
            if frame.error is not None:
                self._show_error(frame.error)
        if self._bar is not None and self._task is not None:
            total = max(self._expected, self._frames)
            self._bar.update(self._task, completed=self._frames, total=total)
        elif not self._quiet and time.monotonic() - self._spoke >= _LINE_SECONDS:
            self._spoke = time.monotonic()
            self._console.print(self._line(), highlight=False, soft_wrap=True)

    def _make_bar(self) -> TaskID | None:
        if not sys.stderr.isatty():
            return None
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(),
            console=self._console, transient=True,
        )  # fmt: skip
        return self._bar.add_task("frames", total=None, visible=False)

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        pace = Pace(self._expected, self._frames, self._frames, seconds)
        return (
            f"{self._done}/{self._items} items, {self._frames} frames, {pace.rate:.1f} frames/s, "
            f"about {clock(pace.left or 0.0)} left"
        )

    def _show_error(self, message: str) -> None:
        self._errors += 1
        if self._errors <= self._max_errors:
            self._console.print(shown(message, "red"), soft_wrap=True)
        elif self._errors == self._max_errors + 1:
            self._console.print("Further errors are only written to errors.jsonl.", highlight=False)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def tell_shares(quiet: bool, done: int, of: int) -> None:
    """Say how many shares of a run on a cluster are done."""
    if not quiet:
        say(f"{done}/{of} shares done", err=True)
