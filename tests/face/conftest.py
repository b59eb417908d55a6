"""What the tests of the face front-end share: one finder and the example portraits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.nouns import Image
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder


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
def cut_head(finder: FaceFinder) -> Callable[[Image, int], Image]:
    """`head_of` with the shared finder."""
    return partial(head_of, finder)


@pytest.fixture(scope="session")
def head(finder: FaceFinder, portrait: Image) -> Image:
    return head_of(finder, portrait, 120)


@pytest.fixture(scope="session")
def second_head(finder: FaceFinder, second_portrait: Image) -> Image:
    return head_of(finder, second_portrait, 120)
