"""A composite as a recipe wants it: built, its published weights loaded, and written as a folder that opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from mien.core.errors import BadConfig, MissingWeights
from mien.face.pose import mean_face
from mien.layers.pointmlp import PointMLP
from mien.models.evidence_inputs import Inputs
from mien.models.facial_lm import FacialLM, FacialLMConfig
from mien.models.systems import System
from mien.train.recipe import Recipe, merge

__all__ = ["MODEL_FOLDER", "build_composite", "configure", "write_model"]

MODEL_FOLDER = "model"


def configure(recipe: Recipe, system: System, vocabulary: int | None) -> FacialLMConfig:
    """The system's configuration at the recipe's scale, with the recipe's own entries laid on it."""
    config = system.configure(recipe.scale, vocabulary, **recipe.options)
    if not recipe.config:
        return config
    text: dict[str, Any] = cast(Any, config.text_config).to_dict()
    over = recipe.config.get("text_config", {})
    if "hidden_size" in over and "head_dim" not in over:
        text.pop("head_dim", None)
    unknown = set(recipe.config) - {"text_config", "evidence"}
    if unknown:
        raise BadConfig(
            got=f"config entries {', '.join(sorted(unknown))}",
            expected="text_config and evidence",
            fix="Correct the recipe",
        )
    merged = merge({"text_config": text, "evidence": config.evidence}, recipe.config)
    for name, entry in recipe.config.get("evidence", {}).items():
        # Another type of encoder or tower shares no argument with the one it replaces.
        own = entry.get("encoder", {})
        if "type" in own:
            merged["evidence"][name]["encoder"] = own
        elif "model_type" in own.get("tower", {}):
            merged["evidence"][name]["encoder"]["tower"] = own["tower"]
    return FacialLMConfig(text_config=merged["text_config"], evidence=merged["evidence"])


def build_composite(recipe: Recipe, system: System, tokenizer: Tokenizer) -> FacialLM:
    """The composite, new or on published weights.

    Raises:
        MissingWeights: scale ``paper`` without the weights that the paper starts from.
        BadConfig: entries of the recipe that cannot be.
    """
    torch.manual_seed(recipe.seed)
    if "model" in recipe.weights:
        loaded: FacialLM = FacialLM.from_pretrained(_folder(recipe.weights["model"]))
        return loaded
    missing = [part for part in system.weights if part not in recipe.weights]
    if recipe.scale == "paper" and missing:
        published = ", ".join(f"{part}: {system.weights[part]}" for part in missing)
        raise MissingWeights(
            got=f"no weights of {', '.join(missing)} for {system.name} at scale paper",
            expected=f"a folder or hub id each (published as {published})",
            fix=f"Pass weights.{missing[0]}=FOLDER, or weights.model=FOLDER of an imported model",
        )
    base = "decoder" in recipe.weights
    config = configure(recipe, system, None if base else tokenizer.get_vocab_size())
    if base:
        decoder = AutoModelForCausalLM.from_pretrained(recipe.weights["decoder"])
        model = FacialLM.from_decoder(decoder, config.evidence)
    else:
        model = FacialLM(config)
    for name, place in recipe.weights.items():
        if name != "decoder":
            _load_tower(model, name, place)
    for encoder in model.model.encoders.values():
        if isinstance(encoder, PointMLP) and encoder.sampling == "fixed":
            encoder.fix_sampling(torch.from_numpy(mean_face().points.astype("float32")))
    return model


def _folder(place: str) -> str:
    inner = Path(place) / MODEL_FOLDER
    return str(inner) if inner.is_dir() else place


def _load_tower(model: FacialLM, name: str, place: str) -> None:
    """Weights of a tower: a transformers model, or the encoder of the same name in another run."""
    if name not in model.model.encoders:
        raise BadConfig(
            got=f"weights for {name!r}",
            expected=f"'model', 'decoder', or an encoder of {', '.join(model.model.encoders)}",
            fix="Correct the recipe's weights",
        )
    encoder = model.model.encoders[name]
    tower: Any = getattr(encoder, "tower", encoder)
    run = Path(_folder(place)) / "model.safetensors"
    if (Path(_folder(place)) / "mien.json").is_file():
        start = f"model.encoders.{name}."
        state = {
            key.removeprefix(start): value for key, value in load_file(run).items() if key.startswith(start)
        }
        inner = {
            key.removeprefix("tower."): value for key, value in state.items() if key.startswith("tower.")
        }
        found = inner or state
    elif hasattr(tower, "model"):
        tower, found = tower.model, type(tower.model).from_pretrained(place).state_dict()
    else:
        found = {}
    odd = sorted(found.keys() ^ tower.state_dict().keys())
    if odd:
        raise MissingWeights(
            got=f"weights of {name} in {place} that differ from this tower, such as {odd[0]}",
            expected="the same tower",
            fix="Give both recipes the same encoder, or leave this part of weights out",
        )
    tower.load_state_dict(found)


def write_model(
    folder: Path, model: FacialLM, tokenizer: Tokenizer, recipe: Recipe, inputs: Inputs, most_tokens: int
) -> Path:
    """Write what `mien.load_model` opens: weights, configuration, tokenizer, and how faces are prepared."""
    target = folder / MODEL_FOLDER
    model.save_pretrained(target)
    tokenizer.save(str(target / "tokenizer.json"))
    tasks = list(recipe.tasks)
    pad_id = tokenizer.token_to_id("<pad>")
    about: Mapping[str, Any] = {
        "format": 1,
        "system": recipe.system,
        "scale": recipe.scale,
        "options": recipe.options,
        "task": tasks[0],
        "tasks": tasks,
        "inputs": {name: getattr(inputs, name) for name in Inputs.__dataclass_fields__},
        "pad_id": 0 if pad_id is None else pad_id,
        "generation": {"max_new_tokens": most_tokens},
    }
    (target / "mien.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return target
