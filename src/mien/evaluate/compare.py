"""Runs side by side on the same faces: figures with intervals, paired differences, tests, and one HTML page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from mien.core.errors import BadConfig, MienError
from mien.core.paths import write_whole
from mien.evaluate.figures import (
    Row,
    label_codes,
    label_measures,
    label_of,
    presence_codes,
    read_columns,
)
from mien.evaluate.forms import read
from mien.evaluate.run import read_rows, score_run, suites_of
from mien.evaluate.suite import Suite
from mien.face.decode.media import MediaReader
from mien.metrics.calibration import reliability
from mien.metrics.comparison import anova, bootstrap, holm, mcnemar

__all__ = ["compare", "figure_of", "figure_text", "lines_of", "write_page"]

Rows = npt.NDArray[np.int64]
_SEED = re.compile(r"[-_.]?seed[-_]?\d+$")
_WORST, _THUMB = 24, 96


@dataclass(frozen=True, slots=True)
class _Run:
    name: str
    out: Path
    suites: Mapping[str, Suite]
    rows: Mapping[str, list[dict[str, Any]]]
    result: Mapping[str, Any]


def _open(out: Path) -> _Run:
    suites = suites_of(out)[0]
    rows = read_rows(out)
    by_suite = {name: [row for row in rows if row["suite"] == name] for name in suites}
    return _Run(out.name, out, suites, by_suite, score_run(out))


def figure_of(result: Mapping[str, Any], cell: str, reading: str | None = None) -> dict[str, Any] | None:
    """The figure that a cell such as ``"disfa:f1.AU04"`` names; of a part with its value alone.

    Args:
        result: of `score_run`.
        cell: ``suite:figure`` or ``suite:figure.part``.
        reading: way of reading; the published one by default.
    """
    suite, _, path = cell.partition(":")
    readings = result.get("suites", {}).get(suite, {}).get("readings", {})
    if not readings:
        return None
    name, _, part = path.partition(".")
    found = readings[reading or next(iter(readings))].get(name)
    if not isinstance(found, dict) or "value" not in found:
        return None
    if not part:
        return found
    value = found.get("parts", {}).get(part)
    return {"value": value, "n": found["n"]} if part in found.get("parts", {}) else None


def compare(outs: Sequence[Path]) -> dict[str, Any]:
    """Every figure of every run, and each run against the first on the items that both answered.

    Returns:
        ``runs``, ``figures`` (suite, reading, figure, run -> figure), ``pairs`` with differences, intervals, McNemar's
        test and its p-value adjusted by Holm over all pairs, and ``seeds``: analyses of variance over runs whose
        folders differ in their seed alone (``NAME-seed0``, ``NAME-seed1`` …).
    """
    return _compared([_open(out) for out in outs])


def _compared(runs: Sequence[_Run]) -> dict[str, Any]:
    common = [name for name in runs[0].suites if all(name in run.suites for run in runs)]
    if not common:
        raise BadConfig(
            got=f"{len(runs)} runs without a common suite",
            expected="the same suite in all",
            fix="Compare others",
        )
    figures = [
        {"suite": name, "reading": reading, "figure": figure, "values": values}
        for name in common
        for reading in runs[0].suites[name].readings
        for figure, values in _figures(runs, name, reading)
    ]
    pairs = [pair for other in runs[1:] for name in common for pair in _pairs(runs[0], other, name)]
    adjusted = holm([pair.get("p", float("nan")) for pair in pairs])
    for pair, p in zip(pairs, adjusted, strict=True):
        if "p" in pair:
            pair["p_holm"] = p
    return {
        "runs": [run.name for run in runs],
        "figures": figures,
        "pairs": pairs,
        "seeds": _seeds(runs, common),
    }


def _figures(runs: Sequence[_Run], suite: str, reading: str) -> list[tuple[str, list[dict[str, Any] | None]]]:
    told = [run.result["suites"][suite]["readings"][reading] for run in runs]
    names = [name for name, value in told[0].items() if isinstance(value, dict) and "value" in value]
    rows: list[tuple[str, list[dict[str, Any] | None]]] = [
        (name, [one.get(name) for one in told]) for name in names
    ]
    rates = [{"value": one["unparsed"] / one["n"] if one["n"] else None, "n": one["n"]} for one in told]
    faces: list[dict[str, Any] | None] = [{"value": one["n"], "n": one["n"]} for one in told]
    return [("faces", faces), *rows, ("unparsed", list(rates))]


def _pairs(first: _Run, other: _Run, name: str) -> list[dict[str, Any]]:
    """Differences ``other - first`` in the published reading."""
    suite = first.suites[name]
    ours = {(row["fold"], row["id"]): row for row in first.rows[name]}
    theirs = {(row["fold"], row["id"]): row for row in other.rows[name]}
    shared = [key for key in ours if key in theirs and ours[key]["truth"] == theirs[key]["truth"]]
    base: dict[str, Any] = {"suite": name, "first": first.name, "second": other.name, "n": len(shared)}
    if not shared:
        return [base]
    a, b = [ours[key] for key in shared], [theirs[key] for key in shared]
    subjects = [row["subject"] for row in a]
    clusters = subjects if all(subjects) else None
    measures = _measures(suite, a, b)
    found = []
    for figure, (one, two) in measures.items():
        gap = bootstrap(_difference(one, two), len(shared), clusters)
        found.append(base | {"figure": figure, "difference": gap.value, "low": gap.low, "high": gap.high})
    if found and suite.task == "emotion":
        right = [_right(suite, rows) for rows in (a, b)]
        test = mcnemar(*right)
        found[0] |= {"only_first": test.first_only, "only_second": test.second_only, "p": test.p}
    return found or [base]


def _difference(one: Callable[[Rows], float], two: Callable[[Rows], float]) -> Callable[[Rows], float]:
    return lambda rows: two(rows) - one(rows)


def _said(suite: Suite, rows: Sequence[Row]) -> list[dict[str, Any] | None]:
    how = next(iter(suite.readings.values()))
    return [read(suite, row["answer"] or "", how)[0] if row["status"] != "failed" else None for row in rows]


def _right(suite: Suite, rows: Sequence[Row]) -> list[bool]:
    return [
        label_of(value, row["truth"]["emotion"]) == row["truth"]["emotion"]
        for value, row in zip(_said(suite, rows), rows, strict=True)
    ]


def _measures(
    suite: Suite, a: Sequence[Row], b: Sequence[Row]
) -> dict[str, tuple[Callable[[Rows], float], Callable[[Rows], float]]]:
    if suite.task == "emotion":
        true = [row["truth"]["emotion"] for row in a]
        both = []
        for rows in (a, b):
            said = [label_of(value, one) for value, one in zip(_said(suite, rows), true, strict=True)]
            both.append(label_measures(label_codes(suite, true, said), len(suite.labels)))
        return {name: (both[0][name], both[1][name]) for name in both[0]}
    if suite.task == "au-presence":
        sides = [presence_codes(*read_columns(suite, rows, _said(suite, rows))) for rows in (a, b)]
        return {"f1": (sides[0], sides[1])}
    if suite.task in ("au-level", "au-intensity"):
        errors = [_absolute(*read_columns(suite, rows, _said(suite, rows))) for rows in (a, b)]
        return {"mae": (errors[0], errors[1])}
    return {}


def _absolute(
    true: Mapping[str, Sequence[float]], told: Mapping[str, Sequence[float]]
) -> Callable[[Rows], float]:
    gaps = np.abs(np.asarray(list(true.values())) - np.asarray(list(told.values()))).T
    known = ~np.isnan(gaps).all(axis=0)
    return lambda rows: float(np.nanmean(gaps[rows][:, known])) if known.any() else float("nan")


def _seeds(runs: Sequence[_Run], common: Sequence[str]) -> list[dict[str, Any]]:
    settings = {run.name: _SEED.sub("", run.name) for run in runs}
    groups = [
        [run for run in runs if settings[run.name] == name] for name, _ in groupby(sorted(settings.values()))
    ]
    if len(groups) < 2 or all(len(group) < 2 for group in groups):
        return []
    found = []
    for suite in common:
        reading = next(iter(runs[0].suites[suite].readings))
        for figure, values in _figures(runs, suite, reading)[1:]:
            known = {run.name: one for run, one in zip(runs, values, strict=True)}
            numbers = [
                [one["value"] for run in group if (one := known[run.name]) and one["value"] is not None]
                for group in groups
            ]
            if all(numbers):
                f, p = anova(numbers)
                found.append({"suite": suite, "figure": figure, "F": f, "p": p, "settings": len(groups)})
    return found


def lines_of(compared: Mapping[str, Any]) -> list[str]:
    """The comparison as lines of text."""
    lines = [
        f"{'suite':<24}{'reading':<18}{'figure':<16}" + "".join(f"{run:>28}" for run in compared["runs"])
    ]
    for row in compared["figures"]:
        cells = "".join(f"{figure_text(one):>28}" for one in row["values"])
        lines.append(f"{row['suite']:<24}{row['reading']:<18}{row['figure']:<16}{cells}")
    for pair in compared["pairs"]:
        if "difference" not in pair:
            lines.append(
                f"{pair['suite']}: {pair['second']} and {pair['first']}: nothing to pair ({pair['n']} faces)"
            )
            continue
        text = (
            f"{pair['suite']}: {pair['figure']}, {pair['second']} minus {pair['first']}: {pair['difference']:+.4f} "
            f"[{pair['low']:+.4f}, {pair['high']:+.4f}], n {pair['n']}"
        )
        if "p" in pair:
            text += (
                f"; McNemar {pair['only_first']} : {pair['only_second']}, p {pair['p']:.3g} "
                f"(Holm {pair['p_holm']:.3g})"
            )
        lines.append(text)
    for one in compared["seeds"]:
        lines.append(f"{one['suite']}: {one['figure']} over seeds: F {one['F']:.3g}, p {one['p']:.3g}")
    return lines


def figure_text(figure: Mapping[str, Any] | None) -> str:
    """A figure with its interval or spread; ``undefined`` where it has no value. Counts are whole numbers."""
    if figure is None or figure.get("value") is None:
        return "undefined"
    if isinstance(figure["value"], int):
        return str(figure["value"])
    text = f"{figure['value']:.4f}"
    if figure.get("low") is not None:
        text += f" [{figure['low']:.4f}, {figure['high']:.4f}]"
    elif figure.get("spread") is not None:
        text += f" ± {figure['spread']:.4f}"
    return text


# -- the page -------------------------------------------------------------------------------------------


def write_page(outs: Sequence[Path], path: Path, pictures: bool = True) -> Path:
    """One self-contained page: figures, confusions, reliability, parts, and the worst errors with their faces.

    Args:
        outs: run folders, as for `compare`.
        path: of the page.
        pictures: show the faces of errors; they are read from where the data lie and stay on this machine.
    """
    from jinja2 import Environment, StrictUndefined

    template = Path(__file__).with_name("compare.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template)
    runs = [_open(out) for out in outs]
    compared = _compared(runs)
    shown = [
        {
            "run": run.name,
            "suite": name,
            "title": suite.title,
            "protocol": suite.protocol,
            "readings": run.result["suites"][name]["readings"],
            "bins": _bins(suite, run.rows[name]),
            "worst": _worst(suite, run.rows[name], pictures),
        }
        for run in runs
        for name, suite in run.suites.items()
    ]
    return write_whole(path, page.render(compared=compared, shown=shown, cell=figure_text))


def _bins(suite: Suite, rows: Sequence[Row]) -> list[dict[str, float]]:
    known = [row for row in rows if row.get("scores") and "emotion" in row["truth"]]
    if not known:
        return []
    labels = [label for label in suite.labels if label in known[0]["scores"]]
    known = [row for row in known if row["truth"]["emotion"] in labels]
    chances = np.asarray([[row["scores"].get(label, 0.0) for label in labels] for row in known])
    targets = [labels.index(row["truth"]["emotion"]) for row in known]
    return [
        {"confidence": one.confidence, "accuracy": one.accuracy, "n": one.n}
        for one in reliability(chances, targets, 10)
        if one.n
    ]


def _worst(suite: Suite, rows: Sequence[Row], pictures: bool) -> list[dict[str, Any]]:
    """Wrong answers, the surest first."""
    if suite.task != "emotion":
        return []
    wrong = []
    for row, right, value in zip(rows, _right(suite, rows), _said(suite, rows), strict=True):
        if not right:
            label = label_of(value, row["truth"]["emotion"])
            sure = (row.get("scores") or {}).get(label or "", 0.0)
            wrong.append((-sure, row["id"], label or "unread", row))
    wrong.sort(key=lambda one: one[:2])
    with MediaReader() as media:
        return [
            {
                "id": row["id"],
                "truth": row["truth"]["emotion"],
                "said": label,
                "sure": -minus,
                "answer": (row["answer"] or row["reason"] or "")[:300],
                "picture": _thumb(media, row["media"]) if pictures else None,
            }
            for minus, _, label, row in wrong[:_WORST]
        ]


def _thumb(media: MediaReader, name: str) -> str | None:
    try:
        picture = pillow.fromarray(media.open(name))
    except (MienError, OSError, ValueError):
        return None
    picture.thumbnail((_THUMB, _THUMB))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
