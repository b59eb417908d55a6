"""The published augmentation: each change alone, against its definition, and the list as the code has it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from mien.core.errors import BadConfig
from mien.train.data.picture_changes import (
    CHANGES,
    Affine,
    Blur,
    Erase,
    Flip,
    Grey,
    Jitter,
    OneOf,
    PaddedCrop,
    ResizedCrop,
    Rotate,
    Sometimes,
    change_crops,
)
from mien.train.recipe_files import load_recipe


@pytest.fixture
def picture() -> Pictures.Image:
    torch.manual_seed(0)
    rows = np.linspace(0, 255, 56)
    pixels = np.stack(
        [np.add.outer(rows, rows) / 2, np.add.outer(rows, -rows) % 256, rows[:, None] + 0 * rows], axis=2
    )
    return Pictures.fromarray(pixels.astype(np.uint8))


def same(left: Pictures.Image, right: Pictures.Image) -> bool:
    return np.array_equal(np.asarray(left), np.asarray(right))


def test_no_amount_is_no_change(picture: Pictures.Image) -> None:
    still = (
        Jitter(0.0, 0.0, 0.0, 0.0),
        Rotate(0.0),
        PaddedCrop(0.0),
        Affine(0.0, 0.0, (1.0, 1.0)),
        Sometimes(0.0, (Flip(),)),
    )
    for change in still[1:]:
        assert same(change(picture), picture), change
    # A trip through HSV rounds.
    assert np.abs(np.asarray(still[0](picture), int) - np.asarray(picture, int)).max() <= 8
    assert same(ResizedCrop((1.0, 1.0), (1.0, 1.0))(picture), picture)


def test_moves_are_what_they_say(picture: Pictures.Image) -> None:
    pixels = np.asarray(picture)
    assert np.array_equal(np.asarray(Flip()(picture)), pixels[:, ::-1])
    grey = np.asarray(Grey()(picture))
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()
    # Shift alone: the content moves by whole pixels, black comes in.
    for _ in range(5):
        moved = np.asarray(Affine(0.0, 0.1, (1.0, 1.0))(picture))
        fits = [
            (dx, dy) for dx in range(-6, 7) for dy in range(-6, 7)
            if np.array_equal(moved[6 + max(dy, 0):50 + min(dy, 0), 6 + max(dx, 0):50 + min(dx, 0)],
                              pixels[6 + max(-dy, 0):50 + min(-dy, 0), 6 + max(-dx, 0):50 + min(-dx, 0)])
        ]  # fmt: skip
        assert len(fits) == 1
    # Scale alone: the middle stays, and a grown picture has no black border.
    grown = np.asarray(Affine(0.0, 0.0, (2.0, 2.0))(picture))
    assert np.array_equal(grown[::2, ::2], pixels[14:42, 14:42])


def test_padded_crop_moves_by_at_most_its_border(picture: Pictures.Image) -> None:
    white = Pictures.new("RGB", (56, 56), (255, 255, 255))
    black = [int((np.asarray(PaddedCrop(3 / 56)(white))[..., 0] == 0).sum()) for _ in range(60)]
    assert max(black) <= 56 * 56 - 53 * 53 and min(black) < max(black)


def test_resized_crop_shows_a_part_of_the_area(picture: Pictures.Image) -> None:
    # Columns hold their own number: the range of what is seen is the width of the part.
    columns = Pictures.fromarray(
        np.broadcast_to(np.arange(56, dtype=np.uint8)[None, :, None] * 4, (56, 56, 3)).copy()
    )
    widths = []
    for _ in range(30):
        seen = np.asarray(ResizedCrop((0.8, 1.0))(columns))[28, :, 0] / 4
        widths.append(float(seen.max() - seen.min()) + 1)
    assert 40 < min(widths) < 52 and max(widths) <= 56


def test_blur_is_a_gaussian_of_five_by_nine(picture: Pictures.Image) -> None:
    dot = np.zeros((21, 21, 3), np.uint8)
    dot[10, 10] = 255
    blurred = np.asarray(Blur((5, 9), (1.5, 1.5))(Pictures.fromarray(dot)), float)[..., 0]
    across, down = (np.exp(-(np.arange(-n, n + 1) ** 2) / 4.5) for n in (2, 4))
    expected = 255 * np.outer(down / down.sum(), across / across.sum())
    assert np.abs(blurred[6:15, 8:13] - expected).max() <= 0.5
    outside = blurred.copy()
    outside[6:15, 8:13] = 0
    assert outside.max() == 0


def test_erase_covers_its_share_in_the_mean_colour() -> None:
    torch.manual_seed(1)
    white = Pictures.new("RGB", (100, 100), (255, 255, 255))
    shares = []
    for _ in range(40):
        pixels = np.asarray(Erase((0.05, 0.12), (0.3, 3.3), (123, 117, 104))(white))
        gone = (pixels == (123, 117, 104)).all(axis=2)
        assert (gone | (pixels == 255).all(axis=2)).all()
        shares.append(gone.mean())
    assert 0.045 < min(shares) < 0.07 and 0.1 < max(shares) < 0.125


def test_the_list_is_the_released_one() -> None:
    assert CHANGES["expllm"] == (
        Sometimes(0.5, (Flip(),)),
        OneOf((Jitter(0.25, 0.25, 0.25, 0.1), Sometimes(0.2, (Grey(),)))),
        Sometimes(0.5, (Rotate(5.0), OneOf((ResizedCrop((0.8, 1.0), (3 / 4, 4 / 3)), PaddedCrop(12 / 224))))),
        Sometimes(0.5, (Affine(15.0, 0.1, (0.9, 1.1)), Blur((5, 9), (0.1, 2.0)))),
        Sometimes(0.5, (Erase((0.05, 0.12), (0.3, 3.3), (123, 117, 104)),)),
    )


def test_locllms_list_and_no_flip_where_sides_are_told() -> None:
    sized = (Affine(0.0, 0.0, (0.7, 1.3)), Sometimes(0.5, (Rotate(40.0),)))
    assert CHANGES["locllm"] == (*sized, Sometimes(0.5, (Flip(),)))
    assert CHANGES["locllm-sides"] == sized
    for recipe, wanted in (
        ("au-llava", "locllm"),
        ("au-llava-bp4d", "locllm"),
        ("au-llava-feafa", "locllm-sides"),
    ):
        told = load_recipe(recipe, "paper")
        assert [stage.augment for stage in told.stages] == [wanted]
        assert told.inputs.get("norm", "clip") == "clip"


def test_crops_keep_their_size_and_the_seed_decides(picture: Pictures.Image) -> None:
    crops = [np.asarray(picture)] * 12
    torch.manual_seed(4)
    first = change_crops("expllm", crops)
    torch.manual_seed(4)
    again = change_crops("expllm", crops)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(one.shape == (56, 56, 3) and one.dtype == np.uint8 for one in first)
    assert len({one.tobytes() for one in first}) == 12
    with pytest.raises(BadConfig, match="expllm"):
        change_crops("facephi", crops)
