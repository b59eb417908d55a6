"""A stage's adapters in PEFT's own layout: of the decoder alone, as vLLM loads them too, and of the whole composite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mien.core.errors import BadConfig, MissingWeights, reason_of
from mien.core.objects import read_json
from mien.core.paths import let_read
from mien.models.composite.adapters import SETTINGS, WEIGHTS

__all__ = ["COMPOSITE", "export_peft"]

COMPOSITE = "composite"
_DECODER, _A = "model.language_model.", ".lora_A.default.weight"


def export_peft(adapters: Path, out: Path, dtype: torch.dtype = torch.float32) -> list[str]:
    """Write the decoder's adapter into a folder, and all that was trained into its folder `COMPOSITE`.

    The first goes on the bare decoder, the second on the `FacialLM` that was trained; each names what it goes on where
    the run knew it, and its layers by their whole paths, so that it fits nothing else.

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
        about = read_json((adapters / SETTINGS).read_text(encoding="utf-8"))
        lora, base = about["lora"], about.get("base") or {}
        values = load_file(adapters / WEIGHTS)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise MissingWeights(
            got=f"{adapters} without readable adapters ({reason_of(error)})",
            expected=f"{SETTINGS} and {WEIGHTS}",
            fix="Pass the adapter folder of a training stage",
        ) from error
    values = {name: one.to(dtype) if one.is_floating_point() else one for name, one in values.items()}
    spoken = {
        f"model.{name.removeprefix(_DECODER)}": value
        for name, value in values.items()
        if name.startswith(_DECODER) and ".lora_" in name
    }
    if lora is None or not spoken:
        raise BadConfig(
            got=f"{adapters}, in which the decoder has no adapter",
            expected="a stage with adapters on the decoder",
            fix="Export the whole model instead",
        )
    names = _write(out, lora, spoken, (), base.get("decoder"), task_type="CAUSAL_LM")
    whole = _modules([name for name in values if ".lora_" not in name])
    _write(out / COMPOSITE, lora, values, whole, base.get("model"))
    return names


def _modules(names: Sequence[str]) -> list[str]:
    """The modules that parameters stand in; of one within another the outer one."""
    found = sorted({name.rpartition(".")[0] for name in names})
    return [one for one in found if not any(one.startswith(f"{other}.") for other in found)]


def _write(
    folder: Path,
    lora: Mapping[str, Any],
    values: Mapping[str, Tensor],
    whole: Sequence[str],
    base: str | None,
    **more: Any,
) -> list[str]:
    folder.mkdir(exist_ok=True)
    LoraConfig(
        r=int(lora["rank"]),
        lora_alpha=int(lora["alpha"]),
        lora_dropout=float(lora["dropout"]),
        target_modules=sorted(name.removesuffix(_A) for name in values if name.endswith(_A)),
        modules_to_save=list(whole) or None,
        base_model_name_or_path=base,
        **more,
    ).save_pretrained(str(folder))
    named = {f"base_model.model.{name.replace('.default.', '.')}": value for name, value in values.items()}
    save_file(named, folder / "adapter_model.safetensors")
    let_read(folder)
    return sorted(named)
