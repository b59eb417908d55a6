"""Whose a run folder is: the recipe is written into it first, and no other recipe goes on in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mien.core.errors import BadConfig, BadInput
from mien.core.paths import output_errors, write_whole
from mien.core.run_record import RunRecord
from mien.train.recipe import Recipe

__all__ = ["RECIPE", "claim"]

RECIPE = "recipe.json"
_RECORD = "run.json"
_WORDS = "tokenizer.json"
_OTHERS = ("stages", "model", _WORDS, "mien.json", "config.json")
"""What tells that something else lies in a folder already."""


def claim(folder: Path, recipe: Recipe) -> None:
    """Make the folder this recipe's, or find that it is: then the run goes on there.

    Raises:
        BadConfig: it holds a run of another recipe, or something else.
        OutputFailed: it cannot be made or written.
    """
    wanted = recipe.model_dump(mode="json")
    held = _held(folder)
    odd = None if held is None else _first_difference(held, wanted)
    if odd is not None:
        if not _begun(folder):
            # A run that was refused before it learned anything; its words may be another recipe's.
            (folder / _WORDS).unlink(missing_ok=True)
        else:
            name, there, here = odd
            # Figures of a stage stand beside its name in a recipe.
            name = name.replace(".changes.", ".")
            raise BadConfig(
                got=f"{folder}, which holds a run with {name} = {there!r}, for a recipe with {here!r}",
                expected="a new folder, or the very recipe that was begun there",
                fix="Choose another --out, or remove the folder to start over",
            )
    with output_errors(folder):
        (folder / "stages").mkdir(parents=True, exist_ok=True)
    write_whole(folder / RECIPE, json.dumps(wanted, indent=2, sort_keys=True) + "\n")


def _begun(folder: Path) -> bool:
    return any((folder / name).exists() for name in (_RECORD, "model")) or any((folder / "stages").glob("*"))


def _held(folder: Path) -> dict[str, Any] | None:
    """The recipe of the run that a folder holds; None for a folder without one.

    Raises:
        BadConfig: it holds something else.
    """
    own = (folder / RECIPE).is_file()
    if not own and not (folder / _RECORD).is_file():
        if any((folder / name).exists() for name in _OTHERS):
            raise _foreign(folder)
        return None
    try:
        stored: Any = (
            RunRecord.read(folder / _RECORD).config if not own else json.loads(_text(folder / RECIPE))
        )
        stored.pop("stage_figures", None)
        # Entries that this version has and that one had not are at their defaults.
        return Recipe.model_validate(stored).model_dump(mode="json")
    except (OSError, ValueError, BadInput) as error:
        raise _foreign(folder) from error


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _foreign(folder: Path) -> BadConfig:
    return BadConfig(
        got=f"{folder}, which holds no run of a recipe of this version",
        expected="a new folder, or the run that is to go on",
        fix="Choose another --out",
    )


def _first_difference(held: Any, wanted: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """The first entry, by its dotted name, that two recipes do not share, and what stands there in each."""
    if isinstance(held, Mapping) and isinstance(wanted, Mapping):
        names = [name for name in (*wanted, *held) if held.get(name) != wanted.get(name)]
        if names:
            return _first_difference(held.get(names[0]), wanted.get(names[0]), f"{place}.{names[0]}")
        return None
    if isinstance(held, list) and isinstance(wanted, list) and len(held) == len(wanted):
        for index, (there, here) in enumerate(zip(held, wanted, strict=True)):
            if there != here:
                return _first_difference(there, here, f"{place}.{index}")
        return None
    return None if held == wanted else (place.removeprefix("."), held, wanted)
