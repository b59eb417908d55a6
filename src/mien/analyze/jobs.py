"""One run of ``mien analyze``: plan, read, remember, write; it ends with the same bytes whether or not it was killed.

Every finished item goes to the journal (`mien.analyze.journal`); the table and everything else is composed from
the journal at the end. ``--resume`` goes on after the last finished item.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from hashlib import sha1, sha256
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from mien import __version__
from mien.analyze.analyzer import AnalysedFrame, Analyzer
from mien.analyze.columns import Contents, Layout
from mien.analyze.journal import FinishedItem, Journal, Points, rounded
from mien.analyze.peer_columns import layout_of
from mien.analyze.pictures import PictureOptions, Pictures
from mien.analyze.report import ReportBuilder
from mien.analyze.schema import describe, write_schema
from mien.analyze.sources import Source, expand
from mien.analyze.tables import check_format, write_table
from mien.analyze.tally import Tally
from mien.backends.base import DEFAULT_MODEL, FOLDER_FILES, Reader, SidesReader
from mien.core.errors import BadConfig, BadInput, MienError
from mien.core.nouns import FrameResult
from mien.core.paths import output_errors, pocket_weights, written_whole
from mien.core.run_record import RunRecord
from mien.face.video import probe

__all__ = ["JobOptions", "Summary", "Watch", "run_job"]

_PROBED = 100
"""Videos whose length is asked beforehand, for the time left."""
_HOUSEKEEPING = frozenset(("inputs", "out", "format", "columns", "labels", "decimal", "resume", "overwrite"))
"""Options that do not change what is measured, so a run may go on with others."""


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
    overwrite: bool = False
    device: str = "cpu"
    precision: str | None = None

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
    signature: str
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
        """Exit status: 0 all items were analysed, 1 some failed, 2 all failed."""
        return 0 if not self.failed else 2 if self.failed == self.items else 1


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
    items = _plan(options)
    with output_errors(options.out):
        (options.out / ".mien").mkdir(parents=True, exist_ok=True)
    journal_path = _journal_path(options)
    analyzer = Analyzer(
        options.model, options.device, options.threads, cut_off=options.cut_off, precision=options.precision
    )
    record = RunRecord.start(options.resolved())
    with Journal(journal_path, options.points) as journal:
        journal.check_options(options.measuring(_identity(analyzer.reader, options.model)))
        journal.set_meta("state", "running")
        _analyse(options, items, analyzer, journal, watch)
        photos_only = all(item.source.kind == "image" for item in items)
        contents = Contents(
            tuple(analyzer.reader.aus), analyzer.reader.name, options.labels, options.explain,
            options.landmarks, photos_only, options.cut_off,
            analyzer.reader.sides if isinstance(analyzer.reader, SidesReader) else (),
        )  # fmt: skip
        summary = _compose(options, items, contents, journal, record)
        journal.set_meta("state", "complete")
    return summary


def _identity(reader: Reader, model: str) -> str:
    """The reader's name and, where it has weights, the hash of the file that lists their checksums."""
    folder = Path(model) if Path(model).is_dir() else pocket_weights()
    for file, name in FOLDER_FILES.items():
        if name == reader.name and (folder / file).is_file():
            return f"{name} {sha256((folder / file).read_bytes()).hexdigest()[:16]}"
    return reader.name


# -- plan ----------------------------------------------------------------------------------------------


def _plan(options: JobOptions) -> list[_Item]:
    own = (options.out / "overlay").resolve()
    sources: dict[str, Source] = {}
    for source in expand(options.inputs):
        if own not in Path(source.name).resolve().parents:
            sources.setdefault(source.name, source)
    if not sources:
        raise BadInput(
            got=f"{', '.join(options.inputs) or 'nothing'}, in which there is no picture or video",
            expected="pictures, videos or landmark files, or folders of pictures and videos",
            fix="Check the paths",
        )
    stems = Counter(Path(name).stem for name in sources)
    return [_Item(source, _signature(name), _stem(name, stems)) for name, source in sources.items()]


def _stem(name: str, stems: Counter[str]) -> str:
    stem = Path(name).stem
    return (
        stem if stems[stem] == 1 else f"{stem}-{sha1(name.encode(), usedforsecurity=False).hexdigest()[:8]}"
    )


def _signature(name: str) -> str:
    try:
        status = Path(name).stat()
    except OSError:
        return "absent"
    return f"{status.st_size}:{status.st_mtime_ns}"


def _journal_path(options: JobOptions) -> Path:
    """Where the journal lies; a finished or unwanted one is removed first.

    Raises:
        BadConfig: the folder holds an unfinished run and neither --resume nor --overwrite was given.
    """
    path = options.out / ".mien" / "journal.sqlite"
    if options.resume or not path.exists():
        return path
    if not options.overwrite:
        with Journal(path) as journal:
            if journal.meta("state") == "running":
                done = len(journal.finished())
                raise BadConfig(
                    got=f"{options.out}, which holds {done} finished items of a run that did not end",
                    expected="a new folder, or a decision about that run",
                    fix="Add --resume to go on with it, or --overwrite to begin anew",
                )
    with output_errors(path):
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    return path


# -- work ----------------------------------------------------------------------------------------------


def _analyse(
    options: JobOptions, items: Sequence[_Item], analyzer: Analyzer, journal: Journal, watch: Watch
) -> None:
    journal.forget_unfinished()
    finished = journal.finished()
    for item in items:
        known = finished.get(item.source.name)
        if known is not None and known.signature != item.signature:
            journal.forget(item.source.name)
            del finished[item.source.name]
    waiting = {item.source.name: item for item in items if item.source.name not in finished}
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
    open_items: dict[str, FinishedItem] = {}
    stems = {name: item.stem for name, item in waiting.items()}
    with closing(groups), Pictures(options.out, stems, drawing, builder) as pictures:
        for group in groups:
            cards = [pictures.take(frame, rounded(frame.result)) for frame in group] if drawing.any else []
            done = list(_finish(group, open_items, waiting))
            journal.add([frame.result for frame in group], done, [card for card in cards if card is not None])
            watch.advance([frame.result for frame in group], len(done))


def _report(options: JobOptions, model: str, sources: Sequence[str], journal: Journal) -> ReportBuilder:
    """A report of what the journal holds of ``sources``."""
    first = Path(options.inputs[0]).name or options.inputs[0]
    title = first if len(options.inputs) == 1 else f"{first} and {len(options.inputs) - 1} more"
    builder = ReportBuilder(title, {"name": model}, redact=options.redact)
    if options.report:
        for source in sources:
            for result in journal.results([source]):
                builder.count(result)
            for card in journal.cards([source]):
                builder.add_card(card)
    return builder


def _finish(
    group: Iterable[AnalysedFrame], open_items: dict[str, FinishedItem], items: dict[str, _Item]
) -> Iterator[FinishedItem]:
    """Count the frames of each item, and give out the items that end in this group."""
    for frame in group:
        source, failed = frame.result.source, frame.result.error is not None
        item = open_items.pop(source, None) or FinishedItem(source, items[source].signature, 0, False)
        item = FinishedItem(source, item.signature, item.frames + 1, item.failed or failed)
        if frame.last:
            yield item
        else:
            open_items[source] = item


def _expected_frames(items: Sequence[_Item], every: int) -> int:
    """Frames still to do, as the videos announce them; an item of unknown length counts once."""
    total, probed = 0, 0
    for item in items:
        frames = 1
        if item.source.kind == "video" and probed < _PROBED:
            probed += 1
            try:
                frames = -(-(probe(item.source.name).frames or 1) // every)
            except MienError:
                frames = 1  # the analysis will report it
        total += frames
    return total


# -- results -------------------------------------------------------------------------------------------


def _compose(
    options: JobOptions, items: Sequence[_Item], contents: Contents, journal: Journal, record: RunRecord
) -> Summary:
    names = [item.source.name for item in items]
    layout = layout_of(options.columns, contents)
    finished = journal.finished()
    summary = Summary(items=len(items), failed=sum(finished[name].failed for name in names))
    rows = write_table(
        options.table, options.format, layout, _counted(journal.results(names), summary), options.decimal
    )
    summary.written.append(options.table)
    _write_schema(options, layout, contents, summary)
    _write_errors(options.out / "errors.jsonl", summary)
    record = record.finish(
        items=summary.items, failed=summary.failed, frames=summary.frames, faces=summary.faces,
        frames_without_face=summary.without_face, rows=rows,
        **{f"claims_{verdict}": count for verdict, count in sorted(summary.claims.items())},
        **({"sentences_withheld": summary.withheld} if options.explain else {}),
    )  # fmt: skip
    summary.written.append(record.write(options.out / "run.json"))
    if options.overlay:
        summary.written.append(options.out / "overlay")
    if options.report:
        builder = _report(options, contents.model, names, journal)
        path = options.out / "report.html"
        builder.write(path, record.model_dump(mode="json"))
        summary.written.append(path)
    return summary


def _counted(frames: Iterable[FrameResult], summary: Summary) -> Iterator[FrameResult]:
    for frame in frames:
        summary.count(frame)
        if frame.error is not None:
            summary.errors.append(frame)
        yield frame


def _write_schema(options: JobOptions, layout: Layout, contents: Contents, summary: Summary) -> None:
    path = options.out / "schema.json"
    write_schema(path, describe(options.table.name, options.format, layout, contents, options.decimal))
    summary.written.append(path)


def _write_errors(path: Path, summary: Summary) -> None:
    if not summary.errors:
        with output_errors(path):
            path.unlink(missing_ok=True)
        return
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        for frame in summary.errors:
            line = {"input": frame.source, "frame": frame.frame, "time": frame.time, "error": frame.error}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    summary.written.append(path)
