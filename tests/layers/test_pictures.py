"""Vision towers, their pixels, and the pictures of EmoLA's landmark prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mien.core.errors import BadConfig, BadInput
from mien.layers.landmark_prior import prior_input
from mien.layers.vision_tower import NORMS, VisionTower, prepare_pixels

TOWERS: dict[str, dict[str, Any]] = {
    kind: {
        "model_type": kind, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 14, "intermediate_size": 24,
    }
    for kind in ("clip_vision_model", "dinov2", "instructblip_vision_model")
}  # fmt: skip


def picture(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), 0 * x + 40], 2).astype(
        np.uint8
    )


@pytest.mark.parametrize("kind", TOWERS)
def test_tower_gives_patches(kind: str) -> None:
    torch.manual_seed(0)
    tower = VisionTower(TOWERS[kind]).eval()
    pixels = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    rows = tower(pixels)
    assert rows.shape == (2, 4, 16)
    tower.class_token = True
    torch.testing.assert_close(tower(pixels)[:, 1:], rows)
    with pytest.raises(BadInput, match="prepare_pixels"):
        tower(pixels[0])


def test_second_last_layer_does_not_see_the_last() -> None:
    torch.manual_seed(0)
    tower = VisionTower(TOWERS["clip_vision_model"], layer=-2).eval()
    pixels = torch.randn(1, 3, 28, 28)
    before = tower(pixels).detach()
    last = next(name for name, _ in reversed(list(tower.named_modules())) if name.endswith("layers.2"))
    with torch.no_grad():
        for parameter in tower.get_submodule(last).parameters():
            parameter.add_(1.0)
    torch.testing.assert_close(tower(pixels), before)


def test_unknown_tower() -> None:
    with pytest.raises(BadConfig, match="dinov2"):
        VisionTower({"model_type": "dinov9"})


def test_pixels_are_padded_and_normalised() -> None:
    grey = np.full((20, 40, 3), 200, np.uint8)
    got = prepare_pixels([grey], 40, "clip")[0]
    mean, deviation = (torch.tensor(values) for values in NORMS["clip"])
    torch.testing.assert_close(got[:, 20, 20], (200 / 255 - mean) / deviation)
    assert got[:, 2, 20].abs().max() < 0.02  # padding is the mean colour, in whole levels: (122, 116, 104)
    for square, levels in (("pad", (122, 116, 104)), ("pad-rounded", (123, 117, 104))):  # LLaVA-1.5; ExpLLM
        border = prepare_pixels([grey], 40, "clip", square)[:, :, 2, 20][0] * deviation + mean
        torch.testing.assert_close(border * 255, torch.tensor(levels, dtype=torch.float32), atol=1e-3, rtol=0)
    stretched = prepare_pixels([grey], 40, "imagenet", "stretch")
    assert stretched.std(dim=(2, 3)).max() < 1e-5
    with pytest.raises(BadConfig, match="imagenet"):
        prepare_pixels([grey], 40, "dino")
    with pytest.raises(BadConfig, match="pad, pad-rounded, stretch, crop"):
        prepare_pixels([grey], 40, "clip", "cut")
    with pytest.raises(BadInput, match="uint8 RGB"):
        prepare_pixels([grey.astype(np.float32)], 40)  # type: ignore[list-item]


def test_prior_of_insightface_centres_the_box() -> None:
    """A point at the box's centre lands in the middle; the longer side times 1.5 spans the input."""
    image = picture(256, 256)
    got = prior_input(image, (64.0, 96.0, 192.0, 160.0))
    assert got.shape == (1, 3, 192, 192) and got.dtype == np.float32
    # scale 192 / (128 * 1.5) = 1: column c of the input is column c - 96 + 128 of the picture.
    np.testing.assert_allclose(got[0, 0, 96], image[128, 32:224, 0], atol=1e-3)
    np.testing.assert_allclose(got[0, 1, :, 96], image[32:224, 128, 1], atol=1e-3)
    scaled = prior_input(image, (64.0, 96.0, 192.0, 160.0), raw=False)
    np.testing.assert_allclose(scaled, (got - 127.5) / 128.0, atol=1e-5)


def test_prior_outside_the_picture_is_black() -> None:
    got = prior_input(np.full((50, 50, 3), 90, np.uint8), (0.0, 0.0, 50.0, 50.0))
    assert got[0, :, 0, 0].max() == 0.0 and got[0, :, 96, 96].min() == pytest.approx(90.0, abs=1e-3)


@pytest.mark.parametrize("shape", [(61, 40), (40, 61), (33, 33)])
def test_the_middle_is_that_of_clip_s_own_preparation(shape: tuple[int, int]) -> None:
    from transformers import CLIPImageProcessorPil

    theirs = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    image = picture(*shape)
    expected = torch.as_tensor(theirs(image, return_tensors="np")["pixel_values"])
    # Pillow rounds to whole levels.
    torch.testing.assert_close(prepare_pixels([image], 28, "clip", "crop"), expected, atol=0.02, rtol=0)


def test_prior_of_the_released_code_stretches_and_swaps() -> None:
    image = picture(96, 384)
    got = prior_input(image, None, compat="emola")
    assert got[0, 2].max() <= 1.0
    np.testing.assert_allclose(got[0, 2, 100], image.mean(0)[:, 0].reshape(192, 2).mean(1) / 255.0, atol=0.01)
    np.testing.assert_allclose(got[0, 0], 40.0 / 255.0, atol=1e-6)  # blue first


def test_prior_speaks_about_bad_input() -> None:
    with pytest.raises(BadInput, match="Detect the face"):
        prior_input(picture(9, 9), None)
    with pytest.raises(BadConfig, match="emola"):
        prior_input(picture(9, 9), None, compat="faba")
    with pytest.raises(BadInput, match="uint8 RGB"):
        prior_input(np.zeros((9, 9), np.uint8), None)
