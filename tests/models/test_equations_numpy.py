"""Whole models of the papers in plain numpy: encoder, projector, decoder, and the likelihood of an answer.

Each function here is written from the equation or the architecture's paper, not from the code that it checks.
"""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from mien.layers.pointmlp import PointMLP
from mien.models.au_llava import system as au_llava
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.readouts import Readouts
from mien.models.emo_llama import system as emo_llama
from mien.models.emola import system as emola
from mien.models.expllm import system as expllm

Array = NDArray[np.float64]
State = dict[str, Array]


def state_of(module: nn.Module, beginning: str = "") -> State:
    """Weights as float64 under their names, the beginning cut off."""
    return {
        name.removeprefix(beginning): value.detach().double().numpy()
        for name, value in module.state_dict().items()
        if name.startswith(beginning)
    }


def softmax(x: Array) -> Array:
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1.0 + np.vectorize(erf)(x / np.sqrt(2.0))))


def linear(x: Array, state: State, name: str) -> Array:
    bias = state.get(f"{name}.bias")
    return np.asarray(x @ state[f"{name}.weight"].T + (0.0 if bias is None else bias))


def two_layers(x: Array, state: State, name: str = "") -> Array:
    """MLP with one GELU between: LLaVA-1.5's projector."""
    return linear(gelu(linear(x, state, f"{name}0")), state, f"{name}2")


def layer_norm(x: Array, state: State, name: str, eps: float = 1e-6) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return np.asarray(scaled * state[f"{name}.weight"] + state[f"{name}.bias"])


def attend(q: Array, k: Array, v: Array, heads: int, mask: Array | None = None) -> Array:
    """(T, H·d) queries, (T', G·d) keys and values; G divides H."""
    width = q.shape[1] // heads
    groups = k.shape[1] // width
    out = []
    for head in range(heads):
        own, shared = slice(head * width, (head + 1) * width), head * groups // heads
        other = slice(shared * width, (shared + 1) * width)
        scores = q[:, own] @ k[:, other].T / np.sqrt(width)
        out.append(softmax(scores if mask is None else scores + mask) @ v[:, other])
    return np.concatenate(out, axis=1)


def dinov2(pixels: Array, state: State, fields: dict[str, Any]) -> Array:
    """(3, S, S) -> (patches, C): Oquab et al. 2023, ViT with layer scale; class token dropped."""
    patch = fields["patch_size"]
    kernel = state["embeddings.patch_embeddings.projection.weight"]
    steps = range(0, pixels.shape[1], patch)
    patches = np.stack([pixels[:, y : y + patch, x : x + patch].ravel() for y in steps for x in steps])
    x = patches @ kernel.reshape(len(kernel), -1).T + state["embeddings.patch_embeddings.projection.bias"]
    x = np.concatenate([state["embeddings.cls_token"][0], x]) + state["embeddings.position_embeddings"][0]
    for layer in range(fields["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        normed = layer_norm(x, state, f"{at}norm1")
        q, k, v = (linear(normed, state, f"{at}attention.{name}_proj") for name in "qkv")
        mixed = linear(attend(q, k, v, fields["num_attention_heads"]), state, f"{at}attention.o_proj")
        x = x + state[f"{at}layer_scale1.lambda1"] * mixed
        inner = gelu(linear(layer_norm(x, state, f"{at}norm2"), state, f"{at}mlp.fc1"))
        x = x + state[f"{at}layer_scale2.lambda1"] * linear(inner, state, f"{at}mlp.fc2")
    return layer_norm(x, state, "layernorm")[1:]


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight)


def rotate(x: Array, width: int, base: float = 10000.0) -> Array:
    """Rotary positions (Su et al. 2021) in Llama's pairing: first half with second half of each head."""
    angles = np.arange(len(x))[:, None] / base ** (np.arange(0, width, 2) / width)
    cos, sin = np.cos(angles), np.sin(angles)
    turned = []
    for start in range(0, x.shape[1], width):
        a, b = x[:, start : start + width // 2], x[:, start + width // 2 : start + width]
        turned += [a * cos - b * sin, b * cos + a * sin]
    return np.concatenate(turned, axis=1)


def llama(x: Array, model: FacialLM) -> Array:
    """(T, C) embeddings -> (T, V) logits: Touvron et al. 2023, grouped queries."""
    config, state = model.config.text_config, state_of(model.model.language_model)
    width = config.hidden_size // config.num_attention_heads
    mask = np.triu(np.full((len(x), len(x)), -np.inf), 1)
    for layer in range(config.num_hidden_layers):
        at = f"layers.{layer}."
        normed = rms_norm(x, state[f"{at}input_layernorm.weight"], config.rms_norm_eps)
        q, k, v = (linear(normed, state, f"{at}self_attn.{name}_proj") for name in "qkv")
        mixed = attend(rotate(q, width), rotate(k, width), v, config.num_attention_heads, mask)
        x = x + linear(mixed, state, f"{at}self_attn.o_proj")
        normed = rms_norm(x, state[f"{at}post_attention_layernorm.weight"], config.rms_norm_eps)
        gate, up = linear(normed, state, f"{at}mlp.gate_proj"), linear(normed, state, f"{at}mlp.up_proj")
        x = x + linear(gate / (1.0 + np.exp(-gate)) * up, state, f"{at}mlp.down_proj")
    return linear(rms_norm(x, state["norm.weight"], config.rms_norm_eps), state_of(model), "lm_head")


def answer_chance(model: FacialLM, ids: list[int], rows: dict[int, Array], start: int) -> float:
    """Π p(x_i | evidence, question, x_<i): EmoLA Eq. 2 and EMO-LLaMA Eq. 6, in ln."""
    table = state_of(model.model.language_model)["embed_tokens.weight"]
    left = {token: iter(values) for token, values in rows.items()}
    embeds = np.stack([next(left[token]) if token in left else table[token] for token in ids])
    chances = np.log(softmax(llama(embeds, model)))
    return float(sum(chances[place - 1, ids[place]] for place in range(start, len(ids))))


def build(config: Any) -> FacialLM:
    torch.manual_seed(0)
    model = FacialLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


@pytest.mark.parametrize("module", [au_llava, expllm])
def test_au_llava_equations_1_and_2(module: Any) -> None:
    """A = Φ_L(Φ_P(Φ_V(I)), T): DINOv2, projector and Llama; one layer for AU-LLaVA, two for ExpLLM."""
    model = build(module.configure("tiny"))
    pixels = torch.randn(1, 3, 28, 28)
    entry = model.config.evidence["image"]
    seen = dinov2(
        pixels[0].double().numpy(),
        state_of(model, "model.encoders.image.model."),
        dict(entry["encoder"]["config"]),
    )
    projector = state_of(model, "model.projectors.image.")
    rows = (
        seen @ projector["weight"].T + projector["bias"]
        if module is au_llava
        else two_layers(seen, projector)
    )
    ids = [1, 9, *[-200] * entry["rows"], 5, 6, 7]
    table = state_of(model.model.language_model)["embed_tokens.weight"]
    embeds = np.concatenate([table[[1, 9]], rows, table[[5, 6, 7]]])
    with torch.no_grad():
        got = model(input_ids=torch.tensor([ids]), evidence={"image": pixels}).logits[0]
    np.testing.assert_allclose(got.numpy(), llama(embeds, model), atol=2e-4)


def test_emola_equations_1_and_2() -> None:
    """H_p = g_θ(Z_P) is one row; the answer's likelihood is the product over its tokens."""
    model = build(emola.configure("tiny", layout="prior"))
    prior = torch.randn(1, 212)
    expected = two_layers(prior.double().numpy(), state_of(model, "model.projectors.prior."))
    with torch.no_grad():
        got = model.model.project("prior", prior)[0]
    assert got.shape == (1, 32)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)
    answers = [[1, -201, 8, 20, 30, 31], [1, -201, 8, 20, 32, 33, 34], [1, -201, 8, 20, 35]]
    scores = Readouts(model).label_scores([answers], {"prior": prior})[0]
    chances = [answer_chance(model, ids, {-201: expected}, 4) for ids in answers]
    np.testing.assert_allclose(scores, chances, atol=2e-4)


def test_emo_llama_equations_5_and_6() -> None:
    """[H^T, H^V, H^L] = three MLPs of what Eq. 2 and 3 give; the likelihood of an answer rests on them."""
    model = build(emo_llama.configure("tiny"))
    ids = torch.tensor([[5, 6, 7]])
    frame = {
        "pixels": torch.randn(1, 3, 28, 28), "instruction_ids": ids, "instruction_mask": torch.ones_like(ids),
        "face": torch.randn(1, 49, 8), "landmarks": torch.randn(1, 68, 2).clamp(-1, 1),
    }  # fmt: skip
    encoder = model.model.encoders["image"]
    with torch.no_grad():
        visual = encoder.tower(frame["pixels"])
        clue = encoder.aggregator(visual, frame["face"], ids, frame["instruction_mask"])
        mined = encoder.mining(visual[:, 1:], frame["face"], frame["landmarks"])
        got = model.model.project("image", frame)[0].numpy()
    parts = {"clue": clue, "visual": mined, "landmarks": frame["landmarks"].flatten(1)}
    state = state_of(model, "model.encoders.image.projectors.")
    expected = np.concatenate(
        [two_layers(value.double().numpy(), state, f"{name}.") for name, value in parts.items()]
    )
    np.testing.assert_allclose(got, expected, atol=1e-4)
    answers = [[1, -200, -200, -200, 8, 20, 21], [1, -200, -200, -200, 8, 22, 23, 24]]
    scores = Readouts(model).label_scores([answers], {"image": frame})[0]
    chances = [answer_chance(model, row, {-200: expected}, 5) for row in answers]
    np.testing.assert_allclose(scores, chances, atol=5e-4)


def conv_norm(x: Array, state: State, conv: str, norm: str) -> Array:
    """Convolution of kernel 1 over (..., C) and batch normalisation in evaluation."""
    y = x @ state[f"{conv}.weight"][:, :, 0].T
    y = (y - state[f"{norm}.running_mean"]) / np.sqrt(state[f"{norm}.running_var"] + 1e-5)
    return np.asarray(y * state[f"{norm}.weight"] + state[f"{norm}.bias"])


def residual(x: Array, state: State, at: str) -> Array:
    inner = np.maximum(conv_norm(x, state, f"{at}net1.0", f"{at}net1.1"), 0.0)
    return np.asarray(np.maximum(conv_norm(inner, state, f"{at}net2.0", f"{at}net2.1") + x, 0.0))


def farthest(points: Array, count: int) -> list[int]:
    chosen = [0]
    while len(chosen) < count:
        distance = ((points[:, None] - points[chosen]) ** 2).sum(2).min(1)
        chosen.append(int(distance.argmax()))
    return chosen


def test_facephi_equation_1() -> None:
    """e = M_Encoder(w): PointMLP (Ma et al. 2022) from its equations, one cloud."""
    torch.manual_seed(0)
    model = PointMLP("tiny", points=32, neighbors=6)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "affine_beta")):
            tensor.normal_(0.0, 0.2, generator=generator)
        elif name.endswith(("running_var", "affine_alpha")):
            tensor.uniform_(0.5, 1.5, generator=generator)
    cloud = torch.randn(1, 40, 3, generator=generator)
    state, points = state_of(model.eval()), cloud[0].double().numpy()
    features = np.maximum(conv_norm(points, state, "embedding.net.0", "embedding.net.1"), 0.0)
    for stage in range(2):
        anchors = farthest(points, 32 // 2 ** (stage + 1))
        distance = ((points[anchors][:, None] - points) ** 2).sum(2)
        near = distance.argsort(axis=1)[:, :6]
        offsets = features[near] - features[anchors][:, None]
        offsets = offsets / (offsets.std(ddof=1) + 1e-5)
        at = f"local_grouper_list.{stage}.affine_"
        offsets = offsets * state[f"{at}alpha"][0] + state[f"{at}beta"][0]
        groups = np.concatenate([offsets, np.broadcast_to(features[anchors][:, None], offsets.shape)], axis=2)
        at = f"pre_blocks_list.{stage}."
        x = np.maximum(conv_norm(groups, state, f"{at}transfer.net.0", f"{at}transfer.net.1"), 0.0)
        x = residual(x, state, f"{at}operation.0.").max(axis=1)
        features, points = residual(x, state, f"pos_blocks_list.{stage}.operation.0."), points[anchors]
    e = features.max(axis=0)
    for layer, norm in ((0, 1), (4, 5)):
        e = linear(e, state, f"classifier.{layer}")
        mean, variance = (state[f"classifier.{norm}.running_{kind}"] for kind in ("mean", "var"))
        e = (e - mean) / np.sqrt(variance + 1e-5)
        e = np.maximum(e * state[f"classifier.{norm}.weight"] + state[f"classifier.{norm}.bias"], 0.0)
    with torch.no_grad():
        got = model(cloud)[0].numpy()
    np.testing.assert_allclose(got, e, atol=1e-4)
    assert np.abs(e).max() > 0.05
