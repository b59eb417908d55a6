"""The one loop for work that goes item by item: in order, bounded, and no odd item ends it."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mien.core.errors import BadConfig, BadInput, MienError, OutputFailed

__all__ = ["Pace", "Shard", "Unexpected", "attempt", "in_order", "stamp"]

Result = TypeVar("Result")
_ITEMS_OWN = frozenset((errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ))
"""Faults in writing that lie in the item's name or content; any other lies in the disk, and every item meets it."""
_TICK_SECONDS = 0.25


class Unexpected(BadInput):
    """An error that nobody foresaw, of a library or of mien itself, as the error of the item that met it."""


def attempt(
    task: Callable[[], Result], what: str, stops: tuple[type[BaseException], ...] = ()
) -> Result | MienError:
    """What ``task`` gives, or the error of the item: the barrier behind which one item's fault stays its own.

    Args:
        task: the work on one item, or a step of it.
        what: the item, for the message.
        stops: errors that end the run. A folder that cannot be written (`OutputFailed`) does so too, as does what
            is no `Exception`: KeyboardInterrupt, SystemExit, GeneratorExit.
    """
    try:
        return task()
    except stops:
        raise
    except OutputFailed as error:
        if getattr(error.__cause__, "errno", None) not in _ITEMS_OWN:
            raise
        return error
    except MienError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the only broad one: whatever a codec or a library may raise
        return _unexpected(error, what)


def _unexpected(error: Exception, what: str) -> Unexpected:
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:300]
    found = Unexpected(
        got=f"{type(error).__name__}{f': {text}' if text else ''} ({Path(place.filename).name}:{place.lineno}) "
        f"from {what}",
        expected="an item that can be worked on",
        fix="Look at the item; if it is sound, report this as a fault of mien",
    )
    found.__cause__ = error
    return found


def in_order(
    tasks: Iterable[Callable[[], Result]],
    workers: int = 1,
    depth: int = 1,
    tick: Callable[[], None] | None = None,
) -> Generator[Result]:
    """Results in the order of ``tasks``, which are done in ``workers`` other threads, at most ``depth`` ahead.

    The first error comes out in its turn; then, and when the generator is closed, what has not begun is dropped.

    Args:
        tick: called several times per second while a result is waited for, and after each.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="mien-work") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) >= max(depth, workers):
                    yield _wait(waiting.popleft(), tick)
            while waiting:
                yield _wait(waiting.popleft(), tick)
        finally:
            for future in waiting:
                future.cancel()


def _wait(future: Future[Result], tick: Callable[[], None] | None) -> Result:
    while tick is not None:
        try:
            result = future.result(_TICK_SECONDS)
        except TimeoutError:
            if future.done():  # the task's own
                raise
            tick()
            continue
        tick()
        return result
    return future.result()


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast work gets on."""

    total: int
    done: int
    """By earlier runs as well."""
    now: int
    """Of these, in this process."""
    seconds: float
    """Since it began."""

    @property
    def rate(self) -> float:
        """Per second, in this process."""
        return self.now / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left at this rate; None when nothing is known yet."""
        return max(self.total - self.done, 0) / self.rate if self.rate > 0 else None


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``of`` equal shares of a list of items, ``number`` counted from 1: every ``of``-th item."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``"2/8"``.

        Raises:
            BadConfig: not of this form, or not 1 <= i <= n.
        """
        found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text.strip())
        if found is None or int(found[1]) > int(found[2]):
            raise BadConfig(
                got=f"shard {text!r}", expected="i/n with 1 <= i <= n, such as 2/8", fix="Correct --shard"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def folder(self) -> str:
        """Name of its own folder among those of the other shares."""
        return f"{self.number:05d}-of-{self.of:05d}"

    def takes(self, place: int) -> bool:
        """Whether the item at this place (from 0) belongs to the shard."""
        return place % self.of == self.number - 1


def stamp(path: str | Path) -> str:
    """What tells that a file is the same as before, without reading it: size, times and number of its inode.

    The time of the last change of the inode is among them, so that new bytes of the same size under an old
    modification time are seen (on POSIX; Windows keeps no such time).
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "absent"
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
