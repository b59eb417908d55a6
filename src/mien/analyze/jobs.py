"""One run of ``mien analyze``: plan, read, remember, write; it ends with the same bytes whether or not it was killed.

Every finished item goes to the journal (`mien.work.journal`); the table and everything else is composed from
the journal at the end. ``--resume`` goes on after the last finished item.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha1, sha256
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from mien import __version__
from mien.analyze.analyzer import AnalysedFrame, Analyzer
from mien.analyze.columns import Contents
from mien.analyze.peer_columns import layout_of
from mien.analyze.pictures import PictureOptions, Pictures
from mien.analyze.report import ReportBuilder
from mien.analyze.schema import describe, write_schema
from mien.analyze.sources import Source, expand
from mien.analyze.stored import CARD, Points, frame_row, frames_of, rounded
from mien.analyze.tables import check_format, write_table
from mien.analyze.tally import Tally
from mien.backends.base import DEFAULT_MODEL, FOLDER_FILES, Reader, SidesReader
from mien.core.errors import BadInput, MienError
from mien.core.nouns import FrameResult
from mien.core.paths import pocket_weights, written_whole
from mien.core.run_record import RunRecord
from mien.face.decode.video import probe
from mien.work.folder import RunFolder
from mien.work.journal import Entry, Journal, Row
from mien.work.loop import Shard, attempt, stamp
from mien.work.merging import join, read_part

__all__ = ["JobOptions", "Summary", "Watch", "merge_runs", "run_job"]

_FAULT = "fault"
"""Kind of the journal's rows: the error of a frame that was read, in drawing it."""
_PROBED = 100
"""Videos whose length is asked beforehand, for the time left."""
_WAYS = frozenset(("out", "resume", "replace"))
_HOUSEKEEPING = _WAYS | {"inputs", "format", "columns", "labels", "decimal", "shard"}
"""Options that do not change what is measured, so a run may go on with others."""
_STEM_BYTES = 200
"""Longest name of a picture without its suffix; a name holds 255 bytes."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Everything ``mien analyze`` was asked for."""

    inputs: tuple[str, ...]
    out: Path
    format: str = "csv"
    columns: str = "mien"
    labels: str | None = None
    decimal: str = "point"
    explain: bool = False
    overlay: bool = False
    report: bool = False
    redact: bool = False
    cropped: bool = False
    landmarks_only: bool = False
    landmarks: bool = False
    smooth: bool = False
    every: int = 1
    model: str = DEFAULT_MODEL
    cut_off: int = 1
    threads: int | None = None
    batch_size: int = 16
    resume: bool = False
    replace: bool = False
    device: str = "cpu"
    precision: str | None = None
    shard: str = "1/1"

    @property
    def table(self) -> Path:
        """The table's path."""
        return self.out / f"faces.{self.format}"

    @property
    def points(self) -> Points:
        """The landmarks that the table needs."""
        return "all" if self.landmarks else "dlib68" if self.columns != "mien" else "none"

    def resolved(self) -> dict[str, JsonValue]:
        """All options as JSON values."""
        options = asdict(self)
        return {**options, "inputs": list(self.inputs), "out": str(self.out)}

    @property
    def asked(self) -> dict[str, JsonValue]:
        """All that makes one run another than the next."""
        return {key: value for key, value in self.resolved().items() if key not in _WAYS}

    @property
    def outputs(self) -> list[str]:
        """Names of all that the run may write in its folder."""
        names = [self.table.name, "schema.json", "errors.jsonl", "run.json"]
        return names + ["overlay/"] * self.overlay + ["report.html"] * self.report

    def measuring(self, model: str) -> dict[str, JsonValue]:
        """The options that decide the numbers and pictures; a resumed run must have the same.

        Args:
            model: what the opened model is (`_identity`).
        """
        kept = {key: value for key, value in self.resolved().items() if key not in _HOUSEKEEPING}
        return {**kept, "model": model, "points": self.points, "mien": __version__}


@dataclass(frozen=True, slots=True)
class _Item:
    source: Source
    place: int
    """In the list of all items, shards included."""
    block: int
    """Items that may be read together, and are in one shard: numbers depend a little on what is read together."""
    stamp: str
    """What tells that the file is the same as before."""
    stem: str
    """Name of its pictures, without suffix."""


@dataclass(slots=True)
class Summary(Tally):
    """What a run did."""

    items: int = 0
    failed: int = 0
    written: list[Path] = field(default_factory=list)
    errors: list[FrameResult] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Exit status: 0 all items were analysed, 1 some failed (or broke off), 2 all failed and nothing was read."""
        if not self.failed:
            return 0
        return 2 if self.failed == self.items and self.frames == len(self.errors) else 1


class Watch(Protocol):
    """Is told how a run gets on."""

    def begin(self, items: int, done: int, frames: int) -> None:
        """The run starts: so many items in all, so many done by an earlier run, frames still to do (estimated)."""

    def advance(self, frames: Sequence[FrameResult], items: int) -> None:
        """These frames were stored, and so many items with them finished."""


def run_job(options: JobOptions, watch: Watch) -> Summary:
    """Analyse, write everything to ``options.out``, and return the summary.

    Raises:
        BadConfig: options that do not fit together, or that differ from those of the run to resume.
        BadInput: there is nothing to analyse.
        MissingDependency, MissingWeights: something is not installed.
        OutputFailed: the folder cannot be written; what was finished is safe.
    """
    check_format(options.format, options.decimal)
    contents = Contents((), options.model, options.labels, options.explain, options.landmarks)
    layout_of(options.columns, contents)  # fails early on an unknown name
    everything = _plan(options)
    shard = Shard.parse(options.shard)
    items = [item for item in everything if shard.takes(item.block)]
    folder = RunFolder(
        options.out, options.outputs, options.asked,
        [str(item.source.payload) for item in everything], resume=options.resume, replace=options.replace,
    )  # fmt: skip
    with folder:
        return _run(options, folder, items, all(one.source.kind == "image" for one in everything), watch)


def _run(
    options: JobOptions, folder: RunFolder, items: Sequence[_Item], photos_only: bool, watch: Watch
) -> Summary:
    analyzer = Analyzer(
        options.model, options.device, options.threads, cut_off=options.cut_off, precision=options.precision
    )
    record = RunRecord.start(options.resolved())
    folder.journal.check_settings(options.measuring(_identity(analyzer.reader, options.model)))
    _analyse(options, folder, items, analyzer, watch)
    contents = Contents(
        tuple(analyzer.reader.aus), analyzer.reader.name, options.labels, options.explain,
        options.landmarks, photos_only, options.cut_off,
        analyzer.reader.sides if isinstance(analyzer.reader, SidesReader) else (),
    )  # fmt: skip
    folder.journal.set_meta("contents", json.dumps(asdict(contents)))
    names = [item.source.name for item in items]
    return _compose(options, folder, names, contents, record)


def merge_runs(runs: Sequence[Path], out: Path, *, replace: bool = False) -> Summary:
    """Join finished runs, such as the shares of one, into the table of all their items; nothing is read again.

    Overlays stay where they are.

    Raises:
        BadConfig: runs that do not belong together, or a folder that holds something else.
        OutputFailed: the folder cannot be written.
    """
    parts = [read_part(run) for run in runs]
    first = parts[0]
    given = {key: value for key, value in first.asked.items() if key not in ("inputs", "overlay", "shard")}
    inputs = dict.fromkeys(str(one) for part in parts for one in part.asked["inputs"])
    options = JobOptions(**given, inputs=tuple(inputs), out=out)
    record = RunRecord.start(options.resolved())
    with RunFolder(out, options.outputs, options.asked, replace=replace) as folder:
        names = join(folder, parts)
        lists = {key: tuple(value) for key, value in first.contents.items() if isinstance(value, list)}
        photos_only = all(part.contents["photos_only"] for part in parts)
        contents = Contents(**{**first.contents, **lists, "photos_only": photos_only})
        folder.journal.set_meta("contents", json.dumps(asdict(contents)))
        return _compose(options, folder, names, contents, record)


def _identity(reader: Reader, model: str) -> str:
    """The reader's name and, where it has weights, the hash of the file that lists their checksums."""
    folder = Path(model) if Path(model).is_dir() else pocket_weights()
    for file, name in FOLDER_FILES.items():
        if name == reader.name and (folder / file).is_file():
            return f"{name} {sha256((folder / file).read_bytes()).hexdigest()[:16]}"
    return reader.name


# -- plan ----------------------------------------------------------------------------------------------


def _plan(options: JobOptions) -> list[_Item]:
    own = Path(
        os.path.realpath(options.out / "overlay")
    )  # of links that point at each other it makes no error
    sources: dict[str, Source] = {}
    for source in expand(options.inputs):
        if own not in Path(os.path.realpath(str(source.payload))).parents:
            sources.setdefault(source.name, source)
    if not sources:
        raise BadInput(
            got=f"{', '.join(options.inputs) or 'nothing'}, in which there is no picture or video",
            expected="pictures, videos or landmark files, or folders of pictures and videos",
            fix="Check the paths",
        )
    stems = Counter(Path(name).stem for name in sources)
    listed, blocks = list(sources.values()), _blocks(list(sources.values()), options.batch_size)
    return [
        _Item(
            replace(source, closes=blocks[place + 1 : place + 2] != [blocks[place]]), place, blocks[place],
            stamp(str(source.payload)), _stem(source.name, stems),
        )
        for place, source in enumerate(listed)
    ]  # fmt: skip


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


def _stem(name: str, stems: Counter[str]) -> str:
    stem = Path(name).stem
    short = os.fsencode(stem)[:_STEM_BYTES].decode(errors="ignore")
    if short == stem and stems[stem] == 1:
        return stem
    return f"{short}-{sha1(os.fsencode(name), usedforsecurity=False).hexdigest()[:8]}"


# -- work ----------------------------------------------------------------------------------------------


def _analyse(
    options: JobOptions, folder: RunFolder, items: Sequence[_Item], analyzer: Analyzer, watch: Watch
) -> None:
    journal = folder.journal
    journal.forget_unfinished()
    finished = journal.entries()
    waiting = {
        name: item
        for item in items
        if (name := item.source.name) not in finished or finished[name].digest != item.stamp
    }
    journal.forget(name for name in waiting if name in finished)
    watch.begin(
        len(items), len(items) - len(waiting), _expected_frames(list(waiting.values()), options.every)
    )
    groups = analyzer.analyze_groups(
        [item.source for item in waiting.values()],
        cropped=options.cropped, explain=options.explain, landmarks_only=options.landmarks_only,
        batch_size=options.batch_size, every=options.every, smooth=options.smooth,
        keep_images=(options.overlay or options.report) and not options.landmarks_only,
    )  # fmt: skip
    done_before = [item.source.name for item in items if item.source.name not in waiting]
    builder = _report(options, analyzer.reader.name, done_before, journal)
    drawing = PictureOptions(options.overlay, options.report, options.redact, options.every)
    overlays = folder.own_folder("overlay/") if options.overlay else options.out
    failing: set[str] = set()
    frames = Counter[str]()
    stems = {name: item.stem for name, item in waiting.items()}
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
            rows.append(row._replace(kind=_FAULT))
        elif card is not None:
            rows.append(Row(stored.source, CARD, stored.frame, card))
    return stored, rows


def _drawn(pictures: Pictures, frame: AnalysedFrame, stored: FrameResult) -> str | None:
    card = pictures.take(frame, stored)
    return None if card is None else json.dumps(card, ensure_ascii=False)


def _report(options: JobOptions, model: str, sources: Sequence[str], journal: Journal) -> ReportBuilder:
    """A report of what the journal holds of ``sources``."""
    first = Path(options.inputs[0]).name or options.inputs[0]
    title = first if len(options.inputs) == 1 else f"{first} and {len(options.inputs) - 1} more"
    builder = ReportBuilder(title, {"name": model}, redact=options.redact)
    if options.report:
        for source in sources:
            for result in frames_of(journal, [source]):
                builder.count(result)
            for _, card in journal.bodies([source], CARD):
                builder.add_card(json.loads(card))
    return builder


def _finish(
    group: Sequence[AnalysedFrame], results: Sequence[FrameResult], rows: Iterable[Row], failing: set[str],
    items: dict[str, _Item],
) -> Iterator[Entry]:  # fmt: skip
    """Note which items failed, and give out those that end in this group."""
    failing |= {row.item for row in rows if row.kind == _FAULT}
    failing |= {one.item for one, result in zip(group, results, strict=True) if result.error is not None}
    for frame in group:
        if frame.last:
            item = items[frame.item]
            reason = "failed" if item.source.name in failing else None
            yield Entry(item.source.name, item.stamp, reason, place=item.place)


def _expected_frames(items: Sequence[_Item], every: int) -> int:
    """Frames still to do, as the videos announce them; an item of unknown length counts once."""
    total, probed = 0, 0
    for item in items:
        frames = 1
        if item.source.kind == "video" and probed < _PROBED:
            probed += 1
            about = attempt(partial(probe, str(item.source.payload)), item.source.name)
            if not isinstance(about, MienError):  # else the analysis will report it
                frames = -(-(about.frames or 1) // every)
        total += frames
    return total


# -- results -------------------------------------------------------------------------------------------


def _compose(
    options: JobOptions, folder: RunFolder, names: Sequence[str], contents: Contents, record: RunRecord
) -> Summary:
    journal = folder.journal
    layout = layout_of(options.columns, contents)
    finished = journal.entries()
    summary = Summary(items=len(names), failed=sum(finished[name].reason is not None for name in names))
    with folder.writing(options.table.name) as path:
        frames = _counted(frames_of(journal, names), summary)
        rows = write_table(path, options.format, layout, frames, options.decimal)
    with folder.writing("schema.json") as schema:
        write_schema(schema, describe(path.name, options.format, layout, contents, options.decimal))
    summary.written += [path, schema]
    summary.errors += frames_of(journal, names, _FAULT)
    if summary.errors:
        with folder.writing("errors.jsonl") as path:
            _write_errors(path, summary.errors)
        summary.written.append(path)
    record = record.finish(
        items=summary.items, failed=summary.failed, frames=summary.frames, faces=summary.faces,
        frames_without_face=summary.without_face, rows=rows,
        **{f"claims_{verdict}": count for verdict, count in sorted(summary.claims.items())},
        **({"sentences_withheld": summary.withheld} if options.explain else {}),
    )  # fmt: skip
    with folder.writing("run.json") as path:
        summary.written.append(record.write(path))
    if options.overlay:
        summary.written.append(options.out / "overlay")
    if options.report:
        with folder.writing("report.html") as path:
            _report(options, contents.model, names, journal).write(path, record.model_dump(mode="json"))
        summary.written.append(path)
    folder.finish()
    return summary


def _counted(frames: Iterable[FrameResult], summary: Summary) -> Iterator[FrameResult]:
    for frame in frames:
        summary.count(frame)
        if frame.error is not None:
            summary.errors.append(frame)
        yield frame


def _write_errors(path: Path, errors: Iterable[FrameResult]) -> None:
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        for frame in errors:
            line = {"input": frame.source, "frame": frame.frame, "time": frame.time, "error": frame.error}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
