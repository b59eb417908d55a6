"""Checkpoints of what a stage trained and nothing else, and adapters folded into the weights that they adapt.

A folder holds ``adapter.safetensors`` (the parameters that learned, by their names in the model) and ``adapter.json``
(the adapters' settings and the names). The base stays where it is.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mien.core.errors import BadConfig, MissingWeights
from mien.models.systems import Lora, Stage, prepare

__all__ = ["load_adapters", "merge_adapters", "save_adapters"]

WEIGHTS, SETTINGS = "adapter.safetensors", "adapter.json"


def save_adapters(model: nn.Module, stage: Stage, folder: Path) -> list[str]:
    """Write the parameters that learn in ``stage``: adapters and what is trained whole.

    Args:
        model: after `prepare` for this stage.
        stage: the stage.
        folder: created where needed.

    Returns:
        The names that were written.

    Raises:
        BadConfig: nothing learns.
    """
    learning = {
        name: parameter.detach().contiguous().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    if not learning:
        raise BadConfig(
            got="a model in which nothing learns",
            expected="one prepared for a stage",
            fix="Call prepare first",
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_file(learning, folder / WEIGHTS)
    about = {"lora": None if stage.lora is None else asdict(stage.lora), "names": sorted(learning)}
    (folder / SETTINGS).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return sorted(learning)


def load_adapters(model: nn.Module, folder: Path) -> list[str]:
    """Give a base model the adapters of `save_adapters`; they and what was trained whole can learn on.

    Returns:
        The names that were loaded.

    Raises:
        MissingWeights: a file is absent or damaged, or is another model's.
        BadConfig: the adapters' targets match nothing in this model.
    """
    try:
        about = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        values = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise MissingWeights(
            got=f"{folder} without readable adapters ({str(error).splitlines()[0]})",
            expected=f"{SETTINGS} and {WEIGHTS}",
            fix="Pass the folder that save_adapters wrote",
        ) from error
    lora = about["lora"]
    settings = None if lora is None else Lora(**{**lora, "targets": tuple(lora["targets"])})
    whole = tuple(name for name in about["names"] if ".lora_" not in name)
    known = {name: parameter.shape for name, parameter in model.named_parameters()}
    strange = [name for name in whole if known.get(name) != values[name].shape]
    if strange:
        raise MissingWeights(
            got=f"trained parameters such as {strange[0]}, of which this model has no equal",
            expected="the base that they were trained on",
            fix="Build the model with the same system, scale and options",
        )
    prepare(model, Stage(whole, 0.0, 1, None, lora=settings))
    report = model.load_state_dict(values, strict=False)
    if report.unexpected_keys:
        raise MissingWeights(
            got=f"adapters such as {report.unexpected_keys[0]}, which this model has no place for",
            expected="the base that they were trained on",
            fix="Build the model with the same system, scale and options",
        )
    return sorted(values)


@torch.no_grad()
def merge_adapters(model: nn.Module) -> int:
    """Fold every adapter into its layer, W0 + (alpha / rank) B A, so that the model is plain again.

    Returns:
        How many layers had an adapter.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    for name, module in found:
        module.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())
    return len(found)
