"""The five systems at scale small: what each says on held-out faces, against the best answer that ignores the face.

    python benchmarks/systems.py --run runs

``--run`` names a run, or a folder of runs: all of scale small in it are measured. Figures are computed from each run's
``predictions.jsonl`` alone; train the runs first with ``mien train SYSTEM``. The constant answer (most frequent label,
median of each AU) was taken from the training faces of the same run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _record import Record, Rows, Skipped, interval, parser, run

from mien.evaluate.figures import score_answers
from mien.evaluate.predictions import read_predictions

FILES = ("run.json", "result.json", "predictions.jsonl")
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def measure(record: Record) -> None:
    given = record.options.run
    if given is None or not given.is_dir():
        raise Skipped("no run; train one (mien train facephi --out runs/facephi), then pass --run FOLDER")
    folders = (
        [given]
        if (given / FILES[0]).is_file()
        else sorted(path for path in given.iterdir() if finished(path))
    )
    if not folders:
        raise Skipped(f"{given.name} holds no finished run of scale small")
    for folder in folders:
        measure_run(record, folder)


def finished(folder: Path) -> bool:
    """Whether a folder holds a whole run of scale small."""
    if not all((folder / name).is_file() for name in FILES):
        return False
    return bool(json.loads((folder / "result.json").read_text(encoding="utf-8")).get("scale") == "small")


def measure_run(record: Record, folder: Path) -> None:
    """Figures of every task of one run."""
    results = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    rows = read_predictions(folder / "predictions.jsonl")
    data = about["counts"]
    note = f"{results['scale']}, trained on {data['faces']} faces, {data['dialogues']} dialogues per epoch"
    for part, place in about["config"]["weights"].items():
        note += f", {part} encoder from the run {Path(place).name}"
    for task, result in results["tasks"].items():
        told = [row for row in rows if row["task"] == task]
        name = f"{results['system']} {task}"
        always = result["constant"]
        found = score_answers(told, always)
        record.add(f"{name}: unparsed answers", found["unparsed"], n=len(told), note=note)
        if "accuracy" in found:
            label_figures(record, name, told, found, always["emotion"])
        elif "mae" in found and told[0]["truth"]["form"] == "au_presence":
            presence_figures(record, name, told, found)
        elif "mae" in found:
            array_figures(record, name, told, found, always)
        else:
            record.add(f"{name}: words", words(told), "words", n=len(told))
    likelihood_figures(record, results["system"], results.get("labels"))


def likelihood_figures(record: Record, system: str, found: Mapping[str, Any] | None) -> None:
    """Loss of the label likelihoods before and after calibration, on the half that it was not fitted on."""
    if found is not None:
        for kind in ("as read", "calibrated"):
            record.add(f"{system} label likelihoods, {kind}: NLL", found[kind]["nll"], "nats", n=found["n"])


def label_figures(
    record: Record, name: str, rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any], always: str
) -> None:
    """Accuracy with its interval; its bar is the constant answer's accuracy, and so is the paired lead's 0."""
    hits = np.asarray([(row["said"] or {}).get("emotion") == row["truth"]["emotion"] for row in rows], float)
    constant = np.asarray([row["truth"]["emotion"] == always for row in rows], float)
    seed, n = record.options.seed, len(rows)
    bounds = interval(lambda chosen: float(hits[chosen].mean()), n, seed)
    record.add(f"{name}: accuracy", found["accuracy"], n=n, **bounds)
    record.add(f"{name}: accuracy of always “{always}”", float(constant.mean()), n=n)
    lead = hits - constant
    bounds = interval(lambda chosen: float(lead[chosen].mean()), n, seed)
    record.add(f"{name}: lead over it", float(lead.mean()), bar=0.05, n=n, **bounds)
    record.add(f"{name}: UAR", found["uar"], n=n, note=f"constant: {found['baseline']['uar']:.3f}")


def array_figures(
    record: Record,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    found: Mapping[str, Any],
    always: Mapping[str, Any],
) -> None:
    """Mean absolute error, correlation and F1 over the AUs of an array; unparsed answers count as the constant."""
    keys = list(rows[0]["truth"]["aus"])
    constant = np.asarray([always["aus"].get(key, 0.0) for key in keys])
    true = np.asarray([[row["truth"]["aus"][key] for key in keys] for row in rows])
    told = np.asarray(
        [
            [(row["said"] or {}).get("aus", {}).get(key, constant[i]) for i, key in enumerate(keys)]
            for row in rows
        ]
    )
    error, still = np.abs(true - told).mean(axis=1), np.abs(true - constant).mean(axis=1)
    seed, n = record.options.seed, len(rows)

    def mean_of(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
        def statistic(chosen: Rows) -> float:
            return float(values[chosen].mean())

        return dict(interval(statistic, n, seed))

    record.add(f"{name}: mean absolute error", found["mae"], n=n, **mean_of(error))
    record.add(f"{name}: error of the constant array", float(still.mean()), n=n, **mean_of(still))
    lead = still - error
    record.add(f"{name}: error saved", float(lead.mean()), bar=0.05, n=n, **mean_of(lead))
    record.add(f"{name}: mean correlation", found["pcc"], n=n, note="a constant has none")
    note = f"everything present: {found['baseline']['f1_all_present']:.3f}"
    record.add(f"{name}: mean F1 of presence", found["f1"], n=n, note=note)


def presence_figures(
    record: Record, name: str, rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]
) -> None:
    """Mean F1 over AUs beside that of everything present; the answer that nothing is present has none."""
    keys = list(rows[0]["truth"]["aus"])
    true = np.asarray([[row["truth"]["aus"][key] > 0 for key in keys] for row in rows])
    told = np.asarray([[(row["said"] or {}).get("aus", {}).get(key, 0) > 0 for key in keys] for row in rows])
    seed, n = record.options.seed, len(rows)

    def mean_f1(truth: Flags, guess: Flags) -> float:
        total = truth.sum(axis=0) + guess.sum(axis=0)
        return float(np.mean((2.0 * (truth & guess).sum(axis=0))[total > 0] / total[total > 0]))

    def lead(chosen: Rows) -> float:
        everything = np.ones_like(true[chosen])
        return mean_f1(true[chosen], told[chosen]) - mean_f1(true[chosen], everything)

    bounds = interval(lambda chosen: mean_f1(true[chosen], told[chosen]), n, seed)
    record.add(f"{name}: mean F1 of presence", found["f1"], n=n, **bounds)
    record.add(f"{name}: F1 of everything present", found["baseline"]["f1_all_present"], n=n)
    record.add(f"{name}: lead over it", lead(np.arange(n)), bar=0.05, n=n, **interval(lead, n, seed))


def words(rows: Sequence[Mapping[str, Any]]) -> float:
    """Mean words of the last answers."""
    return float(np.mean([len(row["answers"][-1].split()) for row in rows]))


if __name__ == "__main__":
    options = parser(__doc__ or "")
    options.add_argument("--run", type=Path, help="run folder of a system, or a folder of such folders")
    run("systems", options, measure)
