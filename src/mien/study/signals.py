"""Measured series: which columns they are, which values to trust, at what rate, how smooth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from mien.core.errors import require_known, require_range
from mien.study.tables import emotions_in

__all__ = ["by_series", "resample", "signals_of", "smooth", "withhold"]

Floats = npt.NDArray[np.float64]
_SIGNAL = re.compile(r"^(AU\d\d_[iLR]|gaze_\w+|pitch|yaw|roll|valence|arousal)$")
LOW_QUALITY = ("small", "blurred", "dark", "bright")


def signals_of(table: pd.DataFrame, wanted: Sequence[str] | None = None) -> list[str]:
    """The measured series of a table: emotions, AU intensities (also of sides), head pose, gaze where it is there.

    Args:
        table: of `read_faces`.
        wanted: names or beginnings of names (``"AU12"``, ``"happiness"``); None takes all.

    Raises:
        BadConfig: a wanted name that fits no series.
    """
    known = [*emotions_in(table), *(str(name) for name in table.columns if _SIGNAL.match(str(name)))]
    if wanted is None:
        return known
    found = [name for one in wanted for name in known if name == one or name.startswith(f"{one}_")]
    for one in wanted:
        require_known(one, [*known, *(name for name in [one] if any(k.startswith(f"{one}_") for k in known))],
                      "signal")  # fmt: skip
    return list(dict.fromkeys(found))


def by_series(table: pd.DataFrame) -> Iterable[tuple[tuple[str, str], pd.DataFrame]]:
    """(clip, person) -> its rows, in time, in the table's order."""
    for (clip, person), rows in table.groupby(["clip", "person"], sort=False):
        yield (str(clip), str(person)), rows


def withhold(
    table: pd.DataFrame, presence: float = 0.5, turned: float = 30.0, flags: Sequence[str] = LOW_QUALITY
) -> pd.DataFrame:
    """The table with NaN where a reading is not to be trusted, and a column ``usable`` 0 or 1.

    No row is dropped: what was left out stays countable, and time goes on.

    Args:
        table: of `read_faces`.
        presence: the least belief 0..1 of the landmark net that this is a face.
        turned: the most degrees that the head may be turned or nodded away.
        flags: limits in the column ``quality`` that rule a row out.
    """
    require_range(presence, "presence", 0, 1)
    require_range(turned, "turned", 0, 180)
    bad = table["success"] != 1
    if "presence" in table:
        bad |= table["presence"] < presence
    away = table[["pitch", "yaw"]].abs().max(axis=1) if {"pitch", "yaw"} <= set(table) else None
    if away is not None:
        bad |= away > turned
    if "quality" in table and flags:
        named = "|".join(rf"(?:^|\| ){re.escape(flag)}:" for flag in flags)
        bad |= table["quality"].astype("string").str.contains(named, regex=True).fillna(False).astype(bool)
    kept = table.assign(usable=(~bad).astype(float))
    names = signals_of(table)
    kept[names] = kept[names].mask(bad)
    if "emotion" in kept:
        kept["emotion"] = kept["emotion"].mask(bad)
    return kept


def resample(table: pd.DataFrame, rate: float, gap: float = 0.25) -> pd.DataFrame:
    """Every series at ``rate`` values per second, from the clip's first time on.

    Values are interpolated linearly; well below the source's rate they are averaged over a step before.

    Args:
        table: of `read_faces` or `withhold`.
        rate: per second.
        gap: seconds; over a longer stretch without values NaN stays NaN.

    Returns:
        Keys and fields, ``time``, ``frame`` (the step), the signals, ``success`` and ``usable`` as shares 0..1.
    """
    require_range(rate, "rate", 0.001, 10_000)
    names = [*signals_of(table), *(one for one in ("success", "usable") if one in table)]
    fields = list(table.columns[: list(table.columns).index("input")])
    made = []
    for _, rows in by_series(table):
        times = rows["time"].to_numpy(float)
        values = rows[names].to_numpy(float)
        steps = np.arange(round((times[-1] - times[0]) * rate) + 1) / rate
        own = (len(times) - 1) / (times[-1] - times[0]) if times[-1] > times[0] else rate
        if own > 1.5 * rate:
            timed = pd.DataFrame(values, index=pd.to_timedelta(times, unit="s"))
            rolled = timed.rolling(pd.Timedelta(1 / rate, unit="s"), center=True, min_periods=1).mean()
            values = rolled.where(~np.isnan(values)).to_numpy(float)
        data = np.column_stack([_between(steps, times - times[0], one, gap) for one in values.T])
        part = pd.DataFrame(data, columns=names).assign(time=steps + times[0], frame=np.arange(len(steps)))
        for number, field in enumerate(fields):
            part.insert(number, field, rows[field].iloc[0])
        made.append(part.assign(input=rows["input"].iloc[0]))
    whole = pd.concat(made, ignore_index=True)
    ordered = whole[[*fields, "input", "frame", "time", *names]]
    return leading(ordered)


def _between(steps: Floats, times: Floats, values: Floats, gap: float) -> Floats:
    known = ~np.isnan(values)
    if not known.any():
        return np.full(len(steps), np.nan)
    at, held = times[known], values[known]
    after = np.searchsorted(at, steps - 1e-9)
    left, right = np.clip(after - 1, 0, len(at) - 1), np.clip(after, 0, len(at) - 1)
    near = np.isclose(at[right], steps) | np.isclose(at[left], steps)
    inside = (at[left] <= steps) & (steps <= at[right]) & (at[right] - at[left] <= gap)
    return np.where(near | inside, np.interp(steps, at, held), np.nan)


def leading(table: pd.DataFrame) -> pd.DataFrame:
    """The table with ``emotion`` as its most probable one; nothing where the probabilities are missing."""
    names = emotions_in(table)
    if not names:
        return table
    known = table[names].notna().all(axis=1)
    lead = table.loc[known, names].idxmax(axis=1)
    return table.assign(emotion=lead.reindex(table.index))


def smooth(table: pd.DataFrame, seconds: float = 0.2, how: str = "mean") -> pd.DataFrame:
    """Signals as a centred moving ``"mean"`` or ``"median"`` of so many seconds; NaN stays NaN, emotions sum to 1.

    Closing eyes (AU43, AU45) are left as they are: a blink is shorter than what is smoothed away.
    """
    require_known(how, ("mean", "median"), "smoothing")
    require_range(seconds, "seconds", 0, 60)
    names, made = [one for one in signals_of(table) if not one.startswith(("AU43", "AU45"))], table.copy()
    for _, rows in by_series(table):
        step = float(np.median(np.diff(rows["time"]))) if len(rows) > 1 else 0.0
        width = 2 * round(seconds / step / 2) + 1 if step > 0 else 1
        if width > 1:
            rolling = rows[names].rolling(width, center=True, min_periods=1)
            act: Callable[[], pd.DataFrame] = rolling.mean if how == "mean" else rolling.median
            made.loc[rows.index, names] = act().where(rows[names].notna())
    feelings = emotions_in(made)
    if feelings:
        made[feelings] = made[feelings].div(made[feelings].sum(axis=1).where(lambda s: s > 0), axis=0)
    return leading(made)
