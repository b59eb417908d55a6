"""Pictures of several frames or pages, written by Pillow, which also says how many there are."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.face.decode import moving
from mien.face.decode.images import load_image
from mien.face.decode.moving import moving_kind
from mien.face.decode.video import probe, read_frames


def pictures(count: int, side: int = 64) -> list[pillow.Image]:
    noise = np.random.default_rng(3).integers(0, 255, (count, side, side, 3), dtype=np.uint8)
    return [pillow.fromarray(one) for one in noise]


def save(path: Path, images: list[pillow.Image], **options: object) -> Path:
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    with pillow.open(path) as opened:
        assert opened.n_frames >= 2
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_every_frame_with_its_time(tmp_path: Path, suffix: str) -> None:
    exact = {"lossless": True} if suffix == ".webp" else {"quality": 100} if suffix == ".avif" else {}
    path = save(tmp_path / f"a{suffix}", pictures(4), duration=[70, 80, 90, 70], **exact)
    frames = list(read_frames(path))
    assert moving_kind(path) == "frames" and [frame.index for frame in frames] == [0, 1, 2, 3]
    assert np.allclose([frame.time for frame in frames], [0, 0.07, 0.15, 0.24])
    for frame, image in zip(frames, pictures(4), strict=True):
        assert np.corrcoef(frame.image.ravel(), np.asarray(image).ravel())[0, 1] > 0.5
    assert np.array_equal(load_image(path), frames[0].image)
    assert probe(path).fps == pytest.approx(1 / 0.07)


def test_frames_that_the_writer_joined_come_as_often(tmp_path: Path) -> None:
    blank, face = pictures(2)
    path = save(tmp_path / "a.gif", [blank, face, face, face], duration=200)
    with pillow.open(path) as opened:
        assert opened.n_frames == 2
    frames = list(read_frames(path))
    assert np.allclose([frame.time for frame in frames], [0, 0.2, 0.4, 0.6])


def test_delays_of_zero_are_those_of_browsers(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gif", pictures(3))
    assert np.allclose([frame.time for frame in read_frames(path)], [0, 0.1, 0.2])


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    images = [one.resize((32 + 8 * n, 40)) for n, one in enumerate(pictures(3))]
    path = save(tmp_path / "a.tif", images)
    frames = list(read_frames(path))
    assert moving_kind(path) == "pages" and [frame.time for frame in frames] == [0, 0, 0]
    assert all(np.array_equal(f.image, np.asarray(i)) for f, i in zip(frames, images, strict=True))


def test_smaller_copies_and_masks_are_no_pages(tmp_path: Path) -> None:
    large, small, mask = pictures(3)
    for image, kind in ((small, 1), (mask, 4)):
        image.encoderinfo = {"tiffinfo": {254: kind}}
    path = save(tmp_path / "a.tif", [large, small, mask])
    with pillow.open(path) as opened:
        opened.seek(1)
        assert opened.tag_v2[254] == 1
    assert moving_kind(path) is None and np.array_equal(load_image(path), np.asarray(large))


def test_the_stand_in_of_an_apng_is_no_frame(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", pictures(3), default_image=True, duration=50)
    with pillow.open(path) as opened:
        assert opened.n_frames == 3 and opened.default_image
    frames = list(read_frames(path))
    assert len(frames) == 2 and np.array_equal(frames[0].image, np.asarray(pictures(3)[1]))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif", ".avif", ".jpg"])
def test_stills_do_not_move(tmp_path: Path, suffix: str) -> None:
    pictures(1)[0].save(tmp_path / f"a{suffix}")
    assert moving_kind(tmp_path / f"a{suffix}") is None
    if suffix != ".avif":  # which FFmpeg opens as a film of one frame
        with pytest.raises(BadInput):
            next(read_frames(tmp_path / f"a{suffix}"))


def test_a_cut_animation_gives_its_frames_and_then_the_error(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gif", pictures(6), duration=100)
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    frames = []
    with pytest.raises(BadInput, match=r"a\.gif"):
        for frame in read_frames(path):
            frames.append(frame)
    assert 2 <= len(frames) < 6


def test_endless_animations_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.gif", pictures(6), duration=100)
    monkeypatch.setattr(moving, "MOST_SECONDS", 4.5 * 64 * 64 / 40e6)
    frames = []
    with pytest.raises(BadInput, match="4 frames were read and more follow"):
        for frame in read_frames(path):
            frames.append(frame)
    assert len(frames) == 4


@pytest.mark.slow
def test_a_small_file_of_many_large_frames_ends_within_its_budget(tmp_path: Path) -> None:
    file = io.BytesIO()
    pillow.linear_gradient("L").resize((3000, 3000)).save(file, "GIF")
    data, trailer = file.getvalue()[:-1], file.getvalue()[-1:]
    frame = data.rindex(b"\x21\xf9\x04") if b"\x21\xf9\x04" in data else data.index(b"\x2c", 13 + 3 * 256)
    path = tmp_path / "a.gif"
    path.write_bytes(data + 150 * data[frame:] + trailer)
    spent = time.process_time()
    with pytest.raises(BadInput, match="88 frames were read and more follow"):
        for _ in read_frames(path):
            pass
    assert time.process_time() - spent < 25.0
