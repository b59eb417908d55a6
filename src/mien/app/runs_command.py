"""``mien merge`` and ``mien data cache``: what runs left behind.

This module is imported with the command line itself, so it imports nothing heavy before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.app.terminal import say

__all__ = ["cache_command", "merge_command"]


def merge_command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the whole.", show_default=False)],
    replace: Annotated[
        bool, typer.Option("--replace", help="Begin anew in a folder that holds a run.")
    ] = False,
) -> None:
    """Join finished runs of analyze or annotate, such as the shares of --shard, into one; nothing is done again.

    The shares of one run give the files that the whole run would have given. Overlays stay in the shares' folders.
    """
    from mien.work.merging import read_part

    if "engine" in read_part(runs[0]).settings:
        from mien.annotate.runner import merge_runs as merge_annotations

        kept, rejected = merge_annotations(runs, out)
        say(f"{kept:,} kept, {sum(rejected.values()):,} rejected: {out}")
        return
    from mien.analyze.jobs import merge_runs
    from mien.app.summary import show_summary

    summary = merge_runs(runs, out, replace=replace)
    show_summary(summary)
    raise typer.Exit(summary.status)


def cache_command(
    folder: Annotated[
        Path, typer.Argument(help="The folder `cache` beside training runs.", show_default=False)
    ],
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove what is listed; it is made anew when needed.")
    ] = False,
    older_than: Annotated[float, typer.Option(help="Only what was not used for so many days.", min=0)] = 0.0,
) -> None:
    """List the faces, crops and landmarks that training keeps, with size and age; remove them with --clear."""
    from mien.work.caches import clear as clear_caches
    from mien.work.caches import list_caches

    found = [one for one in list_caches(folder) if one.days >= older_than]
    for one in found:
        place = one.paths[0].relative_to(folder) if one.kind == "faces" else f"{len(one.paths):,} files"
        say(f"{one.bytes / 1e6:10,.1f} MB  {one.days:6.1f} days  {one.kind}: {place}")
    total = clear_caches(found) if clear else sum(one.bytes for one in found)
    say(f"{total / 1e6:10,.1f} MB {'removed' if clear else 'in all'}")
