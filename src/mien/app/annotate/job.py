"""What ``mien annotate`` does once its options are read: samples, teacher, run or plan, and what is printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mien.app.annotate.options import RULES, Job
from mien.app.progress import clock
from mien.app.terminal import shown
from mien.core.errors import BadConfig
from mien.core.objects import read_json
from mien.core.options import split_options

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import Console
    from rich.status import Status

    from mien.annotate.engine import Engine
    from mien.annotate.measuring import FaceMeasurer
    from mien.annotate.plan import Plan
    from mien.annotate.runner import Progress, Summary
    from mien.backends.chat import Teacher
    from mien.backends.patience import Prices
    from mien.core.nouns import Sample

__all__ = [
    "RunWatch",
    "annotate",
    "earlier_rate",
    "open_measurer",
    "open_samples",
    "open_teacher",
    "progress_line",
    "read_rows",
    "show_plan",
    "show_summary",
]

_LINE_SECONDS = 10.0
_TROUBLES = ("error", "no reply", "cut off while thinking", "thoughts without an answer")
"""Reasons that are failures, not judgements: they make the exit status 1."""


def open_samples(job: Job) -> list[Sample]:
    """The samples to annotate, pixels unread.

    Raises:
        BadConfig: no such dataset or split, or none was named where there are several.
        BadData: the copy is not in its published format.
    """
    from mien.data import open_dataset

    dataset = open_dataset(job.dataset)
    split = job.split
    if split is None:
        splits = dataset.splits(job.root)
        if len(splits) != 1:
            raise BadConfig(
                got=f"no --split of {job.dataset}",
                expected=f"one of {', '.join(splits) or 'its splits'}",
                fix="Name it",
            )
        split = splits[0]
    return list(islice(dataset.read(split, job.root, **split_options(job.option or ())), job.limit))


def open_measurer(job: Job, name: str | None) -> FaceMeasurer | None:
    """Who measures the faces: the named reader; without a name pocket for ``rules``, else nobody."""
    if name == "none" or (name is None and job.teacher != RULES):
        return None
    from mien.annotate.measuring import FaceMeasurer
    from mien.backends.base import open_reader
    from mien.face.finder import FaceFinder

    return FaceMeasurer(open_reader(name or "pocket", job.threads), FaceFinder(threads=job.threads))


def open_teacher(job: Job, engine: str) -> Teacher:
    """The offline ``rules`` of an engine, or the model of a server.

    Raises:
        BadConfig: a server without the name of its model; a bad address or key.
        MissingDependency: the client is not installed.
    """
    if job.teacher == RULES:
        from mien.annotate.rules_teacher import open_rules_teacher

        return open_rules_teacher(engine)
    from mien.backends.openai import OpenAITeacher

    if job.model is None:
        raise BadConfig(
            got=f"teacher {job.teacher} without a model",
            expected="the server's name of the model",
            fix="Pass --model NAME",
        )
    return OpenAITeacher(job.teacher, job.model, job.key_env, job.timeout, job.stream)


def annotate(
    job: Job,
    engine: Engine,
    teacher: Teacher | None = None,
    finish: Callable[[Path], Mapping[str, object]] | None = None,
    record: Mapping[str, JsonValue] | None = None,
    forecast: Callable[[], list[str]] = list,
) -> int:
    """Run or plan the engine, print what came of it, and give the exit status.

    Args:
        job: shared options.
        engine: built over the job's samples.
        teacher: who replies; by the options when omitted.
        finish: makes further files in the run's folder; gives what to print about them.
        record: further options for ``run.json``.
        forecast: what the plan says of the keep rate to expect.
    """
    from rich.console import Console

    from mien.annotate.plan import plan
    from mien.annotate.rules_teacher import open_rules_teacher
    from mien.annotate.runner import RunOptions, run
    from mien.backends.patience import Limits, Prices
    from mien.work.loop import Shard

    console, prices = Console(), Prices(job.price_in, job.price_out)
    if job.dry_run:
        expected = forecast() or earlier_rate(job.out)
        found = plan(engine, open_rules_teacher(engine.name), prices, reply_tokens=job.reply_tokens)
        show_plan(found, prices, console, expected)
        return 0
    teacher = teacher or open_teacher(job, engine.name)
    with RunWatch(job.quiet, job.teacher != RULES) as watch:
        options = RunOptions(
            workers=job.workers,
            requests_per_minute=job.rpm,
            limits=Limits(job.max_requests, job.max_tokens, job.max_cost),
            prices=prices,
            retries=job.retries,
            reply_tokens=job.reply_tokens,
            resume=job.resume,
            shard=Shard.parse(job.shard),
            record={**_record(job), **(record or {})},
            watch=watch.show,
        )
        summary = run(engine, teacher, job.out, options)
    further = finish(job.out) if finish is not None else {}
    if not job.quiet:
        show_summary(summary, job.out, console)
        if left_out := getattr(teacher, "left_out", ()):
            console.print(f"The server refused {', '.join(left_out)}: left to its defaults", highlight=False)
        for name, value in further.items():
            console.print(shown(f"{name}: {value}"), highlight=False, soft_wrap=True)
    return 1 if any(summary.rejected.get(reason) for reason in _TROUBLES) else 0


def _record(job: Job) -> dict[str, JsonValue]:
    """What ``run.json`` keeps beside the settings of the engine."""
    return {
        "dataset": job.dataset,
        "split": job.split,
        "options": list(job.option or ()),
        "limit": job.limit,
        "server": job.teacher,
        "rpm": job.rpm,
        "max_requests": job.max_requests,
        "max_tokens_in_all": job.max_tokens,
        "max_cost": job.max_cost,
    }


def read_rows(out: Path) -> list[dict[str, Any]]:
    """The kept rows of a run's folder."""
    text = (out / "items.jsonl").read_text(encoding="utf-8")
    return [read_json(line) for line in text.split("\n") if line]


class RunWatch:
    """The running line: in place in a terminal, every ten seconds elsewhere.

    Args:
        quiet: show nothing.
        paid: show requests, tokens and cost.
    """

    def __init__(self, quiet: bool, paid: bool = True) -> None:
        from rich.console import Console

        self._console, self._quiet, self._paid = Console(stderr=True), quiet, paid
        self._status: Status | None = None
        self._spoke = time.monotonic()
        if not quiet and self._console.is_terminal:
            self._status = self._console.status("")

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, progress: Progress) -> None:
        """Show how far a run has got."""
        if self._status is not None:
            self._status.update(progress_line(progress, self._paid))
        elif not self._quiet and time.monotonic() - self._spoke >= _LINE_SECONDS:
            self._spoke = time.monotonic()
            self._console.print(progress_line(progress, self._paid), highlight=False, soft_wrap=True)


def progress_line(progress: Progress, paid: bool) -> str:
    """One line: items, kept, rejected, rate, requests, tokens, cost, time left."""
    parts = [
        f"{progress.done:,}/{progress.items:,} items",
        f"{progress.kept:,} kept, {progress.rejected:,} rejected",
        f"{progress.pace.rate:.1f} items/s",
    ]
    if paid:
        tokens = progress.tokens_in + progress.tokens_out
        parts.append(f"{progress.requests:,} requests, {tokens:,} tokens, cost {progress.cost:.2f}")
    if progress.pace.left is not None:
        parts.append(f"about {clock(progress.pace.left)} left")
    return "; ".join(parts)


def earlier_rate(out: Path) -> list[str]:
    """What an earlier run in the folder kept, a line; empty without one."""
    try:
        found = read_json((out / "statistics.json").read_text(encoding="utf-8"))
        items, kept = int(found["items"]), int(found["kept"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [f"Expected keep rate: {kept / items:.0%}, as of the {items:,} items in {out}"] if items else []


def show_plan(found: Plan, prices: Prices, console: Console, expected: Sequence[str] = ()) -> None:
    """Print a plan; nothing was sent. ``expected`` tells the keep rate that is known of the teacher."""
    kept = 1 - sum(found.rejected.values()) / found.sampled if found.sampled else 0.0
    lines = [
        f"{found.items:,} items; nothing was sent.",
        f"Steps per item, from {found.sampled:,} items answered by rules:",
        *(f"  {step}: {number:.2f}" for step, number in found.steps.items()),
        f"Requests: about {found.requests:,}, retries not counted",
        f"Tokens, estimated at four characters each: about {found.tokens_in:,} in, {found.tokens_out:,} out "
        f"(at most {found.tokens_out_most:,} out)",
    ]
    if prices.input or prices.output:
        lines.append(f"Cost: about {found.cost:.2f}, at most {found.cost_most:.2f}")
    else:
        lines.append("Cost: give --price-in and --price-out (per million tokens) to see it")
    lines += [f"Rejected in the sample: {number} {reason}" for reason, number in found.rejected.items()]
    lines += expected or [f"Expected keep rate: {kept:.0%} by rules; a teacher's is known after --limit 20"]
    console.print(shown("\n".join(lines)), highlight=False, soft_wrap=True)
    if found.example is not None:
        console.print(f"\nFirst request ({found.example.step}):", highlight=False)
        for message in found.example.messages:
            pictures = f" [{len(message.images)} picture]" if message.images else ""
            text = f"{message.role}{pictures}: {message.text}"
            console.print(shown(text), highlight=False, soft_wrap=True)


def show_summary(summary: Summary, out: Path, console: Console) -> None:
    """Print counts, reasons, cost and the files."""
    rejected = sum(summary.rejected.values())
    lines = [f"{summary.items:,} items = {summary.kept:,} kept + {rejected:,} rejected"]
    ranked = sorted(summary.rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    lines += [f"  {number:,} {reason}" for reason, number in ranked]
    tokens = f"{summary.tokens_in:,} tokens in, {summary.tokens_out:,} out, cost {summary.cost:.2f}"
    lines.append(f"{summary.requests:,} replies, {summary.failures:,} failed tries; {tokens}")
    if summary.asked_again:
        lines.append(
            f"{summary.asked_again:,} requests were under way when an earlier run was killed and were asked "
            "again: the server may have billed them twice."
        )
    lines.append(f"Written: {out}")
    console.print(shown("\n".join(lines)), highlight=False, soft_wrap=True)
