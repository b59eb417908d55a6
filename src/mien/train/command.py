"""A recipe by its name, as the command line and ``torchrun`` run it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mien.train.recipe import DataPart, Recipe
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run
from mien.train.terminal import StageLine, quiet_libraries

__all__ = ["located", "train_recipe"]

_RENDERS = "renders"


def train_recipe(
    name: str,
    scale: str,
    changes: Sequence[str],
    out: Path,
    *,
    renders: Path | None = None,
    data: Path | None = None,
    cache: Path | None = None,
) -> Path:
    """Train a recipe and return the run folder, showing one line per stage.

    Args:
        name: see `load_recipe`.
        scale: likewise.
        changes: likewise.
        out: the run folder.
        renders: see `located`.
        data: likewise.
        cache: for landmarks; beside the run by default.
    """
    quiet_libraries()
    recipe = located(load_recipe(name, scale, changes), renders, data)
    return Run(recipe, out, cache, [StageLine()]).train()


def located(recipe: Recipe, renders: Path | None, data: Path | None) -> Recipe:
    """The recipe with its folders.

    Args:
        recipe: as it was written.
        renders: shards of rendered faces, in place of the recipe's own folder of them.
        data: folder of the data packs, for every other part that names no folder of its own.
    """

    def placed(part: DataPart) -> DataPart:
        root = renders if part.dataset == _RENDERS else part.root or data
        return part if root is None else part.model_copy(update={"root": root})

    parts = {field: tuple(map(placed, getattr(recipe, field))) for field in ("data", "validation")}
    return recipe.model_copy(update=parts)
