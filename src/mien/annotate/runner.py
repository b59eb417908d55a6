"""Runs an engine over all its items: many at once, within limits, resumable, with the same files whatever happened.

    items -> bounded queue -> workers: steps <-> memory <-> teacher -> decision -> (at the end) files

A run folder holds ``.mien/journal.sqlite`` (requests, replies, failed tries, decisions), and when all items are
decided ``items.jsonl``, ``rejected.jsonl``, ``statistics.json`` and ``run.json``.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from mien.annotate.decisions import decide, open_folder
from mien.annotate.drive import drive
from mien.annotate.engine import Engine, Item, Kept, Outcome, Rejected
from mien.annotate.listing import hash_ids, list_items
from mien.annotate.writing import write_files
from mien.backends.chat import ChatFailed, Teacher
from mien.backends.memory import Remembering
from mien.backends.patience import Budget, BudgetSpent, Limits, Patience, Prices, Stopped
from mien.core.errors import BadData, MienError, require_range
from mien.core.run_record import RunRecord
from mien.face.decode.media import split_media
from mien.work.folder import RunFolder
from mien.work.journal import Entry
from mien.work.loop import Pace, Shard, attempt, in_order, stamp
from mien.work.merging import join, read_part
from mien.work.replies import Replies

__all__ = ["Progress", "RunOptions", "Summary", "merge_runs", "run"]

NO_REPLY = "no reply"
"""Reason of items whose teacher did not answer in all tries; a resumed run asks again."""
_PASSING = (NO_REPLY, "cut off while thinking", "thoughts without an answer")
"""Reasons that say nothing of the item."""
_SILENCES = 3
"""Items in a row without a reply after which the server counts as down."""
_QUEUE = 16
"""Items taken from the engine per worker: while one waits for its server, the others go so far ahead."""
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
    def pace(self) -> Pace:
        """Items per second in this process, and the time left."""
        return Pace(self.items, self.done, self.kept + self.rejected, self.seconds)


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
    reply_tokens: int | None = None
    """Longest reply, in place of the engine's; reasoning models need thousands."""
    first_wait: float = 1.0
    """Seconds before the second try; doubles with each."""
    resume: bool = False
    shard: Shard = field(default_factory=Shard)
    """Which share of the items."""
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
    """
    options = options or RunOptions()
    require_range(options.workers, "workers", 1, whole=True)
    ids = list_items(engine)
    with open_folder(out, options.resume, {"shard": str(options.shard)}) as folder:
        settings = {**engine.settings, "engine": engine.name, "teacher": teacher.model}
        folder.journal.check_settings(settings)
        config: dict[str, Any] = {
            **settings,
            "workers": options.workers,
            "retries": options.retries,
            "reply_tokens": options.reply_tokens,
            **options.record,
        }
        record = RunRecord.start(config, split_hash=hash_ids(ids))
        with folder.writing("run.json") as path:
            record.write(path)
        return _Run(engine, teacher, folder, options, ids).finish(record)


def merge_runs(runs: Sequence[Path], out: Path) -> tuple[int, dict[str, int]]:
    """Join finished runs, such as the shares of one, into the files of all their items; nobody is asked.

    Returns:
        Kept items, and rejected ones by reason.
    """
    parts = [read_part(run) for run in runs]
    with open_folder(out, False) as folder:
        ids = join(folder, parts)
        record = RunRecord.start(parts[0].settings, split_hash=hash_ids(ids))
        kept, rejected = write_files(folder, str(parts[0].settings["engine"]), ids)
        with folder.writing("run.json") as path:
            record.finish(items=len(ids), kept=kept, rejected=sum(rejected.values())).write(path)
        folder.finish()
    return kept, rejected


class _Run:
    def __init__(
        self, engine: Engine, teacher: Teacher, folder: RunFolder, options: RunOptions, ids: list[str]
    ) -> None:
        self._engine, self._folder, self._options, self._ids = engine, folder, options, ids
        self._journal = folder.journal
        self._mine = [item for place, item in enumerate(ids) if options.shard.takes(place)]
        self._replies = Replies(self._journal)
        self._decided = {one.item: one.digest for one in self._journal.entries().values() if one.final}
        self._asked_again = len(self._replies.unanswered())
        earlier = self._replies.totals()
        used = earlier.requests + earlier.failures + self._asked_again
        budget = Budget(options.limits, options.prices, used, earlier.tokens_in, earlier.tokens_out)
        self._patience = Patience(
            options.retries,
            options.first_wait,
            requests_per_minute=options.requests_per_minute,
            budget=budget,
        )
        self._teacher = Remembering(teacher, self._replies, self._patience, options.reply_tokens)
        self._refused: dict[str, ChatFailed] = {}
        self._lock = threading.Lock()
        self._verdicts: Counter[bool] = Counter()
        self._earlier = self._silences = 0
        self._error: BaseException | None = None
        self._started = self._told = time.monotonic()

    def finish(self, record: RunRecord) -> Summary:
        try:
            self._decide_all()
        except (BudgetSpent, ChatFailed, KeyboardInterrupt):
            # What is paid for can be used at once; the record stays that of a run that has not ended.
            done = {one.item for one in self._journal.entries().values() if one.final}
            if mine := [item for item in self._mine if item in done]:
                write_files(self._folder, self._engine.name, mine)
            raise
        kept, rejected = write_files(self._folder, self._engine.name, self._mine)
        totals = self._replies.totals()
        with self._folder.writing("run.json") as path:
            record.finish(items=len(self._mine), kept=kept, rejected=sum(rejected.values())).write(path)
        self._folder.finish()
        cost = self._options.prices.cost(totals.tokens_in, totals.tokens_out)
        return Summary(
            len(self._mine), kept, rejected, totals.requests, totals.failures, self._teacher.reused,
            self._asked_again, totals.tokens_in, totals.tokens_out, cost,
        )  # fmt: skip

    def _decide_all(self) -> None:
        workers = self._options.workers
        tasks = (partial(self._decide, item, place) for place, item in self._undecided())
        with closing(in_order(tasks, workers, _QUEUE * workers, self._tick)) as results:
            try:
                for _ in results:
                    pass
            except BaseException as error:
                self._patience.stop()
                if self._error not in (None, error):
                    raise self._error from None  # the first one is the cause; others are stopped by it
                raise
        self._judge_refused()
        self._tell()

    def _judge_refused(self) -> None:
        """Items that the server would not take are judged at the end, if it has answered others."""
        if self._refused and not self._replies.totals().requests:
            raise next(iter(self._refused.values()))
        entries = self._journal.entries() if self._refused else {}
        for item, failure in self._refused.items():
            decide(self._journal, replace(entries[item], final=True), Rejected(failure.reason, str(failure)))

    def _undecided(self) -> Iterator[tuple[int, Item]]:
        position = 0
        for position, item in enumerate(self._engine.items(), start=1):
            if position > len(self._ids) or item.id != self._ids[position - 1]:
                raise _changed(f"item {item.id!r} at place {position}")
            if not self._options.shard.takes(position - 1):
                continue
            if self._decided.get(item.id) == _digest(item):
                self._earlier += 1
            else:
                yield position - 1, item
        if position != len(self._ids):
            raise _changed(f"{position} items")

    def _decide(self, item: Item, place: int) -> None:
        try:
            entry = Entry(item.id, _digest(item), place=place)
            outcome = attempt(partial(self._outcome, item), item.id, (ChatFailed, BudgetSpent, Stopped))
            if isinstance(outcome, MienError):
                outcome, entry = Rejected("error", str(outcome)), replace(entry, final=False)
            elif isinstance(outcome, Rejected) and (outcome.reason in _PASSING or item.id in self._refused):
                entry = replace(entry, final=False)
            stored = attempt(partial(decide, self._journal, entry, outcome), item.id)
            if stored is not None:
                outcome = Rejected("error", str(stored))
                decide(self._journal, entry, outcome)
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            self._patience.stop()
            raise
        with self._lock:
            self._verdicts[isinstance(outcome, Kept)] += 1

    def _outcome(self, item: Item) -> Outcome:
        try:
            outcome = drive(self._engine, item, self._teacher.reply)
        except ChatFailed as failure:
            if failure.fatal or (failure.retryable and self._is_down()):
                raise
            if failure.status is not None:
                self._refused[item.id] = failure
            return Rejected(NO_REPLY if failure.retryable else failure.reason, str(failure))
        self._silences = 0
        return outcome

    def _is_down(self) -> bool:
        """Whether one more item without a reply makes it too many in a row."""
        with self._lock:
            self._silences += 1
            return self._silences >= _SILENCES

    def _tick(self) -> None:
        if time.monotonic() - self._told >= _POLL_SECONDS:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._options.watch is None:
            return
        with self._lock:
            kept, rejected = self._verdicts[True], self._verdicts[False]
        requests, tokens_in, tokens_out = self._patience.budget.used
        self._options.watch(
            Progress(
                items=len(self._mine),
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


def _digest(item: Item) -> str:
    """Of the item, and of its file as it lies there now."""
    if item.sample is None:
        return item.digest()
    return f"{item.digest()} {stamp(split_media(item.sample.media)[0])}"


def _changed(came: str) -> BadData:
    return BadData(
        got=f"{came}, which was not there when the items were counted",
        expected="the same items in the same order",
        fix="Let the data rest while the run goes on, then run again with --resume",
    )
