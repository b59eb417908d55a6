"""Shares of one run on Ray, which only says where they run and starts those again whose process died.

A share resumes from the journal in its own folder, so one that is started again does nothing twice.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from mien.core.errors import BackendFailed, BadConfig, MienError, reason_of, require
from mien.core.quiet import ray_to_itself
from mien.work.loop import Shard, attempt

__all__ = ["cluster", "run_shares", "shares_of"]

Told = TypeVar("Told")
_MOST_DEATHS = 20
"""Deaths of one share's process; then it dies of its content rather than of its machine."""
_PER_PLACE = 4
"""Shares per process that fits into the cluster: the last ones then end at about the same time."""
_STARTS = 3
_KNOCK_SECONDS = 5.0
_MOST_SHARES = 100_000
_STORE_BYTES = 80 * 2**20
"""Of Ray's shared memory: shares exchange a few numbers, all else goes through files."""


@contextmanager
def cluster(where: str) -> Iterator[Any]:
    """Ray, joined or started, while the block runs; nothing is told to its makers, no dashboard is opened.

    Args:
        where: ``local`` starts one on this machine, ``local:4`` with four cores, both on the loopback device and with a
            secret of their own; ``auto`` or ``host:port`` joins one that runs.

    Raises:
        BadConfig: none of these.
        BackendFailed: no cluster there.
        MissingDependency: Ray is not installed.
    """
    name, _, cores = where.partition(":")
    if not where.strip() or (name == "local" and cores and not (cores.isdecimal() and int(cores))):
        raise BadConfig(
            got=f"the cluster {where!r}", expected="local, local:4, auto or host:port", fix="Correct --ray"
        )
    if name == "local":
        ray_to_itself()
    elif cores.isdecimal():
        _knock(name, int(cores))
    ray: Any = require("ray", extra="cluster", purpose="work on a Ray cluster")
    quiet = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    with TemporaryDirectory(prefix="mien-", ignore_cleanup_errors=True) as folder:
        own = {"include_dashboard": False, "object_store_memory": _STORE_BYTES, "_temp_dir": folder}
        own["num_cpus"] = int(cores) if cores else len(os.sched_getaffinity(0))
        start = partial(ray.init, **quiet, **(own if name == "local" else {"address": where}))
        # Ray gives its own processes 30 s, and a busy machine may need longer for the first of them.
        for _ in range(_STARTS if name == "local" else 1):
            started = attempt(start, "Ray")
            if not isinstance(started, MienError):
                break
        else:
            raise BackendFailed(
                got=f"no Ray at {where} ({started.got})",
                expected="a cluster that runs, of the same versions of Ray and Python",
                fix="Start it (`ray start --head`), or use --ray local",
            ) from started
        try:
            yield ray
        finally:
            ray.shutdown()


def _knock(host: str, port: int) -> None:
    """Ray itself would try for minutes."""
    try:
        socket.create_connection((host, port), _KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise BackendFailed(
            got=f"nobody at {host}:{port} ({reason_of(error)})",
            expected="the address of a Ray cluster that runs",
            fix="Start it (`ray start --head`), or use --ray local",
        ) from error


def shares_of(ray: Any, threads: int) -> int:
    """Into how many shares a run is divided that begins on this cluster."""
    return min(_PER_PLACE * _places(ray, threads), _MOST_SHARES)


def _places(ray: Any, threads: int) -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)


def run_shares(
    ray: Any,
    share: Callable[[Shard], Told],
    of: int,
    *,
    threads: int,
    device: str,
    tell: Callable[[int], None],
) -> list[Told]:
    """Do all shares, twice as many handed out as there are places for, and give what each gave, in order.

    Args:
        ray: the open cluster.
        share: does one share of ``of``, resuming; a function of a module with plain data (`functools.partial`).
        threads: cores that a share takes.
        device: ``cuda`` takes one GPU as well.
        tell: called with the number of shares that are done.

    Raises:
        MienError: of the first share that could not be done; the others were let finish.
    """
    gpus = 1 if device.startswith("cuda") else 0
    how = {"num_cpus": threads, "num_gpus": gpus, "max_retries": _MOST_DEATHS, "retry_exceptions": False}
    task = ray.remote(_shared)
    todo = iter([Shard(number + 1, of) for number in range(of)])
    waiting: dict[Any, Shard] = {}
    told: dict[int, Told] = {}
    failed: MienError | None = None
    ahead = 2 * _places(ray, threads)
    while True:
        for shard in todo:
            named = task.options(name=f"mien-{shard.number}-of-{of}", **how)
            waiting[named.remote(share, shard, os.getcwd())] = shard
            if len(waiting) >= ahead:
                break
        if not waiting:
            break
        (done, *_), _ = ray.wait(list(waiting), num_returns=1)
        shard = waiting.pop(done)
        found = _outcome(ray, done, shard)
        if isinstance(found, MienError):
            failed = failed or found
        else:
            told[shard.number] = found
        tell(len(told))
    if failed is not None:
        raise failed
    return [told[number + 1] for number in range(of)]


def _shared(share: Callable[[Shard], Told], shard: Shard, folder: str) -> tuple[str, Any]:
    """In the process of a share: what it gave, or its error as plain words (errors of mien's do not travel)."""
    os.chdir(folder)  # relative paths are meant from where the command was given
    try:
        return "", share(shard)
    except MienError as error:
        return type(error).__name__, (error.got, error.expected, error.fix)


def _outcome(ray: Any, done: Any, shard: Shard) -> Any:
    try:
        kind, found = ray.get(done)
    except ray.exceptions.RayError as error:
        return BackendFailed(
            got=f"share {shard}, which ended with {reason_of(error)}",
            expected="a process that lives until its share is done",
            fix="What was finished is safe: run the same command with --resume",
        )
    if not kind:
        return found
    got, expected, fix = found
    named = next((one for one in _kinds(MienError) if one.__name__ == kind), MienError)
    return named(got=f"share {shard}: {got}", expected=expected, fix=fix)


def _kinds(kind: type[MienError]) -> Iterator[type[MienError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)
