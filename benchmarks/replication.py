"""FacePhi's gap between a classifier and the decoder that reads the same frozen encoder, on the same faces.

    mien train emola --scale small --out runs/emola
    mien train expllm --scale small --out runs/expllm weights.image=runs/emola
    python benchmarks/replication.py --run runs/emola --also runs/expllm

The classifier is the head that the first run's stage left behind; the decoders are those of that run, and of a run that
took its tower over. Differences are paired: the same validation face counts right or wrong for both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _record import Record, Skipped, interval, parser, run
from safetensors.torch import load_file

from mien.evaluate.predictions import read_predictions
from mien.metrics.comparison import mcnemar
from mien.models.composite.assemble import open_composite
from mien.train.align import ClassificationTask, FaceBatches, emotion_frequency, emotions_told
from mien.train.data.faces import gather
from mien.train.plan import planned_inputs
from mien.train.recipe import Recipe

Flags = npt.NDArray[np.bool_]


def measure(record: Record) -> None:
    first: Path | None = record.options.run
    heads = [] if first is None else sorted(first.glob("heads/*.safetensors"))
    if first is None or not heads:
        raise Skipped(
            "no run with a classifier's head; train one as the head of benchmarks/replication.py says"
        )
    told = classifier(first, heads[0], record.options.cache or first.parent / "cache")
    for folder in (first, record.options.also):
        if folder is not None:
            compare(record, folder, told)


def classifier(folder: Path, head: Path, cache: Path) -> dict[str, str]:
    """Sample -> what the head says of it."""
    recipe = Recipe.model_validate_json((folder / "recipe.json").read_text(encoding="utf-8"))
    model = open_composite(str(folder))
    name = next(iter(model.config.evidence))
    inputs = planned_inputs(recipe, model.config)
    faces = gather(recipe.validation, inputs.crop_size, cache, False)
    task = ClassificationTask(model, name, emotion_frequency(faces))
    task.head.load_state_dict(load_file(head))
    said = emotions_told(task, FaceBatches(model.config, name, inputs, faces))
    return {sample.id: one for sample, one in zip(faces.samples, said, strict=True)}


def compare(record: Record, folder: Path, told: dict[str, str]) -> None:
    rows = [
        row for row in read_predictions(folder / "predictions.jsonl")
        if row["id"] in told and "emotion" in (row["truth"] or {}) and len(row["answers"]) == 1
    ]  # fmt: skip
    if not rows:
        raise Skipped(f"{folder.name} answered no label question on the classifier's faces")
    true = [row["truth"]["emotion"] for row in rows]
    head = np.asarray([told[row["id"]] == one for row, one in zip(rows, true, strict=True)])
    spoken = np.asarray(
        [(row["said"] or {}).get("emotion") == one for row, one in zip(rows, true, strict=True)]
    )
    labels = np.asarray(true)
    name = f"{folder.name}, {rows[0]['task']}"
    for who, right in (("classifier", head), ("decoder", spoken)):
        limits = interval(
            lambda chosen, right=right: float(right[chosen].mean()), len(rows), record.options.seed
        )
        note = f"UAR {uar(right, labels):.3f}"
        record.add(f"{name}: accuracy of the {who}", float(right.mean()), n=len(rows), note=note, **limits)
    gap = head.astype(float) - spoken
    limits = interval(lambda chosen: float(gap[chosen].mean()), len(rows), record.options.seed)
    test = mcnemar(head.tolist(), spoken.tolist())
    note = f"right alone: classifier {test.first_only}, decoder {test.second_only}; McNemar p {test.p:.3f}"
    record.add(f"{name}: classifier above decoder", float(gap.mean()), n=len(rows), note=note, **limits)


def uar(right: Flags, labels: npt.NDArray[np.str_]) -> float:
    return float(np.mean([right[labels == one].mean() for one in np.unique(labels)]))


def options() -> argparse.ArgumentParser:
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--run", type=Path, help="the run whose stage was a classifier")
    made.add_argument("--also", type=Path, help="a run that took its tower over")
    made.add_argument("--cache", type=Path, help="landmarks (default: cache beside the run)")
    return made


if __name__ == "__main__":
    run("replication", options(), measure)
