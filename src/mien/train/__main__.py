"""``python -m mien.train RECIPE --out RUN``: for ``torchrun``, one process per device."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mien.core.errors import MienError
from mien.train.recipe import load_recipe
from mien.train.runs import run_recipe


def main() -> int:
    """Train a recipe; exit status 2 and a message when it cannot be."""
    options = argparse.ArgumentParser(prog="python -m mien.train", description=__doc__)
    options.add_argument("recipe", help="a recipe's name, or the path of a YAML file")
    options.add_argument("changes", nargs="*", help="key=value, for instance stages.0.epochs=2")
    options.add_argument("--scale", default="small", choices=("tiny", "small", "paper"))
    options.add_argument("--out", type=Path, required=True, help="run folder; a killed run goes on from it")
    options.add_argument("--cache", type=Path, help="folder for landmarks (default: beside the run)")
    given = options.parse_args()
    try:
        run_recipe(load_recipe(given.recipe, given.scale, given.changes), given.out, given.cache)
    except MienError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
