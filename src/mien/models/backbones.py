"""Decoders and vision towers of the systems, as data: the published shapes, and two smaller scales.

At scale ``paper`` the shapes are those of the released weights named in `WEIGHTS`; ``small`` trains on a CPU;
``tiny`` is what tests build.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from mien.core.errors import BadConfig

__all__ = ["DECODERS", "SCALES", "TOWERS", "WEIGHTS", "at_scale", "decoder", "vision_evidence"]

SCALES: tuple[str, ...] = ("paper", "small", "tiny")
_T = TypeVar("_T")

_LLAMA = {"model_type": "llama", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
DECODERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "vicuna-7b": {
            **_LLAMA, "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
            "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
        },
        "phi-2": {
            "model_type": "phi", "vocab_size": 51200, "hidden_size": 2560, "intermediate_size": 10240,
            "num_hidden_layers": 32, "num_attention_heads": 32, "partial_rotary_factor": 0.4,
            "max_position_embeddings": 2048, "bos_token_id": 50256, "eos_token_id": 50256, "pad_token_id": 50256,
        },
        "llama-small": {
            **_LLAMA, "vocab_size": 2048, "hidden_size": 256, "intermediate_size": 704,
            "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4,
            "max_position_embeddings": 1024,
        },
        "phi-small": {
            "model_type": "phi", "vocab_size": 2048, "hidden_size": 256, "intermediate_size": 1024,
            "num_hidden_layers": 6, "num_attention_heads": 8, "partial_rotary_factor": 0.4,
            "max_position_embeddings": 1024, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1,
        },
        "llama-tiny": {
            **_LLAMA, "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        },
        "phi-tiny": {
            "model_type": "phi", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 4096,
            "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1,
        },
    }
)  # fmt: skip
"""Fields of a transformers configuration, by name."""

TOWERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "clip-l-336": {
            "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
            "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14,
        },
        # Built for 518 px; at 224 px its position embedding is interpolated.
        "dinov2-l": {
            "model_type": "dinov2", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
            "image_size": 518, "patch_size": 14, "drop_path_rate": 0.4,
        },
        "eva-g": {
            "model_type": "instructblip_vision_model", "hidden_size": 1408, "intermediate_size": 6144,
            "num_hidden_layers": 39, "num_attention_heads": 16, "image_size": 224, "patch_size": 14,
        },
        "clip-small": {
            "model_type": "clip_vision_model", "hidden_size": 192, "intermediate_size": 768,
            "num_hidden_layers": 6, "num_attention_heads": 3, "image_size": 112, "patch_size": 14,
        },
        "dinov2-small": {
            "model_type": "dinov2", "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3,
            "image_size": 112, "patch_size": 14,
        },
        # transformers' own initialisation of this tower, 1e-10, gives the same rows for every picture.
        "eva-small": {
            "model_type": "instructblip_vision_model", "initializer_range": 0.02,
            "hidden_size": 192, "intermediate_size": 768,
            "num_hidden_layers": 6, "num_attention_heads": 3, "image_size": 112, "patch_size": 14,
        },
        "clip-tiny": {
            "model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
        },
        "dinov2-tiny": {
            "model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14,
        },
        "eva-tiny": {
            "model_type": "instructblip_vision_model", "initializer_range": 0.02,
            "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
        },
    }
)  # fmt: skip
"""Fields of a transformers vision configuration, by name."""

WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "vicuna-7b": "lmsys/vicuna-7b-v1.5",
        "phi-2": "microsoft/phi-2",
        "clip-l-336": "openai/clip-vit-large-patch14-336",
        "dinov2-l": "facebook/dinov2-large",
        "eva-g": "Salesforce/instructblip-vicuna-7b",
    }
)
"""Where the weights of a shape are published, as a hub id; a local folder serves as well."""


def at_scale(table: Mapping[str, _T], scale: str) -> _T:
    """The entry of a scale or of a named backbone.

    Raises:
        BadConfig: unknown name.
    """
    if scale not in table:
        raise BadConfig(
            got=f"scale or backbone {scale!r}",
            expected=f"one of {', '.join(table)}",
            fix="Choose one of these",
        )
    return table[scale]


def decoder(name: str, vocabulary: int | None = None) -> dict[str, Any]:
    """Fields of a decoder's configuration, for a vocabulary of that size where one is given."""
    fields = dict(at_scale(DECODERS, name))
    return fields if vocabulary is None else {**fields, "vocab_size": vocabulary}


def vision_evidence(
    tower: str, image_size: int, projector: str, token_id: int, layer: int | str = "final"
) -> dict[str, Any]:
    """Evidence entry of one picture through a tower and a projector: a row per patch, no class token."""
    fields = at_scale(TOWERS, tower)
    return {
        "encoder": {"type": "vision", "config": dict(fields), "layer": layer},
        "width": fields["hidden_size"],
        "rows": (image_size // fields["patch_size"]) ** 2,
        "projector": {"type": projector},
        "token_id": token_id,
    }
