"""Do two people move together? Windowed lagged correlation held against surrogates.

Both series are cut into windows; in each, one is correlated with the other at every lag (Boker et al. 2002),
correlations are averaged over windows as Fisher's z, and the lag with the largest mean counts. Chance is what the same
windows give when they are paired at random (segment shuffling, Moulder et al. 2018): each series keeps its own pace,
and the largest over all lags is compared with the largest over all lags, so that searching them costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from mien.core.errors import BadInput, require_range
from mien.study.signals import signals_of

__all__ = ["Synchrony", "synchronies", "synchrony"]

Floats = npt.NDArray[np.float64]
_LEAST_WINDOWS, _MOST_MISSING, _HIGHEST = 5, 0.2, 0.999


@dataclass(frozen=True, slots=True)
class Synchrony:
    """What two series have in common."""

    r: float
    """Mean correlation over the windows at the best lag, −1..1; the best of many lags is above 0 by chance."""
    lag: float
    """Seconds by which the second follows the first; negative: it leads."""
    p: float
    """Share of surrogates whose best lag is at least as strong, the measured one counted in."""
    chance: float
    """The 95th percentile of the surrogates' strength."""
    windows: int
    curve: Floats = field(repr=False)
    """(lags,) mean correlation at each lag."""
    lags: Floats = field(repr=False)
    """(lags,) seconds."""
    course: Floats = field(repr=False)
    """(windows,) correlation in each window at the best lag."""
    starts: Floats = field(repr=False)
    """(windows,) seconds from the start."""


def synchrony(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    rate: float,
    window: float = 10.0,
    lag: float = 3.0,
    surrogates: int = 1000,
    seed: int = 0,
) -> Synchrony:
    """Synchrony of two series of equal length.

    Args:
        first: (N,) values of one person; NaN is unmeasured.
        second: (N,) of the other, at the same times.
        rate: values per second.
        window: seconds; windows do not overlap. Choose a few times the length of a movement.
        lag: seconds; lags from minus to plus this are tried.
        surrogates: random pairings of windows; p is at least 1 / (surrogates + 1).
        seed: of the pairings.

    Raises:
        BadInput: lengths differ, or fewer than five windows can be read. Windows with more than a fifth missing do not
            count; shorter gaps are bridged.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.ndim != 1 or a.shape != b.shape:
        raise BadInput(got=f"series of shapes {a.shape} and {b.shape}", expected="two of one length")
    require_range(window * rate, "values in a window", 4)
    require_range(lag, "lag", 0)
    require_range(surrogates, "surrogates", 1, whole=True)
    width, reach = round(window * rate), round(lag * rate)
    starts = np.arange(reach, len(a) - width - reach + 1, width)
    usable = [start for start in starts if _missing(a[start : start + width]) <= _MOST_MISSING
              and _missing(b[start - reach : start + width + reach]) <= _MOST_MISSING]  # fmt: skip
    if len(usable) < _LEAST_WINDOWS:
        raise BadInput(
            got=f"{len(usable)} readable windows of {window:g} s in {len(a) / rate:.1f} s",
            expected=f"at least {_LEAST_WINDOWS}",
            fix="Take shorter windows and lags, or longer clips",
        )
    z = _correlations(_bridged(a), _bridged(b), np.array(usable), width, reach)
    own = np.arange(len(usable))
    curve = z[own, own].mean(axis=0)
    best = int(np.abs(curve).argmax())
    rng = np.random.default_rng(seed)
    drawn = np.array([
        np.abs(z[own, rng.permutation(len(own))].mean(axis=0)).max() for _ in range(surrogates)
    ])  # fmt: skip
    strength = abs(float(curve[best]))
    return Synchrony(
        r=float(np.tanh(curve[best])),
        lag=(best - reach) / rate,
        p=float((1 + (drawn >= strength).sum()) / (1 + surrogates)),
        chance=float(np.tanh(np.quantile(drawn, 0.95))),
        windows=len(usable),
        curve=np.tanh(curve),
        lags=(np.arange(2 * reach + 1) - reach) / rate,
        course=np.tanh(z[own, own, best]),
        starts=np.array(usable) / rate,
    )


def _missing(values: Floats) -> float:
    return float(np.isnan(values).mean())


def _bridged(values: Floats) -> Floats:
    places, known = np.arange(len(values)), ~np.isnan(values)
    return np.interp(places, places[known], values[known])


def _standard(segments: Floats) -> Floats:
    """Rows of mean 0 and length 1; a row without variance is 0: nothing moves, so nothing moves together."""
    centred = segments - segments.mean(axis=-1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=-1, keepdims=True))
    return np.asarray(np.divide(centred, size, out=np.zeros_like(centred), where=size > 1e-9))


def _correlations(a: Floats, b: Floats, starts: npt.NDArray[np.int64], width: int, reach: int) -> Floats:
    """Fisher's z of window i of the first with window j of the second at each lag: (windows, windows, lags)."""
    ours = _standard(np.stack([a[start : start + width] for start in starts]))
    slid = np.lib.stride_tricks.sliding_window_view(b, width)
    found = [ours @ _standard(slid[start - reach : start + reach + 1]).T for start in starts]
    return np.arctanh(np.clip(np.stack(found, axis=1), -_HIGHEST, _HIGHEST))


def synchronies(
    table: pd.DataFrame,
    signals: Sequence[str] = ("AU12", "happiness"),
    pairs: Sequence[tuple[str, str]] | None = None,
    window: float = 10.0,
    lag: float = 3.0,
    surrogates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Synchrony of each pair of people: a row per pair, session, condition and signal.

    Two people belong together in one clip (two tracks) or in two clips of one session and condition that began at the
    same moment. Cameras that did not start together shift the lag by as much.

    Args:
        table: of `resample`, so that all series have one rate.
        signals: names or beginnings of names.
        pairs: persons; None takes the two of each ``dyad``, a field of the table.

    Returns:
        ``first second session condition signal r lag p q chance windows error``; q by Benjamini and Hochberg over the
        table. A pair that cannot be correlated is a row with its reason.

    Raises:
        BadInput: no pair, or several clips of a person in one session and condition.
    """
    found = []
    for first, second in _pairs(table) if pairs is None else pairs:
        for (session, condition), rows in table.groupby(["session", "condition"], sort=False):
            ours, theirs = (rows[rows["person"] == one].set_index("frame") for one in (first, second))
            if ours.empty or theirs.empty:
                continue
            _one_clip(ours, first)
            _one_clip(theirs, second)
            both = ours.index.intersection(theirs.index)
            rate = 1 / float(np.median(np.diff(ours["time"])))
            for name in signals_of(table, signals):
                keys = [first, second, session, condition, name]
                pair = ours.loc[both, name], theirs.loc[both, name]
                try:
                    one = synchrony(*pair, rate, window, lag, surrogates, seed)
                except BadInput as error:
                    found.append([*keys, *[np.nan] * 4, 0, str(error)])
                else:
                    found.append([*keys, one.r, one.lag, one.p, one.chance, one.windows, ""])
    if not found:
        raise BadInput(
            got="no two people in one session and condition", expected="pairs that were filmed together"
        )
    columns = [
        "first",
        "second",
        "session",
        "condition",
        "signal",
        "r",
        "lag",
        "p",
        "chance",
        "windows",
        "error",
    ]
    made = pd.DataFrame(found, columns=columns)
    known = made["p"].notna()
    made.insert(8, "q", np.nan)
    made.loc[known, "q"] = stats.false_discovery_control(made.loc[known, "p"]) if known.any() else np.nan
    return made


def _one_clip(rows: pd.DataFrame, person: str) -> None:
    if rows.index.has_duplicates:
        raise BadInput(
            got=f"several clips of {person} in one session and condition",
            expected="one",
            fix="Tell them apart by a session in the pattern or the table of people",
        )


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    if "dyad" not in table:
        raise BadInput(got="a table without dyads", expected="a field dyad, or pairs of persons", fix="Name it in the"
                       " pattern or the table of people")  # fmt: skip
    found = []
    for dyad, rows in table.groupby("dyad", sort=False):
        who = list(dict.fromkeys(rows["person"]))
        if len(who) != 2:
            raise BadInput(got=f"dyad {dyad} of {len(who)} people", expected="two")
        found.append((who[0], who[1]))
    return found
