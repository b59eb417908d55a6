"""Videos as their containers say: mirrors, start times, edit lists, covers, cut ends; flags read back by PyAV."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import BadInput
from mien.core.nouns import Image
from mien.face.decode.images import media_kind
from mien.face.decode.video import VideoFrame, probe, read_frames

av = pytest.importorskip("av")


def corner(index: int, width: int = 96, height: int = 64) -> Image:
    """Bright in the upper left quarter: a mirror or a turn moves it. The blue tells the frame."""
    image = np.full((height, width, 3), 30, dtype=np.uint8)
    image[: height // 2, : width // 2] = 220
    image[height // 2 :, :, 2] = 40 + 4 * index
    return image


def write(
    path: Path,
    count: int = 24,
    *,
    codec: str = "mpeg4",
    sound: float = 0.0,
    start: float = 0.0,
    cover: str | None = None,
    options: dict[str, str] | None = None,
    images: Sequence[Image] | None = None,
) -> Path:
    """A clip of 10 frames a second: sound from 0 for ``sound`` s, the film from ``start``; a cover as first stream."""
    with av.open(str(path), "w", options=options or {}) as container:
        if cover:
            picture = container.add_stream(cover, rate=25)
            picture.width, picture.height = 64, 64
            picture.pix_fmt = "yuvj420p"
            picture.disposition = 0
        voice = (
            container.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000)
            if sound
            else None
        )
        film = container.add_stream(codec, rate=10) if count else None
        if film:
            film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
            film.codec_context.time_base = Fraction(1, 100)
            if cover:
                film.disposition = 1
        if cover:
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame = frame.reformat(format=picture.pix_fmt)
            frame.pts = 0
            container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        if voice:
            for block in range(int(sound * 48000 / 960)):
                tone = av.AudioFrame.from_ndarray(
                    np.zeros((1, 960), np.float32), format="fltp", layout="mono"
                )
                tone.sample_rate, tone.pts, tone.time_base = 48000, 960 * block, Fraction(1, 48000)
                container.mux(voice.encode(tone))
            container.mux(voice.encode(None))
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(images[index] if images else corner(index), format="rgb24")
            frame.pts, frame.time_base = round(100 * start) + 10 * index, Fraction(1, 100)
            container.mux(film.encode(frame))
        if film:
            container.mux(film.encode(None))
    return path


def until_error(path: Path) -> tuple[list[VideoFrame], str]:
    frames: list[VideoFrame] = []
    with pytest.raises(BadInput) as caught:
        for frame in read_frames(path):
            frames.append(frame)
    return frames, str(caught.value)


def bright(image: Image) -> tuple[bool, bool]:
    """Whether the bright quarter lies right, and whether below."""
    rows, columns = np.nonzero(image[..., 0] > 150)
    return bool(columns.mean() > image.shape[1] / 2), bool(rows.mean() > image.shape[0] / 2)


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 20] = struct.pack(">iiiii", a, b, 0, c, d)
    path.write_bytes(bytes(data))
    with av.open(str(path)) as container:
        told = next(container.decode(video=0)).side_data["DISPLAYMATRIX"]
        back = struct.unpack("=9i", bytes(told))
    assert (back[0], back[1], back[3], back[4]) == (a, b, c, d)
    return path


# The display matrix sends x, y to a x + c y, b x + d y (ISO 14496-12), so where the bright corner goes is arithmetic.
@pytest.mark.parametrize(
    "matrix",
    [
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (-1, 0, 0, -1),
        (0, 1, -1, 0),
        (0, -1, 1, 0),
        (0, 1, 1, 0),
        (0, -1, -1, 0),
    ],
    ids=["mirror", "flip", "180", "90", "270", "transpose", "transverse"],
)
def test_display_matrix(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    path = with_matrix(write(tmp_path / "a.mp4", 3), matrix)
    a, b, c, d = matrix
    right, below = a + c < 0, b + d < 0  # the corner at (-1, -1) from the middle goes to (-a - c, -b - d)
    shown = next(read_frames(path)).image
    assert bright(shown) == (right, below)
    assert shown.shape == ((96, 64, 3) if b else (64, 96, 3)) and shown.flags.c_contiguous
    assert (probe(path).height, probe(path).width) == shown.shape[:2]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_film_that_starts_after_its_sound(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", 12, codec="mpeg2video", sound=3.0, start=1.0)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        lag = float(stream.start_time * stream.time_base) - container.start_time / 1e6
    assert lag == pytest.approx(1.0, abs=0.06)
    times = [frame.time for frame in read_frames(path)]
    assert np.allclose(times, 1.0 + 0.1 * np.arange(12), atol=0.06)


def test_transport_stream_alone_starts_at_0(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ts", 12, codec="mpeg2video", start=2.0)
    with av.open(str(path)) as container:
        assert container.start_time > 1_000_000
    assert np.allclose([frame.time for frame in read_frames(path)], 0.1 * np.arange(12), atol=1e-3)


def test_joined_transport_streams_never_run_backwards(tmp_path: Path) -> None:
    one = write(tmp_path / "a.ts", 20, codec="mpeg2video").read_bytes()
    (tmp_path / "b.ts").write_bytes(one + one)
    with av.open(str(tmp_path / "b.ts")) as container:
        raw = [frame.time for frame in container.decode(video=0) if frame.time is not None]
    assert min(np.diff(raw)) < -1
    times = np.array([frame.time for frame in read_frames(tmp_path / "b.ts")])
    assert len(times) == 40 and (np.diff(times) > 0).all() and times[-1] == pytest.approx(3.9, abs=0.11)


def edited(path: Path, skip: int, keep: int) -> Path:
    """An edit list that shows ``keep`` frames after the first ``skip``, as lossless cutters write it."""
    data = bytearray(path.read_bytes())
    place = data.index(b"elst")
    version, entries = data[place + 4], struct.unpack_from(">I", data, place + 8)[0]
    assert (version, entries) == (0, 1)
    movie = struct.unpack_from(">I", data, data.index(b"mvhd") + 4 + 12)[0]
    media = struct.unpack_from(">I", data, data.index(b"mdhd") + 4 + 12)[0]
    struct.pack_into(">Ii", data, place + 12, movie * keep // 10, media * skip // 10)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("skip, keep", [(6, 18), (0, 12), (5, 9)], ids=["start", "end", "both"])
def test_trimmed_without_encoding_is_whole(tmp_path: Path, skip: int, keep: int) -> None:
    path = edited(write(tmp_path / "a.mp4", 24), skip, keep)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 24
    frames = list(read_frames(path))
    assert len(frames) == keep and frames[0].time == pytest.approx(0.0, abs=0.01)
    assert abs(int(frames[0].image[-4, 4, 2]) - (40 + 4 * skip)) < 8
    assert probe(path).frames == keep


def test_the_film_is_read_and_not_its_cover(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", 12, cover="mjpeg")
    with av.open(str(path)) as container:
        assert [one.codec_context.name for one in container.streams.video] == ["mjpeg", "mpeg4"]
    frames = list(read_frames(path))
    assert len(frames) == 12 and frames[0].image.shape == (64, 96, 3)


def test_sound_with_a_cover_is_no_video(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", 0, sound=2.0, cover="mjpeg")
    frames, message = until_error(path)
    assert not frames and "cover" in message
    path.rename(tmp_path / "a.m4a")
    assert media_kind(tmp_path / "a.m4a") is None


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mp4", ".avi"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_cut_files_are_named(tmp_path: Path, suffix: str, share: float) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (40, 64, 96, 3), dtype=np.uint8))
    codec = "libvpx" if suffix == ".webm" else "mpeg4"
    path = write(tmp_path / f"a{suffix}", 40, codec=codec, images=noise, options={"movflags": "faststart"})
    assert len(list(read_frames(path))) == 40
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    frames, message = until_error(path)
    assert 5 < len(frames) < 40 and "cut off" in message and f"a{suffix}" in message


def test_recording_without_lengths_is_cut_inside_a_part(tmp_path: Path) -> None:
    """As browsers record: neither the segment nor the clusters say how long they are."""
    noise = list(np.random.default_rng(0).integers(0, 255, (40, 64, 96, 3), dtype=np.uint8))
    path = write(tmp_path / "a.webm", 40, codec="libvpx", images=noise, options={"live": "1"})
    data = path.read_bytes()
    assert b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" in data
    assert len(list(read_frames(path))) == 40
    path.write_bytes(data[: int(0.7 * len(data))])
    assert "cut off" in until_error(path)[1]


@pytest.mark.parametrize("rest", [1, 90, 187])
def test_cut_transport_stream_is_named(tmp_path: Path, rest: int) -> None:
    path = write(tmp_path / "a.ts", 24, codec="mpeg2video")
    data = path.read_bytes()
    assert len(data) % 188 == 0 and len(list(read_frames(path))) == 24
    path.write_bytes(data[: int(0.7 * len(data)) // 188 * 188 + rest])
    frames, message = until_error(path)
    assert len(frames) > 5 and f"{rest} of 188 bytes" in message


@pytest.mark.parametrize("aspect", [Fraction(5000), Fraction(1, 2_000_000_000), Fraction(40)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_absurd_pixels_are_one_error(tmp_path: Path, encoder, aspect: Fraction, suffix: str) -> None:
    path = encoder(tmp_path / "a.mp4", [corner(0)] * 3, pixel_aspect=Fraction(3, 2))
    data = bytearray(path.read_bytes())
    place = data.index(b"pasp") + 4
    struct.pack_into(">II", data, place, aspect.numerator, aspect.denominator)
    path.write_bytes(bytes(data))
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == aspect
    for read in (probe, lambda one: next(read_frames(one))):
        with pytest.raises(BadInput, match="times as wide as high"):
            read(path)


def test_unknown_codec_is_one_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", 5, codec="libx264")
    data = path.read_bytes()
    assert data.count(b"avc1") >= 1
    path.write_bytes(data.replace(b"avc1", b"zzq9"))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context is None
    frames, message = until_error(path)
    assert not frames and "no frame can be decoded" in message
    with pytest.raises(BadInput):
        probe(path)
