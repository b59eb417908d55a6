"""A training recipe: one YAML file per system, with a section per scale, checked before anything runs.

    system: facephi
    tasks: {emotion: 1}
    scales:
      tiny: {…}
      small: {data: [{dataset: ferplus, split: train}], stages: [{name: align, epochs: 6}, …]}

A recipe may extend another (``extends: emola``): its entries are laid on that one's, ``tasks`` as a whole.

``key=value`` arguments of the command line replace single entries:
``seed=2``, ``data.0.limit=500``, ``stages.1.epochs=3``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from mien.core.errors import BadConfig, require_known
from mien.core.objects import read_yaml
from mien.core.registry import trust
from mien.models.composite.systems import Stage
from mien.models.registry import open_system
from mien.train.checks import check_entries
from mien.train.recipe import Recipe, resolve_stage
from mien.train.values import read_content, set_entry

__all__ = ["load_recipe", "merge", "recipe_names"]

_FOLDER = files("mien.train") / "recipes"


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
    content = _extended(name)
    scales = content.pop("scales", {})
    if not isinstance(scales, Mapping) or not isinstance(scales.get(scale, ""), Mapping | None):
        raise BadConfig(
            got=f"scale {scale!r} of recipe {name}",
            expected=f"one of {', '.join(map(str, scales))}"
            if isinstance(scales, Mapping)
            else "a mapping scales",
            fix="Pass --scale, or write its entries",
        )
    merged = merge(merge(content, scales[scale] or {}), {"scale": scale})
    for change in changes:
        set_entry(merged, change)
    _trust_encoders(merged)
    if isinstance(merged.get("stages"), list):
        merged["stages"] = [_stage_run(stage) for stage in merged["stages"]]
    recipe = check_entries(read_content(Recipe, merged, f"recipe {name}"))
    for stage in recipe.stages:
        for task in stage.tasks or ():
            require_known(task, recipe.every_task, "task", of=f"recipe {name}")
        resolve_stage(open_system(recipe.system, recipe.scale), stage)
    return recipe


def _trust_encoders(entries: object) -> None:
    """Encoders of one's own that a recipe names may be imported: a recipe is the user's word."""
    if isinstance(entries, Mapping):
        kind = entries.get("type")
        if isinstance(kind, str) and ":" in kind:
            trust(kind)
        for one in entries.values():
            _trust_encoders(one)


def _extended(name: str | Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    if str(name) in above:
        raise BadConfig(
            got=f"recipes that extend each other: {', '.join((*above, str(name)))}",
            expected="one that extends none at the end",
            fix="Correct their entries 'extends'",
        )
    content = _read(name)
    base = content.pop("extends", None)
    if not isinstance(base, str | None):
        raise BadConfig(got=f"extends {base!r}", expected="the name of a recipe", fix="Correct the entry")
    return content if base is None else merge(_extended(base, (*above, str(name))), content)


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
        content = read_yaml(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(
            got=f"recipe {name}: {error}", expected="a YAML file", fix="Correct its syntax"
        ) from error
    if not isinstance(content, dict):
        raise BadConfig(
            got=f"recipe {name} without entries", expected="a mapping", fix="See docs/training.md"
        )
    return content


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``, mappings key by key, tasks and everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if key != "tasks" and isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def _stage_run(entry: object) -> object:
    """Fields of `Stage` stand beside the name in the file; inside they are gathered."""
    if not isinstance(entry, Mapping):
        return entry
    of_stage = {field.name for field in fields(Stage)}
    own = {key: value for key, value in entry.items() if key not in of_stage}
    changes = {key: value for key, value in entry.items() if key in of_stage}
    return {**own, "changes": {**entry.get("changes", {}), **changes}}
