"""``python -m mien.train RECIPE --out RUN``: for ``torchrun``, one process per device."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from mien.core.errors import MienError


def main() -> int:
    """Train a recipe; exit status 2 and a message when it cannot be."""
    options = argparse.ArgumentParser(prog="python -m mien.train", description=__doc__)
    options.add_argument("recipe", help="a recipe's name, or the path of a YAML file")
    options.add_argument("changes", nargs="*", help="key=value, for instance stages.0.epochs=2")
    options.add_argument("--scale", default="small", choices=("tiny", "small", "base", "paper"))
    options.add_argument("--out", type=Path, required=True, help="run folder; a killed run goes on from it")
    options.add_argument("--renders", type=Path, help="shards that tools/render_faces.py wrote")
    options.add_argument("--data", type=Path, help="folder of the data packs (default: $MIEN_DATA)")
    options.add_argument("--cache", type=Path, help="folder for landmarks (default: beside the run)")
    given = options.parse_intermixed_args()
    # Before torch is loaded: DDP warns in every process, in C++, that all parameters are in use.
    os.putenv("TORCH_CPP_LOG_LEVEL", "ERROR")
    from mien.train.command import train_recipe

    try:
        train_recipe(
            given.recipe, given.scale, given.changes, given.out,
            renders=given.renders, data=given.data, cache=given.cache,
        )  # fmt: skip
    except MienError as error:
        _end_unless_first()
        sys.stderr.write(f"Error: {error}\n")
        return 2
    except Exception:
        _end_unless_first()
        raise
    return 0


def _end_unless_first() -> None:
    """Of several processes one says why they fail; what befalls the others mostly follows from it."""
    from mien.train.processes import first_to_fail

    if not first_to_fail():
        time.sleep(2.0)  # until the other has spoken: torchrun ends it as soon as this one has ended
        os._exit(2)


if __name__ == "__main__":
    raise SystemExit(main())
