"""Pictures from files, bytes, arrays and Pillow images: upright RGB, bounded, with errors that tell the fix.

Also finds the pictures and videos in a list of paths and folders.
"""

from __future__ import annotations

import glob
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from mien.core.errors import BadInput, MienError, reason_of, require
from mien.core.nouns import Image
from mien.core.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from mien.face.decode.budget import check_cost, decode_apart, decoding_cost, is_dear

__all__ = [
    "FAULTS",
    "LIMITS",
    "MIN_SIDE",
    "ImageLimits",
    "ImageSource",
    "decode_here",
    "decoding",
    "is_address",
    "kind_of_bytes",
    "load_image",
    "media_kind",
    "opened_picture",
    "to_rgb",
]

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
    max_frame_pixels: int = 36_000_000
    """Width times height of a frame of a video, of which a decoder holds a dozen: 8K fits."""


FAULTS = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
"""What decoders raise on broken files: nearly anything."""

LIMITS = ImageLimits()
"""The default limits: 100 megapixels, 200 MB."""

# EPS, PDF and the like stay out: opening them starts other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_RAW_SUFFIXES = frozenset(
    ".dng .cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .orf .rw2 .raf .pef .srw .3fr .iiq .rwl .dcr .kdc .erf .mrw "
    ".x3f".split()
)
_AUDIO_SUFFIXES = frozenset(
    ".m4a .m4b .mka .weba .mp3 .ogg .oga .opus .flac .wav .aac .aiff .wma .ac3 .amr".split()
)
_DNG_VERSION, _ORIENTATION = 50706, 274
_DEEP, _MAX_12_BIT = 65536, 4095
_DEAD = 0.001
"""Share of a thermal picture's pixels at either end of its range that may be dead or glaring."""
_STRIP_PIXELS = 4_000_000


def load_image(source: ImageSource, limits: ImageLimits = LIMITS, name: str | None = None) -> Image:
    """Read one picture as upright RGB.

    EXIF orientation is applied; 16-bit grey is scaled to 8 bit (values that fit in 12 bit as 12 bit; where less
    than half of the range is used, as by thermal cameras, the part that is); transparent pixels show white; of an
    animation the first frame counts (`mien.face.decode.video.read_frames` gives all); CMYK and palettes become RGB.
    A picture that may take seconds is decoded in a process of its own, which is stopped after 20 s.

    Args:
        source: path, encoded bytes, Pillow image, or uint8 array (H, W), (H, W, 1), (H, W, 3) RGB or
            (H, W, 4) RGBA.
        limits: size limits, checked before decoding.
        name: what errors call bytes in memory.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.

    Raises:
        BadInput: no such file, not a picture, truncated, too small (a side below 8 px), beyond the limits or too
            dear to decode, a camera's raw file, or an array of another type or shape.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    if isinstance(source, pillow.Image):
        return to_rgb(source, "the Pillow image", limits)
    if isinstance(source, bytes):
        return _decode(source, name or f"{len(source)} bytes in memory", limits)
    path = _checked_path(source, limits)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(
            got=f"{path}, which cannot be read ({error.strerror})",
            expected="a readable picture file",
            fix="Check the file's permissions and the disk",
        ) from error
    return _decode(data, str(path), limits)


def is_address(text: str) -> bool:
    """Whether a text is the address of something and no path: ``https://…``, ``data:image/png;base64,…``."""
    return "://" in text or text.startswith("data:")


def _checked_path(source: str | Path, limits: ImageLimits) -> Path:
    if is_address(str(source)):
        raise BadInput(
            got=f"the address {str(source)[:200]}",
            expected="a file on this machine (mien does not read the network)",
            fix="Download the file first and pass its path",
        )
    if not isinstance(source, str | os.PathLike):
        raise BadInput(
            got=f"a picture of type {type(source).__name__}",
            expected="a path, bytes, an array (H, W, 3) uint8 RGB or a Pillow image",
            fix="Convert it to one of these",
        )
    path = Path(source)
    if not os.path.isfile(path):
        state = "which is no regular file" if os.path.exists(path) else "which does not exist"
        if glob.has_magic(str(path)):
            state = "a pattern that matches no file"
        raise BadInput(got=f"{path}, {state}", expected="a picture file", fix="Check the path")
    size = path.stat().st_size
    if size > limits.max_bytes:
        raise BadInput(
            got=f"{path} with {size:,} bytes",
            expected=f"a picture of at most {limits.max_bytes:,} bytes",
            fix="Shrink the picture or pass larger ImageLimits",
        )
    return path


def _decode(data: bytes, name: str, limits: ImageLimits) -> Image:
    with _opened_bytes(data, name, limits) as opened:
        cost = decoding_cost(opened, data)
        check_cost(cost, name)
        return decode_apart(data, name, limits) if is_dear(cost) else to_rgb(opened, name, limits)


def decode_here(data: bytes, name: str, limits: ImageLimits) -> Image:
    """Decode encoded bytes in this process, whatever it takes; otherwise as `load_image`."""
    with _opened_bytes(data, name, limits) as opened:
        return to_rgb(opened, name, limits)


def _opened_bytes(data: bytes, name: str, limits: ImageLimits) -> pillow.Image:
    if not data:
        raise BadInput(
            got=f"{name}, which is empty (0 bytes)", expected="a picture", fix="Copy the file again"
        )
    opened = _opened(io.BytesIO(data), data[:64], name, limits)
    check_size(*opened.size, name, limits)
    return opened


@contextmanager
def opened_picture(path: str | Path, limits: ImageLimits = LIMITS) -> Iterator[pillow.Image]:
    """A picture file opened by Pillow, its pixels not yet decoded."""
    path = _checked_path(path, limits)
    with path.open("rb") as file:
        head = file.read(64)
        file.seek(0)
        with _opened(file, head, str(path), limits) as opened:
            yield opened


def _opened(file: IO[bytes], head: bytes, name: str, limits: ImageLimits) -> pillow.Image:
    if Path(name).suffix.lower() in _RAW_SUFFIXES:
        raise _raw(name)
    formats = [*_FORMATS, *_heif_format(head, name)]
    try:
        with warnings.catch_warnings():
            # The check of the size is stricter and speaks plainly; of a damaged tag the pixels may still be whole.
            warnings.simplefilter("ignore")
            opened = pillow.open(file, formats=formats)
    except pillow.DecompressionBombError as error:
        raise _too_many_pixels(name, "far more pixels than that", limits) from error
    except FAULTS as error:
        raise BadInput(
            got=f"{name}, which starts with {head[:12]!r} and is no picture that can be read",
            expected="a JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF picture",
            fix="Check that the file is what its name says, or convert it to JPEG or PNG",
        ) from error
    if opened.format == "TIFF" and _DNG_VERSION in opened.tag_v2:  # type: ignore[attr-defined]
        opened.close()
        raise _raw(name)
    return opened


def _raw(name: str) -> BadInput:
    return BadInput(
        got=f"{name}, a camera raw picture (DNG, CR2, NEF …), whose readable part is a preview only",
        expected="a developed picture",
        fix="Develop it to JPEG, PNG or 8-bit TIFF with the camera's or another raw program first",
    )


def _heif_format(head: bytes, name: str) -> list[str]:
    brands = [head[at : at + 4] for at in range(8, min(len(head), int.from_bytes(head[:4], "big")), 4)]
    # The general brand mif1 stands before AVIF as well as before HEIC pictures; the list behind it tells.
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS or b"avif" in brands or b"avis" in brands:
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


def check_size(width: int, height: int, name: str, limits: ImageLimits) -> None:
    """Refuse a picture that is too large or too small, before its pixels are decoded."""
    if width * height > limits.max_pixels:
        raise _too_many_pixels(name, f"{width} x {height} pixels", limits)
    if min(width, height) < MIN_SIDE:
        raise BadInput(
            got=f"{name} of {width} x {height} px, smaller than {MIN_SIDE} px",
            expected=f"a picture of at least {MIN_SIDE} x {MIN_SIDE} px (48 px or more for a face)",
            fix="Use the original picture rather than an icon or placeholder",
        )


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """What a decoder raises, whatever it is, as an error of this one picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MienError:
        raise
    except FAULTS as error:
        reason = reason_of(error)
        raise BadInput(
            got=f"{name}, which breaks off, is damaged or cannot be converted ({reason})",
            expected="a complete picture",
            fix="Copy or download the file again, or convert it to JPEG or PNG",
        ) from error


def to_rgb(opened: pillow.Image, name: str, limits: ImageLimits) -> Image:
    """Decode the current frame of a Pillow image: (H, W, 3) uint8, upright.

    Pixels are converted in strips, so that no second copy of a large picture is held.
    """
    check_size(*opened.size, name, limits)
    with decoding(name):
        opened.load()
        check_size(*opened.size, name, limits)  # an icon's picture may be larger than its directory says
        turn = opened.getexif().get(_ORIENTATION, 1)
        if opened.mode in ("I", "F") or opened.mode.startswith("I;16"):
            pixels = _from_deep_grey(opened, name)
        else:
            pixels = _converted(opened)
        return _turned_by_exif(pixels, turn)


def _strips(opened: pillow.Image) -> Iterator[tuple[int, pillow.Image]]:
    """The picture in strips from above: the row at which each begins, and its part."""
    rows = max(1, _STRIP_PIXELS // opened.width)
    if rows >= opened.height:
        yield 0, opened
        return
    for top in range(0, opened.height, rows):
        yield top, opened.crop((0, top, opened.width, min(top + rows, opened.height)))


def _converted(opened: pillow.Image) -> Image:
    pixels = np.empty((opened.height, opened.width, 3), dtype=np.uint8)
    transparent = opened.has_transparency_data
    for top, strip in _strips(opened):
        if transparent:
            layer = strip.convert("RGBA")
            strip = pillow.alpha_composite(pillow.new("RGBA", layer.size, "white"), layer)
        pixels[top : top + strip.height] = np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))
    return pixels


def _turned_by_exif(pixels: Image, orientation: object) -> Image:
    """EXIF's orientations 1 to 8; anything else leaves the picture as it is."""
    if not isinstance(orientation, int) or not 2 <= orientation <= 8:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    across = -1 if orientation in (2, 3, 6, 7) else 1
    down = -1 if orientation in (3, 4, 7, 8) else 1
    return np.ascontiguousarray(pixels[::down, ::across])


def _from_deep_grey(opened: pillow.Image, name: str) -> Image:
    """Grey of 16 bits as 8: over the whole range, or over the range used where that is a small part of it."""
    counts = np.zeros(_DEEP, dtype=np.int64)
    for _, strip in _strips(opened):
        values = np.asarray(strip)
        if values.dtype.kind == "f" or values.min() < 0 or values.max() >= _DEEP:
            raise BadInput(
                got=f"{name} with {values.dtype} pixels",
                expected="8 or 16 bits per channel",
                fix="Convert the picture to 8-bit PNG or JPEG",
            )
        counts += np.bincount(values.ravel(), minlength=_DEEP)
    low, high = _range_used(counts)
    steps = np.clip((np.arange(_DEEP, dtype=np.float64) - low) * (255.0 / (high - low)), 0.0, 255.0)
    table = np.round(steps).astype(np.uint8)
    pixels = np.empty((opened.height, opened.width, 3), dtype=np.uint8)
    for top, strip in _strips(opened):
        pixels[top : top + strip.height] = table[np.asarray(strip)][:, :, None]
    return pixels


def _range_used(counts: npt.NDArray[np.int64]) -> tuple[int, int]:
    """What becomes black and white. Thermal cameras use a few hundred of 65,536 values, but for a dead pixel or two."""
    top = int(np.flatnonzero(counts)[-1])
    ceiling = 255 if top <= 255 else _MAX_12_BIT if top <= _MAX_12_BIT else _DEEP - 1
    share = np.cumsum(counts) / counts.sum()
    low, high = (int(np.searchsorted(share, edge)) for edge in (_DEAD, 1.0 - _DEAD))
    return (low, high) if low < high and 2 * (high - low) < ceiling and ceiling > 255 else (0, ceiling)


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
    check_size(array.shape[1], array.shape[0], name, limits)
    pixels = array.reshape(*array.shape[:2], channels).astype(np.uint8, copy=False)
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 4:
        return to_rgb(pillow.fromarray(pixels, "RGBA"), name, limits)
    return np.ascontiguousarray(pixels)


def suffix_of(path: str | Path) -> str:
    """The suffix in lower case, with its dot."""
    return os.path.splitext(path)[1].lower()


def media_kind(path: str | Path) -> Literal["image", "video"] | None:
    """Tell a picture from a video, by the name's suffix, else by the first bytes; None for anything else.

    Only regular files are opened: a named pipe would wait for ever.
    """
    suffix = suffix_of(path)
    if suffix in PICTURE_SUFFIXES or suffix in _RAW_SUFFIXES:
        return "image"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    try:
        if suffix in _AUDIO_SUFFIXES or not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, "rb") as file:
            head = file.read(16)
    except (OSError, ValueError):
        return None
    return kind_of_bytes(head)


def kind_of_bytes(head: bytes) -> Literal["image", "video"] | None:
    """Tell a picture from a video by the first 16 bytes; None for anything else."""
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\x00", b"MM\x00*")):
        return "image"
    if head[:4] == b"RIFF":
        return "image" if head[8:12] == b"WEBP" else "video" if head[8:12] == b"AVI " else None
    if head[4:8] == b"ftyp" and head[8:11] not in (b"M4A", b"M4B", b"M4P"):
        return "image" if head[8:12] in (*_HEIF_BRANDS, b"avif", b"avis") else "video"
    return (
        "video"
        if head.startswith((b"\x1aE\xdf\xa3", b"FLV\x01", b"0&\xb2u\x8ef\xcf\x11", b"\0\0\x01\xba"))
        else None
    )
