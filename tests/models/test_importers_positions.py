"""DINOv2's position embeddings as LocLLM's code resamples them, computed here in numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.core.errors import BadInput
from mien.models.composite.backbones import TOWERS
from mien.models.composite.facial_lm import FacialLM
from mien.models.formats.importers import import_checkpoint
from mien.models.formats.layouts import resample_positions

WIDTH = 16


def published(size: int) -> Tensor:
    return torch.randn(1, 1 + size * size, WIDTH, generator=torch.Generator().manual_seed(1))


def weights(at: float) -> tuple[list[int], list[float]]:
    """Keys' cubic (a = -0.75): the four places around ``at`` and what each counts."""
    places = [int(np.floor(at)) + tap for tap in (-1, 0, 1, 2)]
    far = [abs(at - place) for place in places]
    counts = [
        (1.25 * d - 2.25) * d * d + 1.0 if d <= 1.0 else -0.75 * (((d - 5.0) * d + 8.0) * d - 4.0)
        for d in far
    ]
    return places, counts


def bicubic(grid: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """(n, n, C) -> (side, side, C) by the scale (side + 0.1) / n, edges repeated."""
    size = len(grid)
    made = np.zeros((side, side, grid.shape[2]))
    for row, column in np.ndindex(side, side):
        taps = [weights((place + 0.5) * size / (side + 0.1) - 0.5) for place in (row, column)]
        for y, wy in zip(*taps[0], strict=True):
            for x, wx in zip(*taps[1], strict=True):
                made[row, column] += wy * wx * grid[np.clip(y, 0, size - 1), np.clip(x, 0, size - 1)]
    return made


@pytest.mark.parametrize(("size", "side"), [(5, 2), (37, 16)])
def test_positions_scale_with_the_offset(size: int, side: int) -> None:
    given = published(size)
    got = resample_positions(given, side)
    assert torch.equal(got[:, :1], given[:, :1])
    expected = bicubic(given[0, 1:].reshape(size, size, WIDTH).double().numpy(), side)
    np.testing.assert_allclose(got[0, 1:].reshape(side, side, WIDTH).numpy(), expected, atol=1e-4)
    with pytest.raises(BadInput, match="7 patches"):
        resample_positions(torch.zeros(1, 8, WIDTH), side)


def test_an_imported_expllm_holds_them_for_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**TOWERS["dinov2-tiny"], "image_size": 70}))
    state: dict[str, object] = {"vision_model.pos_embed": published(5)}
    options: dict[str, object] = {"tower": str(tmp_path), "image_size": 28}
    model = import_checkpoint(state, "expllm", scale="tiny", options=options, partial=True).model
    assert isinstance(model, FacialLM)
    tower = model.model.encoders["image"].model
    assert tower.config.image_size == 28
    positions = tower.embeddings.position_embeddings
    assert torch.equal(positions, resample_positions(published(5), 2))
    # Nothing is resampled a second time on the way.
    assert tower.embeddings.interpolate_pos_encoding(torch.zeros(1, 5, WIDTH), 28, 28) is positions
