"""Faces of a dataset: the right face per sample, the same bytes after any interruption, errors per item."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadConfig, BadData, BadInput
from mien.core.nouns import Image, Labels, Sample
from mien.data import open_dataset
from mien.face.crop import canonical_crop
from mien.face.decode.images import load_image
from mien.face.decode.media import open_media
from mien.face.finder import FaceFinder, box_overlap
from mien.work import faces as face_cache
from mien.work.faces import FaceCache, derive_faces, face_of, front_end_version


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(threads=1)


@pytest.fixture(scope="module")
def portrait(examples: Path) -> Image:
    return load_image(examples / "eileen_collins.jpg")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_cache, "SHARD", 8)


def sample(media: object, name: str = "a", **known: object) -> Sample:
    return replace(Sample(name, "x", "all", str(media), Labels()), **known)  # type: ignore[arg-type]


def faces(root: Path, count: int = 20) -> list[Sample]:
    return list(open_dataset("ferplus").read("train", root))[:count]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_largest_face_the_boxed_face_and_the_given_landmarks(
    finder: FaceFinder, portrait: Image, examples: Path
) -> None:
    other = load_image(examples / "grace_hopper.jpg")
    height = max(portrait.shape[0], other.shape[0])
    pair = np.zeros((height, portrait.shape[1] + other.shape[1], 3), np.uint8)
    pair[: portrait.shape[0], : portrait.shape[1]] = portrait
    pair[: other.shape[0], portrait.shape[1] :] = other
    left, right = sorted(finder.find(pair)[:2], key=lambda face: face.box[0])
    assert box_overlap(face_of(sample("x"), pair, finder).box, finder.find(pair)[0].box) == 1
    for meant in (left, right):
        # A box as another detector would draw it: wider, a little off.
        x0, y0, x1, y1 = (float(edge) for edge in meant.box)
        box = (x0 - 15, y0 - 20, x1 + 12, y1 + 5)
        found = face_of(sample("x", box=box), pair, finder)
        assert box_overlap(found.box, meant.box) > 0.85
        assert found.landmarks is not None and meant.landmarks is not None
        assert np.abs(found.landmarks - meant.landmarks)[:, :2].mean() < 0.03 * (x1 - x0)
    given = face_of(sample("x", landmarks=left.landmarks), pair, finder)
    np.testing.assert_array_equal(given.landmarks, left.landmarks)


def test_a_box_without_a_found_face_is_kept_as_a_box(finder: FaceFinder) -> None:
    blank = np.full((200, 300, 3), 90, np.uint8)
    face = face_of(sample("x", box=(50, 40, 120, 110)), blank, finder)
    assert face.box.tolist() == [50, 40, 120, 110] and face.landmarks is None
    with pytest.raises(BadInput, match="no face"):
        face_of(sample("x"), blank, finder)
    with pytest.raises(BadInput, match="the box 400"):
        face_of(sample("x", box=(400, 40, 420, 110)), blank, finder)
    with pytest.raises(BadInput, match="less than 4 px"):
        face_of(sample("x", landmarks=np.zeros((478, 3), np.float32)), blank, finder)


def test_rows_are_what_the_front_end_says(tiny_data: Path, tmp_path: Path, finder: FaceFinder) -> None:
    samples = faces(tiny_data) + list(open_dataset("london").read("train", tiny_data))
    summary = derive_faces(samples, tmp_path / "c", crop_size=48, threads=1)
    cache = FaceCache(tmp_path / "c")
    rows = list(cache)
    assert summary.samples == len(cache) == len(rows) == 26 and summary.computed == 4
    assert [row.id for row in rows] == [one.id for one in samples]
    assert summary.with_landmarks + summary.without_landmarks + summary.failed == 26
    for place in (0, 5, 21, 25):
        image = open_media(samples[place].media)
        alone, row = face_of(samples[place], image, finder), rows[place]
        assert row.face is not None and row.crop is not None
        np.testing.assert_allclose(row.face.box, alone.box, atol=0.1)
        assert (row.face.landmarks is None) == (alone.landmarks is None)
        if alone.landmarks is not None and row.face.landmarks is not None:
            # Nets differ in the last bits with the size of the batch.
            np.testing.assert_allclose(row.face.landmarks, alone.landmarks, atol=0.05)
        assert (row.face.crop is None) == (alone.crop is None) == (place >= 20)
        np.testing.assert_array_equal(row.crop, canonical_crop(image, row.face, 48)[0])


def test_a_second_call_computes_nothing_and_a_changed_picture_its_shard_only(
    tiny_data: Path, tmp_path: Path
) -> None:
    samples = []
    for number, one in enumerate(faces(tiny_data)):
        path = tmp_path / "img" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        pillow.fromarray(open_media(one.media)).save(path)
        samples.append(replace(one, media=str(path)))
    first = derive_faces(samples, tmp_path / "c", crop_size=32, threads=1)
    before = content(tmp_path / "c")
    assert first.computed == 3
    assert derive_faces(samples, tmp_path / "c", crop_size=32, threads=1).computed == 0
    assert content(tmp_path / "c") == before
    pillow.fromarray(open_media(samples[0].media)[:, ::-1]).save(samples[9].media)
    assert derive_faces(samples, tmp_path / "c", crop_size=32, threads=1).computed == 1
    changed = [name for name, data in content(tmp_path / "c").items() if data != before[name]]
    assert changed == ["faces-000001.safetensors", "faces.json"]
    assert derive_faces(samples, tmp_path / "c", crop_size=40, threads=1).computed == 3
    # The same pixels elsewhere, under another path, are the same content.
    moved = [replace(one, media=one.media.replace("/img/", "/moved/")) for one in samples]
    (tmp_path / "img").rename(tmp_path / "moved")
    assert derive_faces(moved, tmp_path / "c", crop_size=40, threads=1).computed == 0
    assert derive_faces(moved[:9], tmp_path / "c", crop_size=40, threads=1).samples == 9
    assert sorted(content(tmp_path / "c"))[-1] == "faces.json" and len(content(tmp_path / "c")) == 4


def test_other_nets_are_another_key(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = faces(tiny_data, 4)
    derive_faces(samples, tmp_path / "c", threads=1)
    assert len(front_end_version()) == 12
    monkeypatch.setattr(face_cache, "front_end_version", lambda: "another")
    assert derive_faces(samples, tmp_path / "c", threads=1).computed == 1


def test_errors_are_collected_per_item(tiny_data: Path, tmp_path: Path, examples: Path) -> None:
    pillow.new("RGB", (80, 60)).save(tmp_path / "black.png")
    (tmp_path / "torn.jpg").write_bytes((examples / "eileen_collins.jpg").read_bytes()[:3000])
    samples = [
        *faces(tiny_data, 3),
        sample(tmp_path / "gone.jpg", "gone"),
        sample(tmp_path / "torn.jpg", "torn"),
        sample(tmp_path / "black.png", "black"),
        sample(examples / "eileen_collins.jpg", "portrait"),
    ]
    summary = derive_faces(samples, tmp_path / "c", threads=1)
    assert (summary.samples, summary.failed) == (7, 3)
    lines = [json.loads(line) for line in (tmp_path / "c" / "errors.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["gone", "torn", "black"]
    assert "does not exist" in lines[0]["error"] and "no face" in lines[2]["error"]
    rows = list(FaceCache(tmp_path / "c"))
    assert [row.face is None for row in rows] == [False, False, False, True, True, True, False]
    # A picture that came back is found again.
    (tmp_path / "gone.jpg").write_bytes((examples / "eileen_collins.jpg").read_bytes())
    again = derive_faces(samples, tmp_path / "c", threads=1)
    assert again.failed == 2 and again.computed == 1


def test_a_damaged_or_unfinished_cache_is_named_and_repaired(tiny_data: Path, tmp_path: Path) -> None:
    samples, folder = faces(tiny_data, 10), tmp_path / "c"
    derive_faces(samples, folder, threads=1)
    before = content(folder)
    with pytest.raises(BadConfig, match="--resume"):
        derive_faces(samples, folder, threads=1, resume=False)
    shard = folder / "faces-000001.safetensors"
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(BadData, match="faces-000001"):
        list(FaceCache(folder))
    (folder / "faces.json").unlink()
    with pytest.raises(BadData, match=r"faces\.json"):
        FaceCache(folder)
    assert derive_faces(samples, folder, threads=1).computed == 1
    assert content(folder) == before


SCRIPT = """
import sys
from pathlib import Path
from mien.work import faces as face_cache
from mien.data import open_dataset
face_cache.SHARD = 8
samples = list(open_dataset("ferplus").read("train", Path(sys.argv[1])))[:24]
face_cache.derive_faces(samples, Path(sys.argv[2]), crop_size=32, threads=1)
"""


def derive_and_kill(arguments: Sequence[str], folder: Path, shards: int, source: Path) -> None:
    """Start a process and kill -9 it once ``shards`` files are there."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], env={**os.environ, "PYTHONPATH": str(source)}
    )
    try:
        end = time.monotonic() + 240
        while len(list(folder.glob("faces-*.safetensors"))) < shards and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_killed_anywhere_ends_with_the_same_bytes(tiny_data: Path, tmp_path: Path, repository: Path) -> None:
    source, killed = repository / "src", tmp_path / "killed"
    samples = faces(tiny_data, 24)
    derive_faces(samples, tmp_path / "whole", crop_size=32, threads=1)
    for shards in (1, 2):
        derive_and_kill([str(tiny_data), str(killed)], killed, shards, source)
    torn = f".faces-000002.safetensors.{platform.node()}+999999999+00.part.safetensors"
    (killed / torn).write_bytes(b"as a kill leaves it")
    derive_faces(samples, killed, crop_size=32, threads=1)
    assert content(killed) == content(tmp_path / "whole")
