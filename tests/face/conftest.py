"""What the tests of the face front-end share: one finder, the example portraits, and clips encoded on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.nouns import Image
from mien.face.finder import FaceFinder
from mien.face.images import load_image

Encoder = Callable[..., Path]


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    return FaceFinder(threads=1)


@pytest.fixture(scope="session")
def portrait(examples: Path) -> Image:
    return load_image(examples / "eileen_collins.jpg")


@pytest.fixture(scope="session")
def second_portrait(examples: Path) -> Image:
    return load_image(examples / "grace_hopper.jpg")


def head_of(finder: FaceFinder, image: Image, side: int) -> Image:
    """A square of ``side`` px with the largest face of a picture and room around it."""
    left, top, right, bottom = finder.find(image)[0].box
    x, y, reach = (left + right) / 2, (top + bottom) / 2, 0.8 * max(right - left, bottom - top)
    corners = (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
    return np.asarray(pillow.fromarray(image).crop(corners).resize((side, side), pillow.Resampling.LANCZOS))


@pytest.fixture(scope="session")
def head(finder: FaceFinder, portrait: Image) -> Image:
    return head_of(finder, portrait, 120)


@pytest.fixture(scope="session")
def second_head(finder: FaceFinder, second_portrait: Image) -> Image:
    return head_of(finder, second_portrait, 120)


def encode(
    path: Path,
    images: Sequence[Image],
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
def encoder() -> Encoder:
    return encode
