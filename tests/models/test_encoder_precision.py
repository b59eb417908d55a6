"""Every encoder in half precision and under mixed precision: the same rows but for rounding, gradients everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from mien.layers.facexformer import FaceXFormer
from mien.layers.point_sampling import NORMALIZATIONS, farthest_points, nearest, normalize_points
from mien.models.composite.backbones import TOWERS
from mien.models.composite.encoders import ENCODERS, encode_items, make_encoder
from mien.models.emo_llama import system as emo_llama

Items = Tensor | Mapping[str, Tensor]
CLUES = emo_llama.configure("tiny").evidence["image"]["encoder"]
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "cached": {"type": "cached"},
    "face-rows": {"type": "face-rows", "widths": (8, 8, 8, 8)},
    "facial-clues": CLUES,
    "landmark-mlp": {"type": "landmark-mlp", "features": 12, "width": 16},
    "point-groups": {
        "type": "point-groups", "groups": 5, "neighbors": 4, "width": 12, "layers": 1, "heads": 2,
        "normalization": "unit_sphere",
    },
    "pointmlp": {"type": "pointmlp", "variant": "tiny", "points": 64, "normalization": "minmax_global"},
    "vision-clip": {"type": "vision", "config": TOWERS["clip-tiny"], "layer": -2},
    "vision-dinov2": {"type": "vision", "config": TOWERS["dinov2-tiny"]},
    "vision-eva": {"type": "vision", "config": TOWERS["eva-tiny"]},
}  # fmt: skip


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def items(name: str, count: int = 3) -> Items:
    if name == "cached":
        return noise(count, 4, 8)
    if name == "landmark-mlp":
        return noise(count, 12)
    if name in ("point-groups", "pointmlp"):
        # In px, as the mesh comes: at 900 half precision has steps of 0.5, bfloat16 of 4.
        return 900.0 + 40.0 * noise(count, 60, 3)
    if name == "face-rows":
        return noise(count, 3, 32, 32)
    if name.startswith("vision"):
        return noise(count, 3, 28, 28)
    return {
        "pixels": noise(count, 3, 28, 28),
        "instruction_ids": torch.tensor([[3, 4, 5]] * count),
        "instruction_mask": torch.ones(count, 3, dtype=torch.long),
        "face": noise(count, 49, 8, seed=1),
        "landmarks": noise(count, 68, 2, seed=2).clamp(-2.0, 2.0) * 0.4,
    }


def encoder(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return make_encoder(OPTIONS[name]).eval()


def apart(got: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the largest value."""
    return float((got.detach().float() - expected).abs().max() / expected.abs().max())


def test_every_encoder_is_here() -> None:
    assert {options["type"] for options in OPTIONS.values()} == set(ENCODERS)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(("precision", "most"), [(torch.bfloat16, 0.08), (torch.float16, 0.01)])
def test_weights_in_half_precision_read_items_in_float32(
    name: str, precision: torch.dtype, most: float
) -> None:
    model = encoder(name)
    with torch.no_grad():
        expected = encode_items(model, items(name))
        got = encode_items(model.to(precision), items(name))
    assert apart(got, expected) < most
    if name != "cached":
        assert got.dtype == precision


@pytest.mark.parametrize("name", OPTIONS)
def test_mixed_precision_in_evaluation(name: str) -> None:
    model = encoder(name)
    with torch.no_grad():
        expected = encode_items(model, items(name))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = encode_items(model, items(name))
    assert apart(got, expected) < 0.08


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "cached"])
def test_mixed_precision_in_training_reaches_every_parameter(name: str) -> None:
    model = encoder(name).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = encode_items(model, items(name))
    rows.float().square().sum().backward()
    got = {key: p.grad is not None for key, p in model.named_parameters()}
    plain = encoder(name).train()
    encode_items(plain, items(name)).float().square().sum().backward()
    assert got == {key: p.grad is not None for key, p in plain.named_parameters()} and any(got.values())
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(grad.dtype == torch.float32 and bool(grad.isfinite().all()) for grad in grads)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_the_facial_expert_in_half_precision(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    model, pixels = FaceXFormer("tiny").eval(), noise(2, 3, 64, 64)
    expected = model.evidence(pixels)
    places = model.pe_layer(16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model.evidence(pixels)
    got = model.to(precision).evidence(pixels)
    assert apart(got.face, expected.face) < 0.05 and apart(mixed.face, expected.face) < 0.05
    assert (
        apart(got.landmarks, expected.landmarks) < 0.05 and apart(mixed.landmarks, expected.landmarks) < 0.05
    )
    assert torch.equal(model.pe_layer(16), places) and places.dtype == torch.float32
    assert model.face_decoder.mask_tokens.weight.dtype == precision


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_who_is_near_is_decided_in_float32(precision: torch.dtype) -> None:
    """On points that half precision can hold, so that only the computing differs."""
    points = (noise(2, 60, 3, seed=5) * 4.0).to(precision).float()
    short = points.to(precision)
    for mode in NORMALIZATIONS[1:]:
        exact = normalize_points(short, mode)
        assert exact.dtype == torch.float32
        torch.testing.assert_close(exact, normalize_points(points, mode))
    assert torch.equal(farthest_points(short, 20), farthest_points(points, 20))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nearest(short, short[:, :9], 6), nearest(points, points[:, :9], 6)
    expected = nearest(points, points[:, :9], 6).sort().values
    assert all(torch.equal(one.sort().values, expected) for one in found)
