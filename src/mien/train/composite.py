"""A composite as a recipe wants it: built, its published weights loaded, and written as a folder that opens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from mien.core.errors import BadConfig, MissingWeights, require_known
from mien.core.paths import write_whole
from mien.face.pose import mean_face
from mien.layers.pointmlp import PointMLP
from mien.models.composite.assemble import (
    MODEL_FOLDER,
    NEW,
    Precision,
    assemble,
    check_parts,
    fill_encoder,
    is_run,
    model_folder,
    open_composite,
)
from mien.models.composite.backbones import tower_fields
from mien.models.composite.evidence_inputs import Inputs, bring_experts
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.processor import FacialProcessor
from mien.models.composite.systems import SPOKEN, System
from mien.models.composite.text_tower import open_tokenizer_of
from mien.models.formats.loading import quiet
from mien.models.formats.model_folders import seal
from mien.models.registry import open_system
from mien.train.data.drawn import Instruction
from mien.train.data.instructions import open_tokenizer
from mien.train.recipe import Recipe, resolve_stage
from mien.train.recipe_files import merge

__all__ = [
    "base_precision",
    "build_composite",
    "check_weights",
    "configure",
    "open_words",
    "trains_decoder",
    "write_model",
]

_DECODER = "model.language_model."


def configure(recipe: Recipe, system: System, vocabulary: int | None) -> FacialLMConfig:
    """The system's configuration at the recipe's scale, with the recipe's own entries laid on it.

    Pretrained weights decide the shape of their part: of the decoder, and of a tower from a folder of transformers.
    """
    entries = dict(recipe.config)
    if "decoder" in recipe.weights:
        entries.pop("text_config", None)
    known = tuple(signature(system.configure).parameters)[2:]
    for name in recipe.options:
        require_known(name, known, "option", of=system.name)
    config = system.configure(recipe.scale, vocabulary, **{**_backbones(recipe, known), **recipe.options})
    if not entries:
        return config
    # Entries of evidence that the options leave out have nothing to say.
    absent = set(system.placeholders.values()) - set(config.evidence)
    told = {name: entry for name, entry in entries.get("evidence", {}).items() if name not in absent}
    text: dict[str, Any] = cast(Any, config.text_config).to_dict()
    over = entries.get("text_config", {})
    if "hidden_size" in over and "head_dim" not in over:
        text.pop("head_dim", None)
    unknown = set(entries) - {"text_config", "evidence"}
    if unknown:
        raise BadConfig(
            got=f"config entries {', '.join(sorted(unknown))}",
            expected="text_config and evidence",
        )
    merged = merge({"text_config": text, "evidence": config.evidence}, {**entries, "evidence": told})
    for name, entry in told.items():
        # Another type of encoder or tower shares no argument with the one it replaces.
        own = entry.get("encoder", {})
        if "type" in own:
            merged["evidence"][name]["encoder"] = own
        elif "model_type" in own.get("tower", {}):
            merged["evidence"][name]["encoder"]["tower"] = own["tower"]
    return FacialLMConfig(text_config=merged["text_config"], evidence=merged["evidence"])


def _backbones(recipe: Recipe, known: Sequence[str]) -> dict[str, Any]:
    """Those of the ``known`` options that follow from the weights."""
    found: dict[str, Any] = {}
    if "decoder" in recipe.weights and "decoder" in known:
        found["decoder"] = recipe.weights["decoder"]
    tower = recipe.weights.get("image")
    if tower not in (None, NEW) and "tower" in known and not is_run(tower):
        found["tower"] = tower
        if "image_size" in known:
            found["image_size"] = recipe.inputs.get("image_size", tower_fields(str(tower))["image_size"])
    return found


def trains_decoder(start: str) -> bool:
    """Whether parameters whose names begin so are the decoder's own."""
    return start.startswith(_DECODER) or _DECODER.startswith(start)


def base_precision(recipe: Recipe, system: System) -> Precision:
    """The recipe's own, or what its stages compute in where they only adapt pretrained weights."""
    if recipe.precision is not None:
        return recipe.precision
    stages = [resolve_stage(system, run) for run in recipe.stages]
    spoken = [stage for stage in stages if stage.objective in SPOKEN]
    whole = any(trains_decoder(start) for stage in spoken for start in stage.trains)
    found = {stage.precision for stage in spoken}
    pretrained = not recipe.weights.keys().isdisjoint({"decoder", "model"})
    return found.pop() if pretrained and not whole and len(found) == 1 else "fp32"


def open_words(recipe: Recipe, system: System, items: Sequence[Instruction]) -> Tokenizer:
    """The recipe's tokenizer, that of its pretrained weights, or a small one trained on the dialogues.

    Raises:
        MissingWeights: pretrained weights without their tokenizer.
        BadConfig: a tokenizer that does not know the end of an answer.
    """
    whole, decoder = recipe.weights.get("model"), recipe.weights.get("decoder")
    if recipe.tokenizer is None and whole is not None:
        tokenizer = open_tokenizer_of(model_folder(whole))
    elif recipe.tokenizer is None and decoder is not None:
        tokenizer = open_tokenizer_of(decoder)
    else:
        tokenizer = open_tokenizer(system, recipe.tokenizer, items, recipe.vocabulary)
    if tokenizer.token_to_id(system.template.end) is None:
        raise BadConfig(
            got=f"a tokenizer of {tokenizer.get_vocab_size()} tokens without {system.template.end!r}",
            expected=f"the token that ends an answer of {system.name} at scale {recipe.scale}",
            fix="Use --scale base for decoders that end with <|endoftext|>, or another decoder",
        )
    return tokenizer


def check_weights(recipe: Recipe, system: System) -> None:
    """Refuse a recipe without the weights that its scale starts from.

    Raises:
        MissingWeights: they are not named.
    """
    if "model" in recipe.weights:
        return
    if system.start and recipe.scale == "paper":
        raise MissingWeights(
            got=f"no model that {system.name} starts from at scale paper",
            expected=system.start,
            fix="Pass weights.model=FOLDER",
        )
    check_parts(system, recipe.scale, recipe.weights)


def build_composite(recipe: Recipe, system: System, tokenizer: Tokenizer) -> FacialLM:
    """The composite, new or on pretrained weights, in `base_precision`.

    Raises:
        MissingWeights: scale ``paper`` or ``base`` without the weights that it starts from, or they cannot be read.
        BadConfig: entries of the recipe that cannot be.
    """
    torch.manual_seed(recipe.seed)
    precision = base_precision(recipe, system)
    contrastive = any(resolve_stage(system, run).objective == "contrastive" for run in recipe.stages)
    parts = {name: place for name, place in recipe.weights.items() if name != "text" or not contrastive}
    if "model" in parts:
        model = open_composite(parts.pop("model"), precision, recipe.attention)
        for name, place in parts.items():
            fill_encoder(model, name, place)
    else:
        check_weights(recipe, system)
        config = configure(recipe, system, None if "decoder" in parts else tokenizer.get_vocab_size())
        model = assemble(
            system, recipe.scale, parts, config=config, precision=precision, attention=recipe.attention
        )
        for encoder in model.model.encoders.values():
            if isinstance(encoder, PointMLP) and encoder.sampling == "fixed":
                encoder.fix_sampling(torch.from_numpy(mean_face().points.astype("float32")))
    known = cast(Any, model.config.text_config).vocab_size
    if tokenizer.get_vocab_size() > known:
        raise BadConfig(
            got=f"a tokenizer of {tokenizer.get_vocab_size()} tokens for a decoder of {known}",
            expected="the decoder's own tokenizer",
            fix="Leave tokenizer out of the recipe: the weights bring theirs",
        )
    return model


def write_model(
    folder: Path, model: FacialLM, tokenizer: Tokenizer, recipe: Recipe, inputs: Inputs, most_tokens: int
) -> Path:
    """Write what `mien.load_model` opens: weights, configuration, tokenizer, and how faces are prepared."""
    target = folder / MODEL_FOLDER
    # The Trainer turns it off while it trains; a stage that was taken from disk leaves it alone.
    model.config.use_cache = True
    with quiet():
        model.save_pretrained(target)
    inputs = bring_experts(model.config, inputs, target)
    tasks = list(recipe.every_task)
    pad_id = tokenizer.token_to_id("<pad>")
    _write_processor(target, tokenizer, recipe, inputs, open_system(recipe.system, recipe.scale).template.end)
    tokenizer.save(str(target / "tokenizer.json"))
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
    write_whole(target / "mien.json", json.dumps(about, indent=2, sort_keys=True) + "\n")
    seal(target)
    return target


def _write_processor(target: Path, tokenizer: Tokenizer, recipe: Recipe, inputs: Inputs, end: str) -> None:
    """What ``AutoProcessor.from_pretrained`` opens beside the model."""
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.to_str()),
        eos_token=end,
        pad_token="<pad>" if tokenizer.token_to_id("<pad>") is not None else end,
        clean_up_tokenization_spaces=False,
    )
    FacialProcessor(words, recipe.system, recipe.scale, recipe.options, asdict(inputs)).save_pretrained(
        target
    )
