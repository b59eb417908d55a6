"""Mutated pictures, videos and landmark files: a result or one sentence each, in bounded time, and nothing else.

Seeds are written by Pillow, PyAV and NumPy. What once broke something else stands below as a recipe of bytes.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.face.decode.images import load_image
from mien.face.decode.video import probe, read_frames
from mien.face.landmark_files import read_landmarks

Generator = np.random.Generator
_EACH = 10.0
"""Seconds on a busy machine; files of this size take milliseconds."""


def flip(data: bytearray, rng: Generator) -> bytearray:
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(0, 8))
    return data


def overwrite(data: bytearray, rng: Generator) -> bytearray:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 64))
    data[start : start + length] = bytes(rng.integers(0, 256, length, dtype=np.uint8))
    return data


def extreme(data: bytearray, rng: Generator) -> bytearray:
    """A number of 2 or 4 bytes at a limit, where heads hold sizes, counts and offsets."""
    length = int(rng.choice([2, 4]))
    start = int(rng.integers(0, max(1, min(len(data) - length, 600))))
    values = (0, 1, 2 ** (8 * length - 1) - 1, 2 ** (8 * length - 1), 2 ** (8 * length) - 1)
    order = "big" if rng.integers(0, 2) else "little"
    data[start : start + length] = int(rng.choice(len(values)) and values[int(rng.integers(0, 5))]).to_bytes(
        length, order
    )
    return data


def cut(data: bytearray, rng: Generator) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def repeat(data: bytearray, rng: Generator) -> bytearray:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 400))
    part = data[start : start + length]
    return data[:start] + part * int(rng.integers(2, 6)) + data[start:]


def drop(data: bytearray, rng: Generator) -> bytearray:
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 200))]
    return data


MUTATORS: tuple[Callable[[bytearray, Generator], bytearray], ...] = (
    flip,
    overwrite,
    extreme,
    cut,
    repeat,
    drop,
)


def mutants(seeds: list[tuple[str, bytes]], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """``count`` files: each of the seeds in turn, changed once to three times."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        name, data = seeds[number % len(seeds)]
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            changed = MUTATORS[int(rng.integers(0, len(MUTATORS)))](changed, rng) or bytearray(b"\0")
        yield name, bytes(changed)


def survives(read: Callable[[], Any], what: str) -> bool:
    """Whether it was read; anything but a result or a sentence fails the test."""
    started = time.process_time()
    try:
        read()
        good = True
    except BadInput as error:
        message = str(error)
        assert message.startswith("Got ") and "\n" not in message, what
        good = False
    assert time.process_time() - started < _EACH, f"{what} took {time.process_time() - started:.1f} s"
    return good


def picture_seeds() -> list[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    small = pillow.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    images = [small.resize((64, 48)), small.rotate(90).resize((64, 48))]
    moving = {"save_all": True, "append_images": images[1:], "duration": 80}
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("a.jpg", {}),
        ("b.jpg", {"progressive": True}),
        ("a.png", {}),
        ("b.png", moving),
        ("a.webp", {}),
        ("b.webp", moving),
        ("a.gif", moving),
        ("a.bmp", {}),
        ("a.tif", {"compression": "tiff_deflate"}),
        ("b.tif", {"save_all": True, "append_images": images[1:]}),
        ("a.avif", {}),
        ("b.avif", moving),
        ("a.jp2", {}),
        ("a.ppm", {}),
        ("a.tga", {}),
        ("a.ico", {}),
    ]
    seeds = []
    for name, options in wanted:
        file = io.BytesIO()
        images[0].save(file, pillow.registered_extensions()["." + name.split(".")[1]], **options)
        seeds.append((name, file.getvalue()))
    grey = io.BytesIO()
    pillow.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) + 20_000).save(grey, "PNG")
    return [*seeds, ("c.png", grey.getvalue())]


def video_seeds(folder: Path) -> list[tuple[str, bytes]]:
    av = pytest.importorskip("av")
    seeds = []
    codecs = {".mp4": "mpeg4", ".mkv": "libx264", ".webm": "libvpx", ".avi": "mjpeg", ".ts": "mpeg2video"}
    for suffix, codec in codecs.items():
        path = folder / f"seed{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for index in range(6):
                image = np.full((48, 64, 3), 40 * index, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
        seeds.append((f"a{suffix}", path.read_bytes()))
    return seeds


def landmark_seeds() -> list[tuple[str, bytes]]:
    points = np.random.default_rng(0).uniform(50, 400, (478, 3)).round(1)
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, points)
    np.savez_compressed(npz, landmarks=points, size=np.array([640, 480]))
    text = json.dumps({"landmarks": points.tolist(), "size": [640, 480]})
    table = "\n".join(",".join(map(str, row)) for row in points.tolist())
    names = ",".join(f"mesh_{axis}_{point}" for point in range(478) for axis in "xyz")
    frames = f"{names}\n" + "\n".join([",".join(map(str, points.ravel()))] * 2)
    return [
        ("a.npy", npy.getvalue()),
        ("a.npz", npz.getvalue()),
        ("a.json", text.encode()),
        ("a.csv", table.encode()),
        ("b.csv", frames.encode()),
    ]


def fuzz_pictures(folder: Path, count: int, seed: int) -> int:
    read = 0
    for number, (name, data) in enumerate(mutants(picture_seeds(), count, seed)):
        what = f"picture {number} of seed {seed} ({name})"
        read += survives(lambda data=data: load_image(data), what)  # type: ignore[misc]
        if name[0] == "b":
            path = folder / name
            path.write_bytes(data)
            survives(lambda path=path: [None for _ in read_frames(path)], what)  # type: ignore[misc]
    return read


def fuzz_videos(folder: Path, count: int, seed: int) -> int:
    read = 0
    for number, (name, data) in enumerate(mutants(video_seeds(folder), count, seed)):
        path, what = folder / name, f"video {number} of seed {seed} ({name})"
        path.write_bytes(data)
        times: list[float] = []

        def all_frames(path: Path = path, times: list[float] = times) -> None:
            times.extend(frame.time for frame in read_frames(path))

        read += survives(all_frames, what)
        survives(lambda path=path: probe(path), what)  # type: ignore[misc]
        assert times == sorted(times), what
    return read


def fuzz_landmarks(folder: Path, count: int, seed: int) -> int:
    read = 0
    for number, (name, data) in enumerate(mutants(landmark_seeds(), count, seed)):
        (folder / name).write_bytes(data)
        read += survives(
            lambda path=folder / name: read_landmarks(path),  # type: ignore[misc]
            f"landmark file {number} of seed {seed} ({name})",
        )
    return read


KINDS = [fuzz_pictures, fuzz_videos, fuzz_landmarks]


@pytest.mark.parametrize("fuzz", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_mutants(tmp_path: Path, fuzz: Callable[[Path, int, int], int]) -> None:
    # Some must still be readable, and most not: else nothing was tried.
    assert 5 < fuzz(tmp_path, 320, 1) < 310


# -- what mutants have found -----------------------------------------------------------------------------


def test_second_page_without_a_width(tmp_path: Path) -> None:
    """Pillow raises a TypeError when it turns to such a page."""
    data = bytearray(dict(picture_seeds())["b.tif"])
    first = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[first : first + 2], "little")
    second = int.from_bytes(data[first + 2 + 12 * count :][:4], "little")
    assert int.from_bytes(data[second + 2 :][:2], "little") == 256
    data[second + 2 : second + 4] = (65_000).to_bytes(2, "little")
    (tmp_path / "a.tif").write_bytes(data)
    frames = []
    with pytest.raises(BadInput, match=r"a\.tif"):
        for frame in read_frames(tmp_path / "a.tif"):
            frames.append(frame)
    assert len(frames) == 1 and load_image(tmp_path / "a.tif").shape == (48, 64, 3)


def test_array_header_that_breaks_off(tmp_path: Path) -> None:
    """NumPy raises a tokenizer's error on it."""
    data = bytearray(dict(landmark_seeds())["a.npy"])
    place = data.index(b"}")
    data[place] = ord("{")
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(BadInput, match=r"a\.npy"):
        read_landmarks(tmp_path / "a.npy")


@pytest.mark.slow
@pytest.mark.parametrize("fuzz", KINDS)
@pytest.mark.parametrize("seed", range(2, 8))
@pytest.mark.filterwarnings("ignore")
def test_many_mutants(tmp_path: Path, fuzz: Callable[[Path, int, int], int], seed: int) -> None:
    fuzz(tmp_path, 600, seed)
