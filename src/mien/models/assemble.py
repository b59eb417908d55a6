"""A system with the pretrained parts that it starts from: its decoder and its vision tower, from disk or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from mien.core.errors import BadConfig, MissingWeights, require
from mien.layers.vision_tower import VisionTower
from mien.models.facial_lm import FacialLM
from mien.models.systems import System

__all__ = ["assemble"]

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def assemble(
    system: System,
    scale: str,
    weights: Mapping[str, str],
    *,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    bits: Literal[4, 8, None] = None,
    attention: str | None = None,
    **options: Any,
) -> FacialLM:
    """The composite with pretrained weights in its decoder and its tower, new ones in the rest.

    Args:
        system: the system.
        scale: its scale; with ``decoder=`` and ``tower=`` among the options, any other backbones.
        weights: part (``"decoder"``, ``"image"``) -> folder or hub id.
        precision: of all weights.
        bits: hold the decoder's linear layers in 8 or 4 bits (QLoRA's NF4), by bitsandbytes; the head, encoders and
            projectors stay whole. For adapters: the stage must not train the decoder itself.
        attention: ``"sdpa"``, ``"flash_attention_2"`` …; transformers' choice by default.
        options: of ``system.configure``.

    Raises:
        BadConfig: an unknown precision or number of bits, or weights of another shape than the scale's.
        MissingWeights: a part that is needed was not named, or cannot be read.
        MissingDependency: bits without bitsandbytes.
    """
    published = system.base_weights if scale == "base" else system.weights
    absent = [part for part in published if part not in weights]
    if absent:
        raise MissingWeights(
            got=f"no weights for {' and '.join(absent)} of {system.name}",
            expected=", ".join(f"{part}: published as {published[part]}" for part in absent),
            fix=f"Download {published[absent[0]]} and pass weights={{'{absent[0]}': FOLDER, …}}",
        )
    if precision not in _PRECISIONS or bits not in (4, 8, None):
        raise BadConfig(
            got=f"precision {precision!r}, bits {bits!r}",
            expected=f"one of {', '.join(_PRECISIONS)}; 4, 8 or None",
            fix="Choose one of these",
        )
    dtype = _PRECISIONS[precision]
    config = system.configure(scale, **options)
    extra: dict[str, Any] = {} if bits is None else {"quantization_config": _quantized(bits, dtype)}
    if attention is not None:
        extra["attn_implementation"] = attention
    decoder = _open(AutoModelForCausalLM, weights["decoder"], "decoder", dtype=dtype, **extra)
    expected = cast(Any, config.text_config).hidden_size
    found = decoder.config.hidden_size
    if expected != found:
        raise BadConfig(
            got=f"a decoder of width {found}",
            expected=f"{expected}, as scale {scale!r} of {system.name} says",
            fix=f"Pass decoder={weights['decoder']!r} to build the system around it",
        )
    model = FacialLM.from_decoder(decoder, config.evidence)
    for name, encoder in model.model.encoders.items():
        tower = next((part for part in encoder.modules() if isinstance(part, VisionTower)), None)
        if tower is not None and name in weights:
            _fill(tower, weights[name], name)
        encoder.to(dtype)
        model.model.projectors[name].to(dtype)
    return model


def _quantized(bits: int, dtype: torch.dtype) -> Any:
    require("bitsandbytes", extra="quant", purpose="weights in 8 or 4 bits")
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _open(kind: Any, place: str, part: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(place, **options)
    except (OSError, ValueError) as error:
        raise MissingWeights(
            got=f"{place} for the {part}, which transformers cannot open ({str(error).splitlines()[0]})",
            expected="a folder with config.json and weights, or a hub id that can be reached",
            fix="Download it and pass its folder",
        ) from error


def _fill(tower: VisionTower, place: str, name: str) -> None:
    source = cast(nn.Module, _open(type(tower.model), place, name))
    try:
        report = tower.model.load_state_dict(source.state_dict(), strict=False)
    except RuntimeError as error:
        raise BadConfig(
            got=f"weights of another shape in {place} ({str(error).splitlines()[-1].strip()})",
            expected=f"the tower that the configuration of {name!r} describes",
            fix=f"Pass tower={place!r} to build the system around it",
        ) from error
    if report.missing_keys:
        raise MissingWeights(
            got=f"{place} without {len(report.missing_keys)} weights such as {report.missing_keys[0]}",
            expected=f"all weights of the tower of {name!r}",
            fix=f"Pass tower={place!r} to build the system around it",
        )
