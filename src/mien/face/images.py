"""Pictures from files, bytes, arrays and Pillow images: upright RGB, bounded, with errors that tell the fix.

Also finds the pictures and videos in a list of paths and folders.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow
from PIL import ImageOps

from mien.core.errors import BadInput, require
from mien.core.nouns import Image

__all__ = ["LIMITS", "MIN_SIDE", "ImageLimits", "ImageSource", "list_media", "load_image", "media_kind"]

ImageSource = str | Path | bytes | npt.NDArray[np.generic] | pillow.Image
"""What `load_image` accepts."""

MIN_SIDE = 8
"""Pictures with a side below this many px cannot hold a face."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one picture may cost; checked before its pixels are decoded."""

    max_pixels: int = 100_000_000
    """Width times height."""
    max_bytes: int = 200_000_000
    """Size of the file."""


LIMITS = ImageLimits()
"""The default limits: 100 megapixels, 200 MB."""

# EPS, PDF and the like stay out: opening them starts other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .webp .gif .bmp .tif .tiff .ppm .pgm .avif .heic .heif .jp2 .tga .ico .mpo".split()
)
_VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .flv .3gp .mts .m2ts .ts .ogv .mxf .vob".split()
)
_DECODE_ERRORS = (OSError, SyntaxError, EOFError, ValueError, IndexError, struct.error, zlib.error)
_MAX_12_BIT = 4095


def load_image(source: ImageSource, limits: ImageLimits = LIMITS, name: str | None = None) -> Image:
    """Read one picture as upright RGB.

    EXIF orientation is applied; 16-bit grey is scaled to 8 bit (values that fit in 12 bit as 12 bit);
    transparent pixels show white; of an animation the first frame counts; CMYK and palettes become RGB.

    Args:
        source: path, encoded bytes, Pillow image, or uint8 array (H, W), (H, W, 1), (H, W, 3) RGB or
            (H, W, 4) RGBA.
        limits: size limits, checked before decoding.
        name: what errors call bytes in memory.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.

    Raises:
        BadInput: no such file, not a picture, truncated, too small (a side below 8 px), beyond the limits,
            or an array of another type or shape.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    if isinstance(source, pillow.Image):
        return _to_rgb(source, "the Pillow image", limits)
    if isinstance(source, bytes):
        return _decode(source, name or f"{len(source)} bytes in memory", limits)
    path = _checked_path(source)
    size = path.stat().st_size
    if size > limits.max_bytes:
        raise BadInput(
            got=f"{path} with {size:,} bytes",
            expected=f"a picture of at most {limits.max_bytes:,} bytes",
            fix="Shrink the picture or pass larger ImageLimits",
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(
            got=f"{path}, which cannot be read ({error.strerror})",
            expected="a readable picture file",
            fix="Check the file's permissions and the disk",
        ) from error
    return _decode(data, str(path), limits)


def _checked_path(source: str | Path) -> Path:
    if "://" in str(source):
        raise BadInput(
            got=f"the address {source}",
            expected="a file on this machine (mien does not read the network)",
            fix="Download the file first and pass its path",
        )
    path = Path(source)
    if not path.is_file():
        state = "which is no regular file" if path.exists() else "which does not exist"
        raise BadInput(got=f"{path}, {state}", expected="a picture file", fix="Check the path")
    return path


def _decode(data: bytes, name: str, limits: ImageLimits) -> Image:
    if not data:
        raise BadInput(
            got=f"{name}, which is empty (0 bytes)", expected="a picture", fix="Copy the file again"
        )
    formats = [*_FORMATS, *_heif_format(data, name)]
    try:
        with warnings.catch_warnings():
            # The check below is stricter and speaks plainly.
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            opened = pillow.open(io.BytesIO(data), formats=formats)
    except pillow.DecompressionBombError as error:
        raise _too_many_pixels(name, "far more pixels than that", limits) from error
    except _DECODE_ERRORS as error:
        raise BadInput(
            got=f"{name}, which starts with {data[:12]!r} and is no picture that can be read",
            expected="a JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF picture",
            fix="Check that the file is what its name says, or convert it to JPEG or PNG",
        ) from error
    with opened:
        return _to_rgb(opened, name, limits)


def _heif_format(data: bytes, name: str) -> list[str]:
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIF_BRANDS:
        return []
    if find_spec("pillow_heif") is None:
        raise BadInput(
            got=f"{name}, a HEIC picture, and no installed package 'pillow-heif'",
            expected="pillow-heif for HEIC pictures",
            fix="Run: pip install pillow-heif, or convert the picture to JPEG",
        )
    require("pillow_heif", extra="heif", purpose="HEIC pictures").register_heif_opener()
    return ["HEIF"]


def _too_many_pixels(name: str, size: str, limits: ImageLimits) -> BadInput:
    return BadInput(
        got=f"{name} with {size}",
        expected=f"at most {limits.max_pixels:,} pixels (a guard against decompression bombs)",
        fix="Shrink the picture or pass larger ImageLimits",
    )


def _check_size(width: int, height: int, name: str, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise _too_many_pixels(name, f"{width} x {height} pixels", limits)
    if min(width, height) < MIN_SIDE:
        raise BadInput(
            got=f"{name} of {width} x {height} px, smaller than {MIN_SIDE} px",
            expected=f"a picture of at least {MIN_SIDE} x {MIN_SIDE} px (48 px or more for a face)",
            fix="Use the original picture rather than an icon or placeholder",
        )


def _to_rgb(opened: pillow.Image, name: str, limits: ImageLimits) -> Image:
    _check_size(*opened.size, name, limits)
    try:
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
            return _from_deep_grey(np.asarray(upright), name)
        if upright.has_transparency_data:
            layer = upright.convert("RGBA")
            white = pillow.new("RGBA", layer.size, "white")
            upright = pillow.alpha_composite(white, layer)
        return np.array(upright.convert("RGB"))
    except _DECODE_ERRORS as error:
        raise BadInput(
            got=f"{name}, which breaks off or is damaged ({error})",
            expected="a complete picture",
            fix="Copy or download the file again",
        ) from error


def _from_deep_grey(values: npt.NDArray[np.generic], name: str) -> Image:
    deep = values.astype(np.float64)
    top = float(deep.max())
    if values.dtype.kind == "f" or deep.min() < 0 or top > np.iinfo(np.uint16).max:
        raise BadInput(
            got=f"{name} with {values.dtype} pixels",
            expected="8 or 16 bits per channel",
            fix="Convert the picture to 8-bit PNG or JPEG",
        )
    ceiling = 255 if top <= 255 else _MAX_12_BIT if top <= _MAX_12_BIT else 65535
    grey = np.round(deep * (255.0 / ceiling)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _from_array(array: npt.NDArray[np.generic], limits: ImageLimits) -> Image:
    name = f"an array of shape {array.shape} and type {array.dtype}"
    channels = 1 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else 0
    if array.dtype != np.uint8 or channels not in (1, 3, 4):
        fix = "Pass uint8 RGB values"
        if array.dtype.kind == "f":
            fix = "Turn values 0..1 into uint8 first: (255 * array).round().astype('uint8')"
        raise BadInput(
            got=name,
            expected="uint8 pixels of shape (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, values 0..255",
            fix=fix,
        )
    _check_size(array.shape[1], array.shape[0], name, limits)
    pixels = array.reshape(*array.shape[:2], channels).astype(np.uint8, copy=False)
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 4:
        return _to_rgb(pillow.fromarray(pixels, "RGBA"), name, limits)
    return np.ascontiguousarray(pixels)


def media_kind(path: str | Path) -> Literal["image", "video"] | None:
    """Tell a picture from a video, by the name's suffix, else by the first bytes; None for anything else."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _IMAGE_SUFFIXES:
        return "image"
    if suffix in _VIDEO_SUFFIXES:
        return "video"
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return None
    return _kind_of_bytes(head)


def _kind_of_bytes(head: bytes) -> Literal["image", "video"] | None:
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\x00", b"MM\x00*")):
        return "image"
    if head[:4] == b"RIFF":
        return "image" if head[8:12] == b"WEBP" else "video" if head[8:12] == b"AVI " else None
    if head[4:8] == b"ftyp":
        return "image" if head[8:12] in (*_HEIF_BRANDS, b"avif", b"avis") else "video"
    return "video" if head.startswith(b"\x1aE\xdf\xa3") else None


def list_media(paths: Iterable[str | Path]) -> list[Path]:
    """Expand folders to the pictures and videos in them.

    Files that are named outright are kept whatever they are, so that their error is reported; folders are
    walked through in sorted order, without hidden files and folders and without following links to folders.

    Returns:
        Paths in the order given, each once.
    """
    found: dict[Path, None] = {}
    for given in paths:
        path = Path(given)
        for item in _walk(path) if path.is_dir() else (path,):
            found.setdefault(item)
    return list(found)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and media_kind(path) is not None:
                yield path
