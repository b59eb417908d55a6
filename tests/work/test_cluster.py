"""Shares of a run on a real Ray cluster of this machine: the table of one run, whatever dies on the way."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mien.core.errors import BackendFailed, BadConfig
from mien.work.cluster import cluster

Gallery = Callable[[Path, int], list[Path]]
_SECONDS = 900


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mien", *map(str, arguments)]


def below(pid: int) -> Iterator[tuple[int, str]]:
    """All processes that descend from one, each with its command line."""
    found: dict[int, tuple[int, str]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(place.name)] = parent, (place / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):
            continue
    for one, (_, line) in found.items():
        at = one
        while at in found:
            at = found[at][0]
            if at == pid:
                yield one, line
                break


@pytest.mark.parametrize("where", ["", " ", "local:0", "local:x", "local:-1"])
def test_a_cluster_that_is_none_is_refused_before_ray_is_loaded(where: str) -> None:
    with pytest.raises(BadConfig, match="host:port"), cluster(where):
        pass


def test_an_address_at_which_nobody_is_takes_no_minutes() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(BackendFailed, match=f"nobody at 127.0.0.1:{port}"), cluster(f"127.0.0.1:{port}"):
        pass


@pytest.mark.slow
@pytest.mark.timeout(_SECONDS)
def test_processes_killed_at_random_lose_nothing_and_do_nothing_twice(
    gallery: Gallery, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'mien[cluster]'")
    gallery(tmp_path / "pics", 160)
    alone = command("analyze", "pics", "--out", "alone", "--threads", 1, "--batch-size", 2, "-q")
    assert subprocess.run(alone, cwd=tmp_path, check=False).returncode == 0
    shared = command("analyze", "pics", "--out", "shared", "--batch-size", 2, "--ray", "local:2")
    draw, killed, before, listening = random.Random(7), 0, 0, set[str]()
    with subprocess.Popen(shared, cwd=tmp_path, stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + _SECONDS / 2
        while run.poll() is None and killed < 10 and time.monotonic() < deadline:
            time.sleep(draw.uniform(0.0, 0.4))
            family = dict(below(run.pid))
            listening |= open_ports(set(family))
            victims = sorted(pid for pid, line in family.items() if line.startswith("ray::mien-"))
            if victims and (now := written(tmp_path / "shared")) != before:  # there is something to lose
                os.kill(draw.choice(victims), signal.SIGKILL)
                killed, before = killed + 1, now
        assert run.wait(_SECONDS) == 0, run.stderr and run.stderr.read()
    assert killed == 10, "the run ended before ten were killed"
    assert listening and listening <= {"127.0.0.1"}, listening
    assert (tmp_path / "shared" / "faces.csv").read_bytes() == (tmp_path / "alone" / "faces.csv").read_bytes()
    again = command("analyze", "pics", "--out", "shared", "--batch-size", 2, "--ray", "local:2", "--resume")
    assert subprocess.run(again, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    assert (tmp_path / "shared" / "faces.csv").read_bytes() == (tmp_path / "alone" / "faces.csv").read_bytes()


def written(out: Path) -> int:
    """Items that the shares have finished, as bytes of their journals."""
    return sum(journal.stat().st_size for journal in out.glob("shares/*/.mien/journal.sqlite-wal"))


@pytest.mark.slow
@pytest.mark.timeout(_SECONDS)
@pytest.mark.parametrize(
    ("work", "files"),
    [
        (("eval", "pocket", "--suite", "ferbench-ferplus-val", "--limit", 20), ["result.json"]),
        (
            ("annotate", "exp-cot", "ferplus", "--split", "val", "--limit", 12),
            ["items.jsonl", "rejected.jsonl"],
        ),
    ],
)
def test_what_else_goes_in_shares_gives_the_files_of_one_run(
    data_root: Path, tmp_path: Path, work: tuple[object, ...], files: list[str]
) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'mien[cluster]'")
    for out, further in (("alone", ()), ("shared", ("--ray", "local:1"))):
        asked = command(*work, "--root", data_root, "--threads", 1, "-q", "--out", out, *further)
        ended = subprocess.run(asked, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    for name in files:
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def open_ports(family: set[int]) -> set[str]:
    """Addresses at which these processes listen (Linux: ``/proc``)."""
    sockets = set()
    for pid in family:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = os.readlink(handle)
            except OSError:
                continue
            if target.startswith("socket:"):
                sockets.add(target[8:-1])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and cells[9] in sockets:  # 0A: it listens
                raw = bytes.fromhex(cells[1].split(":")[0])[-4:]
                found.add(".".join(str(byte) for byte in reversed(raw)))
    return found
