"""Frozen decoders in 8 or 4 bits (LLM.int8; QLoRA's NF4) by bitsandbytes: a 7B base for adapters on one small GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mien.core.errors import BadConfig, require

__all__ = ["BITS", "quantise"]

BITS = (4, 8)


def quantise(decoder: nn.Module, bits: int, device: torch.device | str | None = None) -> int:
    """Hold the linear layers of a decoder in 8 or 4 bits; embeddings, norms and what lies outside stay whole.

    Args:
        decoder: a composite's ``model.language_model``. It cannot be trained or saved whole afterwards.
        bits: 4 (NF4 with nested constants, computing in the precision that the layer had) or 8.
        device: where the layers end up; by default where they are.

    Returns:
        How many layers there were.

    Raises:
        BadConfig: another number of bits.
        MissingDependency: bitsandbytes is not installed.
    """
    if bits not in BITS:
        raise BadConfig(got=f"bits {bits!r}", expected="4, 8 or None", fix="Choose one of these")
    nets = require("bitsandbytes", extra="quant", purpose="weights in 8 or 4 bits").nn
    found = [(name, layer) for name, layer in decoder.named_modules() if type(layer) is nn.Linear]
    for name, layer in found:
        parent, _, child = name.rpartition(".")
        smaller = _layer(nets, layer, bits).to(layer.weight.device if device is None else device)
        setattr(decoder.get_submodule(parent), child, smaller)
    return len(found)


def _layer(nets: Any, layer: nn.Linear, bits: int) -> nn.Module:
    """A layer that quantises these weights once it is moved to a device."""
    weight = layer.weight.detach().cpu()
    shape = (layer.in_features, layer.out_features)
    made: nn.Module
    with torch.device("meta"):
        if bits == 8:
            # 6: the published threshold of activations that are computed apart.
            made = nets.Linear8bitLt(
                *shape, bias=layer.bias is not None, has_fp16_weights=False, threshold=6.0
            )
        else:
            made = nets.Linear4bit(
                *shape, bias=layer.bias is not None, compute_dtype=weight.dtype, quant_type="nf4"
            )
    if bits == 8:
        made.weight = nets.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    else:
        made.weight = nets.Params4bit(weight, requires_grad=False, quant_type="nf4", module=made)
    made.bias = layer.bias
    return made
