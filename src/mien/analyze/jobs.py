"""One run of ``mien analyze``: plan, read, remember, write; it ends with the same bytes whether or not it was killed.

Every finished item goes to the journal (`mien.work.journal`); the table and everything else is composed from
the journal at the end. ``--resume`` goes on after the last finished item.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

from mien.analyze.analyzer import AnalysedFrame, Analyzer
from mien.analyze.file_names import file_stems
from mien.analyze.job_options import JobOptions
from mien.analyze.packed import Packed
from mien.analyze.pictures import PictureOptions, Pictures
from mien.analyze.results import Summary, compose, report_of
from mien.analyze.sources import Source, expand, shown_path
from mien.analyze.stored import CARD, FAULT, Points, frame_row, rounded
from mien.analyze.tables.columns import Contents
from mien.analyze.tables.peer_columns import layout_of
from mien.analyze.tables.writing import check_format, stream_table
from mien.backends.base import FOLDER_FILES, Reader, SidesReader
from mien.core.errors import BadConfig, BadInput, MienError
from mien.core.nouns import FrameResult
from mien.core.paths import pocket_weights
from mien.core.run_record import RunRecord
from mien.face.decode.part import Part
from mien.face.decode.video import probe
from mien.work.cluster import cluster, run_shares, shares_of
from mien.work.folder import RunFolder
from mien.work.journal import Entry, Row
from mien.work.loop import Shard, attempt, stamp
from mien.work.merging import Part as Finished
from mien.work.merging import join, read_part

__all__ = ["JobOptions", "Summary", "Watch", "cluster_job", "merge_runs", "run_job", "stream_job"]

_PASSED_OVER = "passed_over"
_SHARES = "shares/"
_PROBED = 100
"""Videos whose length is asked beforehand, for the time left."""


@dataclass(frozen=True)
class _Todo:
    """What a run is to read."""

    items: list[_Item]
    """Those of its shard."""
    inputs: list[str]
    """Names of all."""
    photos_only: bool
    part: Part
    """Of videos."""
    passed_over: dict[str, str]

    @cached_property
    def stems(self) -> dict[str, str]:
        """Items -> names of their pictures and tables, without suffix; asked for when one is written."""
        stems = file_stems(self.inputs)
        return {item.source.name: stems[item.source.name] for item in self.items}


@dataclass
class _Item:
    source: Source
    place: int
    """In the list of all items, shards included."""
    block: int
    """Items that may be read together, and are in one shard: numbers depend a little on what is read together."""

    @cached_property
    def stamp(self) -> str:
        """What tells that the file is the same as before; taken before it is read."""
        data = self.source.payload
        if isinstance(data, Packed):
            return data.stamp
        return sha256(data).hexdigest() if isinstance(data, bytes) else stamp(str(data))


class Watch(Protocol):
    """Is told how a run gets on."""

    def begin(self, items: int, done: int, frames: int) -> None:
        """The run starts: so many items in all, so many done by an earlier run, frames still to do (estimated)."""

    def advance(self, frames: Sequence[FrameResult], items: int) -> None:
        """These frames were stored, and so many items with them finished."""


def run_job(options: JobOptions, watch: Watch, analyzer: Analyzer | None = None) -> Summary:
    """Analyse, write everything to ``options.out``, and return the summary.

    Args:
        options: what is asked for.
        watch: is told how it gets on.
        analyzer: one that is open already, with the model and cut-off of ``options``; None opens it.
    """
    todo = _todo(options)
    folder = RunFolder(
        options.out,
        options.outputs,
        options.asked,
        todo.inputs,
        resume=options.resume,
        replace=options.replace,
    )
    with folder:
        analyzer, record = analyzer or _opened(options), RunRecord.start(options.resolved())
        folder.journal.check_settings(options.measuring(_identity(analyzer.reader, options.model)))
        _analyse(options, folder, todo, analyzer, watch)
        contents = _contents(options, analyzer.reader, todo.photos_only)
        folder.journal.set_meta("contents", json.dumps(asdict(contents) | {_PASSED_OVER: todo.passed_over}))
        return compose(options, folder, todo.stems, contents, record, todo.passed_over)


def stream_job(options: JobOptions, file: IO[bytes], watch: Watch) -> Summary:
    """Analyse and write the table alone, to an open file or pipe, row by row; nothing is kept.

    Raises:
        BadConfig: options that need a folder, or columns of which each input needs a table of its own.
        BadInput, MissingDependency, MissingWeights: see `run_job`.
    """
    needing = [name for name in ("overlay", "report", "resume", "replace") if getattr(options, name)]
    todo = _todo(options)
    several = options.table.endswith("/") and len(todo.items) > 1
    if needing or several:
        raise BadConfig(
            got=f"--{needing[0]}" if needing else f"--columns {options.columns} for {len(todo.items)} inputs",
            expected="one table on standard output (--out -)",
            fix="Name a folder with --out",
        )
    analyzer = _opened(options)
    contents = _contents(options, analyzer.reader, todo.photos_only)
    layout = layout_of(options.columns, contents, options.fill)
    summary, failing = Summary(items=len(todo.items), passed_over=todo.passed_over), set[str]()
    watch.begin(len(todo.items), 0, _expected_frames(todo.items, todo.part))

    def frames() -> Iterator[FrameResult]:
        for group in _groups(options, analyzer, todo.items):
            for one in group:
                made = attempt(partial(rounded, one.result), one.item)
                frame = (
                    replace(one.result, faces=(), error=str(made)) if isinstance(made, MienError) else made
                )
                summary.count(frame)
                if frame.error is not None:
                    summary.errors.append(frame)
                    failing.add(one.item)
                watch.advance([frame], int(one.last))
                yield frame

    stream_table(file, options.format, layout, frames(), options.style)
    summary.failed = len(failing)
    return summary


def merge_runs(runs: Sequence[Path], out: Path, *, replace: bool = False) -> Summary:
    """Join finished runs, such as the shares of one, into the table of all their items; nothing is read again.

    Overlays stay where they are.
    """
    parts = [read_part(run) for run in runs]
    given = {key: value for key, value in parts[0].asked.items() if key not in ("inputs", "overlay", "shard")}
    inputs = dict.fromkeys(str(one) for part in parts for one in part.asked["inputs"])
    options = JobOptions(**given, inputs=tuple(inputs), out=out)
    record = RunRecord.start(options.resolved())
    with RunFolder(out, options.outputs, options.asked, replace=replace) as folder:
        return _joined(options, folder, parts, record)


def _joined(options: JobOptions, folder: RunFolder, parts: Sequence[Finished], record: RunRecord) -> Summary:
    passed_over = {key: why for part in parts for key, why in part.contents.pop(_PASSED_OVER, {}).items()}
    names, first = join(folder, parts), parts[0]
    lists = {key: tuple(value) for key, value in first.contents.items() if isinstance(value, list)}
    photos_only = all(part.contents["photos_only"] for part in parts)
    contents = Contents(**{**first.contents, **lists, "photos_only": photos_only})
    folder.journal.set_meta("contents", json.dumps(asdict(contents) | {_PASSED_OVER: passed_over}))
    return compose(options, folder, file_stems(names), contents, record, passed_over)


def cluster_job(options: JobOptions, where: str, tell: Callable[[int, int], None]) -> Summary:
    """As `run_job`, in shares on Ray; each keeps its own run below ``shares/``, and all are joined at the end.

    Args:
        options: one thread per share where they name no number.
        where: see `mien.work.cluster.cluster`.
        tell: called with the numbers of shares that are done, and of all.

    Raises:
        BadConfig: options that a run in shares does not have.
    """
    options = replace(options, threads=options.threads or 1)
    for given in [name for name in ("overlay", "shard") if getattr(options, name) not in (False, "1/1")]:
        raise BadConfig(got=f"--{given} with --ray", expected="one of them", fix=f"Leave --{given} out")
    if "-" in (*options.inputs, str(options.out)):
        raise BadConfig(
            got="- with --ray", expected="paths that all machines see", fix="Name files and a folder"
        )
    names = [*options.outputs, _SHARES]
    ways = {"resume": options.resume, "replace": options.replace}
    # A cluster that is not there leaves no folder behind.
    with (
        cluster(where) as ray,
        RunFolder(options.out, names, options.asked, options.inputs, **ways) as folder,
    ):
        record = RunRecord.start(options.resolved())
        folder.own_folder(_SHARES)
        of = int(folder.journal.meta("shares") or shares_of(ray, options.threads or 1))
        folder.journal.set_meta("shares", str(of))
        tell(0, of)
        share = partial(_share, replace(options, resume=True, replace=False))
        made = run_shares(
            ray,
            share,
            of,
            threads=options.threads or 1,
            device=options.device,
            tell=lambda done: tell(done, of),
        )
        folder.journal.forget(folder.journal.entries())  # of a run that was joined before
        return _joined(options, folder, [read_part(Path(one)) for one in made], record)


def _share(options: JobOptions, shard: Shard) -> str:
    """One share, in a folder of its own; gives the folder."""
    out = options.out / _SHARES / shard.folder
    run_job(replace(options, out=out, shard=str(shard)), _Silent())
    return str(out)


class _Silent:
    """Watches nothing."""

    def begin(self, items: int, done: int, frames: int) -> None:
        """See `Watch`."""

    def advance(self, frames: Sequence[FrameResult], items: int) -> None:
        """See `Watch`."""


def _opened(options: JobOptions) -> Analyzer:
    return Analyzer(
        options.model, options.device, options.threads, cut_off=options.cut_off, precision=options.precision
    )


def _contents(options: JobOptions, reader: Reader, photos_only: bool) -> Contents:
    return Contents(
        tuple(reader.aus), reader.name, options.labels, options.explain, options.landmarks, photos_only,
        options.cut_off, reader.sides if isinstance(reader, SidesReader) else (),
    )  # fmt: skip


def _identity(reader: Reader, model: str) -> str:
    """The reader's name and, where it has weights, the hash of the file that lists their checksums."""
    folder = Path(model) if os.path.isdir(model) else pocket_weights()
    for file, name in FOLDER_FILES.items():
        if name == reader.name and (folder / file).is_file():
            return f"{name} {sha256((folder / file).read_bytes()).hexdigest()[:16]}"
    return reader.name


# -- plan ----------------------------------------------------------------------------------------------


def _todo(options: JobOptions) -> _Todo:
    """The plan of a run; options that cannot be met are refused before any work."""
    check_format(options.format, options.decimal)
    layout_of(options.columns, Contents((), options.model, options.labels, options.explain, options.landmarks),
              options.fill)  # fmt: skip
    shard, skipped = Shard.parse(options.shard), dict[Path, str]()
    items = _plan(options, skipped)
    return _Todo(
        [item for item in items if shard.takes(item.block)],
        [item.source.name for item in items],
        all(item.source.kind == "image" for item in items),
        options.part,
        {shown_path(path): reason for path, reason in skipped.items()},
    )


def _plan(options: JobOptions, passed_over: dict[Path, str]) -> list[_Item]:
    ours = _Inside(os.path.realpath(options.out / "overlay"))  # no error of links in a circle
    sources: dict[str, Source] = {}
    given = [sys.stdin.buffer if one == "-" else one for one in options.inputs]
    for source in expand(given, passed_over):
        if not (isinstance(source.payload, str) and ours.holds(source.payload)):
            sources.setdefault(source.name, source)
    if not sources:
        raise BadInput(
            got=f"{', '.join(options.inputs) or 'nothing'}, in which there is no picture or video",
            expected="pictures, videos or landmark files, or folders of pictures and videos",
            fix="Check the paths",
        )
    listed, blocks = list(sources.values()), _blocks(list(sources.values()), options.batch_size)
    ends = [one != other for one, other in zip(blocks, [*blocks[1:], -1], strict=True)]
    return [
        _Item(replace(source, closes=True) if last else source, place, block)
        for place, (source, block, last) in enumerate(zip(listed, blocks, ends, strict=True))
    ]


class _Inside:
    """Tells files below a folder from others; links are followed, and each folder is asked about once."""

    def __init__(self, folder: str) -> None:
        self._folder, self._known, self._there = folder, dict[str, bool](), os.path.isdir(folder)

    def holds(self, path: str) -> bool:
        if not self._there:
            return False
        if os.path.islink(path):
            return self._below(os.path.dirname(os.path.realpath(path)))
        parent = os.path.dirname(path)
        if parent not in self._known:
            self._known[parent] = self._below(os.path.realpath(parent))
        return self._known[parent]

    def _below(self, folder: str) -> bool:
        return folder == self._folder or folder.startswith(os.path.join(self._folder, ""))


def _blocks(sources: Sequence[Source], size: int) -> list[int]:
    """Number of the block of each item: so many pictures in a row, or one video."""
    blocks: list[int] = []
    block, count = -1, size
    for source in sources:
        if source.kind == "video" or count >= size:
            block, count = block + 1, 0
        blocks.append(block)
        count = size if source.kind == "video" else count + 1
    return blocks


# -- work ----------------------------------------------------------------------------------------------


def _analyse(options: JobOptions, folder: RunFolder, todo: _Todo, analyzer: Analyzer, watch: Watch) -> None:
    journal, items = folder.journal, todo.items
    journal.forget_unfinished()
    finished = journal.entries()
    waiting = {
        name: item
        for item in items
        if (name := item.source.name) not in finished or finished[name].digest != item.stamp
    }
    journal.forget(name for name in waiting if name in finished)
    watch.begin(len(items), len(items) - len(waiting), _expected_frames(list(waiting.values()), options.part))
    groups = _groups(options, analyzer, list(waiting.values()))
    done_before = [item.source.name for item in items if item.source.name not in waiting]
    builder = report_of(options, analyzer.reader.name, done_before, journal)
    drawing = PictureOptions(options.overlay, options.report, options.redact, options.part)
    overlays = folder.own_folder("overlay/") if options.overlay else options.out
    failing: set[str] = set()
    frames = Counter[str]()
    stems = todo.stems if options.overlay else {}
    with closing(groups), Pictures(overlays, stems, drawing, builder) as pictures:
        for group in groups:
            results, rows = [], list[Row]()
            for frame in group:
                result, made = _rows(frame, pictures if drawing.any else None, options.points)
                results.append(result)
                rows += [row._replace(item=frame.item, place=frames[frame.item]) for row in made]
                frames[frame.item] += 1
            done = list(_finish(group, results, rows, failing, waiting))
            journal.add(rows, done)
            watch.advance(results, len(done))


def _groups(
    options: JobOptions, analyzer: Analyzer, items: Sequence[_Item]
) -> Generator[list[AnalysedFrame]]:
    return analyzer.analyze_groups(
        (item.source for item in items if item.stamp),  # the stamp is taken now, before the file is read
        cropped=options.cropped, explain=options.explain, landmarks_only=options.landmarks_only,
        batch_size=options.batch_size, smooth=options.smooth, part=options.part,
        keep_images=(options.overlay or options.report) and not options.landmarks_only,
    )  # fmt: skip


def _rows(frame: AnalysedFrame, pictures: Pictures | None, points: Points) -> tuple[FrameResult, list[Row]]:
    """A frame's result and the rows that keep it; what fails on the way becomes its error."""
    result, rows = frame.result, list[Row]()
    stored = attempt(partial(rounded, result), frame.item)
    row = stored if isinstance(stored, MienError) else attempt(partial(frame_row, stored, points), frame.item)
    if isinstance(stored, MienError) or isinstance(row, MienError):
        stored = replace(result, faces=(), time=round(result.time, 6), error=str(row))
        row = frame_row(stored, points)
    rows.append(row)
    if pictures is not None:
        card = attempt(partial(_drawn, pictures, frame, stored), frame.item)
        if isinstance(card, MienError):
            pictures.give_up(frame.item, card)
            row = frame_row(replace(stored, faces=(), error=str(card)), "none")
            rows.append(row._replace(kind=FAULT))
        elif card is not None:
            rows.append(Row(stored.source, CARD, stored.frame, card))
    return stored, rows


def _drawn(pictures: Pictures, frame: AnalysedFrame, stored: FrameResult) -> str | None:
    card = pictures.take(frame, stored)
    return None if card is None else json.dumps(card, ensure_ascii=False)


def _finish(
    group: Sequence[AnalysedFrame], results: Sequence[FrameResult], rows: Iterable[Row], failing: set[str],
    items: dict[str, _Item],
) -> Iterator[Entry]:  # fmt: skip
    """Note which items failed, and give out those that end in this group."""
    failing |= {row.item for row in rows if row.kind == FAULT}
    failing |= {one.item for one, result in zip(group, results, strict=True) if result.error is not None}
    for frame in group:
        if frame.last:
            item = items[frame.item]
            reason = "failed" if item.source.name in failing else None
            yield Entry(item.source.name, item.stamp, reason, place=item.place)


def _expected_frames(items: Sequence[_Item], part: Part) -> int:
    """Frames still to do, as the videos announce them; an item of unknown length counts once."""
    total, probed = 0, 0
    for item in items:
        frames = 1
        if item.source.kind == "video" and isinstance(item.source.payload, str) and probed < _PROBED:
            probed += 1
            about = attempt(partial(probe, str(item.source.payload)), item.source.name)
            if not isinstance(about, MienError):  # else the analysis will report it
                frames = part.count(about.frames or 1, about.fps)
        total += frames
    return total
