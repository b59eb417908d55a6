"""What a study reports: figures per person and condition in a long table, and differences between conditions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from mien.core.aus import level_edge
from mien.core.errors import BadInput, require_known
from mien.study.signals import by_series, signals_of
from mien.study.tables import KEYS, emotions_in

__all__ = ["contrasts", "summarize"]

_LEAST = {"n": 3}


def summarize(
    table: pd.DataFrame,
    by: Sequence[str] = KEYS,
    signals: Sequence[str] | None = None,
    events: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A long table, ready for mixed models: a row per group and measure.

    ``value ~ condition + (1 | person)`` is fitted to the rows of one ``signal`` and ``measure``.

    Args:
        table: of `read_faces` or what was made of it.
        by: what makes a group; the default keeps every clip.
        signals: names or beginnings of names; None takes all.
        events: of `episodes`, `blinks` or `smiles`: their number, rate, mean duration and amplitude are added.

    Returns:
        ``by``, ``signal``, ``measure``, ``value`` and ``n``, the readings or events behind it. Measures: of every
        signal ``mean sd median p95``; of AUs ``present``, the share of time at FACS level A or above; of emotions
        ``leads``, the share of time; of ``face`` ``seconds``, ``frames``, ``usable`` and emotion ``switches per
        minute``; of events ``count``, ``per minute``, ``duration``, ``amplitude``.
    """
    names, keys = signals_of(table, signals), list(by)
    for key in keys:
        require_known(key, table.columns, "group")
    found = [row for group, rows in table.groupby(keys, sort=False) for row in _figures(group, rows, names)]
    minutes = {group: _seconds(rows) / 60 for group, rows in table.groupby(keys, sort=False)}
    if events is not None:
        for (*group, name), rows in events.groupby([*keys, "signal"], sort=False):
            found += _event_figures(tuple(group), str(name), rows, minutes[tuple(group)])
        found += _no_events(events, keys, minutes)
    return pd.DataFrame(
        [(*group, *cells) for group, *cells in found], columns=[*keys, "signal", "measure", "value", "n"]
    )


_Row = tuple[tuple[object, ...], str, str, float, int]


def _seconds(rows: pd.DataFrame) -> float:
    """Time in which the face can be read: frames with it, each as long as the usual step between frames."""
    return sum(_step(part) * float(part["success"].sum()) for _, part in by_series(rows))


def _step(rows: pd.DataFrame) -> float:
    return float(np.median(np.diff(rows["time"]))) if len(rows) > 1 else 0.0


def _figures(group: tuple[object, ...], rows: pd.DataFrame, names: Sequence[str]) -> list[_Row]:
    found: list[_Row] = [
        (group, "face", "frames", float(len(rows)), len(rows)),
        (group, "face", "seconds", _seconds(rows), len(rows)),
        (group, "face", "usable", float(rows.get("usable", rows["success"]).mean()), len(rows)),
    ]
    lead = rows["emotion"].dropna() if "emotion" in rows else pd.Series(dtype=object)
    seconds = _seconds(rows)
    if len(lead) and seconds > 0:
        turns = sum(int((one := part["emotion"].dropna()).ne(one.shift()).sum() - bool(len(one)))
                    for _, part in by_series(rows))  # fmt: skip
        found.append((group, "face", "switches per minute", 60 * turns / seconds, len(lead)))
    for name in names:
        known = rows[name].dropna()
        n = len(known)
        shares = {
            "mean": known.mean(),
            "sd": known.std(),
            "median": known.median(),
            "p95": known.quantile(0.95),
        }
        if name.endswith("_i"):
            shares["present"] = (known >= level_edge(1)).mean()
        if name in emotions_in(rows):
            shares["leads"] = (lead == name).mean() if len(lead) else np.nan
        found += [(group, name, measure, float(value), n) for measure, value in shares.items()]
    return found


def _event_figures(group: tuple[object, ...], name: str, rows: pd.DataFrame, minutes: float) -> list[_Row]:
    n = len(rows)
    rate = n / minutes if minutes else np.nan
    means = {"count": float(n), "per minute": rate} | {
        one: rows[one].mean() for one in ("duration", "amplitude")
    }
    return [(group, name, measure, float(value), n) for measure, value in means.items()]


def _no_events(events: pd.DataFrame, keys: list[str], minutes: dict[tuple[object, ...], float]) -> list[_Row]:
    """A group without an event of a signal has the count 0, else means over groups would leave it out."""
    seen = set(events[[*keys, "signal"]].itertuples(index=False, name=None))
    return [
        (group, str(name), measure, 0.0 if length or measure == "count" else np.nan, 0)
        for group, length in minutes.items()
        for name in events["signal"].unique()
        if (*group, name) not in seen
        for measure in ("count", "per minute")
    ]


def contrasts(
    summary: pd.DataFrame,
    between: str = "condition",
    unit: str = "person",
    measures: Sequence[str] = ("mean",),
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Each pair of conditions, signal by signal: difference, interval, effect size.

    A unit (a person) counts once per condition, by the mean over its clips. Units that have both conditions are
    compared within themselves (``paired`` 1) when there are at least three of them, else groups are compared.

    Args:
        summary: of `summarize`, with columns ``between`` and ``unit``.
        measures: of the summary.
        draws: of the bootstrap over units.

    Returns:
        ``signal measure first second paired n_first n_second mean_first mean_second difference low high g g_low
        g_high p q``: second minus first with its 95 % bootstrap interval; g is Hedges' corrected standardised
        difference (paired: by the mean of both standard deviations, g_av of Lakens 2013); p by a paired or Welch's
        t test, q by Benjamini and Hochberg over the table.

    Raises:
        BadInput: fewer than two conditions.
    """
    require_known(between, summary.columns, "column")
    levels = [one for one in dict.fromkeys(summary[between]) if str(one)]
    if len(levels) < 2:
        raise BadInput(got=f"{len(levels)} values of {between!r}", expected="at least two", fix="Name conditions by"
                       " a pattern or a table of people")  # fmt: skip
    rng = np.random.default_rng(seed)
    found = []
    for (name, measure), rows in summary[summary["measure"].isin(measures)].groupby(
        ["signal", "measure"], sort=False
    ):
        units = rows.groupby([unit, between])["value"].mean().unstack(between)
        for first, second in combinations(levels, 2):
            if {first, second} <= set(units):
                row = _contrast(units[first], units[second], draws, rng)
                found.append([name, measure, first, second, *row])
    columns = ["signal", "measure", "first", "second", "paired", "n_first", "n_second", "mean_first", "mean_second",
               "difference", "low", "high", "g", "g_low", "g_high", "p"]  # fmt: skip
    table = pd.DataFrame(found, columns=columns)
    known = table["p"].notna()
    table["q"] = np.nan
    if known.any():
        table.loc[known, "q"] = stats.false_discovery_control(table.loc[known, "p"])
    return table


def _contrast(first: pd.Series, second: pd.Series, draws: int, rng: np.random.Generator) -> list[float]:
    both = first.notna() & second.notna()
    paired = int(both.sum()) >= _LEAST["n"]
    a, b = ((one[both] if paired else one.dropna()).to_numpy(float) for one in (first, second))
    cells: list[float] = [
        int(paired),
        len(a),
        len(b),
        a.mean() if len(a) else np.nan,
        b.mean() if len(b) else np.nan,
    ]
    if min(len(a), len(b)) < _LEAST["n"]:
        return [*cells, cells[4] - cells[3], *[np.nan] * 6]
    if paired:
        rows = rng.integers(len(a), size=(draws, len(a)))
        left, right = a[rows], b[rows]
        p = stats.ttest_rel(b, a).pvalue if np.ptp(b - a) > 0 else np.nan
    else:
        left, right = (one[rng.integers(len(one), size=(draws, len(one)))] for one in (a, b))
        p = stats.ttest_ind(b, a, equal_var=False).pvalue if np.ptp(a) + np.ptp(b) > 0 else np.nan
    drawn = right.mean(axis=1) - left.mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    sizes = _hedges(left, right, paired)
    sizes = sizes[np.isfinite(sizes)]
    ends = np.quantile(sizes, (0.025, 0.975)) if len(sizes) else (np.nan, np.nan)
    return [
        *cells,
        b.mean() - a.mean(),
        low,
        high,
        float(_hedges(a[None], b[None], paired)[0]),
        *ends,
        float(p),
    ]


def _hedges(a: np.ndarray, b: np.ndarray, paired: bool) -> np.ndarray:
    """Hedges' g of each row: bias-corrected (mean b - mean a) over the mean (paired) or pooled deviation."""
    n, m = a.shape[1], b.shape[1]
    va, vb = a.var(axis=1, ddof=1), b.var(axis=1, ddof=1)
    pooled = np.sqrt(((n - 1) * va + (m - 1) * vb) / (n + m - 2))
    spread = (np.sqrt(va) + np.sqrt(vb)) / 2 if paired else pooled
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((b.mean(axis=1) - a.mean(axis=1)) / spread * (1 - 3 / (4 * (n + m) - 9)))
