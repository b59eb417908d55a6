"""A stage's adapters in PEFT's own layout: for the decoder alone, as PEFT and vLLM load it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mien.core.errors import BadConfig, MissingWeights
from mien.models.composite.adapters import SETTINGS, WEIGHTS

__all__ = ["export_peft"]

_DECODER = re.compile(r"model\.language_model\.(.+\.lora_[AB])\.default\.weight")


def export_peft(adapters: Path, out: Path, dtype: torch.dtype = torch.float32) -> list[str]:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json``, and the rest in ``trained.safetensors``.

    Encoders and projectors are no part of the decoder; what was trained of them keeps our names.

    Args:
        adapters: folder of `mien.models.composite.adapters.save_adapters`.
        out: an existing folder.
        dtype: of the tensors.

    Returns:
        The names of the decoder's tensors.

    Raises:
        MissingWeights: the folder cannot be read.
        BadConfig: it holds no adapter of the decoder.
    """
    try:
        lora = json.loads((adapters / SETTINGS).read_text(encoding="utf-8"))["lora"]
        values = load_file(adapters / WEIGHTS)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise MissingWeights(
            got=f"{adapters} without readable adapters ({str(error).splitlines()[0]})",
            expected=f"{SETTINGS} and {WEIGHTS}",
            fix="Pass the adapter folder of a training stage",
        ) from error
    ours = {key: match for key in values if (match := _DECODER.fullmatch(key)) is not None}
    if lora is None or not ours:
        raise BadConfig(
            got=f"{adapters}, in which the decoder has no adapter",
            expected="a stage with adapters on the decoder",
            fix="Export the whole model instead",
        )
    named = {
        f"base_model.model.model.{match[1]}.weight": values[key].to(dtype) for key, match in ours.items()
    }
    LoraConfig(
        r=int(lora["rank"]),
        lora_alpha=int(lora["alpha"]),
        lora_dropout=float(lora["dropout"]),
        target_modules=sorted({match[1].split(".")[-2] for match in ours.values()}),
        task_type="CAUSAL_LM",
    ).save_pretrained(str(out))
    save_file(named, out / "adapter_model.safetensors")
    rest = {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in values.items()
        if key not in ours
    }
    if rest:
        save_file(rest, out / "trained.safetensors")
    return sorted(named)
