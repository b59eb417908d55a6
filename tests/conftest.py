"""Shared fixtures; every test runs offline, without a GPU and with warnings as errors."""

# ruff: noqa: E402
from __future__ import annotations

import os

# Before NumPy and torch load: the threads of many small tests side by side would only wait for each other.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import csv
import io
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image, ImageEnhance

import costs
from forked import Forked
from mien.core.aus import AU_SETS
from mien.core.nouns import Image as Pixels
from mien.core.paths import data_root as find_data_root

ROOT = Path(__file__).resolve().parents[1]

# The same examples in every run, and no deadline on a loaded machine.
settings.register_profile(
    "mien", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mien")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hold-bars",
        action="store_true",
        help="Fail rooms that cost more processor than tools/costs.py allows.",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A worker of pytest-xdist only counts; the process that started it holds the sum against the bars.
    config.pluginmanager.register(
        costs.Costs(config.getoption("hold_bars") and not hasattr(config, "workerinput")), "costs"
    )


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def examples() -> Path:
    """Folder of the example files."""
    return ROOT / "examples"


@pytest.fixture(scope="session")
def photos(examples: Path) -> list[Path]:
    """The example portraits, sorted by name."""
    found = sorted(path for path in examples.iterdir() if path.suffix.lower() in {".jpg", ".png"})
    assert found, f"no portrait in {examples}"
    return found


@pytest.fixture(scope="session")
def clip(examples: Path) -> Path:
    """The example video."""
    found = sorted(examples.glob("*.mp4"))
    assert found, f"no video in {examples}"
    return found[0]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the data packs; the test is skipped without it."""
    root = find_data_root()
    if not root.is_dir():
        pytest.skip(f"needs the data packs: set MIEN_DATA, or put them at {root}")
    return root


def encode(
    path: Path,
    images: Sequence[Pixels],
    ticks: Sequence[int] | None = None,
    pixel_aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a real MP4; ``ticks`` are presentation times in 1/100 s, every 4/100 s without them."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = Fraction(1, 100)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = ticks[index] if ticks is not None else 4 * index
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def encoder() -> Callable[..., Path]:
    """Clips encoded on the spot; see `encode`."""
    return encode


# A miniature of the training data in the packs' exact formats, made from the example photos.
# A square around each example's face.
SQUARES = {"eileen_collins.jpg": (160, 40, 300, 180), "grace_hopper.jpg": (190, 60, 390, 260)}


def _portraits(count: int, size: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    faces = []
    for index in range(count):
        name = sorted(SQUARES)[index % 2]
        square = np.asarray(SQUARES[name]) + rng.integers(-8, 8, 4)
        picture = Image.open(ROOT / "examples" / name).convert("RGB").crop(tuple(int(v) for v in square))
        faces.append(picture.resize((size, size), Image.Resampling.BICUBIC))
    return faces


def _archive(path: Path, rows: list[dict[str, str]], pictures: list[Image.Image]) -> None:
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        archive.writestr("manifest.csv", text.getvalue())
        for row, picture in zip(rows, pictures, strict=True):
            data = io.BytesIO()
            picture.save(data, "JPEG", quality=90)
            archive.writestr(row["file"], data.getvalue())


def _ferplus(root: Path) -> None:
    root.joinpath("ferplus").mkdir(parents=True)
    names = "neutral happiness surprise sadness anger disgust fear contempt unknown NF".split()
    for split, count in (("train", 24), ("val", 8)):
        rng = np.random.default_rng(count)
        votes = np.zeros((count, 10), np.uint8)
        for row in range(count):
            votes[row, row % 8], votes[row, (row + 3) % 8] = 7, 2
            votes[row, 8] = 1
        votes[-1] = [0, 0, 0, 0, 0, 0, 0, 0, 8, 2]
        pictures = [np.asarray(p.convert("L")) for p in _portraits(count, 48, int(rng.integers(99)))]
        np.savez(
            root / "ferplus" / f"{split}.npz",
            images=np.stack(pictures),
            votes=votes,
            names=np.asarray([f"fer{row:07d}.png" for row in range(count)]),
            vote_names=np.asarray(names),
        )


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packs")
    _ferplus(root)
    splits = ["train"] * 6 + ["val"] * 4
    labels = ("neutral", "happiness")
    lfw = [
        {"file": f"img/{i:012x}.jpg", "label": labels[i % 2], "split": s, "source": "x", "person": f"p{i}",
         "group": f"p{i}", "labeler": "dwdii", "second_look": ""}
        for i, s in enumerate(splits)
    ]  # fmt: skip
    _archive(root / "lfw_emotion" / "lfw_emotion.zip", lfw, _portraits(10, 112, 1))
    genki = [
        {"file": f"img/file{i:04d}.jpg", "label": ("smile", "non_smile")[i % 2], "split": s, "source": "x",
         "yaw": "0.1", "pitch": "0.0", "roll": "-0.1"}
        for i, s in enumerate(splits)
    ]  # fmt: skip
    _archive(root / "genki4k" / "genki4k.zip", genki, _portraits(10, 64, 2))
    london = [
        {"file": f"face336/{i:03d}_{labels[i % 2]}.jpg", "label": labels[i % 2], "split": s, "source": "x",
         "subject": f"{i:03d}", "age": "30", "gender": "female", "ethnicity": "white", "au25": "01"[i % 2],
         "au12": ("", "1", "0")[i % 3]}
        for i, s in enumerate(splits)
    ]  # fmt: skip
    _archive(root / "london" / "london.zip", london, _portraits(10, 336, 3))
    return root


@pytest.fixture(scope="session")
def tiny_renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("renders")
    rng = np.random.default_rng(5)
    units = AU_SETS["pocket"]
    np.savez(
        folder / "shard_0000.npz",
        images=np.stack([np.asarray(p) for p in _portraits(24, 144, 4)]),
        au=rng.random((24, len(units)), np.float32) * (rng.random((24, len(units))) < 0.3).astype(np.float32),
        au_names=np.asarray(units),
        identity=np.repeat(np.arange(12), 2).astype(np.int32) % 11,
        landmarks68=rng.uniform(30, 114, (24, 68, 2)).astype(np.float32),
    )
    return folder


# -- the command as a real process, and small photos made of the example portraits

Mien = Callable[..., subprocess.CompletedProcess[str]]
Gallery = Callable[[Path, int], list[Path]]
SOURCE = ROOT / "src"


ENVIRONMENT = {**os.environ, "COLUMNS": "200"}
# A different tree can be tested without installing it.
ENVIRONMENT["PYTHONPATH"] = os.environ.get("MIEN_TEST_SOURCE", str(SOURCE))


@pytest.fixture(scope="session")
def mien() -> Iterator[Mien]:
    """Run ``mien ARGUMENTS`` in a fresh process; ``max_kb`` bounds the size of every file that it writes."""
    forked = Forked(ENVIRONMENT)

    def run(*arguments: object, max_kb: int | None = None) -> subprocess.CompletedProcess[str]:
        done, seconds = forked.run([*map(str, arguments)], max_kb)
        costs.add(seconds)
        return done

    yield run
    forked.close()


@pytest.fixture(scope="session")
def start_mien() -> Callable[..., subprocess.Popen[bytes]]:
    """Start ``mien ARGUMENTS`` and give back the process."""

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mien", *map(str, arguments)]
        # Where the tests run in the background of a shell, an interrupt would be ignored, here and in children.
        return subprocess.Popen(
            command,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return start


@pytest.fixture(scope="session")
def gallery(photos: list[Path]) -> Gallery:
    """Write ``count`` different small photos of the example portraits to a folder."""

    def write(folder: Path, count: int) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number in range(count):
            with Image.open(photos[number % len(photos)]) as opened:
                small = opened.convert("RGB")
            small.thumbnail((200, 200))
            lit = ImageEnhance.Brightness(small).enhance(0.7 + 0.6 * (number % 13) / 13)
            paths.append(folder / f"photo{number:03d}.jpg")
            lit.crop((number % 5, 0, lit.width, lit.height)).save(paths[-1], quality=85)
        return paths

    return write


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, with a camera that plays a test picture."""
    driven = pytest.importorskip(
        "playwright.sync_api", reason="no browser driver: pip install 'mien[browser]'"
    )
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with driven.sync_playwright() as driver:
        switches = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        opened = driver.chromium.launch(executable_path=program, args=switches)
        yield opened
        opened.close()


@pytest.fixture
def serious() -> Callable[[Any], list[str]]:
    """What axe-core calls serious or critical on a page of the browser, opened with ``bypass_csp``."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install 'mien[browser]'")

    def found(page: Any) -> list[str]:
        broken = axe.Axe().run(page).response["violations"]
        return [
            f"{one['id']}: {node['html'][:120]}"
            for one in broken if one["impact"] in ("serious", "critical") for node in one["nodes"]
        ]  # fmt: skip

    return found
