"""PointMLP against its published algorithm, written apart; parameter counts, sampling, options, errors."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from mien.core.errors import BadConfig, BadInput
from mien.layers.point_sampling import farthest_points, nearest, normalize_points
from mien.layers.pointmlp import PointMLP


def cloud(batch: int, points: int = 60, seed: int = 0) -> Tensor:
    return torch.randn(batch, points, 3, generator=torch.Generator().manual_seed(seed))


def warmed(model: PointMLP) -> PointMLP:
    """Running statistics, alpha and beta away from their initial values."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if "running_mean" in name or name.endswith("affine_beta"):
            tensor.normal_(0.0, 0.2, generator=generator)
        elif "running_var" in name or name.endswith("affine_alpha"):
            tensor.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def published() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "_published_pointmlp.py"
    spec = importlib.util.spec_from_file_location("published_pointmlp", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("variant", "classes", "count"),
    [
        ("pointmlp", None, 13_228_224),
        ("pointmlp", 40, 13_238_504),
        ("pointmlp", 8, 13_230_280),
        ("elite", None, 705_952),
        ("elite", 40, 716_232),
        ("elite", 8, 708_008),
    ],
)
def test_has_the_published_number_of_parameters(variant: str, classes: int | None, count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in PointMLP(variant, classes).parameters()) == count


@pytest.mark.parametrize(
    ("variant", "classes", "points"), [("elite", 8, 478), ("tiny", None, 64), ("tiny", None, 128)]
)
def test_computes_what_was_published(
    published: ModuleType, variant: str, classes: int | None, points: int
) -> None:
    model = warmed(PointMLP(variant, classes, points=points))
    clouds = cloud(1, 478) if variant == "elite" else cloud(3)
    with torch.no_grad():
        expected = published.forward(model.state_dict(), clouds, points)
        fused = model(clouds)
    layered = model(clouds)  # gradients on: layer by layer
    assert expected.abs().max() > 0.05
    torch.testing.assert_close(fused, expected, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(layered.detach(), expected, atol=1e-5, rtol=0.0)


@pytest.mark.slow
def test_full_size_computes_what_was_published(published: ModuleType) -> None:
    model, clouds = warmed(PointMLP()), cloud(2, 478)
    with torch.no_grad():
        torch.testing.assert_close(
            model(clouds), published.forward(model.state_dict(), clouds), atol=1e-5, rtol=0.0
        )


def test_names_of_the_published_checkpoints() -> None:
    with torch.device("meta"):
        names = set(PointMLP("pointmlp", 40).state_dict())
    assert {
        "embedding.net.0.weight",
        "local_grouper_list.3.affine_alpha",
        "pre_blocks_list.0.transfer.net.1.running_mean",
        "pre_blocks_list.3.operation.1.net2.1.num_batches_tracked",
        "pos_blocks_list.2.operation.0.net1.0.weight",
        "classifier.8.bias",
    } <= names


def test_geometric_affine_in_numpy() -> None:
    """Eq. of §3.2: (grouped - anchor) / (std + 1e-5), one unbiased std per sample; then alpha, beta."""
    from mien.layers.pointmlp import _spread

    features = cloud(2, 9, seed=3)
    anchors = torch.tensor([[0, 4], [2, 7]])
    neighbors = torch.tensor([[[0, 1, 2], [4, 5, 6]], [[2, 0, 8], [7, 1, 3]]])
    for sample in range(2):
        values = features[sample].numpy()
        offsets = values[neighbors[sample].numpy()] - values[anchors[sample].numpy()][:, None]
        got = float(_spread(features, anchors, neighbors)[sample])
        assert got == pytest.approx(float(np.std(offsets, ddof=1)), rel=1e-6)


def test_farthest_points_in_numpy() -> None:
    points = cloud(1, 20, seed=4)[0].numpy()
    chosen = [0]
    while len(chosen) < 12:
        distance = ((points[:, None] - points[chosen]) ** 2).sum(2).min(1)
        chosen.append(int(distance.argmax()))
    assert farthest_points(torch.tensor(points)[None], 12)[0].tolist() == chosen


def test_surplus_anchors_are_copies_of_the_first() -> None:
    chosen = farthest_points(cloud(2, 10), 14)
    assert sorted(chosen[0, :10].tolist()) == list(range(10))
    assert chosen[:, 10:].eq(0).all()


def test_neighbors_are_the_nearest() -> None:
    points = cloud(1, 30)
    found = nearest(points, points[:, :5], 6)[0].sort().values
    expected = torch.cdist(points[0, :5], points[0]).argsort(dim=1)[:, :6].sort().values
    assert found.tolist() == expected.tolist()


def test_is_deterministic_and_a_row_of_the_batch() -> None:
    model = warmed(PointMLP("tiny", points=64))
    clouds = cloud(3)
    with torch.no_grad():
        together = model(clouds)
        torch.testing.assert_close(model(clouds), together, atol=0.0, rtol=0.0)
        torch.testing.assert_close(model(clouds[1:2]), together[1:2], atol=1e-6, rtol=0.0)


def test_fixed_sampling_is_the_reference_s_and_is_saved() -> None:
    clouds = cloud(3)
    free, fixed = PointMLP("tiny", points=64), PointMLP("tiny", points=64, sampling="fixed")
    fixed.load_state_dict(free.state_dict(), strict=False)
    fixed.fix_sampling(clouds[0])
    other = PointMLP("tiny", points=64, sampling="fixed")
    other.load_state_dict(fixed.state_dict())
    for model in (warmed(free), warmed(fixed), warmed(other)):
        model.eval()
    with torch.no_grad():
        torch.testing.assert_close(fixed(clouds[:1]), free(clouds[:1]))
        torch.testing.assert_close(other(clouds), fixed(clouds))
        assert not torch.allclose(fixed(clouds[1:]), free(clouds[1:]))


@pytest.mark.parametrize("mode", ["unit_sphere", "minmax_axis", "minmax_global"])
def test_normalisation_ends_position_and_size(mode: str) -> None:
    points = cloud(2) * torch.tensor([1.0, 3.0, 0.5]) + 7.0
    same = normalize_points(points * 40.0 - 90.0, mode)
    torch.testing.assert_close(same, normalize_points(points, mode), atol=1e-4, rtol=0.0)
    span = (same.amax(dim=1) - same.amin(dim=1)) / 2.0
    if mode == "unit_sphere":
        torch.testing.assert_close(same.norm(dim=2).amax(dim=1), torch.ones(2))
    elif mode == "minmax_axis":
        torch.testing.assert_close(span, torch.ones(2, 3))
    else:
        torch.testing.assert_close(span.amax(dim=1), torch.ones(2))
        assert span.amin() < 0.9


def test_mixed_precision_leaves_neighbours_alone() -> None:
    points = cloud(2) + 3.0
    anchors = points[:, :8]
    with torch.autocast("cpu", torch.bfloat16):
        found = nearest(points, anchors, 6)
    assert torch.equal(found, nearest(points, anchors, 6))


def test_learns_in_every_parameter() -> None:
    model = PointMLP("tiny", points=64, classes=3).train()
    torch.manual_seed(0)
    model(cloud(4)).logsumexp(dim=1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_speaks_about_bad_input() -> None:
    model = PointMLP("tiny", points=64).eval()
    with pytest.raises(BadInput, match=r"shape \(clouds, points, 3\)"):
        model(torch.zeros(2, 478))
    with pytest.raises(BadInput, match="finite"):
        model(torch.full((1, 60, 3), torch.nan))
    with pytest.raises(BadInput, match="10 points for 24 neighbours"):
        model(cloud(1, 10))
    with pytest.raises(BadInput, match="fix_sampling"):
        PointMLP("tiny", points=64, sampling="fixed").eval()(cloud(1))
    with pytest.raises(BadConfig, match="minmax_axis"):
        normalize_points(cloud(1), "sphere")
    with pytest.raises(BadConfig, match="elite"):
        PointMLP("big")
    with pytest.raises(BadConfig, match="fixed"):
        model.fix_sampling(cloud(1)[0])
