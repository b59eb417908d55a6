"""Every kind of picture becomes the same upright RGB array."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.nouns import Image
from mien.face.decode.images import load_image, media_kind
from mien.face.decode.listing import list_media


def two_tone(width: int = 40, height: int = 20) -> Image:
    """Red on the left, blue on the right."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, : width // 2, 0] = 200
    image[:, width // 2 :, 2] = 200
    return image


def test_path_text_bytes_pillow_and_array_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pillow.fromarray(two_tone()).save(path)
    with pillow.open(path) as opened:
        sources = [path, str(path), path.read_bytes(), opened, two_tone()]
        for source in sources:
            assert np.array_equal(load_image(source), two_tone())


@pytest.mark.parametrize("orientation, turned", [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(orientation: int, turned: int) -> None:
    stored, exif = pillow.fromarray(two_tone()), pillow.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)
    assert np.array_equal(load_image(file.getvalue()), np.rot90(two_tone(), turned))


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.bmp", "a.tif", "a.gif", "a.ppm"])
def test_common_formats(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    pillow.fromarray(two_tone()).save(path)
    image = load_image(path)
    assert image.shape == (20, 40, 3) and image.dtype == np.uint8
    assert image[10, 5, 0] > 180 and image[10, 35, 2] > 180


def test_sixteen_bit_grey_is_scaled_and_twelve_bit_grey_too() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (16, 1))
    for values, top in ((ramp, 255), (ramp // 16, 255)):
        file = io.BytesIO()
        pillow.fromarray(values).save(file, "PNG")
        image = load_image(file.getvalue())
        assert image[0, 0].tolist() == [0, 0, 0] and image[0, -1].tolist() == [top] * 3
        assert np.abs(image[0, 32].astype(int) - 130).max() <= 1


def test_transparent_pixels_show_white() -> None:
    layer = np.zeros((16, 16, 4), dtype=np.uint8)
    layer[:, 8:, 3] = 255
    palette = pillow.fromarray(two_tone(16, 16)).quantize(4)
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=palette.getpixel((0, 0)))
    assert load_image(layer)[0, 0].tolist() == [255, 255, 255]
    assert load_image(layer)[0, 12].tolist() == [0, 0, 0]
    assert load_image(file.getvalue())[0, 0].tolist() == [255, 255, 255]
    assert load_image(file.getvalue())[0, 12, 2] > 180


def test_first_frame_of_an_animation() -> None:
    red, blue = (pillow.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    file = io.BytesIO()
    red.save(file, "GIF", save_all=True, append_images=[blue])
    assert load_image(file.getvalue())[8, 8].tolist() == [255, 0, 0]


def test_cmyk_and_grey_arrays_become_rgb() -> None:
    file = io.BytesIO()
    pillow.fromarray(two_tone()).convert("CMYK").save(file, "JPEG")
    assert load_image(file.getvalue())[10, 5, 0] > 150
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(load_image(grey)[:, :, 1], grey)
    assert np.array_equal(load_image(grey[:, :, None])[:, :, 2], grey)


def test_media_kind_by_suffix_and_content(tmp_path: Path) -> None:
    assert media_kind("x.JPG") == "image" and media_kind("x.mov") == "video"
    unnamed = tmp_path / "photo"
    pillow.fromarray(two_tone()).save(unnamed, "JPEG")
    assert media_kind(unnamed) == "image"
    (tmp_path / "clip").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(20))
    assert media_kind(tmp_path / "clip") == "video"
    (tmp_path / "notes.txt").write_text("hello")
    assert media_kind(tmp_path / "notes.txt") is None and media_kind(tmp_path / "absent") is None


def test_folders_are_expanded_in_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.png", "a/1.mp4", "a/.hidden.jpg", ".secret/x.jpg", "readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    named = tmp_path / "readme.md"
    found = list_media([tmp_path, named, tmp_path / "b" / "2.jpg", "absent.jpg"])
    relative = [path.removeprefix(f"{tmp_path}{os.sep}") for path in found]
    assert relative == ["a/1.mp4", "b/10.png", "b/2.jpg", "readme.md", "absent.jpg"]
