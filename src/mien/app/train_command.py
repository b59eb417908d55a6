"""``mien train RECIPE``: checks what the recipe needs, then runs it."""

from __future__ import annotations

from pathlib import Path

from mien.core.errors import BadConfig, require
from mien.core.paths import data_root

__all__ = ["RECIPES", "run_recipe"]

RECIPES: tuple[str, ...] = ("pocket",)


def run_recipe(name: str, renders: Path, out: Path, data: Path | None) -> Path:
    """Train `name` and return the folder of the exported model.

    Raises:
        BadConfig: an unknown recipe, or a missing data folder.
        MissingDependency: the training packages are not installed.
    """
    if name not in RECIPES:
        raise BadConfig(
            got=f"recipe {name!r}", expected=f"one of {', '.join(RECIPES)}", fix="Choose one of these"
        )
    root = data or data_root()
    if not root.is_dir():
        raise BadConfig(
            got=f"no data folder at {root}",
            expected="the training packs (docs/pocket.md lists them)",
            fix="Pass --data FOLDER, or set MIEN_DATA",
        )
    for module in ("torch", "transformers", "accelerate", "onnx"):
        require(module, extra="train", purpose="training")
    from mien.train.pocket import PocketRecipe, train_pocket

    return train_pocket(PocketRecipe(), renders, out, root)
