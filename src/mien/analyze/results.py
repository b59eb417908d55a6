"""The files of a run, composed from its journal: table or tables, schema, errors, record, report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path

from mien.analyze.file_names import part_stem
from mien.analyze.job_options import JobOptions
from mien.analyze.report import ReportBuilder
from mien.analyze.stored import CARD, FAULT, frames_of, items_of
from mien.analyze.tables.columns import Contents
from mien.analyze.tables.peer_columns import layout_of
from mien.analyze.tables.schema import describe, write_schema
from mien.analyze.tables.writing import write_table
from mien.analyze.tally import Tally
from mien.core.nouns import FrameResult
from mien.core.paths import output_errors, written_whole
from mien.core.run_record import RunRecord
from mien.work.folder import RunFolder
from mien.work.journal import Journal

__all__ = ["Summary", "compose", "report_of"]


@dataclass(slots=True)
class Summary(Tally):
    """What a run did."""

    items: int = 0
    failed: int = 0
    written: list[Path] = field(default_factory=list)
    errors: list[FrameResult] = field(default_factory=list)
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """What folders hold that is never opened -> why; no failures."""

    @property
    def status(self) -> int:
        """Exit status: 0 all items were analysed, 1 some failed (or broke off), 2 all failed and nothing was read."""
        if not self.failed:
            return 0
        return 2 if self.failed == self.items and self.frames == len(self.errors) else 1


def compose(
    options: JobOptions, folder: RunFolder, stems: Mapping[str, str], contents: Contents, record: RunRecord,
    passed_over: Mapping[str, str],
) -> Summary:  # fmt: skip
    """Write everything that the journal of ``folder`` gives.

    Args:
        options: what was asked for.
        folder: the run.
        stems: the items in order -> names of their files.
        contents: what was measured.
        record: of the run, not yet finished.
        passed_over: see `Summary`.
    """
    journal = folder.journal
    finished = journal.entries()
    summary = Summary(items=len(stems), failed=sum(finished[name].reason is not None for name in stems))
    summary.passed_over = passed_over
    rows, table = _tables(options, folder, stems, contents, summary)
    with folder.writing("schema.json") as schema:
        layout = layout_of(options.columns, contents, options.fill, {} if options.overlay else None)
        write_schema(schema, describe(table, options.format, layout, contents, options.style))
    summary.written += [options.out / options.table, schema]
    summary.errors += frames_of(journal, stems, FAULT)
    if summary.errors or passed_over:
        with folder.writing("errors.jsonl") as path:
            _write_errors(path, summary)
        summary.written.append(path)
    record = record.finish(
        items=summary.items, failed=summary.failed, frames=summary.frames, faces=summary.faces,
        frames_without_face=summary.without_face, rows=rows,
        **({"passed_over": len(passed_over)} if passed_over else {}),
        **{f"claims_{verdict}": count for verdict, count in sorted(summary.claims.items())},
        **({"sentences_withheld": summary.withheld} if options.explain else {}),
    )  # fmt: skip
    with folder.writing("run.json") as path:
        summary.written.append(record.write(path))
    if options.overlay:
        summary.written.append(options.out / "overlay")
    if options.report:
        with folder.writing("report.html") as path:
            report = report_of(options, contents.model, stems, journal)
            report.write(path, record.model_dump(mode="json"))
        summary.written.append(path)
    folder.finish()
    return summary


def report_of(options: JobOptions, model: str, sources: Iterable[str], journal: Journal) -> ReportBuilder:
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


def _tables(
    options: JobOptions, folder: RunFolder, stems: Mapping[str, str], contents: Contents, summary: Summary
) -> tuple[int, str | Mapping[str, str]]:
    """Number of rows, and the table's name or that of each with its input."""
    found = _counted(items_of(folder.journal, stems), summary)
    if options.table.endswith("/"):
        return _table_each(options, folder, stems, contents, found)
    overlays: dict[str, str] = {}
    layout = layout_of(options.columns, contents, options.fill, overlays if options.overlay else None)

    def frames() -> Iterator[FrameResult]:
        for item, frame in found:
            if options.overlay:
                name = part_stem(stems[item], item, frame.source)
                drawn = f"overlay/{name}.{'mp4' if frame.video else 'jpg'}"
                overlays[frame.source] = drawn if (options.out / drawn).is_file() else ""
            yield frame

    with folder.writing(options.table) as path:
        return write_table(path, options.format, layout, frames(), options.style), path.name


def _table_each(
    options: JobOptions, folder: RunFolder, stems: Mapping[str, str], contents: Contents,
    found: Iterator[tuple[str, FrameResult]],
) -> tuple[int, Mapping[str, str]]:  # fmt: skip
    place = folder.own_folder(options.table)
    with output_errors(place):
        for old in place.iterdir():
            old.unlink()
    layouts = [
        layout_of(options.columns, replace(contents, photos_only=photo), options.fill)
        for photo in (False, True)
    ]
    rows, tables = 0, dict[str, str]()
    for (item, source), group in groupby(found, key=lambda pair: (pair[0], pair[1].source)):
        frames = (frame for _, frame in group)
        first = next(frames)
        path = place / f"{part_stem(stems[item], item, source)}.{options.format}"
        rows += write_table(
            path, options.format, layouts[not first.video], chain([first], frames), options.style, sweep=False
        )
        tables[f"{options.table}{path.name}"] = source
    return rows, tables


def _counted(found: Iterable[tuple[str, FrameResult]], summary: Summary) -> Iterator[tuple[str, FrameResult]]:
    for item, frame in found:
        summary.count(frame)
        if frame.error is not None:
            summary.errors.append(frame)
        yield item, frame


def _write_errors(path: Path, summary: Summary) -> None:
    lines = [
        {"input": frame.source, "frame": frame.frame, "time": frame.time, "error": frame.error}
        for frame in summary.errors
    ]
    notices = [
        {"input": name, "frame": None, "time": None, "error": None, "notice": f"passed over: {reason}"}
        for name, reason in summary.passed_over.items()
    ]
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        for line in (*lines, *notices):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
