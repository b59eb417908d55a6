"""What a recipe's model will be, known before any data is read: configuration, pictures, and what a stage trains."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError

from mien.core.errors import BadConfig, MienError
from mien.models.composite.assemble import NEW
from mien.models.composite.encoders import make_encoder
from mien.models.composite.evidence_inputs import Inputs, inherited_inputs
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.systems import SPOKEN, Stage, System, prepare
from mien.models.formats.loading import model_folder, open_facial_config
from mien.train.composite import configure
from mien.train.recipe import Recipe, StageRun, resolve_stage

__all__ = ["check_pictures", "fitted", "picture_side", "planned", "planned_inputs", "rehearse", "stages_of"]

_IMAGE, _FACE_ROWS_PATCH = "image", 16


def planned(recipe: Recipe, system: System) -> FacialLMConfig:
    """The configuration that the model will have; a vocabulary that is still to be trained may turn out smaller.

    Raises:
        BadConfig: entries of the recipe that make no model.
        MissingWeights: the model or the backbones that it goes on from cannot be read.
    """
    whole = recipe.weights.get("model")
    if whole is not None:
        return open_facial_config(Path(model_folder(whole)))
    try:
        # Published decoders bring their vocabulary.
        own = "decoder" not in recipe.weights and recipe.scale in ("tiny", "small")
        return configure(recipe, system, recipe.vocabulary if own else None)
    except MienError:
        raise
    except (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise _impossible(error) from error


def _impossible(error: BaseException) -> BadConfig:
    return BadConfig(
        got=f"a configuration that cannot be ({_last_line(error)})",
        expected="sizes that fit together, such as a width that the attention heads divide",
        fix="Correct the recipe's entries config and options",
    )


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()


def picture_side(config: FacialLMConfig) -> int | None:
    """Side in px of the pictures that the configuration is made for; None where it tells none."""
    entry = config.evidence.get(_IMAGE)
    if entry is None:
        return None
    encoder = entry["encoder"]
    tower = encoder.get("tower") or encoder.get("config") or {}
    if encoder["type"] == "vision":
        return int(tower["patch_size"]) * isqrt(entry["rows"])
    if encoder["type"] == "face-rows":
        return _FACE_ROWS_PATCH * isqrt(entry["rows"])
    side = tower.get("image_size")
    return None if side is None else int(side)


def planned_inputs(recipe: Recipe, config: FacialLMConfig) -> Inputs:
    """The recipe's inputs; pictures are of the tower's own size where it names none.

    A model that is trained on goes on reading the outside nets that it was made with.
    """
    side = recipe.inputs.get("image_size", picture_side(config))
    sizes = {} if side is None else {"image_size": side, "crop_size": side}
    return Inputs.of({**sizes, **inherited_inputs(recipe.weights.get("model")), **recipe.inputs})


def check_pictures(config: FacialLMConfig, inputs: Inputs) -> None:
    """Show a tower without weights one picture of the size that it will get.

    Raises:
        BadConfig: it cannot read it, or makes another number of rows of it than the configuration says.
    """
    entry = config.evidence.get(_IMAGE)
    if entry is None:
        return
    with torch.device("meta"):
        encoder = make_encoder(entry["encoder"])
        tower = getattr(encoder, "tower", encoder).eval()
    try:
        with torch.device("meta"), torch.no_grad():
            rows = tower(torch.zeros(1, 3, inputs.image_size, inputs.image_size))
        fits = encoder is not tower or rows.shape[1:] == (entry["rows"], entry["width"])
        reason: BaseException | None = None
    except (ValueError, TypeError, RuntimeError, MienError, StrictDataclassError) as error:
        fits, reason = False, error
    if not fits:
        side = picture_side(config)
        shape = "" if side in (None, inputs.image_size) else f" of {side} x {side} px"
        told = "" if reason is None or isinstance(reason, MienError) else f" ({_last_line(reason)})"
        raise BadConfig(
            got=f"pictures of {inputs.image_size} px for the tower of this recipe{told}",
            expected=f"pictures{shape} that it reads, as many rows and as wide as the configuration says",
            fix=f"Write inputs.image_size={side}"
            if shape
            else "Correct inputs.image_size or the recipe's config",
        ) from reason


def stages_of(recipe: Recipe, system: System, config: FacialLMConfig) -> tuple[tuple[StageRun, Stage], ...]:
    """The stages that a recipe runs on a composite of this configuration, in order.

    Left out are those whose part the weights bring, and those of an encoder that the options leave out.

    Raises:
        BadConfig: a configuration that makes no model, a stage that cannot be, or nothing of it is left.
    """
    runs = [run for run in recipe.stages if run.unless is None or recipe.weights.get(run.unless, NEW) == NEW]
    stages = [resolve_stage(system, run) for run in runs]
    names = _names(config)
    known = all(_any(names, start) for stage in stages for start in (*stage.trains, *stage.rates))
    usual = names if known else _names(planned(_without_options(recipe), system))
    encoded = any(entry["encoder"]["type"] != "cached" for entry in config.evidence.values())
    found = []
    for run, stage in zip(runs, stages, strict=True):
        made = fitted(stage, names, usual)
        if stage.objective not in SPOKEN and not (made.trains and run.encoder in (None, *config.evidence)):
            continue
        if not made.trains and made.lora is None:
            raise BadConfig(
                got=f"stage {run.name!r}, which trains {', '.join(stage.trains) or 'nothing'}, of a model with "
                f"{', '.join(config.evidence)}",
                expected="adapters, or a part of this model",
                fix="Choose another stage, or write its trains",
            )
        # Without an encoder there is nothing to run beforehand.
        found.append((run if encoded else run.model_copy(update={"cache": 0}), made))
    return tuple(found)


def _without_options(recipe: Recipe) -> Recipe:
    weights = {part: place for part, place in recipe.weights.items() if part != "model"}
    return recipe.model_copy(update={"options": {}, "weights": weights})


def _any(names: Collection[str], start: str) -> bool:
    return any(name.startswith(start) for name in names)


def fitted(stage: Stage, names: Collection[str], usual: Collection[str]) -> Stage:
    """The stage without the parts that this model's options leave out.

    An ablation such as EmoLA's ``layout=prior`` has no visual projector, so none can learn. A name that the usual model
    does not have either stays, and `prepare` refuses it.

    Args:
        stage: as published, or as the recipe writes it.
        names: of this model's parameters.
        usual: of the model's without options.
    """
    starts = (*stage.trains, *stage.rates)
    absent = {start for start in starts if not _any(names, start) and _any(usual, start)}
    return replace(
        stage,
        trains=tuple(start for start in stage.trains if start not in absent),
        rates={start: rate for start, rate in stage.rates.items() if start not in absent},
    )


def _bare(config: FacialLMConfig) -> FacialLM:
    """A model that holds no values, which takes no memory and no time.

    Raises:
        BadConfig: the configuration makes none.
    """
    try:
        with torch.device("meta"):
            return FacialLM(config)
    except (StrictDataclassError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise _impossible(error) from error


def _names(config: FacialLMConfig) -> tuple[str, ...]:
    # A tied head has its embedding's name; both names may be given.
    return tuple(name for name, _ in _bare(config).named_parameters(remove_duplicate=False))


def rehearse(config: FacialLMConfig, stages: Sequence[tuple[StageRun, Stage]]) -> None:
    """Prepare every stage on a model without values."""
    for _, stage in stages:
        prepare(_bare(config), stage)
