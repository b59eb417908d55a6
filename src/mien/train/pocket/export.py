"""Trained pocket weights -> ONNX graphs that run without torch.

Five graphs: the evidence encoders in one pass, the last word on AUs, the emotion of the crop, what is hidden, and one
decoder step with a key-value cache that serves prefill and generation alike. Large weights are stored as float16 or
int8.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from mien.core.aus import AU_SETS, level_position
from mien.core.emotions import EMOTIONS
from mien.core.nouns import FloatArray
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.evidence import PocketEvidence
from mien.models.pocket.expression import PocketExpression
from mien.models.pocket.inputs import LANDMARK_FEATURES, PRIOR_ROWS, PRIOR_WIDTH
from mien.models.pocket.regions import REGIONS_SIZE, PocketRegions
from mien.models.pocket.units import PocketUnits

__all__ = [
    "DecoderStep",
    "export_decoder",
    "export_evidence",
    "export_expression",
    "export_regions",
    "export_units",
    "int8_codes",
    "store_half",
    "store_int8",
]

_OPSET = 17


class _EvidenceGraph(nn.Module):
    """Evidence encoders and the composite's projectors in one pass."""

    def __init__(self, net: PocketEvidence, composite: FacialLM) -> None:
        super().__init__()
        self.net, self.projectors = net, composite.model.projectors

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.net(*inputs)
        intensity = self.net.calibrate(torch.sigmoid(out.au_logits))
        rows = [self.projectors["image"](out.visual), self.projectors["landmark"](out.shape)]
        return intensity, out.emotion_logits, torch.cat(rows, dim=1)


def export_evidence(net: PocketEvidence, composite: FacialLM, path: Path) -> None:
    """One graph from inputs to AU intensities, classifier logits and the decoder's rows of crop and landmarks.

    Inputs crop (N, 1, S, S), landmarks (N, F), has_crop (N,), has_landmarks (N,), detail (N, 1, S, S), has_detail (N,);
    outputs aus (N, 22) calibrated,
    emotion_logits (N, 8), rows (N, 6, D) of crop and landmarks in prompt order.
    """
    size, features = net.config.crop_size, net.config.landmark_features
    crop, there = torch.rand(2, 1, size, size), torch.ones(2)
    example = (crop, torch.randn(2, features), there, there, crop, there)
    names = ["crop", "landmarks", "has_crop", "has_landmarks", "detail", "has_detail"]
    outputs = ["aus", "emotion_logits", "rows"]
    axes = {name: {0: "n"} for name in names + outputs}
    torch.onnx.export(
        _EvidenceGraph(net, composite).eval(), example, str(path), input_names=names, output_names=outputs,
        dynamic_axes=axes, opset_version=_OPSET, dynamo=False,
    )  # fmt: skip
    store_half(path)


class _UnitsGraph(nn.Module):
    """The last word on AUs, and the decoder's rows of what was measured."""

    def __init__(self, net: PocketUnits, projector: nn.Module) -> None:
        super().__init__()
        self.net, self.projector = net, projector

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        intensity, sides = self.net(*inputs)
        level = torch.floor(level_position(intensity))
        one_hot = (level[..., None] == torch.arange(6.0)).float()
        units = torch.cat([intensity[..., None], one_hot], dim=2)
        empty = PRIOR_ROWS * PRIOR_WIDTH // units.shape[2] - units.shape[1]
        prior = nn.functional.pad(units, (0, 0, 0, empty)).reshape(-1, PRIOR_ROWS, PRIOR_WIDTH)
        return intensity, sides, self.projector(prior)


def export_units(net: PocketUnits, projector: nn.Module, path: Path) -> None:
    """Inputs landmarks (N, F), has_landmarks (N,), has_crop (N,), aus (N, 22); outputs units (N, 22), sides (N, S) and
    rows (N, 4, D): what the composite's `projector` of the prior makes of them. Matrices are stored as int8.
    """
    names, outputs = ["landmarks", "has_landmarks", "has_crop", "aus"], ["units", "sides", "rows"]
    example = (
        torch.randn(2, LANDMARK_FEATURES),
        torch.ones(2),
        torch.ones(2),
        torch.rand(2, len(AU_SETS["pocket"])),
    )
    torch.onnx.export(
        _UnitsGraph(net, projector).eval(), example, str(path), input_names=names, output_names=outputs,
        dynamic_axes={name: {0: "n"} for name in names + outputs}, opset_version=_OPSET, dynamo=False,
    )  # fmt: skip
    store_int8(path)


class _RegionsGraph(nn.Module):
    """The net of hidden regions on crops as the evidence graph takes them."""

    def __init__(self, net: PocketRegions, size: int) -> None:
        super().__init__()
        self.net, self.shrink = net, nn.AvgPool2d(size // REGIONS_SIZE)

    def forward(self, crop: Tensor) -> Tensor:
        return torch.sigmoid(self.net(self.shrink(crop)))


def export_regions(net: PocketRegions, size: int, path: Path) -> None:
    """Input crop (N, 1, S, S), S = `size`; output hidden (N, 3): probabilities in the order of `HIDDEN_REGIONS`."""
    torch.onnx.export(
        _RegionsGraph(net, size).eval(), (torch.rand(2, 1, size, size),), str(path), input_names=["crop"],
        output_names=["hidden"], dynamic_axes={"crop": {0: "n"}, "hidden": {0: "n"}}, opset_version=_OPSET,
        dynamo=False,
    )  # fmt: skip
    store_half(path)


class _ExpressionGraph(nn.Module):
    """The emotion on crops as the evidence graph takes them."""

    def __init__(self, net: PocketExpression) -> None:
        super().__init__()
        self.net = net

    def forward(self, crop: Tensor, has_crop: Tensor, head: Tensor) -> tuple[Tensor, Tensor]:
        logits, told = self.net(crop, has_crop, head)
        return logits, told


def export_expression(net: PocketExpression, size: int, path: Path) -> None:
    """Inputs crop (N, 1, S, S), S = `size`, has_crop (N,), head (N, 8); outputs logits (N, 8), told (N, 6, D).

    Matrices and kernels are stored as int8.
    """
    names, outputs = ["crop", "has_crop", "head"], ["logits", "told"]
    example = (torch.rand(2, 1, size, size), torch.ones(2), torch.randn(2, len(EMOTIONS)))
    torch.onnx.export(
        _ExpressionGraph(net).eval(), example, str(path), input_names=names, output_names=outputs,
        dynamic_axes={name: {0: "n"} for name in names + outputs}, opset_version=_OPSET, dynamo=False,
    )  # fmt: skip
    store_int8(path)


def store_half(path: Path, smallest: int = 512) -> None:
    """Keep every float32 initializer of at least `smallest` values as float16 with a Cast behind it."""
    model = onnx.load(str(path))
    graph, casts = model.graph, []
    for index, tensor in enumerate(list(graph.initializer)):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < smallest:
            continue
        name = tensor.name
        half = numpy_helper.from_array(values.astype(np.float16), name + "_f16")
        graph.initializer[index].CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    onnx.save(model, str(path))


def int8_codes(values: FloatArray, axes: tuple[int, ...]) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Codes of the shape of `values` and the scale of each, alike along `axes`: values are about codes x scale."""
    scale = np.maximum(np.abs(values).max(axis=axes, keepdims=True), 1e-12) / 127.0
    return np.round(values / scale).astype(np.int8), scale.astype(np.float32)


def store_int8(path: Path) -> None:
    """Keep matrices as int8 with one scale per column, kernels with one per channel that they give.

    The runtime unfolds them once, when it loads the graph.

    Activations stay float32: with quantised activations a face's reading would depend on its batch.
    """
    model = onnx.load(str(path))
    graph, unfold = model.graph, []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim not in (2, 4):
            continue
        name, (codes, scale) = tensor.name, int8_codes(values, (0,) if values.ndim == 2 else (1, 2, 3))
        tensor.CopyFrom(numpy_helper.from_array(codes, name + "_i8"))
        graph.initializer.append(numpy_helper.from_array(scale, name + "_scale"))
        unfold.append(helper.make_node("Cast", [name + "_i8"], [name + "_f32"], to=TensorProto.FLOAT))
        unfold.append(helper.make_node("Mul", [name + "_f32", name + "_scale"], [name]))
    for node in reversed(unfold):
        graph.node.insert(0, node)
    onnx.save(model, str(path))


class DecoderStep(nn.Module):
    """One step of a Llama decoder on embeddings, with an explicit cache, written out for export.

    Args:
        composite: a `FacialLM` whose decoder is a Llama.

    Forward takes embeds (B, T, D), past_k and past_v (L, B, H, P, E); gives the logits of the last position
    (B, V) and the grown caches (L, B, H, P + T, E). Rows of a batch have equal length: no padding.
    """

    frequencies: Tensor

    def __init__(self, composite: FacialLM) -> None:
        super().__init__()
        self.llama, self.head = composite.model.language_model, composite.lm_head
        config = composite.config.text_config
        self.depth, self.hidden = config.num_hidden_layers, config.hidden_size
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.size = config.hidden_size // self.heads
        steps = torch.arange(0, self.size, 2, dtype=torch.float32) / self.size
        rope = getattr(config, "rope_parameters", None) or {}
        self.register_buffer("frequencies", 1.0 / (float(rope.get("rope_theta", 10000.0)) ** steps))

    def forward(self, embeds: Tensor, past_k: Tensor, past_v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        past, length = past_k.shape[3], embeds.shape[1]
        position = torch.arange(past, past + length, dtype=torch.float32)
        angle = torch.outer(position, self.frequencies).repeat(1, 2)  # (T, E)
        rotation = (angle.cos(), angle.sin())
        allowed = torch.arange(past + length)[None, :] <= torch.arange(past, past + length)[:, None]
        mask = torch.where(allowed, 0.0, float(torch.finfo(torch.float32).min))
        x, keys, values = embeds, [], []
        for index, layer in enumerate(self.llama.layers):
            out, k, v = self._attend(
                layer, layer.input_layernorm(x), rotation, mask, past_k[index], past_v[index]
            )
            x = x + out
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            keys.append(k)
            values.append(v)
        logits = self.head(self.llama.norm(x[:, -1]))
        return logits, torch.stack(keys), torch.stack(values)

    def _attend(
        self,
        layer: Any,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor,
        past_k: Tensor,
        past_v: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, length = x.shape[0], x.shape[1]
        attention = layer.self_attn
        q = attention.q_proj(x).view(batch, length, self.heads, self.size).transpose(1, 2)
        k = attention.k_proj(x).view(batch, length, self.groups, self.size).transpose(1, 2)
        v = attention.v_proj(x).view(batch, length, self.groups, self.size).transpose(1, 2)
        k = torch.cat([past_k, _rotate(k, rotation)], dim=2)
        v = torch.cat([past_v, v], dim=2)
        shared = self.heads // self.groups
        full_k, full_v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
        scores = _rotate(q, rotation) @ full_k.transpose(2, 3) / self.size**0.5 + mask
        out = torch.softmax(scores, dim=-1) @ full_v
        return attention.o_proj(out.transpose(1, 2).reshape(batch, length, self.heads * self.size)), k, v


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding (Su et al. 2021), half-split layout as in Llama."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * rotation[0] + turned * rotation[1]


def export_decoder(composite: FacialLM, path: Path) -> None:
    """Inputs embeds, past_k, past_v; outputs logits, present_k, present_v. Matrices are stored as int8."""
    step = DecoderStep(composite).eval()
    past = torch.zeros(step.depth, 2, step.groups, 3, step.size)
    axes = {
        "embeds": {0: "b", 1: "t"}, "past_k": {1: "b", 3: "p"}, "past_v": {1: "b", 3: "p"},
        "logits": {0: "b"}, "present_k": {1: "b", 3: "q"}, "present_v": {1: "b", 3: "q"},
    }  # fmt: skip
    example = (torch.randn(2, 4, step.hidden), past, past.clone())
    torch.onnx.export(
        step, example, str(path), input_names=["embeds", "past_k", "past_v"],
        output_names=["logits", "present_k", "present_v"], dynamic_axes=axes, opset_version=_OPSET, dynamo=False,
    )  # fmt: skip
    store_int8(path)
