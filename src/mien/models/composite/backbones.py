"""Decoders and vision towers of the systems, as data: the published shapes, and three smaller scales.

At scale ``paper`` the shapes are those of the released weights named in `WEIGHTS`; ``base`` pairs small open backbones
of today that one consumer GPU trains; ``small`` trains on a CPU; ``tiny`` is what tests build. Any other backbone is
named by its folder or hub id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from mien.core.errors import BadConfig, MissingWeights, reason_of, require_known

__all__ = [
    "BASE_END",
    "DECODERS",
    "SCALES",
    "TOWERS",
    "WEIGHTS",
    "at_scale",
    "decoder_fields",
    "own_head",
    "tower_fields",
    "vision_evidence",
]

SCALES: tuple[str, ...] = ("paper", "base", "small", "tiny")
BASE_END = "<|endoftext|>"
"""End token of the decoders of scale ``base``, and of Phi-2."""
_T = TypeVar("_T")
_LOGIT_SCALES = {"final_logit_softcapping": None, "logit_scale": 1.0, "logits_scaling": 1.0}
"""Decoders that rescale logits after the head; only their own class does it right."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

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
        "qwen3-0.6b": {
            "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
            "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
            "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            "bos_token_id": 151643, "eos_token_id": 151643, "pad_token_id": 151643,
        },
        "smollm2-135m": {
            "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e5},
            "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
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
        "dinov2-s": {
            "model_type": "dinov2", "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6,
            "image_size": 518, "patch_size": 14,
        },
        "siglip-b": {
            "model_type": "siglip_vision_model", "hidden_size": 768, "intermediate_size": 3072,
            "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224, "patch_size": 16,
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
        "qwen3-0.6b": "Qwen/Qwen3-0.6B-Base",
        "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",
        "dinov2-s": "facebook/dinov2-small",
        "siglip-b": "google/siglip-base-patch16-224",
    }
)
"""Where the weights of a shape are published, as a hub id; a local folder serves as well."""


def at_scale(table: Mapping[str, _T], scale: str) -> _T:
    """The entry of a scale or of a named backbone.

    Raises:
        BadConfig: unknown name.
    """
    require_known(scale, table, "scale or backbone")
    return table[scale]


def _fields(table: Mapping[str, Mapping[str, Any]], name: str, part: str) -> dict[str, Any]:
    """Fields of a backbone in a table, or of the configuration in a folder or under a hub id."""
    if name in table:
        return dict(table[name])
    if not (Path(name).is_dir() or _HUB_ID.fullmatch(name)):
        raise BadConfig(
            got=f"backbone {name!r}",
            expected=f"one of {', '.join(table)}, a folder, or a hub id such as 'facebook/dinov2-small'",
        )
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MissingWeights(
            got=f"{name} without a configuration that transformers reads ({reason_of(error)})",
            expected="a folder with config.json, or a hub id that can be reached; code beside it is never run",
            fix="Download the backbone and pass its folder",
        ) from error
    fields = cast(dict[str, Any], getattr(config, part, config).to_dict())
    # The precision of that file is none of the model's that is built.
    return {name: value for name, value in fields.items() if name not in ("dtype", "torch_dtype")}


def decoder_fields(name: str, vocabulary: int | None = None) -> dict[str, Any]:
    """Fields of a decoder's configuration, for a vocabulary of that size where one is given.

    Args:
        name: a key of `DECODERS`, a folder or a hub id.
        vocabulary: of the tokenizer, where it is not the decoder's own.

    Raises:
        BadConfig: no such decoder.
        MissingWeights: the folder holds no configuration, or the hub cannot be reached.
    """
    fields = _fields(DECODERS, name, "text_config")
    return fields if vocabulary is None else {**fields, "vocab_size": vocabulary}


def tower_fields(name: str) -> dict[str, Any]:
    """Fields of a vision tower's configuration: a key of `TOWERS`, a folder or a hub id.

    Raises:
        BadConfig: no such tower.
        MissingWeights: as `decoder_fields`.
    """
    return _fields(TOWERS, name, "vision_config")


def vision_evidence(
    tower: str, image_size: int, projector: str, token_id: int, layer: int | str = "final"
) -> dict[str, Any]:
    """Evidence entry of one picture through a tower and a projector: a row per patch, no class token.

    Args:
        tower: a key of `TOWERS`, a folder or a hub id.
        image_size: side of the picture in px.
        projector: see `mien.layers.projectors.make_projector`.
        token_id: of the placeholder.
        layer: see `VisionTower`.

    Raises:
        BadConfig: no such tower, or the size is no multiple of its patches.
        MissingWeights: as `decoder_fields`.
    """
    fields = tower_fields(tower)
    patch = int(fields["patch_size"])
    if image_size % patch:
        raise BadConfig(
            got=f"pictures of {image_size} px for patches of {patch} px",
            expected="a multiple",
            fix=f"Pass image_size={image_size // patch * patch or patch}",
        )
    return {
        "encoder": {"type": "vision", "config": fields, "layer": layer},
        "width": fields["hidden_size"],
        "rows": (image_size // patch) ** 2,
        "projector": {"type": projector},
        "token_id": token_id,
    }


def own_head(text_config: PreTrainedConfig, decoder: PreTrainedModel | None) -> nn.Linear:
    """The head of a decoder, or where none is given one of its shape without values.

    Raises:
        BadConfig: the decoder has no linear head, or rescales its logits after it.
    """
    for name, neutral in _LOGIT_SCALES.items():
        if getattr(text_config, name, neutral) not in (neutral, None):
            raise BadConfig(
                got=f"a decoder with {name}={getattr(text_config, name)}",
                expected="one whose logits are its head's output",
                fix="Choose another decoder, such as a Llama, Qwen or Phi model",
            )
    if decoder is None:
        with torch.device("meta"):
            decoder = AutoModelForCausalLM.from_config(text_config, trust_remote_code=False)
    head = decoder.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise BadConfig(
            got=f"a decoder whose head is {type(head).__name__}",
            expected="a linear head",
            fix="Choose another decoder",
        )
    return head
