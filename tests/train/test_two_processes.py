"""Two processes, as ``torchrun`` starts them, learn what one process learns of the same batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from mien.models.registry import SYSTEMS
from mien.train import processes
from mien.train.recipe import Recipe
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run
from mien.train.terminal import quiet_libraries

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")

SOURCE = Path(__file__).parents[2] / "src"


class Losses(TrainerCallback):
    """The loss of every step, of all processes together, as the Trainer tells it."""

    def __init__(self, target: Path) -> None:
        self.target, self.found = target, dict[str, list[float]]()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have it told."""
        control.should_log = True

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Note it."""
        if logs and "loss" in logs and state.is_world_process_zero:
            self.found.setdefault(Path(args.output_dir).name, []).append(logs["loss"])
            self.target.write_text(json.dumps(self.found))


class Stops(TrainerCallback):
    """One process is killed after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """As a power cut would do it."""
        if state.global_step == self.step and processes.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def run(recipe: Recipe, folder: Path, number: int, *more: str) -> subprocess.CompletedProcess[str]:
    """A recipe trained by so many processes, with caches that all runs of a test share."""
    folder.parent.mkdir(exist_ok=True)
    place = folder.with_suffix(".recipe")
    place.write_text(recipe.model_dump_json())
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(number)]
    command = [sys.executable, *(start if number > 1 else []), __file__, str(place), str(folder),
               str(folder.parent / "cache"), *more]  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR",
    }  # fmt: skip
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


def both(recipe: Recipe, folder: Path) -> tuple[Path, Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        Run(recipe, folder / "one", folder / "cache", [Losses(folder / "one.json")]).train()
    finally:
        torch.set_num_threads(threads)
    done = run(recipe, folder / "two", 2)
    assert done.returncode == 0, done.stderr[:3000]
    return folder / "one", folder / "two"


def compare(one: Path, two: Path, mean: float = 2e-5) -> None:
    """Loss of each step, what each stage left (``mean`` distance at most), answers and figures."""
    losses = [json.loads(folder.with_suffix(".json").read_text()) for folder in (one, two)]
    assert losses[0].keys() == losses[1].keys()
    for stage, expected in losses[0].items():
        # Batch normalisation over few faces, and steps that Adam keeps at full size.
        alone = stage.endswith("align")
        assert losses[1][stage][0] == pytest.approx(expected[0], rel=1e-6)
        assert losses[1][stage] == pytest.approx(expected, rel=1e-4 if alone else 1e-6), stage
    for left in (one / "stages").glob("*.safetensors"):
        theirs = load_file(two / "stages" / left.name)
        for name, value in load_file(left).items():
            # Adam turns the last digit of a gradient near zero into a whole step: of 1e-3, a few of them.
            torch.testing.assert_close(theirs[name], value, atol=2e-3, rtol=1e-3, msg=name)
            assert float((theirs[name] - value).float().abs().mean()) < mean, name
    for name in ("predictions.jsonl", "result.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def tiny(system: str, data: Path, renders: Path, *changes: str) -> Recipe:
    root = renders if system == "au-llava" else data
    return load_recipe(system, "tiny", [f"data.0.root={root}", f"validation.0.root={root}", *changes])


def test_two_processes_learn_what_one_does_whatever_its_phases_take(
    tiny_data: Path, tiny_renders: Path, tmp_path: Path
) -> None:
    # 11 faces: the last step is short, and one process has an empty micro-batch in the end.
    changes = ("data.0.limit=11", "stages.0.micro_batch=1", "stages.0.epochs=1")
    compare(*both(tiny("emola", tiny_data, tiny_renders, *changes), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_two_processes_learn_what_one_does_of_every_system(
    system: str, tiny_data: Path, tiny_renders: Path, tmp_path: Path
) -> None:
    micro = [] if system == "facephi" else ["stages.0.micro_batch=4"]
    micro += ["stages.1.micro_batch=4"] if system in ("expllm", "facephi") else []
    micro += ["stages.2.micro_batch=4"] if system == "facephi" else []
    # A bias before batch normalisation has no gradient: Adam makes steps of its rounding, 1e-3 each.
    mean = 1e-3 if system == "facephi" else 2e-5
    compare(*both(tiny(system, tiny_data, tiny_renders, "data.0.limit=13", *micro), tmp_path), mean)


@pytest.mark.slow
def test_one_goes_on_where_one_of_two_was_killed(tiny_data: Path, tiny_renders: Path, tmp_path: Path) -> None:
    recipe = tiny("emola", tiny_data, tiny_renders, "stages.0.micro_batch=4", "stages.0.save_steps=1")
    Run(recipe, tmp_path / "one", tmp_path / "cache", [Losses(tmp_path / "one.json")]).train()
    ended = run(recipe, tmp_path / "two", 2, "2")
    assert ended.returncode != 0 and not (tmp_path / "two" / "model").exists()
    assert "Signal 9" in ended.stderr and "DistBackendError" not in ended.stderr.split("Root Cause")[0]
    held = json.loads((tmp_path / "two.json").read_text())["0-code"]
    Run(recipe, tmp_path / "two", tmp_path / "cache", [Losses(tmp_path / "rest.json")]).train()
    gone_on = json.loads((tmp_path / "rest.json").read_text())["0-code"]
    expected = json.loads((tmp_path / "one.json").read_text())["0-code"]
    assert [*held[: len(expected) - len(gone_on)], *gone_on] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_what_cannot_be_is_said_once(tmp_path: Path) -> None:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*start, "-m", "mien.train", "emola", "--scale", "tiny", "--out", str(tmp_path / "run"),
               f"data.0.root={tmp_path}"]  # fmt: skip
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    assert ended.stderr.count("Error: Got") == 1 and "mien/train" not in ended.stderr, ended.stderr


class Slow(Run):
    """Phases in which one process works for longer than a collective of training may take."""

    def _faces(self, parts: Any) -> Any:
        time.sleep(7.0 * (1 - processes.rank()))
        return super()._faces(parts)

    def _validate(self, *given: Any) -> Any:
        time.sleep(7.0 * processes.rank())
        return super()._validate(*given)


if __name__ == "__main__":
    torch.set_num_threads(1)
    quiet_libraries()
    written, target, kept = map(Path, sys.argv[1:4])
    callbacks: list[TrainerCallback] = [Losses(target.with_suffix(".json"))]
    if sys.argv[4:]:
        callbacks.append(Stops(int(sys.argv[4])))
    Slow(
        Recipe.model_validate_json(written.read_text()), target, kept, callbacks, timedelta(seconds=5)
    ).train()
