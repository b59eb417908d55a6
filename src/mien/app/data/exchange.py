"""``mien data export`` and ``mien data convert``: labelled data as instruction dialogues for other tools, and back.

This module is imported with the command line itself, so it imports nothing heavy before a command runs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mien.app.data.options import NameArgument, OptionOption, RootOption
from mien.app.terminal import say
from mien.core.errors import BadConfig, BadData, BadInput
from mien.core.options import split_options

if TYPE_CHECKING:
    from mien.app.data.exchange_media import Media
    from mien.core.nouns import Dialogue, Sample
    from mien.dialogue.files.exchange import Item
    from mien.dialogue.files.faba_eval import FabaItem

__all__ = ["Exported", "convert_command", "convert_file", "export_command", "export_dialogues"]

_T = TypeVar("_T")
_FORMATS = "llava, sharegpt, messages, openai, parquet"
_SHOWN = re.compile(r"<(?:image|video)>|\[LM PAD\]")
_PRIOR = "<prior>"
_EXAMPLES = 20

OutArgument = Annotated[Path, typer.Argument(help="The file to write.", show_default=False)]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help=f"{_FORMATS} or faba; .jsonl and .parquet tell it.", show_default=False),
]


@dataclass(slots=True)
class Exported:
    """What became of the samples."""

    written: int = 0
    unlabelled: int = 0
    """Samples without the label that the task needs."""
    failed: int = 0
    """Samples whose picture could not be cut, encoded or given a prior."""
    reasons: list[str] = field(default_factory=list)
    """Why, for the first twenty."""


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
    option: OptionOption = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            help="Write face crops and frames to this folder, and name those.",
            show_default=False,
        ),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Encode pictures into the file (openai), as a service needs them.")
    ] = False,
    priors: Annotated[
        Path | None,
        typer.Option(
            "--priors",
            help="Folder for EmoLA's landmark files.",
            show_default="OUT-landmarks where rows need them",
        ),
    ] = None,
    prior_net: Annotated[
        Path | None,
        typer.Option(
            "--prior-net", help="InsightFace's 2d106det.onnx for them.", show_default="points of mien's mesh"
        ),
    ] = None,
    relative: Annotated[
        bool, typer.Option("--relative", help="Paths of pictures relative to the file.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Draws questions and answers.")] = 0,
) -> None:
    """Write a split as question-and-answer dialogues. Pictures are named by path, or cut out with --pictures."""
    from mien.app.data.exchange_media import Media
    from mien.data import open_dataset
    from mien.face.decode.media import MediaReader

    if embed and format != "openai" and not (format is None and out.suffix == ".jsonl"):
        raise BadConfig(
            got=f"--embed with format {format}",
            expected="openai",
            fix="Leave it out: trainers open the files",
        )
    _keep_table(root, out)
    samples = open_dataset(name).read(split, root, **split_options(option or ()))
    default = out.with_name(f"{out.stem}-landmarks")
    with MediaReader() as reader:
        media = Media(reader, pictures=pictures, embed=embed, priors=priors or default, net=prior_net,
                      beside=out.parent if relative else None)  # fmt: skip
        done = export_dialogues(
            samples,
            out,
            task,
            system=system,
            format=format,
            seed=seed,
            media=media,
            priors=priors is not None,
        )
    for line in _report(done, media, out, task):
        say(line)
    raise typer.Exit(1 if done.failed else 0)


def _keep_table(root: Path | None, out: Path) -> None:
    if root is not None and (
        _same(out, root) or (out.name.startswith("manifest.") and _same(out.parent, root))
    ):
        raise BadConfig(
            got=f"{out} for the dialogues, which is the table they come from",
            expected="a file of its own",
            fix="Name another file",
        )


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _report(done: Exported, media: Media, out: Path, task: str) -> Iterator[str]:
    yield from (f"Left out: {reason}" for reason in done.reasons)
    if done.failed > len(done.reasons):
        yield f"… and {done.failed - len(done.reasons):,} more pictures left out."
    left = f" {done.unlabelled:,} samples have no label for it and were left out." if done.unlabelled else ""
    yield f"{done.written:,} dialogues of task {task} in {out}.{left}"
    if media.boxes:
        yield (
            f"{media.boxes:,} name a picture and the box of a face in it; other tools look at the whole picture. "
            "--pictures FOLDER cuts the faces out."
        )
    if media.members:
        yield (
            f"{media.members:,} name a frame or a member of an archive, which only mien opens. "
            "--pictures FOLDER writes them as files."
        )


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
    """Turn a file of dialogues into another format; openai keeps neither ids nor tasks."""
    say(f"{convert_file(source, out, source_format, out_format):,} dialogues in {out}.")


def convert_file(
    source: Path, out: Path, source_format: str | None = None, out_format: str | None = None
) -> int:
    """Copy dialogues from one format to another, streamed; returns their number."""
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
    media: Media | None = None,
    priors: bool = False,
) -> Exported:
    """Write one dialogue per labelled sample, streamed.

    Args:
        samples: the samples, in the order of the file.
        out: the file.
        task: one of `mien.dialogue.say.builders.TASKS`, of the system's ``builders``, or of
            `mien.dialogue.files.faba_eval.TASKS` for format ``faba``.
        system: whose words to use; None for mien's own.
        format: one of `mien.dialogue.files.exchange.RECORDS` or ``faba``; None takes it from the suffix.
        seed: with a sample's id, it decides what is drawn for it, so that order and selection do not matter.
        media: cuts, encodes and names pictures; None names them as the samples do.
        priors: name a landmark prior in every row, not only where the words of a system ask for one.

    Raises:
        BadConfig: unknown task, system or format.
        BadData: no sample has the label, or none of their pictures can be read.
        BadInput: a face box and a format that cannot tell it.
        OutputFailed: a file cannot be written.
    """
    done = Exported()
    if format == "faba":
        from mien.dialogue.files.faba_eval import write_faba

        if system is not None:
            raise BadConfig(
                got=f"format faba with system {system!r}",
                expected="no system: the file holds no question",
                fix="Leave out --system",
            )
        write_faba(_some(_flat(samples, task, media, priors, done), task, done), out, task)
    else:
        from mien.dialogue.files.exchange_files import format_of, write_items

        loads = format_of(out, format).priors
        built = ((one, _build(system, task, one, random.Random(f"{seed}/{one.id}"))) for one in samples)
        write_items(_some(_items(built, media, loads, priors, done), task, done), out, format)
    return done


def _items(
    built: Iterable[tuple[Sample, Dialogue | None]],
    media: Media | None,
    loads: bool,
    every: bool,
    done: Exported,
) -> Iterator[Item]:
    """Items of the labelled samples; ``loads``: the file's trainer loads priors where the words ask for them."""
    from mien.dialogue.files.exchange import Item

    for sample, dialogue in built:
        if dialogue is None:
            done.unlabelled += 1
            continue
        if media is None:
            yield Item(dialogue, (sample.media,), None if sample.cropped else sample.box)
            continue
        prior = every or (loads and any(_PRIOR in turn.text for turn in dialogue.turns))
        try:
            placed = media.place(sample, prior)
        except BadInput as error:
            _note(done, sample, error)
            continue
        yield Item(dialogue, (placed.media,), placed.box, placed.landmark)


def _flat(
    samples: Iterable[Sample], task: str, media: Media | None, priors: bool, done: Exported
) -> Iterator[FabaItem]:
    from mien.dialogue.files.faba_eval import FabaItem, can_tell

    for sample in samples:
        if not can_tell(sample.labels, task):
            done.unlabelled += 1
            continue
        if media is None:
            yield FabaItem(sample.media, sample.labels)
            continue
        try:
            placed = media.place(sample, priors)
        except BadInput as error:
            _note(done, sample, error)
            continue
        yield FabaItem(placed.media, sample.labels, placed.landmark)


def _note(done: Exported, sample: Sample, error: BadInput) -> None:
    done.failed += 1
    if len(done.reasons) < _EXAMPLES:
        done.reasons.append(f"{sample.id}: {error}")


def _some(items: Iterable[_T], task: str, done: Exported) -> Iterator[_T]:
    for item in items:
        done.written += 1
        yield item
    if not done.written:
        raise BadData(
            got=f"no picture that can be read, the first {done.reasons[0]}" if done.reasons
            else "no sample with a label for it",
            expected=f"labelled pictures for task {task}" if done.reasons else f"labels for task {task}",
            fix="See `mien data check --deep`" if done.reasons else "See `mien data stats`",
        )  # fmt: skip


def _build(system: str | None, task: str, sample: Sample, rng: random.Random) -> Dialogue | None:
    from mien.dialogue.say import builders

    if system is None:
        return builders.build(task, sample, rng)
    from mien.models.registry import open_system

    said = open_system(system).build(task, sample, rng)
    # Where a system's own template shows the picture, its words do not, and another trainer would see none.
    if said is None or any(_SHOWN.search(turn.text) for turn in said.turns):
        return said
    return builders.show(said)
