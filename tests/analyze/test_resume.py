"""A killed run goes on and ends with the same bytes; a full disk loses nothing that was finished."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from mien.work.journal import JOURNAL

# Real processes: generous, for loaded machines.
pytestmark = pytest.mark.timeout(600)

Mien = Callable[..., "CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[bytes]"]
Gallery = Callable[[Path, int], list[Path]]


def count(out: Path, table: str) -> int:
    """Rows in the journal of a run that is going on, read in a copy: the run keeps the file to itself."""
    place = out / JOURNAL
    with tempfile.TemporaryDirectory() as folder:
        try:
            for part in place.parent.glob(f"{place.name}*"):  # a run that ended has no log beside the file
                if not part.name.endswith("-shm"):
                    shutil.copy(part, folder)
            with closing(sqlite3.connect(Path(folder) / place.name)) as journal:
                return int(journal.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        except (OSError, sqlite3.Error):
            return 0


def finished(out: Path) -> int:
    return count(out, "items")


def stored_frames(out: Path) -> int:
    return count(out, "rows")


def kill_after(items: int, process: subprocess.Popen[bytes], out: Path) -> int:
    """Kill -9 a run once so many items are finished, and return how many were."""
    deadline = time.monotonic() + 120
    while finished(out) < items and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL, "the run ended before it could be killed"
    return finished(out)


def outputs(out: Path) -> dict[str, bytes]:
    """Every file that must be equal: all but the record of times and the report that shows it."""
    files = (path for path in out.rglob("*") if path.is_file() and ".mien" not in path.parts)
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in files
        if path.name not in {"run.json", "report.html"}
    }


def check_kills(
    mien: Mien, start: Start, folder: Path, out: Path, options: list[object], kills: list[int]
) -> None:
    """Kill a run at several moments, resume each time, and compare with an undisturbed run."""
    whole, broken = out / "whole", out / "broken"
    assert mien("analyze", folder, "--out", whole, *options).returncode == 1
    done = 0
    for items in kills:
        again = kill_after(items, start("analyze", folder, "--out", broken, *options, "--resume"), broken)
        assert done <= again
        done = again
    assert not (broken / "faces.csv").exists()
    refused = mien("analyze", folder, "--out", broken, *options)
    assert refused.returncode == 2 and "Add --resume to go on" in refused.stderr
    resumed = mien("analyze", folder, "--out", broken, *options, "--resume")
    assert resumed.returncode == 1 and f"{done} of " in resumed.stderr
    assert outputs(broken) == outputs(whole)
    counts = [json.loads((run / "run.json").read_text())["counts"] for run in (whole, broken)]
    assert counts[0] == counts[1]


def test_killed_and_resumed_runs_end_with_the_same_bytes(
    mien: Mien, start_mien: Start, gallery: Gallery, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    gallery(folder, 12)
    (folder / "photo004x.jpg").write_text("hello")
    (folder / "photo008x.mp4").write_bytes(clip.read_bytes())
    options = ["--batch-size", 4, "--every", 8, "--explain", "--overlay", "--report"]
    check_kills(mien, start_mien, folder, tmp_path, options, [1, 6])


def spoil(folder: Path, photo: bytes) -> list[Path]:
    """25 items that cannot be analysed, spread among the others; some have names that steer terminals and tables."""
    noise = random.Random(0).randbytes
    head = struct.pack(">4sIIBBBBB", b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    broken = {
        "text.jpg": b"hello", "empty.jpg": b"", "cut.jpg": photo[:300], "head.jpg": photo[:20], "bomb.png": bomb,
        "noise\x1b[31m.png": b"\x89PNG\r\n\x1a\n" + noise(900), "[red].jpg": noise(50),
        "=1+1.jpg": b"\xff\xd8" + noise(900),
        "long" + "g" * 200 + ".jpg": b"x", "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "page.jpg": b"<html>404</html>", "zeros.mp4": bytes(5000), "text.mp4": b"hello", "jpeg.mp4": photo[:900],
        "zip.png": b"PK\x03\x04" + noise(300),
    } | {f"noise.{kind}": noise(2000) for kind in "gif webp avif tif bmp jp2 webm mkv avi mov".split()}  # fmt: skip
    made = [folder / f"photo{20 * place:03d}x{name}" for place, name in enumerate(broken)]
    for path, content in zip(made, broken.values(), strict=True):
        path.write_bytes(content)
    return made


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_five_hundred_items_killed_ten_times(
    mien: Mien, start_mien: Start, gallery: Gallery, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    broken = spoil(folder, gallery(folder, 475)[0].read_bytes())
    assert len(broken) == 25
    kills = [1, 40, 41, 90, 140, 200, 260, 330, 400, 480]
    check_kills(mien, start_mien, folder, tmp_path, ["--columns", "openface"], kills)
    lines = (tmp_path / "broken" / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["input"] for line in lines) == sorted(map(str, broken))
    counts = json.loads((tmp_path / "broken" / "run.json").read_text())["counts"]
    assert (counts["items"], counts["failed"]) == (500, 25)


def test_a_video_that_was_cut_short_by_a_kill_is_read_anew(
    mien: Mien, start_mien: Start, clip: Path, tmp_path: Path
) -> None:
    options = ["--every", 2, "--batch-size", 8]
    assert mien("analyze", clip, "--out", tmp_path / "whole", *options).returncode == 0
    out = tmp_path / "broken"
    process = start_mien("analyze", clip, "--out", out, *options)
    deadline = time.monotonic() + 120
    while stored_frames(out) < 10 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert finished(out) == 0 and stored_frames(out) > 0
    assert mien("analyze", clip, "--out", out, *options, "--resume").returncode == 0
    assert outputs(out) == outputs(tmp_path / "whole")


def test_other_options_are_refused(mien: Mien, gallery: Gallery, tmp_path: Path) -> None:
    gallery(tmp_path / "in", 3)
    out = tmp_path / "out"
    assert mien("analyze", tmp_path / "in", "--out", out).returncode == 0
    other = mien("analyze", tmp_path / "in", "--out", out, "--resume", "--cut-off", 2, "--explain")
    assert other.returncode == 2
    assert "cut_off 2 (was 1); explain True (was False)" in other.stderr
    # Another format needs nothing new.
    same = mien("analyze", tmp_path / "in", "--out", out, "--resume", "--format", "jsonl")
    assert same.returncode == 0 and "3 of 3 items were finished" in same.stderr
    assert len((out / "faces.jsonl").read_text().splitlines()) == 3


def test_new_and_changed_files_are_taken_in(mien: Mien, gallery: Gallery, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    photos = gallery(folder, 4)
    photos[1].rename(tmp_path / "later.jpg")
    assert mien("analyze", folder, "--out", out).returncode == 0
    (tmp_path / "later.jpg").rename(photos[1])
    photos[2].write_bytes(photos[3].read_bytes())
    resumed = mien("analyze", folder, "--out", out, "--resume")
    assert "2 of 4 items were finished" in resumed.stderr
    assert mien("analyze", folder, "--out", tmp_path / "fresh").returncode == 0
    assert outputs(out) == outputs(tmp_path / "fresh")


# Landmarks fill a small disk with few photos.
DISK_OPTIONS = ("--batch-size", 4, "--landmarks")


@pytest.fixture(scope="module")
def undisturbed(mien: Mien, gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of photos, and a run over it with `DISK_OPTIONS`."""
    place = tmp_path_factory.mktemp("undisturbed")
    gallery(place / "in", 14)
    assert mien("analyze", place / "in", "--out", place / "whole", *DISK_OPTIONS).returncode == 0
    return place / "in", place / "whole"


def test_a_full_disk_keeps_what_was_finished(
    mien: Mien, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    (folder, whole), out = undisturbed, tmp_path / "out"
    # No file may grow beyond this, as on a disk that is full: the journal stops first.
    full = mien("analyze", folder, "--out", out, *DISK_OPTIONS, max_kb=150)
    assert full.returncode == 2, full.stdout + full.stderr
    assert full.stderr.splitlines()[-1].startswith("Error: Got ") and "--resume" in full.stderr
    assert "Traceback" not in full.stderr
    assert 0 < finished(out) < 14 and not list(out.glob("faces*"))
    resumed = mien("analyze", folder, "--out", out, *DISK_OPTIONS, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert outputs(out) == outputs(whole)


def test_a_disk_that_is_full_when_the_table_is_written(
    mien: Mien, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    (folder, whole), out = undisturbed, tmp_path / "out"
    shutil.copytree(whole, out)
    again = ["analyze", folder, "--out", out, *DISK_OPTIONS, "--resume", "--format", "json"]
    failed = mien(*again, max_kb=100)
    assert failed.returncode == 2 and "faces.json" in failed.stderr
    assert outputs(out) == outputs(whole)
    assert mien(*again).returncode == 0


def test_a_really_full_disk(mien: Mien, undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    (folder, whole), out = undisturbed, tmp_path / "disk"
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(out)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk can only be mounted by root")
    try:
        full = mien("analyze", folder, "--out", out, *DISK_OPTIONS)
        assert full.returncode == 2, full.stdout + full.stderr
        assert "Traceback" not in full.stderr and "--resume" in full.stderr
        assert 0 < finished(out) <= 14
        subprocess.run(["mount", "-o", "remount,size=4m", str(out)], check=True)
        assert mien("analyze", folder, "--out", out, *DISK_OPTIONS, "--resume").returncode == 0
        table = (out / "faces.csv").read_bytes()
    finally:
        subprocess.run(["umount", str(out)], check=True)
    assert table == (whole / "faces.csv").read_bytes()


def test_overwriting_an_unfinished_run(
    mien: Mien, start_mien: Start, gallery: Gallery, tmp_path: Path
) -> None:
    gallery(tmp_path / "in", 12)
    out = tmp_path / "out"
    kill_after(2, start_mien("analyze", tmp_path / "in", "--out", out, "--batch-size", 2), out)
    done = mien("analyze", tmp_path / "in", "--out", out, "--replace")
    assert done.returncode == 0 and "earlier run" not in done.stderr


def test_ctrl_c_says_how_to_go_on(start_mien: Start, gallery: Gallery, tmp_path: Path) -> None:
    gallery(tmp_path / "in", 40)  # most of them are never read
    out = tmp_path / "out"
    process = start_mien("analyze", tmp_path / "in", "--out", out, "--batch-size", 2)
    deadline = time.monotonic() + 120
    while finished(out) < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert finished(out) >= 4
