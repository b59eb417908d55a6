"""Dear pictures: refused from their head, or decoded apart; small files that are large when opened."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.face.decode import budget
from mien.face.decode.images import ImageLimits, load_image


def png(width: int, height: int, bits: int, colour: int) -> bytes:
    """A large PNG of zeros, row by row, as any program may write it."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    packer, data = zlib.compressobj(1), []
    row = b"\0" * (1 + width * channels * bits // 8)
    for _ in range(height):
        data.append(packer.compress(row))
    data.append(packer.flush())

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", b"".join(data)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(kind: str, size: tuple[int, int], **options: object) -> bytes:
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    small = pillow.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    small.resize(size).save(file, kind, **options)
    return file.getvalue()


def with_scans(data: bytes, count: int) -> bytes:
    """The same progressive JPEG with its refinement of nothing repeated."""
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10" + b"\0" * 50
    return data[:-2] + scan * count + data[-2:]


def test_many_scans_are_refused_before_decoding() -> None:
    file = io.BytesIO()
    pillow.new("L", (4000, 4000)).save(file, "JPEG", progressive=True)
    started = time.process_time()
    with pytest.raises(BadInput, match="scans"):
        load_image(with_scans(file.getvalue(), 3000))
    assert time.process_time() - started < 1.0


def test_ordinary_progressive_photos_are_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    for options in ({"progressive": True}, {}):
        assert load_image(encoded("JPEG", (3000, 2000), **options)).shape == (2000, 3000, 3)


def test_dear_pictures_are_decoded_apart_with_equal_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("JPEG2000", (120, 90))
    here = load_image(data)
    monkeypatch.setattr(budget, "_DEAR_SECONDS", 0.0)
    apart = load_image(data)
    assert np.array_equal(here, apart) and apart.flags.writeable


def test_what_fails_apart_is_told_as_here(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("PNG", (120, 90))[:300]
    with pytest.raises(BadInput) as here:
        load_image(data, name="x.png")
    monkeypatch.setattr(budget, "_DEAR_SECONDS", 0.0)
    with pytest.raises(BadInput) as apart:
        load_image(data, name="x.png")
    assert str(here.value) == str(apart.value)


def test_a_decoder_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    pillow.new("L", (3000, 3000)).save(file, "JPEG", progressive=True)
    monkeypatch.setattr(budget, "_DEAR_SECONDS", 0.0)
    monkeypatch.setattr(budget, "MOST_SECONDS", 1e9)
    monkeypatch.setattr(budget, "_STOPPED_AFTER", 1)
    with pytest.raises(BadInput, match="decoder was stopped"):
        load_image(with_scans(file.getvalue(), 5000))


@pytest.mark.parametrize("kind, most", [("JPEG2000", 58e6), ("WEBP", 64e6)])
def test_memory_counts_by_format(kind: str, most: float) -> None:
    opened = pillow.open(io.BytesIO(encoded(kind, (64, 64))))
    for pixels, right in ((0.98 * most, True), (1.02 * most, False)):
        opened._size = (1000, int(pixels / 1000))
        cost = budget.decoding_cost(opened, b"")
        assert (cost.memory <= budget._MOST_MEMORY) == right


_PEAK = """
import resource, sys
from mien.core.errors import BadInput
from mien.face.decode.images import load_image
try:
    print(load_image(sys.argv[1]).shape)
except BadInput as error:
    print(error)
if sys.platform == "linux":
    print([int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")][0] // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("bits, colour", [(16, 0), (8, 6), (8, 2)], ids=["grey16", "rgba", "rgb"])
def test_a_hundred_megapixels_stay_in_memory(tmp_path: Path, bits: int, colour: int) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(9999, 9999, bits, colour))
    run = [sys.executable, "-c", _PEAK, str(path)]
    shape, peak = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shape == "(9999, 9999, 3)" and int(peak) < 1300


def test_limits_of_the_user_reach_the_decoder_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_DEAR_SECONDS", 0.0)
    data = encoded("PNG", (100, 100))
    assert load_image(data, ImageLimits(max_pixels=10_000)).shape == (100, 100, 3)
    with pytest.raises(BadInput, match="9,999 pixels"):
        load_image(data, ImageLimits(max_pixels=9_999))
