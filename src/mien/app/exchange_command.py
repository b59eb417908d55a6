"""``mien data export`` and ``mien data convert``: labelled data as instruction dialogues for other tools, and back.

This module is imported with the command line itself, so it imports nothing heavy before a command runs.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mien.core.errors import BadConfig, BadData

if TYPE_CHECKING:
    from mien.core.nouns import Dialogue, Sample

__all__ = ["convert_command", "convert_file", "export_command", "export_dialogues"]

_T = TypeVar("_T")
_FORMATS = "llava, sharegpt, openai, parquet"

NameArgument = Annotated[str, typer.Argument(help="A name of `mien data list`.", show_default=False)]
OutArgument = Annotated[Path, typer.Argument(help="The file to write.", show_default=False)]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder of your copy; the packs of the data folder need none.", show_default=False
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help=f"{_FORMATS} or faba; .jsonl and .parquet tell it.", show_default=False),
]


def export_command(
    name: NameArgument,
    out: OutArgument,
    split: Annotated[str, typer.Option("--split", help="The split to export.")] = "train",
    task: Annotated[
        str, typer.Option("--task", help="What is asked; a wrong name prints the list.")
    ] = "emotion",
    system: Annotated[
        str | None,
        typer.Option("--system", help="In the exact words of this published system (needs torch)."),
    ] = None,
    format: FormatOption = None,
    root: RootOption = None,
    relative: Annotated[
        bool, typer.Option("--relative", help="Paths of pictures relative to the file.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Draws questions and answers.")] = 0,
) -> None:
    """Write a split as question-and-answer dialogues. Pictures are named by path, not copied."""
    read = _samples(name, split, root, out.parent if relative else None)
    written, left_out = export_dialogues(read, out, task, system=system, format=format, seed=seed)
    note = f" {left_out:,} samples have no label for it and were left out." if left_out else ""
    typer.echo(f"{written:,} dialogues of task {task} in {out}.{note}")


def convert_command(
    source: Annotated[Path, typer.Argument(help="The file to read.", show_default=False)],
    out: OutArgument,
    source_format: Annotated[
        str | None,
        typer.Option("--from", help=f"{_FORMATS}; .jsonl and .parquet tell it.", show_default=False),
    ] = None,
    out_format: Annotated[
        str | None, typer.Option("--to", help=f"{_FORMATS}; .jsonl and .parquet tell it.", show_default=False)
    ] = None,
) -> None:
    """Turn a file of dialogues into another format. Nothing is lost."""
    typer.echo(f"{convert_file(source, out, source_format, out_format):,} dialogues in {out}.")


def convert_file(
    source: Path, out: Path, source_format: str | None = None, out_format: str | None = None
) -> int:
    """Copy dialogues from one format to another, streamed; returns their number.

    Raises:
        BadConfig: unknown format, or one that the suffix does not tell.
        BadData: something in the source is not in its format.
        OutputFailed: the file cannot be written.
    """
    from mien.dialogue.files.exchange_files import read_items, write_items

    return write_items(read_items(source, source_format), out, out_format)


def export_dialogues(
    samples: Iterable[Sample],
    out: Path,
    task: str,
    *,
    system: str | None = None,
    format: str | None = None,
    seed: int = 0,
) -> tuple[int, int]:
    """Write one dialogue per labelled sample, streamed.

    Args:
        samples: the samples, in the order of the file.
        out: the file.
        task: one of `mien.dialogue.say.builders.TASKS`, of ``mien.models.dialogues.TASKS[system]``, or of
            `mien.dialogue.files.faba_eval.TASKS` for format ``faba``.
        system: whose words to use; None for mien's own.
        format: one of `mien.dialogue.files.exchange.RECORDS` or ``faba``; None takes it from the suffix.
        seed: with a sample's id, it decides what is drawn for it, so that order and selection do not matter.

    Returns:
        Numbers of dialogues and of samples without the label.

    Raises:
        BadConfig: unknown task, system or format.
        BadData: no sample has the label.
        OutputFailed: the file cannot be written.
    """
    counts: Counter[str] = Counter()
    if format == "faba":
        from mien.dialogue.files.faba_eval import FabaItem, can_tell, write_faba

        if system is not None:
            raise BadConfig(
                got=f"format faba with system {system!r}",
                expected="no system: the file holds no question",
                fix="Leave out --system",
            )
        kept = (
            FabaItem(one.media, one.labels) for one in samples if _counted(can_tell(one.labels, task), counts)
        )
        write_faba(_some(kept, task), out, task)
    else:
        from mien.dialogue.files.exchange import Item
        from mien.dialogue.files.exchange_files import write_items

        built = ((one, _build(system, task, one, random.Random(f"{seed}/{one.id}"))) for one in samples)
        items = (
            Item(dialogue, (one.media,))
            for one, dialogue in built
            if _counted(dialogue is not None, counts) and dialogue is not None
        )
        write_items(_some(items, task), out, format)
    return counts["kept"], counts["left out"]


def _counted(kept: bool, counts: Counter[str]) -> bool:
    counts["kept" if kept else "left out"] += 1
    return kept


def _some(items: Iterable[_T], task: str) -> Iterator[_T]:
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise BadData(
            got="no sample with a label for it",
            expected=f"labels for task {task}",
            fix="See `mien data stats`",
        )


def _build(system: str | None, task: str, sample: Sample, rng: random.Random) -> Dialogue | None:
    if system is None:
        from mien.dialogue.say.builders import build

        return build(task, sample, rng)
    from mien.models import dialogues

    return dialogues.build(system, task, sample, rng)


def _samples(name: str, split: str, root: Path | None, beside: Path | None) -> Iterator[Sample]:
    from mien.data import open_dataset

    for sample in open_dataset(name).read(split, root):
        yield sample if beside is None else replace(sample, media=os.path.relpath(sample.media, beside))
