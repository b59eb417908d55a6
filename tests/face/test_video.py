"""Real clips, encoded here: true times, rotation, pixel aspect, flat memory, damage."""

from __future__ import annotations

import struct
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import BadInput
from mien.core.nouns import Image
from mien.face.decode.images import ImageLimits
from mien.face.decode.video import VideoFrame, probe, read_frames

pytest.importorskip("av")


def moving(count: int, width: int = 128, height: int = 96) -> list[Image]:
    """A bright square that moves to the right over a dark gradient."""
    frames = []
    for index in range(count):
        image = np.zeros((height, width, 3), dtype=np.uint8)
        image[:, :, 2] = np.linspace(0, 80, width).astype(np.uint8)
        left = (3 * index) % (width - 24)
        image[8:32, left : left + 24] = (230, 200, 40)
        frames.append(image)
    return frames


def until_error(path: Path) -> tuple[list[VideoFrame], str]:
    frames: list[VideoFrame] = []
    with pytest.raises(BadInput) as caught:
        for frame in read_frames(path):
            frames.append(frame)
    return frames, str(caught.value)


def test_frames_come_back_in_order_with_their_pixels(tmp_path: Path, encoder) -> None:
    images = moving(30)
    frames = list(read_frames(encoder(tmp_path / "a.mp4", images)))
    assert [frame.index for frame in frames] == list(range(30))
    assert np.allclose([frame.time for frame in frames], 0.04 * np.arange(30), atol=1e-6)
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
        assert np.abs(frame.image.astype(int) - image.astype(int)).mean() < 8


def test_probe(tmp_path: Path, encoder) -> None:
    info = probe(encoder(tmp_path / "a.mp4", moving(30)))
    assert (info.width, info.height, info.frames) == (128, 96, 30)
    assert info.fps == pytest.approx(25, abs=0.5) and info.duration == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rate_keeps_true_times(tmp_path: Path, encoder, suffix: str) -> None:
    ticks = [0, 4, 8, 60, 61, 100, 250, 251]
    frames = list(read_frames(encoder(tmp_path / f"a{suffix}", moving(8), ticks)))
    assert np.allclose([frame.time for frame in frames], np.array(ticks) / 100, atol=2e-3)


@pytest.mark.parametrize(
    "matrix, quarters",
    [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
    ids=["90", "180", "270"],
)
def test_rotation_flags_are_applied(tmp_path: Path, encoder, matrix: tuple[int, ...], quarters: int) -> None:
    path = encoder(tmp_path / "a.mp4", moving(5))
    plain = [frame.image for frame in read_frames(path)]
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # the matrix of the track header, version 0
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 20] = struct.pack(">iiiii", a, b, 0, c, d)
    path.write_bytes(bytes(data))
    turned = [frame.image for frame in read_frames(path)]
    assert all(np.array_equal(np.rot90(x, quarters), y) for x, y in zip(plain, turned, strict=True))
    info = probe(path)
    assert (info.height, info.width) == turned[0].shape[:2]


def test_wide_pixels_become_square(tmp_path: Path, encoder) -> None:
    path = encoder(tmp_path / "a.mp4", moving(3), pixel_aspect=Fraction(3, 2))
    assert next(read_frames(path)).image.shape == (96, 192, 3)
    assert probe(path).width == 192


def test_memory_stays_flat(tmp_path: Path, encoder) -> None:
    path = encoder(tmp_path / "long.mp4", moving(260, 640, 352))
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("needs /proc")
    early = late = 0
    for frame in read_frames(path):
        late = int(pages.read_text().split()[1]) * 4096
        if frame.index == 60:
            early = late
    assert frame.index == 259
    assert late - early < 60e6, "200 decoded frames would be 135 MB"


def test_truncated_mp4_gives_its_frames_and_then_the_error(tmp_path: Path, encoder) -> None:
    path = encoder(tmp_path / "a.mp4", moving(50), options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    frames, message = until_error(path)
    assert 10 < len(frames) < 45
    assert f"{len(frames)} of 50 frames" in message and f"{frames[-1].time:.2f} s" in message


def test_mp4_without_its_index(tmp_path: Path, encoder) -> None:
    path = encoder(tmp_path / "a.mp4", moving(50))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames, message = until_error(path)
    assert not frames and "cannot be opened" in message


def test_damage_in_the_middle_is_passed_over_and_reported(tmp_path: Path, encoder) -> None:
    path = encoder(tmp_path / "a.mkv", moving(60))
    data = bytearray(path.read_bytes())
    for start in range(len(data) // 3, len(data) // 3 + 400):
        data[start] = 0xFF
    path.write_bytes(bytes(data))
    frames = []
    try:
        frames.extend(read_frames(path))
    except BadInput as error:
        assert "frames were read" in str(error)
    assert len(frames) <= 60


def test_files_that_are_no_videos(tmp_path: Path, examples: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello " * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttps://example.org/a.ts\n#EXT-X-ENDLIST\n")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    picture = examples / "eileen_collins.jpg"
    bad = [tmp_path / name for name in ("text.mp4", "empty.mp4", "list.mp4", "sound.wav", "none.mp4")]
    for path in [*bad, picture, tmp_path]:
        with pytest.raises(BadInput, match="Expected"):
            next(read_frames(path))
        with pytest.raises(BadInput, match="Expected"):
            probe(path)


def test_frame_size_limit(tmp_path: Path, encoder) -> None:
    with pytest.raises(BadInput, match="Scale the video"):
        next(read_frames(encoder(tmp_path / "a.mp4", moving(2)), ImageLimits(max_pixels=1000)))
