"""Claims of the five papers in a small world: pairs of runs that differ in one thing, on the same validation faces.

    python benchmarks/replication.py --runs runs/replication [--seeds 3] [--claims emola] [--minutes 60] [--jobs 2]

``replication.yaml`` holds the runs and the claims. A run that is finished is not run again, one that was killed goes
on; with ``--minutes`` no run begins later, and claims whose runs are not there are told as not run. Differences are
paired by face and averaged over seeds; their intervals draw faces and seeds anew (bootstrap). ``head`` is the plain
classifier that a stage of the other run left behind.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from _record import ROUNDS, Record, Skipped, needed_data, parser, run
from safetensors.torch import load_file

from mien.evaluate.predictions import read_predictions
from mien.models.composite.assemble import open_composite
from mien.models.registry import open_system
from mien.train.align import ClassificationTask, FaceBatches, emotion_frequency, emotions_told
from mien.train.data.faces import gather
from mien.train.plan import planned_inputs
from mien.train.recipe import Recipe

WORLD = Path(__file__).with_suffix(".yaml")
HEAD = "head"
_BLIND = 0.03
"""UAR over that of a constant answer, below which an arm has learnt nothing that could be compared."""
_CANNOT = "cannot be tested here: an arm is hardly better than one word"
_ONE_SEED = "one seed: a direction and no verdict"
Table = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cell:
    """One run."""

    recipe: str
    entries: tuple[str, ...]
    taken: Mapping[str, str]
    """Part of the model -> the run that it is taken from."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Of two cells one is said to be better."""

    paper: str
    says: str
    better: str
    other: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The runs that it needs."""
        return tuple(name for name in (self.better, self.other) if name != HEAD)


class World:
    """The runs and claims of ``replication.yaml``, and the folder that they are run in."""

    def __init__(self, folder: Path, path: Path = WORLD) -> None:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.folder, self.common = folder, tuple(told["common"])
        self.starts = {name: self._cell(one) for name, one in told["starts"].items()}
        self.cells = {name: self._cell(one) for name, one in told["cells"].items()}
        self.claims = [Claim(**one) for one in told["claims"]]

    @staticmethod
    def _cell(told: Mapping[str, Any]) -> Cell:
        return Cell(told["recipe"], tuple(told["entries"]), told.get("from", {}))

    def place(self, name: str, seed: int) -> Path:
        """A run's folder; what others start from has one seed."""
        return self.folder / (name if name in self.starts else f"{name}-{seed}")

    def command(self, name: str, seed: int) -> list[str]:
        """How it is trained."""
        start = name in self.starts
        cell = self.starts[name] if start else self.cells[name]
        taken = [f"weights.{part}={self.place(other, seed)}" for part, other in cell.taken.items()]
        common = [
            one for one in self.common if one.split("=")[0] not in {e.split("=")[0] for e in cell.entries}
        ]
        return [
            sys.executable, "-m", "mien", "train", cell.recipe, "--scale", "small",
            "--out", str(self.place(name, seed)), f"seed={1 if start else seed}", *common, *cell.entries, *taken,
        ]  # fmt: skip

    def train(self, name: str, seed: int) -> None:
        """Do a run that is not finished."""
        place = self.place(name, seed)
        if (place / "result.json").is_file():
            return
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        ended = subprocess.run(
            self.command(name, seed),
            env={**os.environ, **threads},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"{name}, seed {seed}: {ended.stderr.strip()[-600:]}")


def asked_for(world: World, words: Sequence[str]) -> list[Claim]:
    """Claims that hold one of the words, in paper or sentence; all without words."""
    return [
        claim for claim in world.claims
        if not words or any(word.lower() in f"{claim.paper} {claim.says}".lower() for word in words)
    ]  # fmt: skip


def measure(record: Record) -> None:
    needed_data("ferplus")
    options = record.options
    if options.runs is None:
        raise Skipped("no --runs FOLDER for the runs of the small world, which take hours")
    world, began = World(options.runs), time.monotonic()
    claims = asked_for(world, options.claims)
    starts = {start for claim in claims for name in claim.cells for start in world.cells[name].taken.values()}
    for start in sorted(starts):
        world.train(start, 1)
    names = dict.fromkeys(name for claim in claims for name in claim.cells)
    waiting = [(name, seed) for seed in range(1, options.seeds + 1) for name in names]

    def work(one: tuple[str, int]) -> None:
        if time.monotonic() - began < 60 * options.minutes:
            try:
                world.train(*one)
            except RuntimeError as error:  # its claims are told without it
                print(error, file=sys.stderr, flush=True)
            print(
                f"{(time.monotonic() - began) / 60:5.1f} min  {world.place(*one).name}",
                file=sys.stderr,
                flush=True,
            )

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(work, waiting))
    for claim in claims:
        tell(record, world, claim, options.seeds)


def tell(record: Record, world: World, claim: Claim, seeds: int) -> None:
    """The difference of a claim's two arms, with its verdict."""
    there = [
        seed for seed in range(1, seeds + 1)
        if all((world.place(name, seed) / "result.json").is_file() for name in claim.cells)
    ]  # fmt: skip
    name = f"{claim.paper}: {claim.says}"
    if not there:
        record.add(name, float("nan"), note="not run")
        return
    arms = [answers(world, claim, seed) for seed in there]
    faces = sorted(set.intersection(*(set(arm) for pair in arms for arm in pair)))
    truth = truths(world.place(claim.other, there[0]))
    labels = np.asarray([truth[face] for face in faces])
    better, other = (
        np.asarray([[pair[turn][face] == truth[face] for face in faces] for pair in arms]) for turn in (0, 1)
    )
    for measured, score in (("accuracy", accuracy), ("UAR", uar)):
        gap = score(better, labels) - score(other, labels)
        low, high = np.quantile(
            list(draws(better, other, labels, score, record.options.seed)), (0.025, 0.975)
        )
        each = [score(better[[row]], labels) - score(other[[row]], labels) for row in range(len(there))]
        arms_are = f"{score(better, labels):.3f} against {score(other, labels):.3f}"
        seeds_are = f"better in {sum(one > 0 for one in each)} of {len(there)} seeds"
        blind = min(uar(better, labels), uar(other, labels)) < 1 / len(np.unique(labels)) + _BLIND
        judged = _CANNOT if blind else _ONE_SEED if len(there) == 1 else verdict(float(low), float(high))
        note = f"{arms_are}; {seeds_are}; {judged}"
        record.add(f"{name}, {measured}", gap, n=len(faces), low=float(low), high=float(high), note=note)


def verdict(low: float, high: float) -> str:
    """What an interval of the difference says."""
    return "holds" if low > 0 else "the other way round" if high < 0 else "cannot be told apart"


def accuracy(right: Table, labels: npt.NDArray[np.str_]) -> float:
    """Of (S, N) flags."""
    return float(right.mean())


def uar(right: Table, labels: npt.NDArray[np.str_]) -> float:
    """Mean of the labels' recalls, of (S, N) flags."""
    return float(np.mean([right[:, labels == one].mean() for one in np.unique(labels)]))


def draws(
    better: Table, other: Table, labels: npt.NDArray[np.str_], score: Any, seed: int
) -> Iterator[float]:
    """Differences of drawn faces and drawn seeds, the same for both arms."""
    rng = np.random.default_rng(seed)
    for _ in range(ROUNDS):
        seeds, faces = (
            rng.integers(0, better.shape[0], better.shape[0]),
            rng.integers(0, better.shape[1], better.shape[1]),
        )
        here = labels[faces]
        yield score(better[seeds][:, faces], here) - score(other[seeds][:, faces], here)


def answers(world: World, claim: Claim, seed: int) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Face -> label that each arm gives, of faces with one true label."""
    other = world.place(claim.other, seed)
    told = said(other)
    if claim.better != HEAD:
        return said(world.place(claim.better, seed)), told
    heads = sorted(other.glob("heads/*.safetensors"))
    return dict(classifier(other, heads[0], world.folder / "cache")), told


def labelled(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows on one emotion."""
    for row in read_predictions(folder / "predictions.jsonl"):
        if "emotion" in (row["truth"] or {}) and len(row["answers"]) == 1:
            yield row


def said(folder: Path) -> dict[str, str | None]:
    """Face -> what the decoder answered."""
    return {row["id"]: (row["said"] or {}).get("emotion") for row in labelled(folder)}


def truths(folder: Path) -> dict[str, str]:
    """Face -> its true label."""
    return {row["id"]: row["truth"]["emotion"] for row in labelled(folder)}


def classifier(folder: Path, head: Path, cache: Path) -> dict[str, str]:
    """Face -> what the head says of it."""
    recipe = Recipe.model_validate_json((folder / "recipe.json").read_text(encoding="utf-8"))
    model = open_composite(str(folder))
    name = next(iter(model.config.evidence))
    inputs = planned_inputs(recipe, model.config)
    faces = gather(recipe.validation, inputs.crop_size, cache, open_system(recipe.system).needs_mesh(inputs))
    task = ClassificationTask(model, name, emotion_frequency(faces))
    task.head.load_state_dict(load_file(head))
    told = emotions_told(task, FaceBatches(model.config, name, inputs, faces))
    return {sample.id: one for sample, one in zip(faces.samples, told, strict=True)}


def options() -> argparse.ArgumentParser:
    made = parser(__doc__.splitlines()[0])
    made.add_argument(
        "--runs", type=Path, help="folder of the runs; those that are finished are not run again"
    )
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument(
        "--claims", nargs="*", default=[], metavar="WORD", help="only claims with one of these words"
    )
    made.add_argument("--minutes", type=float, default=float("inf"), help="no run begins later")
    made.add_argument("--jobs", type=int, default=2, help="runs side by side, of one thread each")
    return made


if __name__ == "__main__":
    run("replication", options(), measure)
