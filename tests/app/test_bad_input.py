"""Input that cannot be analysed: one clear error for that item, the rest goes on, the exit status tells."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from mien.analyze.analyzer import Analyzer
from mien.core.paths import pocket_weights

# Real processes: generous, for loaded machines.
pytestmark = pytest.mark.timeout(600)

Mien = Callable[..., "CompletedProcess[str]"]
Gallery = Callable[[Path, int], list[Path]]


def png_bomb(path: Path, side: int = 20_000) -> None:
    """A few kilobytes that claim to be ``side`` x ``side`` px, and are."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj(9)
    line = bytes(1 + side // 8)
    packed = b"".join(rows.compress(line) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.fixture
def bad_files(tmp_path: Path, photos: list[Path], clip: Path) -> list[Path]:
    """One file of every kind of badness."""
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "text.jpg").write_text("hello, I am no picture")
    (folder / "empty.png").touch()
    whole = photos[0].read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with Image.open(photos[0]) as opened:
        opened.resize((200, 200)).save(folder / "half.png")
    (folder / "half.png").write_bytes((folder / "half.png").read_bytes()[:30_000])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    png_bomb(folder / "bomb.png")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("hello, I am no video" * 50)
    video = clip.read_bytes()
    (folder / "half.mp4").write_bytes(video[: len(video) // 2])
    points = np.random.default_rng(0).uniform(0, 200, (478, 3))
    points[7] = np.nan
    np.save(folder / "nan.npy", points)
    np.save(folder / "short.npy", np.ones((468, 3)))
    np.save(folder / "unit.npy", np.random.default_rng(0).uniform(0, 1, (478, 3)))
    (folder / "words.json").write_text('{"landmarks": "none"}')
    return sorted(folder.iterdir())


def test_each_bad_item_gives_one_error_and_the_rest_goes_on(
    bad_files: list[Path], photos: list[Path]
) -> None:
    sources = [photos[0], *bad_files, bad_files[0].parent / "absent.jpg", photos[1]]
    results = list(Analyzer().analyze(sources, batch_size=4))
    assert len({result.source for result in results}) == len(sources)
    assert results[0].error is None and results[0].faces and results[-1].error is None and results[-1].faces
    failed = [result for result in results if result.error is not None]
    assert {result.source for result in failed} == {
        *map(str, bad_files),
        str(bad_files[0].parent / "absent.jpg"),
    }
    for result in failed:
        assert result.error is not None and result.error.startswith("Got ") and ". Expected " in result.error
        assert result.faces == ()
    reasons = {Path(result.source).name: str(result.error) for result in failed}
    assert "starts with b'hello" in reasons["text.jpg"]
    assert "0 bytes" in reasons["empty.png"] and "0 bytes" in reasons["empty.mp4"]
    assert "20000 x 20000" in reasons["bomb.png"] or "pixels" in reasons["bomb.png"]
    assert "NaN" in reasons["nan.npy"]
    assert "(468, 3)" in reasons["short.npy"]
    assert "0..1 units" in reasons["unit.npy"]
    assert "does not exist" in reasons["absent.jpg"]


def test_one_bad_file_in_fifty(mien: Mien, gallery: Gallery, tmp_path: Path) -> None:
    good = gallery(tmp_path / "in", 49)
    (tmp_path / "in" / "photo017x.jpg").write_text("hello")
    out = tmp_path / "out"
    done = mien("analyze", tmp_path / "in", "--out", out)
    assert done.returncode == 1
    assert "49 analysed, 1 failed" in done.stdout
    assert "photo017x.jpg" in done.stderr and "Traceback" not in done.stderr
    with (out / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50 and [row["input"] for row in rows] == sorted(row["input"] for row in rows)
    assert [row["success"] for row in rows].count("1") == len(good)
    (line,) = (out / "errors.jsonl").read_text().splitlines()
    error = json.loads(line)
    assert error["input"].endswith("photo017x.jpg") and "Expected" in error["error"]
    assert [row["error"] for row in rows if row["error"]] == [error["error"]]
    assert json.loads((out / "run.json").read_text())["counts"]["failed"] == 1


def test_errors_vanish_from_the_folder_when_they_are_mended(
    mien: Mien, gallery: Gallery, tmp_path: Path
) -> None:
    (photo,) = gallery(tmp_path / "in", 1)
    (tmp_path / "in" / "bad.jpg").write_text("hello")
    out = tmp_path / "out"
    assert mien("analyze", tmp_path / "in", "--out", out).returncode == 1
    (tmp_path / "in" / "bad.jpg").write_bytes(photo.read_bytes())
    done = mien("analyze", tmp_path / "in", "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 items were finished" in done.stderr
    assert not (out / "errors.jsonl").exists()


def test_nothing_to_do(mien: Mien, bad_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    done = mien("analyze", tmp_path / "void", "--out", tmp_path / "out")
    assert done.returncode == 2 and "there is no picture or video" in done.stderr
    all_bad = mien("analyze", bad_files[0].parent / "text.jpg", "--out", tmp_path / "out2")
    assert all_bad.returncode == 2
    assert (tmp_path / "out2" / "errors.jsonl").is_file()


def test_a_cut_video_keeps_its_readable_frames(mien: Mien, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "cut.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuvj420p"
        noise = np.random.default_rng(0)
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (96, 128, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = mien("analyze", path, "--out", tmp_path / "out")
    assert done.returncode == 1  # its frames before the cut are there
    with (tmp_path / "out" / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 5
    assert [row["error"] == "" for row in rows] == [True] * (len(rows) - 1) + [False]
    assert [int(row["frame"]) for row in rows] == list(range(len(rows)))


def test_an_output_folder_that_cannot_be_written(mien: Mien, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am in the way")
    done = mien("analyze", photos[0], "--out", tmp_path / "file" / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Got Not a directory while writing")
    read_only = mien("analyze", photos[0], "--out", "/proc/mien-output")
    assert read_only.returncode == 2 and "while writing /proc/mien-output" in read_only.stderr


def test_names_steer_no_terminal(mien: Mien, tmp_path: Path) -> None:
    """A broken picture whose name sets a colour and the window's title, and a folder whose name is markup."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a\x1b[31m\x1b]0;title\x07[red].jpg").write_text("hello")
    done = mien("analyze", folder, "--out", tmp_path / "o_[red]")
    told = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    assert "\x1b" not in told and "\x07" not in told
    assert r"a\x1b[31m\x1b]0;title\x07[red].jpg" in told
    assert (tmp_path / "o_[red]" / "errors.jsonl").is_file()


def test_a_model_of_nan_reads_no_face(mien: Mien, photos: list[Path], tmp_path: Path) -> None:
    """The embedded model with weights that are not numbers, and true checksums."""
    model = tmp_path / "model"
    shutil.copytree(pocket_weights(), model)
    tokens = load_file(model / "tokens.safetensors")
    spoilt = {n: np.full_like(v, np.nan) if v.dtype.kind == "f" else v for n, v in tokens.items()}
    save_file(spoilt, model / "tokens.safetensors")
    bundle = json.loads((model / "bundle.json").read_text())
    bundle["sha256"]["tokens.safetensors"] = hashlib.sha256(
        (model / "tokens.safetensors").read_bytes()
    ).hexdigest()
    (model / "bundle.json").write_text(json.dumps(bundle))
    verified = mien("models", "verify", model)
    assert verified.returncode == 1 and "not finite" in " ".join((verified.stdout + verified.stderr).split())
    done = mien("analyze", photos[0], "--model", model, "--out", tmp_path / "out")
    assert done.returncode == 2 and "not finite" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "faces.csv").exists()


def test_names_that_the_system_refuses(mien: Mien, photos: list[Path], tmp_path: Path) -> None:
    """Longer than a file may be called: every look at it raises."""
    long = "x" * 300
    for arguments in (
        ("analyze", long, "--out", tmp_path / "a"),
        ("analyze", f"{long}.npy", "--out", tmp_path / "b"),
        ("analyze", photos[0], "--out", tmp_path / long),
        ("analyze", photos[0], "--out", tmp_path / "c", "--model", long),
        ("models", "verify", long),
        ("summarize", long, "--out", tmp_path / "d"),
    ):
        done = mien(*arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr, arguments
        assert long[:60] in done.stderr.replace("\n", "")


def test_going_on_and_beginning_anew_exclude_each_other(
    mien: Mien, photos: list[Path], tmp_path: Path
) -> None:
    done = mien("analyze", photos[0], "--out", tmp_path, "--resume", "--replace")
    assert done.returncode == 2 and "one of them" in done.stderr
