"""``mien annotate … --ray``: the shares of an annotation on a cluster, joined at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import typer

from mien.app.annotate import command as commands
from mien.app.annotate.options import Job
from mien.app.progress import tell_shares
from mien.app.terminal import say
from mien.core.errors import BadConfig
from mien.work.loop import Shard

__all__ = ["annotate_shares"]


def annotate_shares(engine: str, job: Job, options: Mapping[str, Any]) -> None:
    """Do an annotation in shares below ``--out``, and join them.

    Args:
        engine: name of the command's function.
        job: shared options; limits of requests, tokens and cost hold for each share.
        options: the engine's own.

    Raises:
        BadConfig: options that shares do not have, or shares of an earlier run without ``--resume``.
    """
    from mien.annotate.runner import merge_runs
    from mien.work.cluster import cluster, run_shares, shares_of

    if job.shard != "1/1" or job.dry_run:
        raise BadConfig(got="--shard or --dry-run with --ray", expected="one of them", fix="Leave one out")
    earlier = sorted((job.out / "shares").glob("*-of-*"))
    if earlier and not job.resume:
        raise BadConfig(
            got=f"{earlier[0].parent} of an earlier run",
            expected="a new folder",
            fix="Add --resume to go on with it, or choose another --out",
        )
    threads = job.threads or 1
    with cluster(str(job.ray)) as ray:
        of = int(earlier[0].name.rpartition("-")[2]) if earlier else shares_of(ray, threads)
        base = replace(job, threads=threads, ray=None, resume=True, quiet=True)
        made = run_shares(
            ray, partial(_share, engine, base, dict(options)), of,
            threads=threads, device="cpu", tell=lambda done: tell_shares(job.quiet, done, of),
        )  # fmt: skip
    kept, rejected = merge_runs([job.out / "shares" / name for name, _ in made], job.out)
    say(f"{kept:,} kept, {sum(rejected.values()):,} rejected: {job.out}")
    raise typer.Exit(max(status for _, status in made))


def _share(engine: str, job: Job, options: dict[str, Any], shard: Shard) -> tuple[str, int]:
    """Name of the share's folder, and its exit status."""
    out = job.out / "shares" / shard.folder
    try:
        getattr(commands, engine).__wrapped__(replace(job, out=out, shard=str(shard)), **options)
    except typer.Exit as ended:
        return shard.folder, ended.exit_code
    return shard.folder, 0
