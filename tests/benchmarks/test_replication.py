"""The small world: its runs can be, finished ones are left alone, and differences are told as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mien.train.recipe_files import load_recipe

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def replication() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import replication
    finally:
        sys.path.remove(str(BENCHMARKS))
    return replication


WORLD = yaml.safe_load((BENCHMARKS / "replication.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [*WORLD["starts"], *WORLD["cells"]])
def test_every_run_is_one_that_can_be(name: str, replication: Any, tmp_path: Path) -> None:
    world = replication.World(tmp_path)
    command = world.command(name, 2)
    entries = [one for one in command[command.index("--out") + 2 :] if not one.startswith("weights.")]
    recipe = load_recipe(command[4], "small", entries)
    assert recipe.seed == (1 if name in world.starts else 2) and recipe.evaluation


def test_claims_name_two_runs_of_the_world(replication: Any, tmp_path: Path) -> None:
    world = replication.World(tmp_path)
    for claim in world.claims:
        assert set(claim.cells) <= set(world.cells) and claim.better != claim.other
    assert {claim.paper for claim in replication.asked_for(world, ["emola"])} == {"EmoLA"}


def finished(place: Path, right: list[bool]) -> None:
    """A run that named the true emotion of some faces."""
    place.mkdir(parents=True)
    rows = [
        {"id": f"f{number}", "task": "emotion", "truth": {"emotion": ("anger", "fear")[number % 2]},
         "said": {"emotion": ("anger", "fear")[(number + (not one)) % 2]}, "answers": ["-"]}
        for number, one in enumerate(right)
    ]  # fmt: skip
    (place / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "result.json").write_text("{}")


@pytest.mark.parametrize(
    ("better", "other", "expected"),
    [(0.9, 0.65, "holds"), (0.65, 0.9, "the other way round"), (0.7, 0.7, "cannot be told apart")],
)
def test_a_difference_is_told_with_its_interval(
    better: float, other: float, expected: str, replication: Any, tmp_path: Path
) -> None:
    world, rng = replication.World(tmp_path), np.random.default_rng(0)
    claim = replication.Claim("EmoLA", "a prior helps", "emola-after", "emola-visual")
    for seed in (1, 2, 3):
        for name, share in (("emola-after", better), ("emola-visual", other)):
            finished(world.place(name, seed), (rng.random(200) < share).tolist())
    record = replication.Record("replication", Namespace(seed=0, limit=None, out=None))
    replication.tell(record, world, claim, 5)
    figures = {one.name.split(", ")[1]: one for one in record.figures}
    gap = figures["accuracy"]
    assert gap.value == pytest.approx(better - other, abs=0.06) and gap.n == 200
    assert gap.low < gap.value < gap.high and expected in gap.note and "of 3 seeds" in gap.note
    assert expected in figures["UAR"].note


def test_an_arm_that_says_one_word_is_no_ground_for_a_verdict(replication: Any, tmp_path: Path) -> None:
    world = replication.World(tmp_path)
    claim = replication.Claim("EmoLA", "a prior helps", "emola-after", "emola-visual")
    finished(world.place("emola-after", 1), [True] * 200)
    finished(world.place("emola-visual", 1), [number % 2 == 0 for number in range(200)])
    record = replication.Record("replication", Namespace(seed=0, limit=None, out=None))
    replication.tell(record, world, claim, 2)
    assert all("cannot be tested here" in one.note for one in record.figures)


def test_one_seed_gives_a_direction_and_no_verdict(replication: Any, tmp_path: Path) -> None:
    world = replication.World(tmp_path)
    claim = replication.Claim("EmoLA", "a prior helps", "emola-after", "emola-visual")
    finished(world.place("emola-after", 1), [True] * 200)
    finished(world.place("emola-visual", 1), [number % 3 > 0 for number in range(200)])
    record = replication.Record("replication", Namespace(seed=0, limit=None, out=None))
    replication.tell(record, world, claim, 3)
    assert all(one.value > 0.2 and "no verdict" in one.note for one in record.figures)


def test_a_finished_run_is_left_alone_and_a_failed_one_says_why(
    replication: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, ran = replication.World(tmp_path), []

    def train(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 1, "", "Error: no such data")

    monkeypatch.setattr(replication.subprocess, "run", train)
    finished(world.place("emola-after", 1), [True])
    world.train("emola-after", 1)
    assert not ran
    with pytest.raises(RuntimeError, match="emola-after, seed 2: Error: no such data"):
        world.train("emola-after", 2)
    assert f"weights.image={world.place('tower', 2)}" in ran[0]
