"""Pictures that other programs write rightly and that are read wrongly with ease: thermal, raw, AVIF with any brand."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.core.nouns import Image
from mien.face.decode.images import load_image, media_kind


def grey16(values: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    pillow.fromarray(values.astype(np.uint16)).save(file, kind)
    with pillow.open(file) as opened:
        assert opened.mode.startswith("I")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("low, high", [(29_000, 30_700), (7_000, 9_500), (40_000, 40_120)])
def test_thermal_pictures_are_stretched_to_the_range_used(
    portrait: Image, kind: str, low: int, high: int
) -> None:
    grey = np.asarray(pillow.fromarray(portrait).convert("L")).astype(float)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    shown = load_image(grey16(np.round(low + grey * (high - low)), kind))[..., 0]
    assert shown.min() == 0 and shown.max() == 255
    assert np.abs(shown - 255 * grey).mean() < 3.0


def test_dead_pixels_do_not_spoil_the_range(portrait: Image) -> None:
    grey = np.asarray(pillow.fromarray(portrait).convert("L")).astype(float)
    values = 29_000 + grey * 6
    values[3, 4], values[5, 6] = 0, 65_535
    assert load_image(grey16(values)).std() > 40


def test_a_full_range_keeps_its_scale() -> None:
    values = np.linspace(0, 65_535, 64 * 64).reshape(64, 64)
    assert np.abs(load_image(grey16(values))[..., 0] - values / 257).max() <= 0.51
    assert load_image(grey16(np.full((16, 16), 30_000))).max() == round(30_000 / 257)


def tiff(path: Path, tags: dict[int, object]) -> Path:
    pillow.new("RGB", (64, 48), "red").save(path, "TIFF", tiffinfo=tags)
    with pillow.open(path) as opened:
        assert all(tag in opened.tag_v2 for tag in tags)
    return path


def test_camera_raw_is_refused_by_name(tmp_path: Path) -> None:
    raw = [tiff(tmp_path / "a.dng", {50706: b"\1\4\0\0"}), tiff(tmp_path / "a.tif", {50706: b"\1\4\0\0"})]
    raw += [tiff(tmp_path / f"a.{suffix}", {}) for suffix in ("nef", "CR2", "arw")]
    (tmp_path / "a.cr3").write_bytes(b"\0\0\0\x18ftypcrx " + bytes(60))
    for path in [*raw, tmp_path / "a.cr3"]:
        assert media_kind(path) == "image"
        with pytest.raises(BadInput, match="raw picture"):
            load_image(path)
    assert load_image(tiff(tmp_path / "b.tif", {})).shape == (48, 64, 3)


def avif() -> bytearray:
    file = io.BytesIO()
    pillow.new("RGB", (64, 48), "red").save(file, "AVIF")
    data = bytearray(file.getvalue())
    assert data[4:12] == b"ftypavif"
    return data


@pytest.mark.parametrize("brand", [b"mif1", b"msf1", b"avif"])
def test_avif_by_any_brand(brand: bytes) -> None:
    data = avif()
    data[8:12] = brand
    assert b"avif" in data[16 : int.from_bytes(data[:4], "big")]
    assert load_image(bytes(data)).shape == (48, 64, 3)


def test_heic_by_the_general_brand_names_what_to_install() -> None:
    head = struct.pack(">I", 24) + b"ftypmif1" + bytes(4) + b"mif1heic"
    with pytest.raises(BadInput, match="pillow-heif"):
        load_image(head + bytes(40))


def test_damaged_avif_is_one_error() -> None:
    good, refused = avif(), 0
    for place in range(0, len(good), 3):
        data = bytearray(good)
        data[place] ^= 0x5A
        try:
            load_image(bytes(data))
        except BadInput as error:
            refused += 1
            assert str(error).startswith("Got ")
    assert refused > 20


def test_avif_that_cannot_be_converted_is_one_error() -> None:
    """Matrix coefficients 10 (BT.2020 with constant luminance) are valid and no libavif converts them."""
    data = avif()
    place = data.index(b"nclx") + 4
    assert struct.unpack_from(">HHH", data, place)[2] in (1, 5, 6)
    struct.pack_into(">H", data, place + 4, 10)
    with pytest.raises(BadInput, match="converted"):
        load_image(bytes(data))


def test_pictures_larger_than_their_directory_says() -> None:
    """An icon's directory names 16 px, and the picture inside has 9,000."""
    large = io.BytesIO()
    pillow.new("1", (11_000, 11_000)).save(large, "PNG")
    head = struct.pack("<HHH", 0, 1, 1) + struct.pack(
        "<BBBBHHII", 16, 16, 0, 0, 1, 32, len(large.getvalue()), 22
    )
    with pytest.raises(BadInput):
        load_image(head + large.getvalue())
