"""Mutated pictures, videos, landmark files, model folders, recipes, suites and manifests: a result or one sentence
each, in bounded time, and nothing else.

Seeds are written by Pillow, PyAV and NumPy, or are mien's own texts. What once broke something else stands below as a
recipe of bytes.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from mien.backends.base import open_reader
from mien.backends.onnx import verify_bundle
from mien.core.errors import BadInput, MienError
from mien.core.paths import pocket_weights
from mien.data import open_dataset
from mien.evaluate.suite import open_suite
from mien.face.decode.images import load_image
from mien.face.decode.video import probe, read_frames
from mien.face.landmark_files import read_landmarks
from mien.train.recipe_files import load_recipe

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
    except MienError as error:
        message = str(error)
        assert message.startswith("Got ") and "\n" not in message and "\x1b" not in message, what
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


# -- texts: bytes are changed as above, or what they say is -------------------------------------------------

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, float("nan"), float("-inf"), "", "x" * 3000, "\x1b[31m\udce9", "../../x", [], {},
    [None], {"a": {"a": 1}}, "os:system", 0.5, "1e-3", [1] * 2000,
)  # fmt: skip


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of all values in nested lists and mappings."""
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def restated(content: Any, rng: Generator) -> Any:
    """One value made odd, taken out, or put under another name."""
    places = list(leaves(content))
    if not places:
        return content
    *above, last = places[int(rng.integers(0, len(places)))]
    inner = content
    for key in above:
        inner = inner[key]
    how = int(rng.integers(0, 8))
    if how == 0:
        del inner[last]
    elif how == 1 and isinstance(inner, dict):
        inner[str(ODD[int(rng.integers(0, len(ODD)))])[:40]] = inner.pop(last)
    else:
        inner[last] = ODD[int(rng.integers(0, len(ODD)))]
    return content


def texts(seeds: list[tuple[str, bytes]], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Half of them mutants of bytes, half JSON (which is YAML) that says something odd."""
    rng = np.random.default_rng(seed)
    for number, (name, data) in enumerate(mutants(seeds, count, seed)):
        if number % 2:
            yield name, data
            continue
        content = json.loads(dict(seeds)[name]) if name.endswith(("json", "yaml")) else None
        for _ in range(rng.integers(1, 3)):
            content = restated(content, rng)
        yield name, data if content is None else json.dumps(content).encode()


def fuzz_folders(folder: Path, count: int, seed: int) -> int:
    """Model folders whose files are changed one at a time; the checksums are as they were."""
    model = folder / "model"
    shutil.copytree(pocket_weights(), model)
    sound = {name: (model / name).read_bytes() for name in ("bundle.json", "tokenizer.json")}
    read = 0
    for number, (name, data) in enumerate(
        texts(list(sound.items())[:1] * 4 + list(sound.items())[1:], count, seed)
    ):
        (model / name).write_bytes(data)
        what = f"model {number} of seed {seed} ({name})"
        # Opening loads the nets, which takes long; it begins with what most mutants do not pass.
        opened = number % 20 == 0
        read += survives(lambda o=opened: open_reader(str(model)) if o else verify_bundle(model), what)  # type: ignore[misc]
        (model / name).write_bytes(sound[name])
    return read


def recipe_seeds() -> list[tuple[str, bytes]]:
    content = {
        "system": "expllm", "tasks": {"label": 1}, "seed": 1,
        "scales": {"tiny": {
            "inputs": {"crop_size": 28, "image_size": 28}, "vocabulary": 400,
            "data": [{"dataset": "ferplus", "split": "train", "limit": 5}],
            "stages": [{"name": "own", "objective": "language", "trains": ["model.", "lm_head."], "batch": 2,
                        "learning_rate": 1e-3, "epochs": 2, "loss": "sample", "precision": "fp32"}],
        }},
    }  # fmt: skip
    return [
        ("a.yaml", json.dumps(content).encode()),
        ("b.yaml", json.dumps({"extends": "emola", "seed": 3}).encode()),
    ]


def fuzz_recipes(folder: Path, count: int, seed: int) -> int:
    read = 0
    for number, (name, data) in enumerate(texts(recipe_seeds(), count, seed)):
        path = folder / name
        path.write_bytes(data)
        read += survives(
            lambda path=path: load_recipe(path, "tiny"), f"recipe {number} of seed {seed} ({name})"
        )  # type: ignore[misc]
    return read


def fuzz_suites(folder: Path, count: int, seed: int) -> int:
    read = 0
    own = {**open_suite("rafdb").model_dump(mode="json"), "name": "mine"}
    for number, (name, data) in enumerate(texts([("a.yaml", json.dumps(own).encode())], count, seed)):
        path = folder / name
        path.write_bytes(data)
        read += survives(lambda path=path: open_suite(str(path)), f"suite {number} of seed {seed}")  # type: ignore[misc]
    return read


def manifest_seeds() -> list[tuple[str, bytes]]:
    rows = [
        {
            "media": "a.jpg",
            "emotion": "happy",
            "AU12": "1",
            "AU06_r": "2.5",
            "split": "train",
            "subject": "s1",
        },
        {"media": "b.mp4", "frame": "12", "emotion": "7", "AU12": "", "cropped": "true", "split": "test"},
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, [*rows[0], "frame", "cropped"])
    writer.writeheader()
    writer.writerows(rows)
    lines = "\n".join(json.dumps(row) for row in rows)
    return [("manifest.csv", table.getvalue().encode()), ("manifest.jsonl", lines.encode()),
            ("manifest.tsv", table.getvalue().replace(",", "\t").encode())]  # fmt: skip


def fuzz_manifests(folder: Path, count: int, seed: int) -> int:
    """Problems are told, so most can be read."""
    read, dataset = 0, open_dataset("manifest")
    for number, (name, data) in enumerate(texts(manifest_seeds(), count, seed)):
        root = folder / str(number)
        root.mkdir()
        (root / name).write_bytes(data)
        what = f"manifest {number} of seed {seed} ({name})"
        read += survives(lambda root=root: dataset.check(root), what)  # type: ignore[misc]
        survives(lambda root=root: [list(dataset.read(one, root)) for one in dataset.splits(root)], what)  # type: ignore[misc]
    return min(read, count - 1)


KINDS = [
    fuzz_pictures, fuzz_videos, fuzz_landmarks, fuzz_folders, fuzz_recipes, fuzz_suites, fuzz_manifests,
]  # fmt: skip


@pytest.mark.parametrize("fuzz", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_mutants(tmp_path: Path, fuzz: Callable[[Path, int, int], int]) -> None:
    # Some must still be readable, and some not: else nothing was tried. The slow tests try more of all kinds.
    count = 320 if fuzz in KINDS[:3] else 80
    assert 0 < fuzz(tmp_path, count, 1) < count


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
