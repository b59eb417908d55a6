"""Bad pictures: one clear error each, before any harm is done."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.face.decode.images import ImageLimits, load_image


def refusal(source: object, limits: ImageLimits | None = None) -> str:
    """The message with which a source is refused, checked for its three sentences."""
    with pytest.raises(BadInput) as caught:
        load_image(source, limits or ImageLimits())  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("Got ") and ". Expected " in message and message.endswith(".")
    assert all(len(part) > 5 for part in (caught.value.got, caught.value.expected, caught.value.fix))
    return message


def png(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(999)))
        + chunk(b"IEND", b"")
    )


def test_text_renamed_jpg(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_text("hello, this is no picture")
    assert "photo.jpg" in refusal(path) and "hello" in refusal(path)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    assert "0 bytes" in refusal(path)
    assert "0 bytes" in refusal(b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_truncated_files(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    file = io.BytesIO()
    pillow.fromarray(noise).save(file, kind)
    data = file.getvalue()
    refusal(data[: int(share * len(data))])


def test_damaged_bytes_never_raise_anything_else() -> None:
    file = io.BytesIO()
    pillow.fromarray(np.zeros((64, 64, 3), dtype=np.uint8)).save(file, "PNG")
    good, rng = file.getvalue(), np.random.default_rng(1)
    refused = 0
    for _ in range(200):
        bad = bytearray(good)
        for place in rng.integers(8, len(bad), 4):
            bad[place] = rng.integers(0, 256)
        try:
            assert load_image(bytes(bad)).ndim == 3
        except BadInput:
            refused += 1
    assert refused > 100


def test_tiny_picture() -> None:
    assert "1 x 1 px, smaller than 8 px" in refusal(np.zeros((1, 1, 3), dtype=np.uint8))
    file = io.BytesIO()
    pillow.new("RGB", (1, 1)).save(file, "PNG")
    assert "smaller than 8 px" in refusal(file.getvalue())


@pytest.mark.parametrize("side", [10_001, 12_000, 20_000, 2_000_000])
def test_bombs_are_refused_before_decoding(side: int) -> None:
    tracemalloc.start()
    message = refusal(png(side, side))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "100,000,000 pixels" in message
    assert peak < 3_000_000


def test_byte_limit(tmp_path: Path) -> None:
    path = tmp_path / "big.jpg"
    path.write_bytes(bytes(2000))
    assert "2,000 bytes" in refusal(path, ImageLimits(max_bytes=1999))


def test_absent_folder_and_address(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.jpg")
    assert "no regular file" in refusal(tmp_path)
    assert "address" in refusal("https://example.org/face.jpg")


def test_documents_that_start_other_programs_are_refused() -> None:
    refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n")


def test_heic_names_what_to_install() -> None:
    assert "pillow-heif" in refusal(b"\x00\x00\x00\x18ftypheic" + bytes(40))


@pytest.mark.parametrize(
    "array",
    [
        np.full((64, 64, 3), 0.5),
        np.full((64, 64, 3), np.nan, dtype=np.float32),
        np.zeros((64, 64, 3), dtype=np.int64),
        np.zeros((64, 64, 2), dtype=np.uint8),
        np.zeros((3, 64, 64), dtype=np.uint8),
        np.zeros((2, 64, 64, 3), dtype=np.uint8),
        np.zeros(64, dtype=np.uint8),
        np.zeros((64, 0, 3), dtype=np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_another_kind(array: np.ndarray) -> None:
    message = refusal(array)
    assert array.dtype.kind != "f" or "255 * array" in message


def test_float_picture_files() -> None:
    file = io.BytesIO()
    pillow.fromarray(np.zeros((32, 32), dtype=np.float32)).save(file, "TIFF")
    assert "8 or 16 bits" in refusal(file.getvalue())
