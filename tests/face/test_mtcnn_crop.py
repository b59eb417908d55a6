"""The crop of the facial expert against PIL's own cropping, its window, and landmarks put back into the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.face.mtcnn_crop import expert_crop, expert_window, largest_box

PICTURE = (np.indices((60, 80)).sum(0)[..., None] * np.array([1, 2, 3]) % 256).astype(np.uint8)


def test_half_as_large_again() -> None:
    """A 20 x 30 box grows by 5 and 7.5 px on each side; coordinates are cut, not rounded."""
    assert expert_window((30, 20, 50, 50), 80, 60) == (25, 12, 55, 57)
    assert expert_window((30, 20, 50, 50, 0.99), 80, 60, margin=0.0) == (30, 20, 50, 50)


def test_held_at_the_edges() -> None:
    assert expert_window((-8, -2, 30, 40), 80, 60) == (0, 0, 39, 50)
    assert expert_window((60, 30, 100, 70), 80, 60) == (50, 20, 80, 60)


@settings(deadline=None, max_examples=50)
@given(
    st.tuples(*[st.floats(-20, 90)] * 2, *[st.floats(4, 70)] * 2).filter(
        lambda b: -b[2] < b[0] < 79 and -b[3] < b[1] < 59
    )
)
def test_cuts_what_pil_cuts(box: tuple[float, float, float, float]) -> None:
    """The released code crops a PIL image with the adjusted box in whole px."""
    left, top, width, height = box
    x0, y0 = max(0, left - width / 4), max(0, top - height / 4)
    x1, y1 = min(80, left + 1.25 * width), min(60, top + 1.25 * height)
    if int(x1) <= int(x0) or int(y1) <= int(y0):
        return
    expected = pillow.fromarray(PICTURE).crop((int(x0), int(y0), int(x1), int(y1)))
    crop, window = expert_crop(PICTURE, (left, top, left + width, top + height))
    assert (window[2] - window[0], window[3] - window[1]) == expected.size
    np.testing.assert_array_equal(crop, np.asarray(expected))


def test_the_largest_face_counts() -> None:
    boxes = [(0, 0, 10, 10, 0.99), (20, 20, 50, 45, 0.8), (0, 0, 25, 30, 0.9)]
    assert largest_box(boxes) == 1
    assert largest_box([(0, 0, 2, 2), (1, 1, 3, 3)]) == 0


def test_speaks_about_bad_boxes() -> None:
    for boxes in ([], [[1, 2, 3]], [[0, 0, float("nan"), 4]]):
        with pytest.raises(BadInput, match="at least one face"):
            largest_box(boxes)
    for box in ((30, 20, 20, 50), (100, 10, 130, 50), (-90, 0, -50, 40)):
        with pytest.raises(BadInput, match="at least partly in the picture"):
            expert_crop(PICTURE, box)
