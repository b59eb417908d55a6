"""Figures of a run as the hub shows them: ``.eval_results/SUITE.yaml`` in a model's repository, and its card.

    mien score runs/rafdb --hub my-model --hub-data rafdb=owner/raf-db

Both files are written by huggingface_hub's own classes; nothing is sent anywhere. The entry holds the suite's published
reading; the card's table holds all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.errors import BadConfig, BadInput, require, require_known
from mien.core.paths import output_errors, write_whole
from mien.core.run_record import RunRecord
from mien.evaluate.figures import numbers_of
from mien.evaluate.run import score_run, suites_of
from mien.evaluate.suite import Suite

__all__ = ["write_hub_results"]

_HEADLINES = ("accuracy", "f1", "mae", "S_rege", "exp_cot", "supported")
_VARIANTS = ("limit", "readout", "landmarks_only")


def write_hub_results(run: Path, out: Path, datasets: Mapping[str, str]) -> list[Path]:
    """Write the entries and the card of a finished run; returns the files.

    A card that is there keeps its text and its other metadata; its results of the same suites are replaced.

    Args:
        run: folder of `mien eval`.
        out: a clone of the model's repository, or any folder.
        datasets: suite -> id of the benchmark on the hub, with ``:TASK`` where its task has another name.

    Raises:
        BadConfig: a suite without a dataset's id, or an id of a suite that was not run.
        BadInput: a suite without a defined figure.
        MissingDependency: huggingface_hub is not installed.
    """
    hub = require("huggingface_hub", extra="train", purpose="results in the hub's form")
    yaml = require("yaml", extra="eval", purpose="results in the hub's form")
    suites, record = suites_of(run)
    for name in datasets:
        require_known(name, suites, "suite", of=run.name)
    if missing := suites.keys() - datasets.keys():
        raise BadConfig(
            got=f"no dataset of {', '.join(sorted(missing))}",
            expected="the hub's id of each suite's benchmark",
            fix="Add --hub-data SUITE=OWNER/NAME",
        )
    told, written = score_run(run)["suites"], []
    results, notes = [], _variant(record)
    with output_errors(out):
        for name, suite in suites.items():
            benchmark, _, task = datasets[name].partition(":")
            figure, value = _headline(suite, told[name])
            entry = hub.EvalResultEntry(
                benchmark, task or name, value, date=record.started.isoformat(), notes=notes
            )
            place = out / ".eval_results" / f"{name}.yaml"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, yaml.safe_dump(hub.eval_result_entries_to_yaml([entry]), sort_keys=False))
            results += list(_index(hub, suite, benchmark, told[name], figure))
            written.append(place)
        written.append(_card(hub, out / "README.md", str(record.config.get("model")), results, record))
    return written


def _variant(record: RunRecord) -> str | None:
    """What this run did otherwise than the suite says."""
    told = [f"{name} {record.config[name]}" for name in _VARIANTS if record.config.get(name)]
    return ", ".join(told) or None


def _headline(suite: Suite, told: Mapping[str, Any]) -> tuple[str, float]:
    found = numbers_of(told)
    reading = next(iter(suite.readings))
    for figure in _HEADLINES:
        value = found.get(f"{reading}/{figure}")
        if value is not None:
            return f"{reading}/{figure}", float(value)
    raise BadInput(
        got=f"suite {suite.name} without a defined figure of {reading}",
        expected=f"one of {', '.join(_HEADLINES)}",
        fix="Run it on more faces",
    )


def _index(hub: Any, suite: Suite, benchmark: str, told: Mapping[str, Any], first: str) -> Iterator[Any]:
    """The card's results, the headline first."""
    found = numbers_of(told)
    for figure in (first, *(name for name in found if name != first)):
        yield hub.EvalResult(
            task_type="image-classification" if suite.task == "emotion" else "image-to-text",
            dataset_type=benchmark,
            dataset_name=suite.title,
            dataset_config=suite.name,
            dataset_split=suite.data.split or "folds",
            metric_type=figure.rpartition("/")[2],
            metric_name=figure,
            metric_value=found[figure],
        )


def _card(hub: Any, place: Path, model: str, results: list[Any], record: RunRecord) -> Path:
    name = Path(model).name
    if place.is_file():
        card = hub.ModelCard.load(place)
        name = card.data.model_name or name
        new = {result.dataset_config for result in results}
        results += [one for one in card.data.eval_results or () if one.dataset_config not in new]
    else:
        text = (
            f"---\n{{}}\n---\n\n# {name}\n\nFigures: mien {record.versions.get('mien', '')}, `mien score`.\n"
        )
        card = hub.ModelCard(text)
    card.data.model_name, card.data.eval_results = name, results
    write_whole(place, str(card))
    return place
