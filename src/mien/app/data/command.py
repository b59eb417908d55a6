"""``mien data list|check|stats|landmarks|export|convert``: datasets, whether a copy is sound, its faces and dialogues.

This module is imported with the command line itself, so it imports nothing heavy before a command runs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.app.data.exchange import convert_command, export_command
from mien.app.data.options import NameArgument, OptionOption, RootOption
from mien.app.options import ThreadsOption
from mien.app.runs_command import cache_command
from mien.app.terminal import shown
from mien.core.errors import BadData, BadInput
from mien.core.options import say_type, split_options
from mien.core.plain import printable

if TYPE_CHECKING:
    from rich.console import Console

    from mien.data.problems import Problem
    from mien.face.decode.media import MediaReader
    from mien.work.faces import FaceSummary

__all__ = ["data_app", "derive_landmarks", "show_check", "show_list", "show_stats"]

_EXAMPLES = 20
_STATUS = "Exit status: 0 sound; 1 problems were found; 2 nothing could be done."

data_app = typer.Typer(
    help="List the datasets that mien reads, check a copy, count its labels, find its faces.",
    no_args_is_help=True,
    epilog=_STATUS,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DeepOption = Annotated[bool, typer.Option("--deep", help="Also open every picture and video (slow).")]
SplitOption = Annotated[str | None, typer.Option("--split", help="This split only.", show_default=False)]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", help="Also draw the distributions: one HTML page.", show_default=False),
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the faces.", show_default=False)]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with a folder that holds faces.")]
CropOption = Annotated[
    int | None,
    typer.Option("--crops", help="Also keep face crops of this many px.", show_default=False, min=8),
]


data_app.command("export")(export_command)
data_app.command("convert")(convert_command)
data_app.command("cache")(cache_command)


@data_app.command("list")
def list_command() -> None:
    """List the datasets with what they hold."""
    show_list()


@data_app.command("check")
def check_command(
    name: NameArgument,
    root: RootOption = None,
    deep: DeepOption = False,
    as_json: JsonOption = False,
    option: OptionOption = None,
) -> None:
    """Name everything that is missing, unreadable, duplicated or out of protocol, with file and line.

    Nothing is changed. Of each kind of problem the first twenty are shown and the others counted; --json has all.
    """
    sound = show_check(name, root, deep=deep, as_json=as_json, options=split_options(option or ()))
    raise typer.Exit(0 if sound else 1)


@data_app.command("stats")
def stats_command(
    name: NameArgument,
    root: RootOption = None,
    split: SplitOption = None,
    as_json: JsonOption = False,
    plot: PlotOption = None,
    option: OptionOption = None,
) -> None:
    """Count samples, subjects, emotions and Action Units of every split; draw them with --plot."""
    show_stats(name, root, split, as_json=as_json, plot=plot, options=split_options(option or ()))


@data_app.command("landmarks")
def landmarks_command(
    name: NameArgument,
    out: OutOption,
    root: RootOption = None,
    split: SplitOption = None,
    option: OptionOption = None,
    crops: CropOption = None,
    threads: ThreadsOption = None,
    resume: ResumeOption = False,
) -> None:
    """Find the 478 landmarks of every face, once; FacePhi's AffectLandmarkNet is this for affectnet.

    OUT/SPLIT/ holds the faces, OUT/landmarks-SPLIT.safetensors the landmarks in px by sample id. A run that was
    stopped goes on with --resume. Pictures without a face are named in OUT/SPLIT/errors.jsonl.
    """
    summaries = derive_landmarks(
        name, root, out, split, split_options(option or ()), crop_size=crops, threads=threads, resume=resume
    )
    raise typer.Exit(1 if any(summary.failed for summary in summaries.values()) else 0)


def show_list(console: Console | None = None) -> None:
    """Print every dataset: name, what it holds, published sizes, options with their types."""
    from rich.table import Table

    from mien.data import DATASETS, open_dataset

    table = Table("name", "what it holds", "published samples", "options", box=None, pad_edge=False)
    for name in DATASETS:
        dataset = open_dataset(name)
        sizes = ", ".join(f"{split} {count:,}" for split, count in dataset.published.items())
        options = ", ".join(f"{one} ({say_type(hint)})" for one, hint in dataset.options.items())
        table.add_row(name, dataset.title, sizes or "-", options or "-")
    _console(console).print(table, highlight=False)


def show_check(
    name: str,
    root: Path | None,
    *,
    deep: bool = False,
    as_json: bool = False,
    options: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> bool:
    """Print the problems of a copy, summed up by kind, and the samples found beside the published ones.

    Returns:
        True when there are none.
    """
    from mien.data import open_dataset
    from mien.face.decode.media import MediaReader

    console, dataset = _console(console), open_dataset(name)
    with MediaReader() as reader:
        found = dataset.audit(root, _why_unreadable(reader) if deep else None, **(options or {}))
    if as_json:
        content = {
            "dataset": name,
            "problems": _rows(found.problems),
            "notes": _rows(found.notes),
            "kinds": found.kinds(),
            "samples": found.counts,
            "published": dict(dataset.published),
        }
        console.print_json(json.dumps(content, ensure_ascii=False))
        return not found.problems
    for line in _summed_up(found.problems):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for line in _summed_up(found.notes):
        console.print(f"Note: {line}", highlight=False, soft_wrap=True, markup=False)
    for split, count in found.counts.items():
        console.print(
            shown(f"{split}: {_beside_published(count, dataset.published.get(split))}"), highlight=False
        )
    verdict = f"{len(found.problems):,} problems." if found.problems else "No problems."
    depth = "Pictures were opened." if deep else "Pictures were not opened (--deep does)."
    console.print(f"{verdict} {depth}", highlight=False)
    return not found.problems


def _rows(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [{"file": one.file, "line": one.line, "what": one.what} for one in problems]


def _summed_up(problems: Sequence[Problem]) -> Iterator[str]:
    """The first of each kind, and how many more there are."""
    kinds: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for problem in problems:
        counts[problem.kind] += 1
        if counts[problem.kind] <= _EXAMPLES:
            kinds.setdefault(problem.kind, []).append(str(problem))
    for kind, examples in kinds.items():
        yield from map(printable, examples)
        if counts[kind] > len(examples):
            yield f"… and {counts[kind] - len(examples):,} more of the kind: {printable(kind)}"


def _beside_published(count: int, published: int | None) -> str:
    return f"{count:,} samples" + (f" (published: {published:,})" if published is not None else "")


def _why_unreadable(reader: MediaReader) -> Callable[[str], str | None]:
    def why(media: str) -> str | None:
        try:
            reader.open(media)
        except BadInput as error:
            return f"cannot be opened: {error}"
        return None

    return why


def _chosen_splits(name: str, root: Path | None, split: str | None) -> tuple[str, ...]:
    from mien.data import open_dataset

    splits = (split,) if split is not None else open_dataset(name).splits(root)
    if not splits:
        raise BadData(got=f"no split in {root}", expected=f"a copy of {name}", fix="Run `mien data check`")
    return splits


def show_stats(
    name: str,
    root: Path | None,
    split: str | None = None,
    *,
    as_json: bool = False,
    plot: Path | None = None,
    options: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> None:
    """Print the distributions of a copy, and draw them.

    Args:
        name: of the dataset.
        root: folder of the copy.
        split: this one only.
        as_json: JSON instead of tables.
        plot: where to write a page with charts.
        options: of the reader.
        console: where to print.
    """
    from rich.markup import escape

    from mien.app.data.charts import stats_page, write_page
    from mien.app.data.stats import count_labels, stats_tables
    from mien.data import open_dataset

    console, dataset = _console(console), open_dataset(name)
    splits = _chosen_splits(name, root, split)
    found = {one: count_labels(dataset.read(one, root, **(options or {}))) for one in splits}
    if plot is not None:
        write_page(plot, stats_page(name, dataset.title, found, dataset.published))
    if as_json:
        content = {one: stats.summary() for one, stats in found.items()}
        console.print_json(json.dumps({"dataset": name, "splits": content}, ensure_ascii=False))
        return
    for one, stats in found.items():
        told = _beside_published(stats.samples, dataset.published.get(one))
        people = f", {len(stats.subjects):,} subjects" if stats.subjects else ""
        console.print(f"[bold]{name} {escape(printable(one))}[/bold]: {told}{people}", highlight=False)
        for table in stats_tables(stats):
            console.print(table, highlight=False)
    if plot is not None:
        console.print(shown(f"Charts: {plot}"), highlight=False, soft_wrap=True)


def derive_landmarks(
    name: str,
    root: Path | None,
    out: Path,
    split: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    crop_size: int | None = None,
    threads: int | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> dict[str, FaceSummary]:
    """Find and keep the faces of a copy, and write its landmark files.

    Returns:
        Split -> what became of its samples.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mien.annotate.landmark_export import export_landmarks
    from mien.data import open_dataset
    from mien.work.faces import derive_faces

    console, dataset = _console(console), open_dataset(name)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    summaries = {}
    for one in _chosen_splits(name, root, split):
        samples = list(dataset.read(one, root, **(options or {})))
        # ExpLLM's splits are called train/raf-db and so on.
        folder = out / one.replace("/", "-")
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"{name} {one}", total=len(samples))
            summary = derive_faces(
                samples,
                folder,
                crop_size=crop_size,
                threads=threads,
                resume=resume,
                on_shard=lambda done, task=task, bar=progress: bar.update(task, completed=done),  # type: ignore[misc]
            )
        path = export_landmarks(folder, out / f"landmarks-{folder.name}.safetensors")
        console.print(
            f"{name} {one}: {summary.samples:,} samples, {summary.with_landmarks:,} with landmarks, "
            f"{summary.without_landmarks:,} without, {summary.failed:,} failed -> {path}",
            highlight=False,
            soft_wrap=True,
        )
        summaries[one] = summary
    return summaries


def _console(console: Console | None) -> Console:
    from rich.console import Console

    return console or Console()
