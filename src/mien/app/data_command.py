"""``mien data list|check|stats``: which datasets can be read, whether a copy is sound, what it holds.

This module is imported with the command line itself, so it imports nothing heavy before a command runs.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.core.errors import BadData, MienError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mien.core.nouns import Sample

__all__ = ["Stats", "count_labels", "data_app", "show_check", "show_list", "show_stats", "why_unreadable"]

_STATUS = "Exit status: 0 sound; 1 problems were found; 2 nothing could be done."
_BAR = 24
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")

data_app = typer.Typer(
    help="List the datasets that mien reads, check a copy, count its labels.",
    no_args_is_help=True,
    epilog=_STATUS,
)

NameArgument = Annotated[str, typer.Argument(help="A name of `mien data list`.", show_default=False)]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder of your copy; the packs of the data folder need none.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DeepOption = Annotated[bool, typer.Option("--deep", help="Also open every picture and video (slow).")]
SplitOption = Annotated[
    str | None, typer.Option("--split", help="Count this split only.", show_default=False)
]


@data_app.command("list")
def list_command() -> None:
    """List the datasets with what they hold."""
    show_list()


@data_app.command("check")
def check_command(
    name: NameArgument, root: RootOption = None, deep: DeepOption = False, as_json: JsonOption = False
) -> None:
    """Name everything that is missing, unreadable, duplicated or out of protocol, with file and line.

    Nothing is changed.
    """
    raise typer.Exit(0 if show_check(name, root, deep=deep, as_json=as_json) else 1)


@data_app.command("stats")
def stats_command(
    name: NameArgument, root: RootOption = None, split: SplitOption = None, as_json: JsonOption = False
) -> None:
    """Count samples, subjects, emotions and Action Units of every split."""
    show_stats(name, root, split, as_json=as_json)


def show_list(console: Console | None = None) -> None:
    """Print every dataset: name, what it holds, published sizes."""
    from rich.table import Table

    from mien.data import READERS, open_dataset

    table = Table("name", "what it holds", "published samples", box=None, pad_edge=False)
    for name in READERS:
        dataset = open_dataset(name)
        sizes = ", ".join(f"{split} {count:,}" for split, count in dataset.published.items())
        table.add_row(name, dataset.title, sizes or "-")
    _console(console).print(table, highlight=False)


def show_check(
    name: str, root: Path | None, *, deep: bool = False, as_json: bool = False, console: Console | None = None
) -> bool:
    """Print the problems of a copy.

    Returns:
        True when there are none.

    Raises:
        BadConfig: no such dataset.
        BadData: the folder is missing.
    """
    from rich.markup import escape

    from mien.data import open_dataset

    console = _console(console)
    problems = open_dataset(name).check(root, why_unreadable if deep else None)
    if as_json:
        rows = [{"file": p.file, "line": p.line, "what": p.what} for p in problems]
        console.print_json(json.dumps({"dataset": name, "problems": rows}, ensure_ascii=False))
        return not problems
    for problem in problems:
        console.print(escape(str(problem)), highlight=False, soft_wrap=True)
    verdict = f"{len(problems):,} problems." if problems else "No problems."
    depth = "Pictures were opened." if deep else "Pictures were not opened (--deep does)."
    console.print(f"{verdict} {depth}", highlight=False)
    return not problems


def why_unreadable(media: str) -> str | None:
    """Why a picture or video of a dataset cannot be opened, or None.

    Frames of a video are judged by the video; rows of arrays and tables were read with their labels.
    """
    from mien.face.images import load_image
    from mien.face.video import probe

    path, bang, member = media.partition("!")
    try:
        if path.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                load_image(archive.read(member))
        elif path.lower().endswith(_VIDEOS):
            probe(Path(path))
        elif Path(path).is_dir():
            if not any(Path(path).iterdir()):
                return f"the folder {path} is empty"
        elif not bang:
            load_image(path)
    except (MienError, OSError, KeyError, zipfile.BadZipFile) as error:
        return f"cannot be opened: {error}"
    return None


@dataclass
class Stats:
    """Counts of one split."""

    samples: int = 0
    unlabelled: int = 0
    """Samples without any emotion."""
    subjects: set[str] = field(default_factory=set)
    emotions: Counter[str] = field(default_factory=Counter)
    units: dict[str, Counter[str]] = field(default_factory=dict)
    """AU key or FEAFA name -> how often ``present`` and ``coded``; present: marked so, level >= 1, or intensity > 0."""

    def summary(self) -> dict[str, object]:
        """The counts as plain JSON values."""
        return {
            "samples": self.samples,
            "without_emotion": self.unlabelled,
            "subjects": len(self.subjects),
            "emotions": dict(self.emotions.most_common()),
            "action_units": {key: dict(counts) for key, counts in sorted(self.units.items())},
        }


def count_labels(samples: Iterable[Sample]) -> Stats:
    """Count one split in a single pass; memory grows with the number of subjects only."""
    stats = Stats()
    for sample in samples:
        stats.samples += 1
        labels = sample.labels
        if sample.subject is not None:
            stats.subjects.add(sample.subject)
        if labels.emotion is None:
            stats.unlabelled += 1
        else:
            stats.emotions[labels.emotion] += 1
        marks: Mapping[str, float] = labels.au_presence or labels.au_level or labels.au_intensity or {}
        for key, value in marks.items():
            counts = stats.units.setdefault(key, Counter(present=0, coded=0))
            counts["coded"] += 1
            counts["present"] += value > 0
    return stats


def show_stats(
    name: str,
    root: Path | None,
    split: str | None = None,
    *,
    as_json: bool = False,
    console: Console | None = None,
) -> None:
    """Print the distributions of a copy.

    Raises:
        BadConfig: no such dataset or split.
        BadData: the folder is missing or something in it is not in the published format.
    """
    from mien.data import open_dataset

    console, dataset = _console(console), open_dataset(name)
    splits = (split,) if split is not None else dataset.splits(root)
    if not splits:
        raise BadData(got=f"no split in {root}", expected=f"a copy of {name}", fix="Run `mien data check`")
    found = {one: count_labels(dataset.read(one, root)) for one in splits}
    if as_json:
        content = {one: stats.summary() for one, stats in found.items()}
        console.print_json(json.dumps({"dataset": name, "splits": content}, ensure_ascii=False))
        return
    for one, stats in found.items():
        published = dataset.published.get(one)
        note = f" (published: {published:,})" if published is not None else ""
        people = f", {len(stats.subjects):,} subjects" if stats.subjects else ""
        console.print(f"[bold]{name} {one}[/bold]: {stats.samples:,} samples{note}{people}", highlight=False)
        for table in _tables(stats):
            console.print(table, highlight=False)


def _console(console: Console | None) -> Console:
    from rich.console import Console

    return console or Console()


def _tables(stats: Stats) -> list[Table]:
    from rich.table import Table

    tables = []
    if stats.emotions:
        table = Table("emotion", "samples", "share", "", box=None, pad_edge=False)
        top = max(stats.emotions.values())
        for word, count in stats.emotions.most_common():
            bar = "█" * max(1, round(_BAR * count / top))
            table.add_row(word, f"{count:,}", f"{100 * count / stats.samples:.1f} %", bar)
        if stats.unlabelled:
            table.add_row(
                "(none)", f"{stats.unlabelled:,}", f"{100 * stats.unlabelled / stats.samples:.1f} %", ""
            )
        tables.append(table)
    if stats.units:
        table = Table("Action Unit", "present", "coded", "share", "", box=None, pad_edge=False)
        for key, counts in sorted(stats.units.items()):
            share = counts["present"] / counts["coded"]
            bar = "█" * round(_BAR * share)
            table.add_row(key, f"{counts['present']:,}", f"{counts['coded']:,}", f"{100 * share:.1f} %", bar)
        tables.append(table)
    return tables
