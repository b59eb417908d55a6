"""Events of many clips in one table: when a movement or an emotion begins, peaks and ends; blinks; smiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mien.core.errors import BadInput, require_range
from mien.study.events import Event, movements
from mien.study.signals import by_series, signals_of
from mien.study.tables import KEYS

__all__ = ["EVENT_COLUMNS", "blinks", "episodes", "smiles"]

EVENT_COLUMNS = ("onset", "apex", "offset", "duration", "amplitude", "rest")
"""Times in seconds of the clip; amplitude from rest in the unit of the signal."""
_BLINK_SECONDS = 0.5
_POSE = ("pitch", "yaw", "roll")


def episodes(
    table: pd.DataFrame,
    signals: Sequence[str] | None = None,
    least: float = 0.15,
    shortest: float = 0.0,
    rest: float | None = None,
) -> pd.DataFrame:
    """Every movement of every series: a row per event, in the order of clips, signals and time.

    Args:
        table: of `read_faces` or what was made of it, not baseline-corrected or so.
        signals: names or beginnings of names; None takes AU intensities and the emotions but neutral.
        least: amplitude from which a rise above rest counts.
        shortest: seconds from onset to offset below which an event is dropped.
        rest: of every series; None takes its 20th percentile, 0 suits a table relative to rest.

    Returns:
        `KEYS`, ``signal`` and `EVENT_COLUMNS`.
    """
    require_range(least, "least", 0, 100)
    chosen = signals_of(table, signals)
    if signals is None:
        chosen = [one for one in chosen if one not in (*_POSE, "neutral") and one[-2:] not in ("_L", "_R")]
    found = []
    for _, rows in by_series(table):
        keys = [rows[key].iloc[0] for key in KEYS]
        for name in chosen:
            for event in movements(rows["time"].to_numpy(), rows[name].to_numpy(), least, rest):
                if event.duration >= shortest:
                    found.append([*keys, name, *_cells(event)])
    return pd.DataFrame(found, columns=[*KEYS, "signal", *EVENT_COLUMNS])


def _cells(event: Event) -> tuple[float, ...]:
    return event.onset, event.apex, event.offset, event.duration, event.amplitude, event.rest


def _measured(table: pd.DataFrame, *names: str) -> str:
    found = [name for name in names if name in table]
    if not found:
        raise BadInput(got="a table without " + " or ".join(names), expected="one of them", fix="Analyse with a model"
                       " that reads it")  # fmt: skip
    return found[0]


def blinks(table: pd.DataFrame, least: float = 0.3) -> pd.DataFrame:
    """Closures of the eyes: rows as of `episodes`, and ``kind``: ``blink`` up to half a second, else ``closure``.

    Read from AU45 where it is measured, else from AU43. Blinks last 0.1 to 0.4 s: below some 15 frames per second, many
    are missed, and a rate is not to be trusted.
    """
    found = episodes(table, [_measured(table, "AU45_i", "AU43_i")], least)
    return found.assign(kind=np.where(found["duration"] <= _BLINK_SECONDS, "blink", "closure"))


def smiles(table: pd.DataFrame, least: float = 0.15, cheeks: float = 0.1) -> pd.DataFrame:
    """Smiles (AU12), each with the rise of AU06 in it, and whether it is a Duchenne smile (AU6+12).

    AU06 counts where it rises by ``cheeks`` or more above its own rest within the smile. Raised cheeks tell an
    intense smile as well as a felt one (Krumhuber & Manstead 2009): ``duchenne`` names muscles, not sincerity.
    """
    _measured(table, "AU06_i")
    found = episodes(table, [_measured(table, "AU12_i")], least)
    series = {
        key: (rows["time"].to_numpy(), rows["AU06_i"].to_numpy(float)) for key, rows in by_series(table)
    }
    rises = []
    for row in found.itertuples():
        times, values = series[row.clip, row.person]
        inside = (times >= row.onset) & (times <= row.offset)
        known = values[inside][~np.isnan(values[inside])]
        rises.append(known.max() - np.nanpercentile(values, 20) if len(known) else np.nan)
    return found.assign(AU06=rises, duchenne=np.asarray(rises, float) >= cheeks)
