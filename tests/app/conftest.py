"""Fixtures of the app's tests: the command as a real process, and small photos made of the example portraits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

Mien = Callable[..., subprocess.CompletedProcess[str]]
Gallery = Callable[[Path, int], list[Path]]
SOURCE = Path(__file__).resolve().parents[2] / "src"


ENVIRONMENT = {**os.environ, "COLUMNS": "200"}
# A different tree can be tested without installing it.
ENVIRONMENT["PYTHONPATH"] = os.environ.get("MIEN_TEST_SOURCE", str(SOURCE))


@pytest.fixture(scope="session")
def mien() -> Mien:
    """Run ``mien ARGUMENTS`` in a fresh process; ``max_kb`` bounds the size of every file that it writes."""

    def run(*arguments: object, max_kb: int | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mien", *map(str, arguments)]
        if max_kb is not None:
            command = ["bash", "-c", f'ulimit -f {max_kb}; exec "$@"', "bash", *command]
        return subprocess.run(
            command, env=ENVIRONMENT, capture_output=True, text=True, timeout=900, check=False
        )

    return run


@pytest.fixture(scope="session")
def start_mien() -> Callable[..., subprocess.Popen[bytes]]:
    """Start ``mien ARGUMENTS`` and give back the process."""

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mien", *map(str, arguments)]
        return subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
