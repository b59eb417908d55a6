"""What decoding a picture will cost, told from its head; dear ones are decoded in a process that can be stopped.

Figures were measured with Pillow 13 on two cores (AMD EPYC) on noisy pictures of 20 megapixels.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.core.errors import BadInput
from mien.core.nouns import Image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from mien.face.decode.images import ImageLimits

__all__ = ["MOST_SECONDS", "NAMELESS", "Cost", "check_cost", "decode_apart", "decoding_cost", "is_dear"]

NAMELESS = "※picture※"
"""Stands in the errors of the other process where the picture's name belongs."""
_MOST_MEMORY = 1_150_000_000
"""Bytes; with the nets and libraries a run stays below 1.5 GB."""
MOST_SECONDS = 20.0
"""Of a processor, to decode one file of pictures."""
_DEAR_SECONDS = 3.0
"""Estimates above this are decoded apart; no ordinary photo reaches it."""
_STOPPED_AFTER = 15
"""Seconds of the processor after which a decoder apart is stopped; estimates are a factor of three off at times."""
_WAITED = 60.0 if sys.platform == "win32" else 900.0
"""Seconds on the clock. Where the processor's are counted, a busy machine refuses nothing that an idle one reads."""

_BYTES = {"JPEG2000": 20, "WEBP": 18, "AVIF": 16, "HEIF": 16}
"""Held per pixel at the most, with Pillow's image and the array that is made from it; others 9."""
_RATE = {
    "JPEG": 45e6,
    "MPO": 45e6,
    "JPEG2000": 6e6,
    "AVIF": 13e6,
    "HEIF": 10e6,
    "WEBP": 15e6,
    "BMP": 50e6,
    "GIF": 40e6,
}
"""Pixels per second; others 20 million."""
_PYTHON_RATE = {"ppm_plain": 1e6, "bmp_rle": 10e6}
"""Codecs that Pillow runs in Python."""
_SCAN = 3e-9
"""Seconds per pixel for each scan of a progressive JPEG."""
_SCAN_MARK = b"\xff\xda"


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate."""

    seconds: float
    memory: int
    """Bytes."""
    why: str
    """What makes it so, in words."""


def decoding_cost(opened: PillowImage, data: bytes) -> Cost:
    """What it will take to decode a picture of which Pillow has read the head."""
    kind = opened.format or ""
    pixels = opened.width * opened.height
    tiles = getattr(opened, "tile", None)
    codec = str(tiles[0][0]) if tiles else ""
    seconds = pixels / _PYTHON_RATE.get(codec, _RATE.get(kind, 20e6))
    memory, why = _BYTES.get(kind, 9), f"{opened.width} x {opened.height} pixels of {kind}"
    if kind in ("JPEG", "MPO") and (scans := data.count(_SCAN_MARK)) > 1:
        seconds += pixels * scans * _SCAN
        memory, why = 13, f"{why} in {scans:,} scans"
    return Cost(seconds, memory * pixels, why)


def is_dear(cost: Cost) -> bool:
    """Whether a picture shall be decoded apart."""
    return cost.seconds > _DEAR_SECONDS


def check_cost(cost: Cost, name: str) -> None:
    """Refuse what would take more than an item may.

    Raises:
        BadInput: more than about 20 s of the processor or 1.5 GB of memory.
    """
    if cost.seconds > MOST_SECONDS or cost.memory > _MOST_MEMORY:
        raise _too_dear(
            name, f"{cost.why}, some {cost.seconds:.0f} s and {cost.memory / 1e9:.1f} GB to decode"
        )


def decode_apart(data: bytes, name: str, limits: ImageLimits) -> Image:
    """Decode an encoded picture in a process of its own.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        BadInput: as `mien.face.decode.images.load_image`; or it took too long.
    """
    numbers = [str(value) for value in asdict(limits).values()]
    command = [sys.executable, "-m", "mien.face.decode.decoder", str(_STOPPED_AFTER), *numbers]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_WAITED, check=False)
    except (subprocess.TimeoutExpired, MemoryError) as error:
        raise _too_dear(name, "a picture that did not come to an end") from error
    place = done.stdout.find(b"\n", 0, 80) + 1  # no copy of what may be 300 MB
    head = done.stdout[:place]
    if done.returncode == 0 and head.startswith(b"pixels"):
        height, width = (int(part) for part in head.split()[1:])
        return np.frombuffer(done.stdout, np.uint8, offset=place).reshape(height, width, 3).copy()
    if head.startswith(b"refused"):
        got, expected, fix = (part.decode() for part in done.stdout[place:].split(b"\0"))
        raise BadInput(got=got.replace(NAMELESS, name), expected=expected, fix=fix)
    raise _too_dear(name, f"a picture whose decoder was stopped ({done.returncode})")


def _too_dear(name: str, what: str) -> BadInput:
    return BadInput(
        got=f"{name}, {what}",
        expected=f"a picture that takes at most {MOST_SECONDS:.0f} s of a processor and 1.5 GB of memory",
        fix="Save it again as an ordinary JPEG or PNG, or shrink it",
    )
