"""Checkpoints of what a stage trained and nothing else, and adapters folded into the weights that they adapt.

A folder holds ``adapter.safetensors`` (the parameters that learned and the buffers, by their names in the model) and
``adapter.json`` (the adapters' settings and the names). The base stays where it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mien.core.errors import BadConfig, MissingWeights, reason_of
from mien.core.objects import read_json
from mien.core.paths import let_read, write_whole
from mien.models.composite.systems import Lora, Stage, prepare

__all__ = [
    "adapter_folders",
    "load_adapters",
    "load_trained",
    "merge_adapters",
    "save_adapters",
    "trained_state",
]

WEIGHTS, SETTINGS = "adapter.safetensors", "adapter.json"


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """What a stage changes: parameters that learn, and buffers (running statistics of batch normalisation)."""
    state: dict[str, Tensor] = {
        name: value for name, value in model.named_parameters() if value.requires_grad
    }
    state.update(model.named_buffers())
    persistent = model.state_dict().keys()
    return {name: value.detach().contiguous().cpu() for name, value in state.items() if name in persistent}


def save_adapters(
    model: nn.Module, stage: Stage, folder: str | Path, base: Mapping[str, str] | None = None
) -> list[str]:
    """Write what ``stage`` changes: adapters, what is trained whole, and running statistics.

    Args:
        model: after `prepare` for this stage.
        stage: the stage.
        folder: created where needed.
        base: places of the weights that the model was built of, by part, as in a recipe's ``weights``.

    Returns:
        The names that were written.

    Raises:
        BadConfig: nothing learns.
    """
    learning = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    if not learning:
        raise BadConfig(
            got="a model in which nothing learns",
            expected="one prepared for a stage",
            fix="Call prepare first",
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = trained_state(model)
    save_file(state, folder / WEIGHTS)
    about = {"lora": None if stage.lora is None else asdict(stage.lora), "names": learning, "base": base}
    write_whole(folder / SETTINGS, json.dumps(about, indent=2) + "\n")
    let_read(folder)
    return sorted(state)


def load_adapters(model: nn.Module, folder: str | Path) -> list[str]:
    """Give a base model the adapters of `save_adapters`; they and what was trained whole can learn on.

    Returns:
        The names that were loaded.

    Raises:
        MissingWeights: a file is absent or damaged, or is another model's.
        BadConfig: the adapters' targets match nothing in this model.
    """
    folder = Path(folder)
    try:
        about = read_json((folder / SETTINGS).read_text(encoding="utf-8"))
        values = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise MissingWeights(
            got=f"{folder} without readable adapters ({reason_of(error)})",
            expected=f"{SETTINGS} and {WEIGHTS}",
            fix="Pass RUN/adapters, which mien train writes, or the folder of one stage in it",
        ) from error
    lora = about["lora"]
    settings = None if lora is None else Lora(**{**lora, "targets": tuple(lora["targets"])})
    whole = tuple(name for name in about["names"] if ".lora_" not in name)
    known = {name: value.shape for name, value in model.state_dict().items()}
    base = values.keys() - {name for name in about["names"] if ".lora_" in name}
    strange = [name for name in sorted(base) if known.get(name) != values[name].shape]
    if strange:
        raise MissingWeights(
            got=f"trained parameters such as {strange[0]}, of which this model has no equal",
            expected="the base that they were trained on",
            fix="Build the model with the same system, scale and options",
        )
    # fp32: the base stays in its own precision.
    prepare(model, Stage(whole, 0.0, 1, None, lora=settings, precision="fp32"))
    _fill(model, values, about["names"], folder / WEIGHTS)
    return sorted(values)


def load_trained(model: nn.Module, path: Path) -> None:
    """Give a model prepared for a stage what that stage left behind, `trained_state` in one file.

    Raises:
        MissingWeights: the file is absent or damaged, or is not of this stage.
    """
    try:
        values = load_file(path)
    except (OSError, SafetensorError) as error:
        raise MissingWeights(
            got=f"{path}, which cannot be read ({reason_of(error)})",
            expected="what a stage left behind",
            fix="Remove the file and train the stage again",
        ) from error
    _fill(model, values, trained_state(model), path)


def _fill(model: nn.Module, values: Mapping[str, Tensor], needed: Iterable[str], path: Path) -> None:
    own = {name: value.shape for name, value in model.state_dict().items()}
    missing = sorted(set(needed) - values.keys())
    odd = sorted(name for name, value in values.items() if own.get(name) != value.shape)
    if missing or odd:
        kinds = [f"without {missing[0]}"] if missing else []
        kinds += [f"with {odd[0]}, of which this model has no equal"] if odd else []
        raise MissingWeights(
            got=f"{path} {' and '.join(kinds)}",
            expected="all that was trained, for the base that it was trained on",
            fix="Build the model with the same system, scale and options, or train the stage again",
        )
    model.load_state_dict(values, strict=False)


def adapter_folders(folder: str | Path) -> list[Path]:
    """A folder of `save_adapters` itself, or those of all stages in the folder that ``mien train`` writes, in order."""
    folder = Path(folder)
    if (folder / SETTINGS).is_file():
        return [folder]
    inside = [path.parent for path in folder.glob(f"*/{SETTINGS}")]
    # "10-x" comes after "2-x".
    return sorted(inside, key=lambda path: (len(path.name.partition("-")[0]), path.name)) or [folder]


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
    if found and "peft_config" in vars(model):
        # PEFT's note of them: a next stage would count as a second set of adapters.
        del model.peft_config
    return len(found)
