"""What a recipe cannot be, said before any data is read: names of tasks, options, inputs, weights and layouts."""

from __future__ import annotations

import inspect
import random
from collections.abc import Mapping
from typing import Any

from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Labels, Sample
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.processing import TEMPLATES
from mien.models.composite.systems import System
from mien.models.registry import open_system
from mien.train.data.drawn import CONVERSATION
from mien.train.recipe import DataPart, Evaluation, Recipe
from mien.train.values import read_fields, read_options

__all__ = ["check_entries"]

_NOBODY = Sample("", "", "", "", Labels())


def check_entries(recipe: Recipe) -> Recipe:
    """The recipe with its options and inputs in their types.

    Raises:
        BadConfig: a task, option, input, layout or part of the weights that there is not.
    """
    system = open_system(recipe.system, recipe.scale)
    for part in recipe.data:
        _check_part(system, recipe, part)
    for place, wanted in enumerate(recipe.evaluation):
        _check_evaluation(system, wanted, f"evaluation.{place}")
    if recipe.evaluation and not recipe.validation:
        raise BadConfig(
            got="evaluation without validation",
            expected="faces to ask about",
            fix="Give validation, for instance validation.0.dataset=ferplus, or write evaluation=[]",
        )
    known = ("model", "decoder", "text", *system.placeholders.values())
    for name in recipe.weights:
        require_known(name, known, "part of weights", of=system.name)
    for stage in recipe.stages:
        if stage.encoder is not None:
            require_known(stage.encoder, system.placeholders.values(), "encoder", of=f"stage {stage.name!r}")
        if stage.unless is not None:
            require_known(stage.unless, known, "part of weights", of=f"stage {stage.name!r}")
    typed = {
        "options": read_options(system.configure, recipe.options, "options"),
        "inputs": read_fields(Inputs, recipe.inputs, "inputs"),
    }
    Inputs.of(typed["inputs"])
    return recipe.model_copy(update=typed)


def _check_part(system: System, recipe: Recipe, part: DataPart) -> None:
    """Tasks, and options of their dialogues; a part that brings conversations needs no builder for them."""
    brought = () if part.conversations is None else (CONVERSATION,)
    if brought and CONVERSATION not in recipe.asked(part):
        raise BadConfig(
            got=f"conversations of {part.dataset}, which is not asked for any",
            expected=f"{CONVERSATION} among its tasks",
            fix=f"Write tasks: {{{CONVERSATION}: 1}} into the part",
        )
    for task in (*recipe.tasks, *recipe.asked(part), *recipe.dialogues, *part.dialogues):
        require_known(task, (*system.builders, *brought), "task", of=system.name)
        options = {**recipe.dialogues.get(task, {}), **part.dialogues.get(task, {})}
        if task not in brought:
            _check_dialogue(system, task, options)


def _check_evaluation(system: System, wanted: Evaluation, where: str) -> None:
    require_known(wanted.task, system.builders, f"{where}.task", of=system.name)
    _check_dialogue(system, wanted.task, wanted.dialogue)
    if wanted.template is not None:
        require_known(wanted.template, TEMPLATES, f"{where}.template")
    known = tuple(inspect.signature(system.read).parameters)[2:]
    for name in wanted.reading:
        require_known(name, known, f"{where}.reading", of=system.name)
    # Any text will do: what is tried is whether the reader knows these values.
    system.read("0", task=wanted.task, **wanted.reading)


def _check_dialogue(system: System, task: str, options: Mapping[str, Any]) -> None:
    """Options of a task's dialogues, tried on a face without labels."""
    try:
        system.build(task, _NOBODY, random.Random(0), **options)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadConfig(
            got=f"dialogue options {dict(options)} of task {task!r} ({error})",
            expected="values of the types that its builder names",
        ) from error
