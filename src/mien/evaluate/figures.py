"""Figures of a suite from its rows of predictions: no model, no picture; the same rows give the same figures again.

A row is JSON: ``suite, fold, id, subject, group, question, answer, status, reason, truth, scores``, and where it was
measured ``measured``. Answers are read here, not when they are given, so that a better reader can be tried on old runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median_low, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.core.nouns import AuReading
from mien.dialogue.read.claims import read_claims
from mien.evaluate.forms import Value, read
from mien.evaluate.suite import Suite
from mien.metrics.au import f1, icc, macro_over_aus, mae, pcc
from mien.metrics.calibration import brier, ece, nll
from mien.metrics.classification import accuracy, confusion, macro_f1, uar
from mien.metrics.comparison import Interval, bootstrap
from mien.metrics.exp_cot import ExpCotMarks, exp_cot_score
from mien.metrics.faithfulness import audit, support_rate
from mien.metrics.rege import RegeRow, rege
from mien.metrics.result import Result

__all__ = [
    "GROUPS",
    "Row",
    "constants",
    "label_codes",
    "label_measures",
    "label_of",
    "numbers_of",
    "presence_codes",
    "read_columns",
    "score_answers",
    "score_rows",
    "score_suite",
]

Row = Mapping[str, Any]
Figures = dict[str, Any]
_UNKNOWN = "unknown"
GROUPS = ("age", "gender", "ethnicity")
"""Attributes of people that some data sets know."""


@dataclass(slots=True)
class _Read:
    """Rows with what one way of reading makes of their answers."""

    suite: Suite
    rows: Sequence[Row]
    how: str
    intervals: bool
    said: list[Value | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.said = [
            read(self.suite, row["answer"] or "", self.how)[0] if row["status"] != "failed" else None
            for row in self.rows
        ]

    @property
    def clusters(self) -> list[str] | None:
        """Subjects, where every row has one."""
        known = [row.get("subject") for row in self.rows]
        return known if known and all(known) else None  # type: ignore[return-value]


def _figure(result: Result, interval: Interval | None = None) -> Figures:
    """JSON of a figure: undefined is null."""
    parts = {name: _number(value) for name, value in result.parts.items()}
    ends = {} if interval is None else {"low": _number(interval.low), "high": _number(interval.high)}
    return {"value": _number(result.value), "n": result.n, **ends, **({"parts": parts} if parts else {})}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


# -- labels --------------------------------------------------------------------------------------------


def label_codes(suite: Suite, truth: Sequence[str], said: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """(N, 2) places of true and told labels among the suite's; one beyond the last for none of them."""
    place = {label: index for index, label in enumerate(suite.labels)}
    none = len(place)
    pairs = [(place[true], place.get(told or "", none)) for true, told in zip(truth, said, strict=True)]
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def label_measures(
    codes: npt.NDArray[np.int64], count: int
) -> dict[str, Callable[[npt.NDArray[np.int64]], float]]:
    """Accuracy and UAR of any selection of rows, fast enough to be drawn thousands of times."""
    flat = codes[:, 0] * (count + 1) + codes[:, 1]

    def table(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = np.bincount(flat[rows], minlength=count * (count + 1))
        return counts.reshape(count, count + 1)

    def recall(rows: npt.NDArray[np.int64]) -> float:
        counts = table(rows)
        sizes = counts.sum(axis=1)
        seen = sizes > 0
        return float((np.diagonal(counts)[seen] / sizes[seen]).mean()) if seen.any() else math.nan

    def share(rows: npt.NDArray[np.int64]) -> float:
        return float((codes[rows, 0] == codes[rows, 1]).mean()) if len(rows) else math.nan

    return {"accuracy": share, "uar": recall}


def label_of(value: Value | None, true: str) -> str | None:
    """The label that counts: of several keywords the true one, if it is among them."""
    if value is None:
        return None
    if "any" in value:
        return true if true in value["any"] else value["any"][0]
    return str(value["emotion"])


def _labels(about: _Read) -> Figures:
    suite, labels = about.suite, list(about.suite.labels)
    true = [row["truth"]["emotion"] for row in about.rows]
    said = [label_of(value, one) for value, one in zip(about.said, true, strict=True)]
    codes = label_codes(suite, true, said)
    ends: dict[str, Interval | None] = {"accuracy": None, "uar": None}
    if about.intervals:
        measures = label_measures(codes, len(labels))
        ends = {name: bootstrap(measure, len(true), about.clusters) for name, measure in measures.items()}
    # As scikit-learn's macro mean in the released scripts: what cannot be read is a class of its own.
    named = [one or _UNKNOWN for one in said]
    classes = sorted({*true, *named})
    figures: Figures = {
        "accuracy": _figure(accuracy(true, said), ends["accuracy"]),
        "uar": _figure(uar(true, said, labels), ends["uar"]),
        "macro_f1": _figure(macro_f1(true, named, classes)),
        "macro_f1_known": _figure(macro_f1(true, said, labels)),
    }
    figures["confusion"] = {"labels": [*labels, _UNKNOWN], "counts": confusion(true, said, labels).tolist()}
    figures["absent"] = [label for label in labels if label not in set(true)]
    return figures | _calibration(about, true, labels)


def _calibration(about: _Read, true: Sequence[str], labels: Sequence[str]) -> Figures:
    scored = [(row["scores"], one) for row, one in zip(about.rows, true, strict=True) if row.get("scores")]
    scored = [(scores, one) for scores, one in scored if one in scores]
    if len(scored) < len(about.rows) or not scored:
        return {}
    known = [label for label in labels if label in scored[0][0]]
    chances = np.asarray([[scores.get(label, 0.0) for label in known] for scores, _ in scored])
    targets = [known.index(one) for _, one in scored]
    found = {"ece": ece, "brier": brier, "nll": nll}
    return {name: _figure(measure(chances, targets)) for name, measure in found.items()}


# -- Action Units --------------------------------------------------------------------------------------


def read_columns(
    suite: Suite, rows: Sequence[Row], said: Sequence[Value | None]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Truth and answers by unit; NaN where a face is not coded, or the model never tells the unit.

    What could not be read counts as 0.
    """
    true: dict[str, list[float]] = {key: [] for key in suite.units}
    told: dict[str, list[float]] = {key: [] for key in suite.units}
    measured = {key for value in said if value for key in value["aus"]}
    for row, value in zip(rows, said, strict=True):
        for key in suite.units:
            true[key].append(float(row["truth"]["aus"].get(key, math.nan)))
            nothing = 0.0 if key in measured or not measured else math.nan
            told[key].append(nothing if value is None else float(value["aus"].get(key, nothing)))
    return true, told


def presence_codes(
    true: Mapping[str, Sequence[float]], told: Mapping[str, Sequence[float]]
) -> Callable[[npt.NDArray[np.int64]], float]:
    """Macro F1 of any selection of rows."""
    truth, said = (np.asarray(list(one.values()), np.float64).T.reshape(-1, len(one)) for one in (true, told))
    known = ~(np.isnan(truth) | np.isnan(said))
    there, named = (truth > 0.5) & known, (said > 0.5) & known

    def measure(rows: npt.NDArray[np.int64]) -> float:
        total = there[rows].sum(axis=0) + named[rows].sum(axis=0)
        hits = (there[rows] & named[rows]).sum(axis=0)
        seen = total > 0
        return float((2.0 * hits[seen] / total[seen]).mean()) if seen.any() else math.nan

    return measure


def _presence(about: _Read) -> Figures:
    true, told = read_columns(about.suite, about.rows, about.said)
    found = macro_over_aus(f1, true, told)
    ends = None
    if about.intervals:
        ends = bootstrap(presence_codes(true, told), len(about.rows), about.clusters)
    measured = {key: value for key, value in found.parts.items() if not all(map(math.isnan, told[key]))}
    everywhere = {key: 0.0 if math.isnan(value) else value for key, value in measured.items()}
    whole = Result("F1", fmean(everywhere.values()) if everywhere else math.nan, len(everywhere), everywhere)
    positives = {key: int(np.nansum(column)) for key, column in true.items()}
    return {
        "f1": _figure(found, ends),
        "f1_all": _figure(whole),
        "positives": positives,
        "absent": [key for key, count in positives.items() if not count],
        "unmeasured": [key for key in about.suite.units if key not in measured],
    }


def _values(about: _Read) -> Figures:
    true, told = read_columns(about.suite, about.rows, about.said)
    return {
        name: _figure(macro_over_aus(measure, true, told))
        for name, measure in (("mae", mae), ("icc", icc), ("pcc", pcc))
    }


def _levels(about: _Read) -> Figures:
    true, told = read_columns(about.suite, about.rows, about.said)
    cut = about.suite.present_from
    shown = {key: [_at(value, cut) for value in column] for key, column in true.items()}
    said = {key: [_at(value, cut) for value in column] for key, column in told.items()}
    return _values(about) | {"f1": _figure(macro_over_aus(f1, shown, said))}


def _at(level: float, cut: int) -> float:
    return level if math.isnan(level) else float(level >= cut)


# -- texts ---------------------------------------------------------------------------------------------


def _rege(about: _Read) -> Figures:
    suite = about.suite
    rows = [
        RegeRow(row["answer"] or "", _rege_label(row["truth"]), row["truth"].get("text"))
        for row in about.rows
    ]
    task = "emotion" if suite.task == "emotion" else "au"
    score = rege(rows, task, about.how.removeprefix("rege-"))
    return {
        "S_re": _figure(score.recognition),
        "S_ge": _figure(score.generation),
        "S_rege": _figure(Result("S_rege", score.total, len(rows))),
        "absent": list(score.absent),
        "skipped": list(score.skipped),
        "unread": score.unread,
        "unscored": score.unscored,
    } | ({"printed": dict(score.printed)} if score.printed else {})


def _rege_label(truth: Value) -> str:
    if "emotion" in truth:
        return str(truth["emotion"]).capitalize()
    return ", ".join(str(int(key[2:])) for key, there in truth["aus"].items() if there)


def _exp_cot(about: _Read) -> Figures:
    """The judge's marks, kept with the rows."""
    marked = [row for row in about.rows if row.get("judge")]
    if not marked:
        return {}
    marks = [
        ExpCotMarks(**row["marks"]) if row.get("marks") and row["status"] != "failed" else None
        for row in marked
    ]
    found = exp_cot_score(marks, marked[0]["judge"])
    ends = Interval(found.score.value, found.low, found.high, found.score.n)
    return {"exp_cot": _figure(found.score, ends), "judge": found.judge, "unmarked": found.unparsed}


def _faithful(about: _Read) -> Figures:
    """Claims of each text against the measurement of its face, kept with the rows."""
    judged = []
    for row in about.rows:
        readings = {key: AuReading.of(value) for key, value in (row.get("measured") or {}).items()}
        judged.append(audit(read_claims(row["answer"] or ""), readings))
    return {"supported": _figure(support_rate(judged))}


# -- all of it -----------------------------------------------------------------------------------------


def _figures(about: _Read) -> Figures:
    suite = about.suite
    if about.how.startswith("rege-"):
        figures = _rege(about)
        return figures | (_presence(about) if suite.task != "emotion" else {})
    if suite.form == "explanation":
        return _faithful(about)
    if suite.task == "text":
        return _exp_cot(about)
    kinds = {"emotion": _labels, "au-presence": _presence, "au-level": _levels, "au-intensity": _values}
    return kinds[suite.task](about)


def score_rows(suite: Suite, rows: Sequence[Row], intervals: bool = True) -> dict[str, Figures]:
    """Figures by way of reading, each with its rate of answers that could not be read."""
    found: dict[str, Figures] = {}
    for name, how in suite.readings.items():
        about = _Read(suite, rows, how, intervals)
        unparsed = sum(value is None for value in about.said)
        found[name] = {"unparsed": unparsed, "n": len(rows)} | (_figures(about) if rows else {})
    return found


def score_suite(suite: Suite, rows: Sequence[Row], by: Sequence[str] = ()) -> Figures:
    """All that is told of a suite.

    With folds, the published figure is the mean over the folds (per part first, then over the parts), with its spread;
    the pooled one stands beside it.

    Args:
        suite: the protocol.
        rows: its predictions.
        by: those of `GROUPS` to tell the figures by.
    """
    failed = sum(row["status"] == "failed" for row in rows)
    result: Figures = {"title": suite.title, "n": len(rows), "failed": failed}
    result["readings"] = score_rows(suite, rows)
    if suite.data.folds:
        folds = {
            fold: score_rows(suite, [row for row in rows if row["fold"] == fold], False)
            for fold in suite.data.folds
        }
        result["folds"] = folds
        result["pooled"] = result["readings"]
        result["readings"] = {
            name: result["pooled"][name] | _over_folds([one[name] for one in folds.values()])
            for name in suite.readings
        }
    for attribute in by:
        groups = [_group(row, attribute) for row in rows]
        result.setdefault("by", {})[attribute] = {
            group: score_rows(
                suite, [row for row, own in zip(rows, groups, strict=True) if own == group], False
            )
            for group in sorted(set(groups))
        }
    return result


def numbers_of(told: Mapping[str, Any], undefined: bool = False) -> dict[str, Any]:
    """Figures of a suite as ``reading/figure`` -> number, as other harnesses list them.

    Args:
        told: of `score_suite`.
        undefined: keep those without a value here, as None.
    """
    found = {
        f"{reading}/{name}": one.get("value") if isinstance(one, Mapping) and "value" in one else one
        for reading, figures in told["readings"].items()
        for name, one in figures.items()
    }
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, int | float) or (undefined and value is None)
    }


def _group(row: Row, attribute: str) -> str:
    """What is known of the person; ages that are numbers by decades."""
    told = str(row["group"].get(attribute) or "not said")
    if attribute != "age" or not told.isdecimal():
        return told
    decade = int(told) // 10 * 10
    return f"{decade}-{decade + 9}"


def _over_folds(folds: Sequence[Figures]) -> Figures:
    """Mean and spread of every figure that all folds have."""
    found: Figures = {}
    for name, first in folds[0].items():
        if not isinstance(first, dict) or "value" not in first or any(name not in fold for fold in folds):
            continue
        parts: dict[str, float | None] = {}
        for part in first.get("parts", {}):
            known = [fold[name].get("parts", {}).get(part) for fold in folds]
            known = [value for value in known if value is not None]
            parts[part] = fmean(known) if known else None
        values = [fold[name]["value"] for fold in folds if fold[name]["value"] is not None]
        told = [value for value in parts.values() if value is not None]
        mean = fmean(told) if told else (fmean(values) if values else None)
        spread = stdev(values) if len(values) > 1 else None
        found[name] = {"value": mean, "n": len(values), "spread": spread} | (
            {"parts": parts} if parts else {}
        )
    return found


# -- a training's validation ----------------------------------------------------------------------------


def constants(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best answer that ignores the face, from training truths: most frequent emotion, median of each AU."""
    emotions = Counter(row["emotion"] for row in rows if row.get("emotion"))
    units: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.get("aus", {}).items():
            units.setdefault(key, []).append(value)
    return {
        "emotion": emotions.most_common(1)[0][0] if emotions else None,
        "aus": {key: median_low(values) for key, values in sorted(units.items())},
    }


def score_answers(rows: Sequence[Row], always: Mapping[str, Any]) -> Figures:
    """Figures of one task from its predictions as their system read them, beside those of the constant answer.

    Unparsed answers are wrong labels; AU values of unparsed answers count as the constant's. An AU counts as present
    above the value that the rows name as ``present_above``; intensities have no F1.

    Args:
        rows: of a training's validation, see `mien.evaluate.predictions.Row`.
        always: of `constants`.
    """
    figures: Figures = {"n": len(rows), "unparsed": sum(row["status"] == "unparsed" for row in rows)}
    known = [row for row in rows if row["truth"]]
    if len(known) < len(rows):
        figures["without_truth"] = len(rows) - len(known)
    truths, said = [row["truth"] for row in known], [row["said"] or {} for row in known]
    if known and all("emotion" in truth for truth in truths):
        true = [truth["emotion"] for truth in truths]
        figures |= _emotions_told(true, [one.get("emotion") for one in said], always["emotion"])
    elif known and all("aus" in truth for truth in truths):
        figures |= _units_told(truths, said, always["aus"], known[0].get("present_above", 0))
    return figures


def _emotions_told(true: Sequence[str], said: Sequence[str | None], always: str) -> Figures:
    labels = sorted({*true, *(one for one in said if one)})
    constant = [always] * len(true)
    recall = uar(true, said, labels)
    return {
        "accuracy": accuracy(true, said).value,
        "uar": recall.value,
        "macro_f1": macro_f1(true, said, labels).value,
        "recall": dict(recall.parts),
        "baseline": {
            "answer": always,
            "accuracy": accuracy(true, constant).value,
            "uar": uar(true, constant, labels).value,
        },
    }


def _units_told(
    truths: Sequence[Mapping[str, Any]],
    said: Sequence[Mapping[str, Any]],
    always: Mapping[str, float],
    above: float,
) -> Figures:
    answer = {key: float(always.get(key, 0.0)) for key in truths[0]["aus"]}
    true = {key: [float(one["aus"][key]) for one in truths] for key in answer}
    told = {key: [float(one.get("aus", {}).get(key, still)) for one in said] for key, still in answer.items()}
    constant = {key: [still] * len(truths) for key, still in answer.items()}
    # Of an intensity nobody says from where on it is present.
    from_here = math.nan if truths[0]["form"] == "au_intensity" else above
    present, shown, all_there = (
        {key: [_above(value, from_here) for value in column] for key, column in one.items()}
        for one in (true, told, {key: [math.inf] * len(truths) for key in answer})
    )
    found = {
        "mae": macro_over_aus(mae, true, told),
        "pcc": macro_over_aus(pcc, true, told),
        "f1": macro_over_aus(f1, present, shown),
    }
    per_au = {key: {name: _number(one.parts[key]) for name, one in found.items()} for key in answer}
    return {name: _number(one.value) for name, one in found.items()} | {
        "per_au": per_au,
        "baseline": {
            "answer": answer,
            "mae": macro_over_aus(mae, true, constant).value,
            "f1_all_present": _number(macro_over_aus(f1, present, all_there).value),
        },
    }


def _above(value: float, edge: float) -> float:
    return edge if math.isnan(edge) else float(value > edge)
