"""Number formats of a model's parts: what learns is float32, and a finished model has one format."""

from __future__ import annotations

import re

import torch
from torch import nn

from mien.models.composite.facial_lm import FacialLM

__all__ = ["freeze_in", "learn_in_float32", "one_precision"]

_HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}

_PART = re.compile(r"model\.(?:encoders|projectors)\.[^.]+|model\.language_model|[^.]+|")


def learn_in_float32(model: nn.Module) -> None:
    """Bring what learns to float32, whatever its base is in; mixed precision computes faster but never updates.

    In float16 the optimiser's eps of 1e-8 is 0, in bfloat16 a step of 1/256 of a weight is lost. Adapters alone learn
    beside a base that stays as it is. An encoder, projector, decoder or head of which anything else learns becomes
    float32 as a whole, running statistics included, so that it also computes outside of mixed precision.
    """
    parts: dict[str, None] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if not parameter.requires_grad:
            continue
        if ".lora_" in name:
            parameter.data = parameter.data.float()
        else:
            found = _PART.match(name.rpartition(".")[0])
            assert found is not None
            parts[found[0]] = None
    for part in parts:
        model.get_submodule(part).float()


def freeze_in(model: nn.Module, precision: str) -> None:
    """Bring what is frozen in one half precision to the other, where a stage computes in that; float32 stays.

    A float16 decoder under bfloat16 would add the two up to float32, which its norms do not read everywhere.

    Args:
        model: frozen for the stage.
        precision: of the stage: ``"fp32"``, ``"fp16"`` or ``"bf16"``.
    """
    own = _HALVES.get(precision)
    for tensor in () if own is None else (*model.parameters(), *model.buffers()):
        if not tensor.requires_grad and tensor.dtype in _HALVES.values():
            tensor.data = tensor.data.to(own)


@torch.no_grad()
def one_precision(model: FacialLM) -> FacialLM:
    """Encoders, projectors and head in the decoder's precision, in which a folder is read back; the same model.

    The decoder's is its file's, or that of its last stage; float32 after one that trained it.
    """
    dtype = next(model.get_input_embeddings().parameters()).dtype
    for part in (model.model.encoders, model.model.projectors, model.lm_head):
        part.to(dtype)
    return model
