"""``mien train RECIPE``: checks what the recipe needs, then runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mien.core.errors import BadConfig, require
from mien.core.paths import data_root

__all__ = ["POCKET", "run_recipe"]

POCKET = "pocket"
"""The embedded model's recipe; it has no scales and needs rendered faces."""


def run_recipe(
    name: str,
    renders: Path | None,
    out: Path,
    data: Path | None,
    *,
    scale: str = "small",
    changes: Sequence[str] = (),
) -> Path:
    """Train a recipe and return the folder of the result.

    Args:
        name: ``pocket``, a system's recipe (``facephi``, ``emola``, …), or the path of a YAML file.
        renders: shards of ``tools/render_faces.py``; for ``pocket``, and in place of the recipe's own folder.
        out: run folder; a killed run goes on from it.
        data: folder of the data packs; where the recipe names no folder of its own.
        scale: ``tiny``, ``small``, ``base`` or ``paper``; ``pocket`` has one only.
        changes: ``key=value`` entries that replace the recipe's; for ``pocket`` only ``blendshapes=FILE.npz``, what an
            outside instrument says of the real training faces.
    """
    needed = ("torch", "transformers", "accelerate", "peft", "yaml") if name != POCKET else (
        "torch", "transformers", "accelerate", "onnx")  # fmt: skip
    for module in needed:
        require(module, extra="train", purpose="training")
    if name == POCKET:
        return _train_pocket(renders, out, data, changes)
    from mien.train.command import train_recipe

    return train_recipe(name, scale, changes, out, renders=renders, data=data)


def _train_pocket(renders: Path | None, out: Path, data: Path | None, changes: Sequence[str]) -> Path:
    shapes = [change.partition("=")[2] for change in changes if change.startswith("blendshapes=")]
    if renders is None or len(shapes) < len(changes):
        raise BadConfig(
            got=f"recipe pocket with {', '.join(changes) or 'no --renders'}",
            expected="--renders FOLDER and no key=value but blendshapes=FILE.npz",
            fix="Run: python tools/render_faces.py --count 27136 --size 144 --out FOLDER",
        )
    root = data or data_root()
    if not root.is_dir():
        raise BadConfig(
            got=f"no data folder at {root}",
            expected="the training packs (docs/pocket.md lists them)",
            fix="Pass --data FOLDER, or set MIEN_DATA",
        )
    from mien.train.pocket.run import PocketRecipe, train_pocket

    return train_pocket(PocketRecipe(), renders, out, root, Path(shapes[-1]) if shapes else None)
