"""Explanations before and after the stage ``reward``, against faces and an instrument that the reward never saw.

    mien train expllm --scale small --out runs/expllm
    mien train expllm-reward --scale small --out runs/reward-own-seed1 weights.model=runs/expllm seed=1
    mien train expllm-reward --scale small --out runs/reward-shuffled-seed1 weights.model=runs/expllm seed=1 \\
        stages.0.reward.shuffled=true
    python benchmarks/reward.py --runs runs --base expllm

Every explanation is the unaided decoder's. Of each, the F1 of the AUs that it affirms against what the rules measure on
the same validation face (the reward's own instrument, on faces that it never saw) and against the embedded model's
measurement (an instrument that it never saw); and whether its conclusion is the raters' emotion. Differences are paired
by face and drawn again over faces; seeds of one arm are averaged first, and told apart in the note.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _record import ROOT, Record, Skipped, interval, parser, run

from mien.backends.audit import WEIGHTS, reward
from mien.backends.base import open_reader
from mien.core.nouns import FaceResult
from mien.dialogue.read.emotion import read_emotion
from mien.evaluate.predictions import read_predictions
from mien.train.data.faces import Faces, gather
from mien.train.recipe import Recipe

ARMS = ("own", "shuffled")
INSTRUMENTS = {
    "rules": "the reward's instrument, new faces",
    "pocket": "an instrument it never saw, new faces",
}
BAR, LOSS = 0.10, -0.01
_ONLY_AUS = {name: float(name == "aus") for name in WEIGHTS}
Floats = npt.NDArray[np.float64]


def measure(record: Record) -> None:
    folder: Path = record.options.runs
    base = folder / record.options.base
    arms = {arm: sorted(path for path in folder.glob(f"reward-{arm}-seed*") if (path / "result.json").is_file())
            for arm in ARMS}  # fmt: skip
    if not (base / "result.json").is_file() or not arms["own"]:
        raise Skipped("no runs; train them as the head of benchmarks/reward.py says, then --runs and --base")
    faces, places = validation(base, folder / "cache")
    told = {"supervised": [explanations(base, places)]}
    told |= {arm: [explanations(path, places) for path in paths] for arm, paths in arms.items() if paths}
    wanted = sorted(set.intersection(*(set(one) for seeds in told.values() for one in seeds)))
    emotions = [faces.samples[place].labels.emotion for place in wanted]
    for instrument, about in INSTRUMENTS.items():
        reader = open_reader(instrument, record.options.threads)
        seen = measured(reader, faces, wanted)
        values = {
            arm: np.stack([f1([one[place] for place in wanted], seen) for one in seeds])
            for arm, seeds in told.items()
        }
        figures(record, f"AU F1, {instrument}", values, about, BAR if instrument == "pocket" else None)
    right = {
        arm: np.stack([
            np.asarray([concludes(one[place], true) for place, true in zip(wanted, emotions, strict=True)])
            for one in seeds
        ])
        for arm, seeds in told.items()
    }  # fmt: skip
    figures(record, "conclusion is the raters' emotion", right, "votes of the raters", LOSS)
    for arm, seeds in told.items():
        words = [len(one[place].split()) for one in seeds for place in wanted]
        record.add(f"{arm}: words", float(np.mean(words)), "words", n=len(words))
        texts = len({text for one in seeds[:1] for text in one.values()})
        record.add(
            f"{arm}: different explanations", texts / len(seeds[0]), n=len(seeds[0]), note="of the first seed"
        )
    for path in arms["own"]:
        steps = json.loads(next(path.glob("stages/*/rewards.json")).read_text(encoding="utf-8"))
        note = f"{len(steps)} steps; first ten {np.mean(steps[:10]):.3f}"
        record.add(f"{path.name}: mean reward of the last ten steps", float(np.mean(steps[-10:])), note=note)


def validation(base: Path, cache: Path) -> tuple[Faces, dict[str, int]]:
    recipe = Recipe.model_validate_json((base / "recipe.json").read_text(encoding="utf-8"))
    faces = gather(recipe.validation, int(recipe.inputs["crop_size"]), cache, False)
    return faces, {sample.id: place for place, sample in enumerate(faces.samples)}


def explanations(folder: Path, places: dict[str, int]) -> dict[int, str]:
    """Place of the face -> the last answer of its dialogue."""
    rows: Sequence[Any] = read_predictions(folder / "predictions.jsonl")
    return {places[row["id"]]: row["answers"][-1] for row in rows if row["task"] == "cot"}


def measured(reader: Any, faces: Faces, wanted: Sequence[int]) -> list[FaceResult]:
    found: list[FaceResult] = []
    for start in range(0, len(wanted), 64):
        found += reader.measure([faces.evidence(faces.centre(place)) for place in wanted[start : start + 64]])
    return found


def concludes(text: str, true: str | None) -> float:
    return float(read_emotion(text).emotion == true)


def f1(texts: Sequence[str], seen: Sequence[FaceResult]) -> Floats:
    return np.asarray(reward(texts, seen, _ONLY_AUS))


def figures(record: Record, name: str, values: dict[str, Floats], about: str, bar: float | None) -> None:
    for arm, seeds in values.items():
        mean = seeds.mean(axis=0)
        limits = interval(lambda rows, mean=mean: float(mean[rows].mean()), len(mean), record.options.seed)
        each = ", ".join(f"{one:.3f}" for one in seeds.mean(axis=1))
        record.add(f"{name}: {arm}", float(mean.mean()), n=len(mean), note=f"{about}; seeds {each}", **limits)
    for arm, other in (("own", "supervised"), ("shuffled", "supervised"), ("own", "shuffled")):
        if arm in values and other in values:
            gap = values[arm].mean(axis=0) - values[other].mean(axis=0)
            limits = interval(lambda rows, gap=gap: float(gap[rows].mean()), len(gap), record.options.seed)
            shown = bar if (arm, other) == ("own", "supervised") else None
            record.add(f"{name}: {arm} above {other}", float(gap.mean()), bar=shown, n=len(gap), **limits)


def options() -> argparse.ArgumentParser:
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder of the runs")
    made.add_argument("--base", default="expllm", help="name of the supervised run in it")
    return made


if __name__ == "__main__":
    run("reward", options(), measure)
