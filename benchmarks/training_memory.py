"""Peak memory of a training run over a data set and over one twice as long, and the time to its first step.

    python benchmarks/training_memory.py [--limit N] [--crops N]

ExpLLM's recipe at scale tiny over a folder of pictures, stopped after 100 steps; crops of 112 px. The faces are found
beforehand, in another process and by a front-end that takes the whole picture for the face: what is measured is the
training's reading of them. ``--crops N``: pictures of the shorter set, 26,000 by default; ``--limit N`` likewise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _process import own_memory
from _record import ROOT, Record, parser, run
from PIL import Image

CROPS, SIZE, STEPS, KINDS = 26_000, 112, 100, 200
CHANGES = [
    "teacher=null", "tasks={label: 1}", "evaluation=[]", "data.0.dataset=folder", "data.0.limit=null",
    "data.0.split=all", "validation.0.dataset=folder", "validation.0.split=all", f"inputs.crop_size={SIZE}",
    "stages=[{name: code-rafdb, tasks: [label], learning_rate: 1.0e-3, batch: 8, epochs: 1, precision: fp32}]",
]  # fmt: skip


def write_pictures(root: Path, count: int) -> None:
    """``count`` pictures of two classes; their files are links to a few."""
    rng = np.random.default_rng(0)
    source = root.parent / "kinds"
    source.mkdir(parents=True, exist_ok=True)
    for kind in range(KINDS):
        pixels = rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source / f"{kind}.jpg", quality=80)
    for name in ("happiness", "neutral"):
        (root / name).mkdir(parents=True)
    for number in range(count):
        name = ("happiness", "neutral")[number % 2]
        os.link(source / f"{number % KINDS}.jpg", root / name / f"{number:06d}.jpg")


def arguments(root: Path) -> list[str]:
    return [*CHANGES, f"data.0.root={root}", f"validation.0.root={root}"]


def find(root: Path) -> None:
    """Fill the cache of faces as the recipe will ask for it."""
    from mien.core.nouns import Face
    from mien.train.data.faces import gather
    from mien.train.recipe_files import load_recipe
    from mien.work import faces

    class Whole:
        def __init__(self, **options: Any) -> None:
            pass

        def find(self, image: np.ndarray[Any, Any]) -> list[Face]:
            return [Face(np.asarray([0, 0, image.shape[1], image.shape[0]], np.float32), 1.0)]

    faces.FaceFinder = Whole  # type: ignore[misc, assignment]
    gather(load_recipe("expllm", "tiny", arguments(root)).data, SIZE, root.parent / "cache", False)


def train(root: Path) -> None:
    """Prints seconds to the first step, and peak MB."""
    from transformers import TrainerCallback

    from mien.train.recipe_files import load_recipe
    from mien.train.runs import Run

    began, first = time.monotonic(), []

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if not first:
                first.append(time.monotonic() - began)
            control.should_training_stop = state.global_step >= STEPS

    out = root.parent / "run"
    Run(load_recipe("expllm", "tiny", arguments(root)), out, root.parent / "cache", [Stop()]).train()
    sys.stdout.write(json.dumps({"first": first[0], "peak": own_memory()}) + "\n")


def child(what: str, root: Path) -> str:
    """Run a part in a process of its own, and give its last line."""
    command = [sys.executable, __file__, what, str(root)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(Path(__file__).parent)]),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return (done.stdout.splitlines() or [""])[-1]


def measure(record: Record) -> None:
    """Once for each length."""
    count, found = record.options.limit or record.options.crops, {}
    for times in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "pictures"
            write_pictures(root, times * count)
            child("find", root)
            found[times] = json.loads(child("train", root))
        record.add(f"peak memory, {times * count:,} crops", found[times]["peak"], "MB")
        record.add(f"time to the first step, {times * count:,} crops", found[times]["first"], "s")
    growth = 100.0 * (found[2]["peak"] / found[1]["peak"] - 1.0)
    record.add("rise of the peak, twice as many crops", growth, "%", bar=5.0, at_most=True)


if __name__ == "__main__":
    if sys.argv[1:2] in (["find"], ["train"]):
        {"find": find, "train": train}[sys.argv[1]](Path(sys.argv[2]))
    else:
        options = parser(__doc__.splitlines()[0])
        options.add_argument("--crops", type=int, default=CROPS)
        run("training_memory", options, measure)
