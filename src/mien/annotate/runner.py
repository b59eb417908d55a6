"""Runs an engine over all its items: many at once, within limits, resumable, with the same files whatever happened.

    items -> bounded queue -> workers: steps <-> memory <-> teacher -> decision -> (at the end) files

A run folder holds ``store.sqlite`` (requests, replies, failed tries, decisions), and when all items are decided
``items.jsonl``, ``rejected.jsonl``, ``statistics.json`` and ``run.json``.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from mien.annotate.drive import drive
from mien.annotate.engine import Engine, Item, Kept, Rejected
from mien.annotate.listing import hash_ids, list_items
from mien.annotate.store import RunStore, open_store
from mien.annotate.writing import write_files
from mien.backends.chat import ChatFailed, Teacher
from mien.backends.memory import Remembering
from mien.backends.patience import Budget, Limits, Patience, Prices
from mien.core.errors import BadData, require_range
from mien.core.run_record import RunRecord

__all__ = ["Progress", "RunOptions", "Summary", "run"]

NO_REPLY = "no reply"
"""Reason of items whose teacher did not answer in all tries; a resumed run asks again."""
_SILENCES = 3
"""Items in a row without a reply after which the server counts as down."""
_QUEUE = 2
"""Items taken from the engine per worker, the one at work included."""
_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has got."""

    items: int
    done: int
    """Decided, by earlier runs in this folder as well."""
    kept: int
    rejected: int
    """Both in this process."""
    reused: int
    """Requests answered from memory in this process."""
    requests: int
    """Sent, over the whole run."""
    tokens_in: int
    tokens_out: int
    cost: float
    seconds: float
    """Since this process began."""

    @property
    def rate(self) -> float:
        """Items per second in this process."""
        return (self.kept + self.rejected) / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left at this rate; None when nothing is known yet."""
        return (self.items - self.done) / self.rate if self.rate > 0 else None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run."""

    workers: int = 4
    """Items at once; each has one request under way at a time."""
    requests_per_minute: float | None = None
    limits: Limits = field(default_factory=Limits)
    prices: Prices = field(default_factory=Prices)
    retries: int = 6
    """Further tries of a request that got no reply."""
    first_wait: float = 1.0
    """Seconds before the second try; doubles with each."""
    resume: bool = False
    record: Mapping[str, JsonValue] = field(default_factory=dict)
    """Further options for ``run.json``; no secrets."""
    watch: Callable[[Progress], None] | None = None
    """Called from the thread that called `run`, several times per second."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run, earlier parts of it included."""

    items: int
    kept: int
    rejected: Mapping[str, int]
    """Reason -> items; ``items == kept + sum(rejected.values())``."""
    requests: int
    """Replies that were paid for."""
    failures: int
    """Tries that gave no reply."""
    reused: int
    """Requests answered from memory in this process."""
    asked_again: int
    """Requests that were under way when an earlier process was killed: the server may have billed them twice."""
    tokens_in: int
    tokens_out: int
    cost: float


def run(engine: Engine, teacher: Teacher, out: Path, options: RunOptions | None = None) -> Summary:
    """Annotate all items and write the files.

    Args:
        engine: what to do.
        teacher: who replies.
        out: the run's folder; made when absent.
        options: workers, limits, tries.

    Raises:
        BadConfig: the folder holds another run, or one that ``resume`` does not allow to go on; a bad option.
        BadData: two items have one id, or the items change while they are read.
        BudgetSpent: a limit is reached; all replies are kept.
        ChatFailed: the server refuses every request, or is down; all replies are kept.
        OutputFailed: the folder cannot be written.
    """
    options = options or RunOptions()
    require_range(options.workers, "workers", 1, whole=True)
    ids = list_items(engine)
    store = open_store(out, options.resume)
    try:
        settings = {**engine.settings, "engine": engine.name, "teacher": teacher.model}
        store.check_settings(settings)
        config: dict[str, Any] = {
            **settings,
            "workers": options.workers,
            "retries": options.retries,
            **options.record,
        }
        record = RunRecord.start(config, split_hash=hash_ids(ids))
        record.write(out / "run.json")
        return _Run(engine, teacher, store, options, ids).finish(out, record)
    finally:
        store.close()


class _Run:
    def __init__(
        self, engine: Engine, teacher: Teacher, store: RunStore, options: RunOptions, ids: list[str]
    ) -> None:
        self._engine, self._store, self._options, self._ids = engine, store, options, ids
        self._asked_again = len(store.memory.unanswered())
        earlier = store.memory.totals()
        used = earlier.requests + earlier.failures + self._asked_again
        budget = Budget(options.limits, options.prices, used, earlier.tokens_in, earlier.tokens_out)
        self._patience = Patience(
            options.retries,
            options.first_wait,
            requests_per_minute=options.requests_per_minute,
            budget=budget,
        )
        self._teacher = Remembering(teacher, store.memory, self._patience)
        self._lock = threading.Lock()
        self._verdicts: Counter[bool] = Counter()
        self._earlier = self._silences = 0
        self._error: BaseException | None = None
        self._slots = threading.BoundedSemaphore(_QUEUE * options.workers)
        self._started = self._told = time.monotonic()

    def finish(self, out: Path, record: RunRecord) -> Summary:
        self._decide_all()
        kept, rejected = write_files(out, self._engine.name, self._store, self._ids)
        totals = self._store.memory.totals()
        record.finish(items=len(self._ids), kept=kept, rejected=sum(rejected.values())).write(
            out / "run.json"
        )
        cost = self._options.prices.cost(totals.tokens_in, totals.tokens_out)
        return Summary(
            len(self._ids), kept, rejected, totals.requests, totals.failures, self._teacher.reused,
            self._asked_again, totals.tokens_in, totals.tokens_out, cost,
        )  # fmt: skip

    def _decide_all(self) -> None:
        with ThreadPoolExecutor(self._options.workers, thread_name_prefix="mien-annotate") as pool:
            try:
                for item in self._undecided():
                    self._take_slot()
                    if self._error is not None:
                        self._slots.release()
                        break
                    pool.submit(self._decide, item).add_done_callback(self._done)
                for _ in range(_QUEUE * self._options.workers):
                    self._take_slot()
            except BaseException:
                self._patience.stop()
                raise
        self._tell()
        if self._error is not None:
            raise self._error

    def _undecided(self) -> Iterator[Item]:
        position = 0
        for position, item in enumerate(self._engine.items(), start=1):
            if position > len(self._ids) or item.id != self._ids[position - 1]:
                raise _changed(f"item {item.id!r} at place {position}")
            if self._store.digest(item.id) == item.digest():
                self._earlier += 1
            else:
                yield item
        if position != len(self._ids):
            raise _changed(f"{position} items")

    def _take_slot(self) -> None:
        """Wait until fewer items are under way than the queue holds, and tell how the run gets on."""
        while not self._slots.acquire(timeout=_POLL_SECONDS):
            self._tell()
        if time.monotonic() - self._told >= _POLL_SECONDS:
            self._tell()

    def _decide(self, item: Item) -> None:
        if self._error is not None:
            return
        final = True
        try:
            outcome = drive(self._engine, item, self._teacher.reply)
        except ChatFailed as failure:
            if failure.fatal or (failure.retryable and self._is_down()):
                raise
            final = not failure.retryable
            outcome = Rejected(failure.reason if final else NO_REPLY, str(failure))
        else:
            self._silences = 0
        self._store.decide(item, outcome, final)
        with self._lock:
            self._verdicts[isinstance(outcome, Kept)] += 1

    def _is_down(self) -> bool:
        """Whether one more item without a reply makes it too many in a row."""
        with self._lock:
            self._silences += 1
            return self._silences >= _SILENCES

    def _done(self, future: Future[None]) -> None:
        error = future.exception()
        if error is not None:
            with self._lock:
                # The first error is the cause; others are stopped by it.
                self._error = self._error or error
            self._patience.stop()
        self._slots.release()

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._options.watch is None:
            return
        with self._lock:
            kept, rejected = self._verdicts[True], self._verdicts[False]
        requests, tokens_in, tokens_out = self._patience.budget.used
        self._options.watch(
            Progress(
                items=len(self._ids),
                done=self._earlier + kept + rejected,
                kept=kept,
                rejected=rejected,
                reused=self._teacher.reused,
                requests=requests,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                cost=self._patience.budget.cost,
                seconds=self._told - self._started,
            )
        )


def _changed(came: str) -> BadData:
    return BadData(
        got=f"{came}, which was not there when the items were counted",
        expected="the same items in the same order",
        fix="Let the data rest while the run goes on, then run again with --resume",
    )
