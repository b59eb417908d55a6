"""``mien annotate faba|conversations|exp-cot``: labelled faces -> instruction data, by a teacher.

This module is imported with the command line itself, so it imports nothing heavy before a command runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mien.app.annotate.options import Job, with_job
from mien.app.terminal import say

if TYPE_CHECKING:
    from mien.annotate.faba.engine import Task
    from mien.backends.chat import Teacher

__all__ = ["annotate_app"]

_STATUS = (
    "Exit status: 0 every item is decided; 1 some failed (an error, or no reply), the rest is written; 2 nothing "
    "could be done, or a limit was reached; 130 interrupted."
)
_INTERRUPTED = 130

annotate_app = typer.Typer(
    help="Make instruction data from labelled faces: descriptions, conversations, chains of thought. The teacher is "
    "the offline rules, or any server that speaks OpenAI's chat protocol.",
    no_args_is_help=True,
    epilog=_STATUS,
)

SeedOption = Annotated[int, typer.Option(help="Of all choices.")]
ReaderOption = Annotated[
    str | None,
    typer.Option(
        help="Who measures the faces: a model of `mien models list`, a model folder, or none. Default: pocket for "
        "the teacher rules, which cannot see; none for a server."
    ),
]


@annotate_app.command("exp-cot", epilog=_STATUS)
@with_job
def exp_cot(
    job: Job,
    aus: Annotated[
        str,
        typer.Option(help="Source of AU values: pocket, rules, labels, a model folder, a file or folder."),
    ] = "pocket",
    rounds: Annotated[int, typer.Option(help="Reflections without the label.", min=0)] = 3,
    hints: Annotated[int, typer.Option(help="Reflections with the label.", min=0)] = 1,
    temperature: Annotated[float, typer.Option(help="Of the teacher.", min=0, max=2)] = 0.0,
    gates: Annotated[
        str, typer.Option(help="strict: every fault rejects; paper: degrees and coverage are scored.")
    ] = "strict",
    pilot: Annotated[
        Path | None,
        typer.Option(help="With --dry-run: rows of your teacher (items.jsonl), to see what share is kept."),
    ] = None,
) -> None:
    """Verified chains of thought, from AU values and the label (ExpLLM's Exp-CoT engine)."""
    from mien.annotate.exp_cot.engine import exp_cot_engine
    from mien.annotate.exp_cot.items import open_aus
    from mien.app.annotate.job import annotate, open_samples

    root = None if job.root is None else str(job.root)
    source = open_aus(aus, job.threads)
    engine = exp_cot_engine(
        open_samples(job), source, rounds, hints, temperature=temperature, profile=gates, root=root
    )

    def forecast() -> list[str]:
        from mien.annotate.exp_cot.pilot import pilot as judge
        from mien.annotate.exp_cot.pilot import pilot_rows

        return [] if pilot is None else judge(pilot_rows(pilot)).lines(gates)

    _leave(lambda: annotate(job, engine, forecast=forecast))


@annotate_app.command("faba", epilog=_STATUS)
@with_job
def faba(
    job: Job,
    task: Annotated[str, typer.Option(help="emotion, au or both.")] = "both",
    seed: SeedOption = 0,
    reader: ReaderOption = None,
    check_label: Annotated[
        bool, typer.Option("--check-label", help="Reject descriptions of another emotion than the label.")
    ] = False,
    test_pictures: Annotated[
        int | None,
        typer.Option(help="Pictures of the test part. Default: the samples outside the split train.", min=0),
    ] = None,
) -> None:
    """Descriptions of emotions and Action Units (FABA-Instruct), with its files and statistics."""
    from mien.annotate.faba.engine import faba_engine
    from mien.app.annotate.faba import finish_faba
    from mien.app.annotate.job import annotate, open_measurer, open_samples

    measurer = open_measurer(job, reader)
    engine = faba_engine(
        open_samples(job),
        cast("Task", task),
        seed=seed,
        root=None if job.root is None else str(job.root),
        check_label=check_label,
        read_face=measurer,
        reader_name=None if measurer is None else measurer.name,
    )
    further = {"test_pictures": test_pictures}
    _leave(lambda: annotate(job, engine, finish=finish_faba, record=further))


@annotate_app.command("conversations", epilog=_STATUS)
@with_job
def conversations(
    job: Job,
    seed: SeedOption = 0,
    reader: ReaderOption = None,
    captioner: Annotated[
        str | None, typer.Option(help="Another server for the descriptions of a video's seconds.")
    ] = None,
    captioner_model: Annotated[str | None, typer.Option(help="Its name of the model.")] = None,
    captioner_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds its key.")
    ] = None,
) -> None:
    """Conversations about pictures and clips, in agreement with the label (EMO-LLaMA's engine)."""
    from mien.annotate.conversations.engine import conversations_engine, with_captioner
    from mien.app.annotate.job import annotate, open_measurer, open_samples, open_teacher

    measurer = open_measurer(job, reader)
    engine = conversations_engine(
        open_samples(job),
        seed=seed,
        root=None if job.root is None else str(job.root),
        read_face=measurer,
        reader_name=None if measurer is None else measurer.name,
    )
    teacher: Teacher | None = None
    if captioner is not None:
        if captioner_key_env is None and captioner == job.teacher:
            captioner_key_env = job.key_env  # a key goes to no other server
        other = replace(job, teacher=captioner, model=captioner_model, key_env=captioner_key_env)
        teacher = with_captioner(open_teacher(job, engine.name), open_teacher(other, engine.name))
    _leave(lambda: annotate(job, engine, teacher))


@annotate_app.command("review")
def review(
    run: Annotated[Path, typer.Argument(help="Folder of a finished faba run.", show_default=False)],
    corrections: Annotated[
        Path | None, typer.Argument(help="What the review sheet exported.", show_default=False)
    ] = None,
) -> None:
    """Review the test part of a faba run: write the sheet, or put its corrections into the published files."""
    from mien.app.annotate.faba import finish_faba

    for name, value in finish_faba(run, corrections).items():
        say(f"{name}: {value}")


def _leave(work: Callable[[], int]) -> None:
    try:
        status = work()
    except KeyboardInterrupt:
        say("Interrupted. All replies are kept: run the same command with --resume to go on.", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    raise typer.Exit(status)
