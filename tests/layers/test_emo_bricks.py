"""EMO-LLaMA's bricks: Eq. 2, 3 and 5 against plain numpy, AU regions, options and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.core.errors import BadConfig, BadInput
from mien.layers.clue_aggregator import ClueAggregator, generate_clue
from mien.layers.face_info_mining import (
    AU_REGIONS,
    FaceInfoMining,
    region_centres,
    region_maps,
    region_rows,
)
from mien.layers.facial_clues import FacialClues

Array = NDArray[np.float64]
QFORMER = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": 30, "max_position_embeddings": 32,
}  # fmt: skip
TOWER = {
    "model_type": "instructblip_vision_model", "hidden_size": 24, "intermediate_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    "initializer_range": 0.02,
}  # fmt: skip


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def face_points(count: int = 2) -> Tensor:
    """Landmarks within the crop, no two alike."""
    return rows(count, 68, 2, seed=9).clamp(-2.0, 2.0) * 0.4


def softmax(x: Array) -> Array:
    x = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(x / x.sum(-1, keepdims=True))


def numpy_of(module: nn.Module) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in module.state_dict().items()}


def attend(state: dict[str, Array], queries: Array, keys: Array, heads: int) -> Array:
    """Multi-head attention of Vaswani et al. 2017 for one item."""
    weight, bias = state["attention.in_proj_weight"], state["attention.in_proj_bias"]
    c = queries.shape[1]
    q, k, v = (
        x @ weight[i * c : (i + 1) * c].T + bias[i * c : (i + 1) * c]
        for i, x in enumerate((queries, keys, keys))
    )
    parts = [slice(h * c // heads, (h + 1) * c // heads) for h in range(heads)]
    joined = np.concatenate(
        [softmax(q[:, p] @ k[:, p].T / np.sqrt(c // heads)) @ v[:, p] for p in parts], axis=1
    )
    return np.asarray(joined @ state["attention.out_proj.weight"].T + state["attention.out_proj.bias"])


def gelu(x: Array) -> Array:
    from math import erf

    return np.asarray(x * 0.5 * (1.0 + np.vectorize(erf)(x / np.sqrt(2.0))))


def test_equation_2() -> None:
    queries, visual = rows(2, 4, 6), rows(2, 5, 6, seed=1)
    got = generate_clue(queries, visual, visual)
    for item in range(2):
        q, x = queries[item].double().numpy(), visual[item].double().numpy()
        expected = (softmax(q @ x.T) @ x).mean(0)
        np.testing.assert_allclose(got[item].numpy(), expected, atol=1e-6)


def test_llama_vid_scales_and_projects() -> None:
    torch.manual_seed(0)
    clue = ClueAggregator(24, 8, QFORMER, queries=3, keys="visual", generation="llama-vid").eval()
    visual, ids = rows(1, 5, 24), torch.tensor([[3, 4, 5]])
    got = clue(visual, None, ids, torch.ones_like(ids))
    queries = clue.refined(visual, None, ids, torch.ones_like(ids))[0].detach().double().numpy()
    state, x = numpy_of(clue), visual[0].double().numpy()
    q = queries @ state["match_query.weight"].T + state["match_query.bias"]
    k = x @ state["match_key.weight"].T + state["match_key.bias"]
    expected = (softmax(q @ k.T / np.sqrt(24)) @ x).mean(0)
    np.testing.assert_allclose(got[0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("width", [16, 24])
def test_clue_reads_instruction_visual_and_face(width: int) -> None:
    """At equal widths Eq. 2 needs no layer between; everything reaches the queries."""
    torch.manual_seed(0)
    clue = ClueAggregator(width, 8, QFORMER, queries=3).eval()
    assert isinstance(clue.match_query, nn.Identity) == (width == 16)
    visual, face = rows(2, 5, width), rows(2, 9, 8, seed=1)
    ids = torch.tensor([[3, 4, 5, 0], [6, 7, 8, 9]])
    mask = (ids != 0).long()
    base = clue(visual, face, ids, mask)
    assert base.shape == (2, width)
    for changed in (
        clue.refined(visual + 1.0 * rows(1, 5, width, seed=5), face, ids, mask),
        clue.refined(visual, face + 1.0, ids, mask),
        clue.refined(visual, face, ids + 1, mask),
    ):
        assert (changed - clue.refined(visual, face, ids, mask)).abs().amax(dim=(1, 2)).min() > 1e-6
    other = ids.masked_fill(ids == 0, 11)
    torch.testing.assert_close(clue(visual, face, other, mask), base)  # padding is not read
    torch.testing.assert_close(
        clue(visual[:1], face[:1], ids[:1, :3], mask[:1, :3]), base[:1], atol=1e-6, rtol=0.0
    )


def test_equation_3_as_printed() -> None:
    torch.manual_seed(0)
    mining = FaceInfoMining(12, 8, heads=2, residual=False)
    visual, face, landmarks = rows(1, 5, 12), rows(1, 49, 8, seed=1), face_points(1)
    state = numpy_of(mining)

    def part(name: str) -> dict[str, Array]:
        return {
            key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")
        }

    f = face[0].double().numpy() @ state["face.weight"].T + state["face.bias"]
    x = visual[0].double().numpy()
    own = attend(part("own"), x, x, 2)
    whole = attend(part("whole"), own, f, 2)
    ffn = part("forward_network")
    whole = gelu(whole @ ffn["1.weight"].T + ffn["1.bias"]) @ ffn["3.weight"].T + ffn["3.bias"]
    maps = region_maps(landmarks, 7)[0].double().numpy().reshape(10, 49)
    regions = maps @ f / maps.sum(1, keepdims=True)
    expected = (whole + attend(part("local"), own, regions, 2)).mean(0)
    np.testing.assert_allclose(mining(visual, face, landmarks)[0].detach().numpy(), expected, atol=1e-5)


def test_residual_keeps_the_visual_rows() -> None:
    """With every attention and the feed-forward at zero, what remains is the pooled visual row."""
    mining = FaceInfoMining(12, 8, heads=2)
    with torch.no_grad():
        for module in mining.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.out_proj.weight.zero_()
                module.out_proj.bias.zero_()
        for parameter in mining.forward_network.parameters():
            parameter.zero_()
    visual = rows(2, 5, 12)
    got = mining(visual, rows(2, 49, 8), face_points())
    torch.testing.assert_close(got, visual.mean(dim=1), atol=1e-6, rtol=0.0)


@pytest.mark.parametrize(
    "options", [{}, {"branches": "global"}, {"branches": "local"}, {"strategy": "pool_concat"}]
)
def test_every_option_learns_in_every_parameter(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    mining = FaceInfoMining(12, 8, heads=2, **options)
    mining(rows(2, 5, 12), rows(2, 49, 8), face_points()).square().sum().backward()
    idle = [name for name, p in mining.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert idle == []


def test_region_centres_of_the_table() -> None:
    landmarks = torch.zeros(1, 68, 2)
    landmarks[0, 39], landmarks[0, 42] = torch.tensor([-0.3, 0.0]), torch.tensor([0.3, 0.1])
    landmarks[0, 21], landmarks[0, 41] = torch.tensor([-0.2, -0.4]), torch.tensor([-0.4, 0.05])
    centres = dict(zip(AU_REGIONS, region_centres(landmarks)[0], strict=True))
    torch.testing.assert_close(centres["AU01"][0], torch.tensor([-0.2, -0.7]))  # y - r / 2
    torch.testing.assert_close(centres["AU06"][0], torch.tensor([-0.4, 0.65]))  # y + r
    torch.testing.assert_close(centres["AU02"][0], torch.tensor([0.0, -0.2]))  # y - r / 3
    torch.testing.assert_close(centres["AU12 AU14 AU15"][1], torch.zeros(2))


def test_region_maps_in_numpy() -> None:
    size, landmarks = 56, face_points(1)
    got = region_maps(landmarks, size)[0].numpy()
    side = 0.14 * size
    for region, pair in enumerate(region_centres(landmarks)[0].numpy()):
        expected = np.zeros((size, size))
        for x, y in np.clip(((pair + 1.0) * size - 1.0) / 2.0, 0, size - 1):
            for row in range(size):
                for column in range(size):
                    dx, dy = abs(column - x), abs(row - y)
                    if max(dx, dy) <= side / 2:
                        expected[row, column] = max(expected[row, column], 1 - 0.56 * (dx + dy) / side)
        np.testing.assert_allclose(got[region], expected, atol=1e-4)


def test_region_rows_look_where_the_region_is() -> None:
    """A facial map that is lit at one place only lights the regions there."""
    landmarks = torch.full((1, 68, 2), 0.8)
    landmarks[0, [48, 54]] = -0.6  # the lip corners elsewhere
    face = torch.zeros(1, 56, 56, 1)
    face[0, 6:17, 6:17] = 1.0
    got = region_rows(face.reshape(1, -1, 1), landmarks)[0, :, 0]
    lit = dict(zip(AU_REGIONS, got.tolist(), strict=True))
    assert lit.pop("AU12 AU14 AU15") > 0.95
    assert max(lit.values()) == 0.0


@pytest.mark.parametrize("size", [2, 7, 56])
def test_regions_beyond_the_map_stay_finite(size: int) -> None:
    got = region_rows(rows(1, size * size, 4), face_points(1) * 9.0)
    assert got.isfinite().all()


def test_frame_gives_three_rows_in_order() -> None:
    """Eq. 5: H^T, H^V, H^L, each through its own perceptron."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"clue": {"qformer": QFORMER, "queries": 3}, "mining": {"heads": 2}}
    frame = FacialClues(TOWER, 10, face_width=8, **options).eval()
    inputs = frame_inputs()
    got = frame(**inputs)
    assert got.shape == (2, 3, 10)
    torch.testing.assert_close(got[:, 2], frame.projectors["landmarks"](inputs["landmarks"].flatten(1)))
    moved = frame(**{**inputs, "instruction_ids": inputs["instruction_ids"] + 3})
    assert (moved[:, 0] - got[:, 0]).abs().max() > 1e-6  # only the clue reads the instruction
    torch.testing.assert_close(moved[:, 1:], got[:, 1:])
    plain = FacialClues(
        TOWER, 10, mining=None, clue={"qformer": QFORMER, "keys": "visual"}, rows=("clue", "visual")
    )
    bare = {key: inputs[key] for key in ("pixels", "instruction_ids", "instruction_mask")}
    assert plain(**bare).shape == (2, 2, 10)
    with pytest.raises(BadConfig, match="no face and no landmarks"):
        frame(**bare)


def frame_inputs() -> dict[str, Tensor]:
    return {
        "pixels": rows(2, 3, 28, 28),
        "instruction_ids": torch.tensor([[3, 4], [5, 6]]),
        "instruction_mask": torch.ones(2, 2, dtype=torch.long),
        "face": rows(2, 49, 8),
        "landmarks": face_points(),
    }


@pytest.mark.parametrize("generation", ["paper", "llama-vid"])
def test_clue_is_a_mixture_of_patches_alone(generation: str) -> None:
    """Eq. 2's N is H/p · W/p: with every patch alike the clue is that row, whatever the class token is."""
    torch.manual_seed(0)
    clue = {"qformer": QFORMER, "queries": 3, "generation": generation}
    frame = FacialClues(TOWER, 10, face_width=8, clue=clue, mining={"heads": 2}, rows=("clue",)).eval()
    patch = rows(1, 1, 24)
    seen = torch.cat([9.0 + rows(2, 1, 24, seed=4), patch.expand(2, 4, 24)], dim=1)
    frame.tower.forward = lambda pixels: seen  # type: ignore[method-assign]
    got = frame(**frame_inputs())
    torch.testing.assert_close(
        got[:, 0], frame.projectors["clue"](patch[0].expand(2, 24)), atol=1e-5, rtol=0.0
    )


def test_the_tower_s_layer_is_its_own_option() -> None:
    """EVA before its last norm, as LLaMA-VID reads it, whatever makes the clue."""
    for generation in ("paper", "llama-vid"):
        clue = {"qformer": QFORMER, "queries": 3, "generation": generation}
        before, after = (
            FacialClues(TOWER, 10, clue=clue, rows=("clue",), layer=layer).tower for layer in (-1, "final")
        )
        after.load_state_dict(before.state_dict())
        pixels = rows(1, 3, 28, 28)
        raw, normed = before.eval()(pixels), after.eval()(pixels)
        norm = before.model.post_layernorm
        with torch.no_grad():
            norm.weight.fill_(2.0)
            torch.testing.assert_close(before(pixels), raw)
            torch.testing.assert_close(norm(raw), 2.0 * normed, atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("mining", [{"strategy": "pool_concat"}, {"heads": 2, "branches": "global"}])
def test_landmarks_that_nothing_reads_are_not_asked_for(mining: dict[str, Any]) -> None:
    clue = {"qformer": QFORMER, "queries": 3}
    frame = FacialClues(TOWER, 10, face_width=8, clue=clue, mining=mining, rows=("clue", "visual")).eval()
    inputs = frame_inputs()
    whole = frame(**inputs)
    del inputs["landmarks"]
    torch.testing.assert_close(frame(**inputs), whole)
    with pytest.raises(BadInput, match="mine globally"):
        FaceInfoMining(12, 8, heads=2)(rows(2, 5, 12), rows(2, 49, 8))


def test_speaks_about_bad_input() -> None:
    with pytest.raises(BadConfig, match="llama-vid"):
        ClueAggregator(generation="code")
    with pytest.raises(BadConfig, match="pool_concat"):
        FaceInfoMining(strategy="max")
    with pytest.raises(BadConfig, match="in order"):
        FacialClues(TOWER, 10, rows=("landmarks", "clue"))
    with pytest.raises(BadInput, match="68-point layout"):
        region_centres(torch.zeros(1, 478, 3))
    with pytest.raises(BadInput, match="square map"):
        region_rows(torch.zeros(1, 50, 4), face_points(1))
