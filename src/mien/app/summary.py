"""What a run prints at its end."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from mien.analyze.jobs import Summary
from mien.app.terminal import shown
from mien.core.aus import AUS

__all__ = ["show_summary"]

_TOP = 5


def show_summary(summary: Summary, console: Console | None = None) -> None:
    """Print counts, the commonest emotions and AUs, and the files that were written.

    Args:
        summary: of the run.
        console: where to print; standard output by default.
    """
    console = console or Console()
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("items", _items(summary))
    table.add_row("faces", f"{summary.faces:,} in {summary.frames:,} pictures or frames{_without(summary)}")
    if summary.emotions:
        table.add_row("looks like", _shares(summary.emotions, summary.emotions.total()))
    aus = _aus(summary)
    if aus:
        table.add_row("Action Units", aus)
    if summary.claims or summary.withheld:
        verdicts = (f"{count:,} {verdict}" for verdict, count in summary.claims.most_common())
        table.add_row("statements", f"{', '.join(verdicts)}; {summary.withheld:,} sentences withheld")
    if summary.passed_over:
        kinds = Counter(summary.passed_over.values())
        table.add_row("passed over", ", ".join(f"{count:,} × {why}" for why, count in kinds.most_common()))
    for number, path in enumerate(summary.written):
        table.add_row("" if number else "written", shown(path))
    console.print(table, highlight=False)


def _items(summary: Summary) -> str:
    text = (
        f"{summary.items:,} analysed"
        if not summary.failed
        else f"{summary.items - summary.failed:,} analysed"
    )
    return text + (f", [red]{summary.failed:,} failed[/red]" if summary.failed else "")


def _without(summary: Summary) -> str:
    return f"; {summary.without_face:,} without a face" if summary.without_face else ""


def _shares(counts: Counter[str], total: int) -> str:
    return ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in counts.most_common(_TOP))


def _aus(summary: Summary) -> str:
    common = summary.commonest_aus()[:_TOP]
    return ", ".join(f"{AUS[key].prose} {AUS[key].name} {100 * share:.0f} %" for key, share in common)
