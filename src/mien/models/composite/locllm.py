"""LocLLM's shape, on which AU-LLaVA and ExpLLM are built: DINOv2's rows through a projector into a causal LM.

AU-LLaVA shares an author and hyper-parameters with it; ExpLLM's released code carries its licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mien.models.composite.backbones import at_scale, decoder_fields, vision_evidence
from mien.models.composite.facial_lm import FacialLMConfig

__all__ = ["DECODER_TARGET", "PROJECTOR", "TOWER_TARGET", "compose"]

TOWER_TARGET = r"model\.encoders\.image\.model\.encoder\.layer\.\d+\.attention\.[qv]_proj"
DECODER_TARGET = r"model\.language_model\.layers\.\d+\.self_attn\.[qv]_proj"
"""Names of the layers that get adapters: queries and values."""
PROJECTOR = ("model.projectors.image.",)

_SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"decoder": "vicuna-7b", "tower": "dinov2-l", "image": 224},
        "base": {"decoder": "qwen3-0.6b", "tower": "dinov2-s", "image": 224},
        "small": {"decoder": "llama-small", "tower": "dinov2-small", "image": 112},
        "tiny": {"decoder": "llama-tiny", "tower": "dinov2-tiny", "image": 28},
    }
)


def compose(
    scale: str,
    vocabulary: int | None,
    projector: str,
    decoder: str | None,
    tower: str | None,
    image_size: int | None,
) -> FacialLMConfig:
    """The composite's configuration.

    Args:
        scale: one of `mien.models.composite.backbones.SCALES`.
        vocabulary: of the tokenizer, where it is not the decoder's own.
        projector: see `mien.layers.projectors.make_projector`.
        decoder: another decoder: a name in `mien.models.composite.backbones`, a folder or a hub id.
        tower: another vision tower, likewise.
        image_size: side of its pictures in px.
    """
    shape = at_scale(_SCALES, scale)
    seen = vision_evidence(tower or shape["tower"], image_size or shape["image"], projector, -200)
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    return FacialLMConfig(text_config=text, evidence={"image": seen})
