"""A training recipe: one YAML file per system, with a section per scale, checked before anything runs.

    system: facephi
    tasks: {emotion: 1}
    scales:
      tiny: {…}
      small: {data: [{dataset: ferplus, split: train}], stages: [{name: align, epochs: 6}, …]}

A stage starts from the published one of the same name (`mien.models.systems.Stage`); what the recipe writes beside the
name replaces its figures. ``key=value`` arguments of the command line replace single entries: ``seed=2``,
``data.0.limit=500``, ``stages.1.epochs=3``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mien.core.errors import BadConfig
from mien.models.systems import Lora, Stage, System, open_system

__all__ = ["DataPart", "Evaluation", "Recipe", "StageRun", "load_recipe", "recipe_names", "resolve_stage"]

_FOLDER = files("mien.train") / "recipes"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataPart(_Part):
    """Faces of one dataset."""

    dataset: str
    """A reader of `mien.data`, or ``renders`` for the shards of ``tools/render_faces.py``."""
    split: str = "train"
    root: Path | None = None
    """Folder of the copy; the packs are found by themselves."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many, evenly spread."""
    labelled: bool = True
    """Leave out samples without an emotion, votes or AUs."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the reader."""


class StageRun(_Part):
    """One stage as it is to run."""

    name: str
    """A stage of the system; or, with ``objective``, the recipe's own."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Fields of `Stage` that replace the published ones."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Samples per device and step; the published batch is reached by accumulation. None: the whole batch at once."""
    cache: int = Field(default=0, ge=0)
    """Encode each face so many times before training (1, or augmented copies too) where its encoder is frozen."""
    augment: bool = False
    """Change crops at random, as a camera or a detector could have."""
    gradient_checkpointing: bool = False
    target: Literal["pair", "label"] = "label"
    """Target of the alignment; see `contrastive_loss`."""
    encoder: str | None = None
    """Evidence whose encoder is aligned or classifies; the first one by default."""
    unless: str | None = None
    """Left out where the recipe's weights bring this part."""
    save_steps: int = Field(default=200, ge=1)


class Evaluation(_Part):
    """What is asked of the trained model."""

    task: str
    limit: int | None = Field(default=None, ge=1)
    """Faces, evenly spread; None for all."""
    max_new_tokens: int = Field(default=64, ge=1)
    batch: int = Field(default=64, ge=1)
    dialogue: dict[str, Any] = Field(default_factory=dict)
    """Options of the dialogue; see `mien.models.dialogues.build`."""


class Recipe(_Part):
    """Everything that decides what a run trains."""

    system: str
    scale: Literal["tiny", "small", "paper"]
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the system's ``configure``."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Entries of `FacialLMConfig` that replace those of the scale, merged key by key."""
    inputs: dict[str, Any] = Field(default_factory=dict)
    """See `mien.models.evidence_inputs.Inputs`."""
    data: tuple[DataPart, ...]
    validation: tuple[DataPart, ...] = ()
    teacher: str | None = None
    """A reader (``rules``, ``pocket``) that measures AUs and tells the chain of thought where data holds none."""
    tasks: dict[str, float]
    """Task -> passes over the faces per epoch; a fraction takes a random part."""
    dialogues: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Task -> options of its dialogues; see `mien.models.dialogues.build`."""
    balance: float = Field(default=0.0, ge=0.0, le=1.0)
    """0: faces as they are; 1: drawn by 1 / count of their label (EMO-LLaMA's sampler); between: a power of it."""
    tokenizer: Path | None = None
    """A ``tokenizer.json``; without it a small one is trained on the dialogues."""
    vocabulary: int = Field(default=1000, ge=300)
    """Of a tokenizer that is trained."""
    weights: dict[str, str] = Field(default_factory=dict)
    """``decoder`` or evidence name -> folder or hub id of its published weights."""
    stages: tuple[StageRun, ...]
    evaluation: tuple[Evaluation, ...] = ()
    seed: int = 1


def recipe_names() -> tuple[str, ...]:
    """The recipes in the package."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if ".yaml" in entry.name)
    )


def load_recipe(name: str | Path, scale: str, changes: Sequence[str] = ()) -> Recipe:
    """A recipe at a scale.

    Args:
        name: one of `recipe_names`, or the path of a YAML file.
        scale: a section of the recipe's ``scales``.
        changes: ``key=value`` with dots for inner entries; values are YAML.

    Raises:
        BadConfig: no such recipe or scale, or an entry that cannot be.
    """
    content = _read(name)
    scales = content.pop("scales", {})
    if scale not in scales:
        raise BadConfig(
            got=f"scale {scale!r} of recipe {name}",
            expected=f"one of {', '.join(scales)}",
            fix="Pass --scale",
        )
    merged = merge(merge(content, scales[scale] or {}), {"scale": scale})
    for change in changes:
        _set(merged, change)
    merged["stages"] = [_stage_run(stage) for stage in merged.get("stages", ())]
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadConfig(
            got=f"{place} = {first['input']!r} in recipe {name}",
            expected=first["msg"],
            fix="Correct the entry",
        ) from error
    for stage in recipe.stages:
        resolve_stage(open_system(recipe.system), stage)
    return recipe


def _read(name: str | Path) -> dict[str, Any]:
    path = Path(name)
    source = path if path.suffix in (".yaml", ".yml") else _FOLDER / f"{name}.yaml"
    if not source.is_file():
        raise BadConfig(
            got=f"recipe {str(name)!r}",
            expected=f"one of {', '.join(recipe_names())}, or the path of a YAML file",
            fix="Choose one of these",
        )
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadConfig(
            got=f"recipe {name}: {error}", expected="a YAML file", fix="Correct its syntax"
        ) from error
    if not isinstance(content, dict):
        raise BadConfig(
            got=f"recipe {name} without entries", expected="a mapping", fix="See docs/training.md"
        )
    return content


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``, mappings key by key, everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def _set(content: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    *parents, last = path.split(".")
    place: Any = content
    try:
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        place[int(last) if isinstance(place, list) else last] = yaml.safe_load(text)
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise BadConfig(
            got=f"change {change!r}", expected="key=value of an entry of the recipe", fix="Correct it"
        ) from error
    if not equals or not path:
        raise BadConfig(got=f"change {change!r}", expected="key=value", fix="Write for instance seed=2")


def _stage_run(entry: object) -> object:
    """Fields of `Stage` stand beside the name in the file; inside they are gathered."""
    if not isinstance(entry, Mapping):
        return entry
    of_stage = {field.name for field in fields(Stage)}
    own = {key: value for key, value in entry.items() if key not in of_stage}
    changes = {key: value for key, value in entry.items() if key in of_stage}
    return {**own, "changes": {**entry.get("changes", {}), **changes}}


def resolve_stage(system: System, run: StageRun) -> Stage:
    """The stage with the recipe's changes.

    Raises:
        BadConfig: the system has no such stage and the recipe does not define it, or a figure cannot be.
    """
    changes = dict(run.changes)
    if isinstance(changes.get("lora"), Mapping):
        changes["lora"] = Lora(**{**changes["lora"], "targets": tuple(changes["lora"]["targets"])})
    if "trains" in changes:
        changes["trains"] = tuple(changes["trains"])
    if run.name in system.stages:
        stage = replace(system.stages[run.name], **changes)
    elif {"objective", "trains", "learning_rate", "batch", "epochs"} <= set(changes):
        stage = Stage(**changes)
    else:
        raise BadConfig(
            got=f"stage {run.name!r} of {system.name}",
            expected=f"one of {', '.join(system.stages)}, or objective, trains, learning_rate, batch and epochs",
            fix="Correct the name, or give these figures",
        )
    if stage.epochs is None or stage.epochs <= 0.0 or stage.learning_rate <= 0.0 or stage.batch < 1:
        raise BadConfig(
            got=f"stage {run.name!r} with {stage.epochs} epochs, rate {stage.learning_rate}, batch {stage.batch}",
            expected="all above 0; what was not published has to be chosen",
            fix=f"Give them in the recipe, for instance {run.name}: epochs: 1",
        )
    return stage
