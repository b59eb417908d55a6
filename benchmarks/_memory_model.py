"""Peak memory of a system by formula: weights, key-value cache, activations, gradients and optimiser state.

Every term is counted from the configuration; what the framework itself holds is not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.systems import Stage, prepare

MEMORY = 1e6
"""Bytes of one MB."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the formulas need of a composite."""

    parameters: int
    decoder_linear: int
    """Weights of the decoder's linear layers: what 4 bits would hold."""
    learning: int
    layers: int
    hidden: int
    inner: int
    groups: int
    """Width of keys, and of values."""
    vocabulary: int
    tower_rows: int
    tower_width: int
    tower_layers: int
    tower_learns: bool
    kept_inner: int
    """Values of the MLP's inner width that a layer keeps for the backward pass: a frozen layer keeps no input."""
    adapted: tuple[int, int]
    """Inputs that adapters keep per decoder layer behind their dropout: of the hidden width, of the inner width."""


def sizes_of(config: FacialLMConfig, stage: Stage) -> Sizes:
    """Counted on the meta device, nothing is allocated."""
    text: Any = config.text_config
    with torch.device("meta"):
        model = FacialLM(config)
        parameters = sum(p.numel() for p in model.parameters())
        layers = [m for m in model.model.language_model.modules() if isinstance(m, torch.nn.Linear)]
        linear = sum(layer.weight.numel() for layer in layers)
        names = set(prepare(model, stage))
    learning = {name: p.numel() for name, p in model.named_parameters() if name in names}
    entry = config.evidence.get("image", {"rows": 1, "encoder": {}})
    tower = entry["encoder"].get("config") or entry["encoder"].get("tower") or {}
    heads = text.num_attention_heads
    groups = (getattr(text, "num_key_value_heads", None) or heads) * (text.hidden_size // heads)
    patches = (int(tower.get("image_size", 0)) // int(tower.get("patch_size", 1))) ** 2 if tower else 0
    # Adapters on every projection (q, k, v, o, gate, up; down), or on q and v.
    adapted = (0, 0) if stage.lora is None else (6, 1) if stage.lora.rank >= 64 else (2, 0)
    kept_inner = 2 if text.model_type == "phi" else 4 if stage.lora is None else 3
    return Sizes(
        parameters, linear, sum(learning.values()), text.num_hidden_layers, text.hidden_size,
        text.intermediate_size, groups, text.vocab_size, max(patches, entry["rows"]) if patches else 0,
        int(tower.get("hidden_size", 0)), int(tower.get("num_hidden_layers", 0)),
        any(name.startswith("model.encoders.") and ".lora_" in name for name in names), kept_inner, adapted,
    )  # fmt: skip


def inference_bytes(size: Sizes, tokens: int, batch: int, width: int, bits: int | None = None) -> float:
    """Peak of a prefill that keeps its cache and the logits of the last place.

    Args:
        tokens: prompt and answer.
        width: bytes per value.
        bits: of the decoder's linear layers, where they are quantised (blocks' scales included).
    """
    held = float(size.parameters * width)
    if bits is not None:
        held += size.decoder_linear * ((bits + 0.127) / 8.0 - width)
    cache = 2.0 * size.layers * size.groups * tokens * batch * width
    rows = tokens * batch
    # Widest moment of a layer: its input, the gate, the product and one of them anew.
    layer = rows * (3.0 * size.hidden + 3.0 * size.inner) * width
    tower = size.tower_rows * batch * size.tower_width * (3.0 + 3.0 * 4.0) * width
    return held + cache + max(layer, tower) + batch * size.vocabulary * 4.0


def training_bytes(
    size: Sizes, tokens: int, batch: int, width: int, checkpointing: bool, bits: int | None = None
) -> float:
    """Peak of one step with AdamW; what learns is held in 32 bits, with its gradient and two moments.

    Args:
        tokens: length of a sample; the loss is computed over all of it.
        checkpointing: keep each layer's input only and compute the layer again (the decoder; the tower keeps all).
    """
    held = float((size.parameters - size.learning) * width) + size.learning * 16.0
    if bits is not None:
        held += size.decoder_linear * ((bits + 0.127) / 8.0 - width)
    rows = float(tokens * batch)
    # Kept for the backward pass of one layer: two norms' inputs and outputs, rotated queries and keys, values, the
    # mixture and residuals; the MLP's gate, its activation and up, and the product where its layer learns.
    layer = rows * width * (8.0 * size.hidden + 2.0 * size.groups + size.kept_inner * size.inner)
    layer += rows * width * (size.adapted[0] * size.hidden + size.adapted[1] * size.inner)
    kept = size.layers * rows * size.hidden * width + layer if checkpointing else size.layers * layer
    tower = 0.0
    if size.tower_learns:
        tower = size.tower_layers * size.tower_rows * batch * size.tower_width * 18.0 * width
    # Logits, their log-probabilities and the gradient in 32 bits; in half precision also a copy, and its gradient.
    logits = rows * size.vocabulary * (12.0 if width == 4 else 16.0)
    return held + kept + tower + logits
