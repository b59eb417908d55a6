"""How a person's face reads at rest, and readings relative to it.

A face at rest is no blank: brows, mouth corners and lids differ between people, and a net reads some of it as
movement or mood. Hence AU and pose are given as differences from the person's own rest. Emotions
are probabilities; where rest reads more of a mood, or less neutral, than ``REST_READS`` has it, all readings are moved
by Bayes' rule: ``p'(k) = p(k) · r(k) / b(k)``, normalised, with b the reading at rest and r what rest should read.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadInput, require_known, require_range
from mien.study.signals import leading, signals_of
from mien.study.tables import emotions_in

__all__ = ["REST_READS", "rest_of", "take_rest"]

REST_READS: Mapping[str, float] = {name: 0.65 if name == "neutral" else 0.05 for name in EMOTIONS}
"""What a face at rest may read: the least of neutral, the most of each other emotion."""


def rest_of(
    table: pd.DataFrame, how: str = "first", *, seconds: float = 2.0, percent: float = 10.0, **where: str
) -> pd.DataFrame:
    """Each person's readings at rest: a row per person, a column per signal.

    Args:
        table: of `read_faces` or what was made of it.
        how: ``"neutral"``: the median over the rows that ``where`` names, e.g. ``condition="neutral"``; ``"first"``:
            the median over the first ``seconds`` of each of the person's clips; ``"percentile"``: of AUs that
            percentile (needs no rest, but some in between), of pose the median, of emotions the mean over that
            share of the frames in which the AUs are lowest in sum.
        where: column and value of the rest, for ``"neutral"``.

    Raises:
        BadInput: a person without a readable moment of rest.
    """
    require_known(how, ("neutral", "first", "percentile"), "baseline")
    require_range(percent, "percent", 0, 100)
    names = signals_of(table)
    rows = table
    if how == "neutral":
        if len(where) != 1 or next(iter(where)) not in table:
            raise BadConfig(got=f"baseline 'neutral' with {where}", expected="a column and its value, such as"
                            " condition='neutral'")  # fmt: skip
        ((column, value),) = where.items()
        rows = table[table[column] == value]
    elif how == "first":
        start = table.groupby(["clip", "person"])["time"].transform("min")
        rows = table[table["time"] < start + seconds]
    by = rows.groupby("person")[names]
    rest = by.quantile(percent / 100) if how == "percentile" else by.median()
    if how == "percentile":
        feelings, turns = emotions_in(table), [one for one in names if one in ("pitch", "yaw", "roll")]
        rest[turns] = by.median()[turns]
        aus = [one for one in names if one.endswith("_i")]
        moved = rows[aus].sum(axis=1, min_count=1) if aus else rows[feelings].max(axis=1)
        calm = moved <= moved.groupby(rows["person"]).transform(lambda one: one.quantile(percent / 100))
        rest[feelings] = rows[calm].groupby("person")[feelings].mean()
    measured = table.groupby("person")[names].count().gt(0)
    missing = [who for who in table["person"].unique() if who not in rest.index
               or (rest.loc[who].isna() & measured.loc[who]).all()]  # fmt: skip
    if missing:
        raise BadInput(
            got=f"no readable moment of rest of {', '.join(map(str, missing[:5]))}",
            expected=f"one for each person by baseline {how!r}",
            fix="Name the neutral clips, take more seconds, or use percentile",
        )
    return rest.reindex(list(dict.fromkeys(table["person"])))


def take_rest(table: pd.DataFrame, rest: pd.DataFrame) -> pd.DataFrame:
    """The table relative to each person's rest: AU and pose as differences (AUs then −1..1), emotions by Bayes' rule.

    A signal without a rest of its own is NaN.
    """
    made = table.copy()
    feelings = emotions_in(table)
    others = [one for one in signals_of(table) if one not in feelings and one in rest]
    made[others] = table[others].to_numpy(float) - rest.loc[table["person"], others].to_numpy(float)
    if feelings:
        own = rest.loc[table["person"], feelings].to_numpy(float)
        own = own / own.sum(axis=1, keepdims=True)
        meant = np.array([REST_READS[one] for one in feelings])
        calm = np.array([one == "neutral" for one in feelings])
        own = np.where(calm, np.clip(own, 0.001, meant), np.maximum(own, meant))
        moved = table[feelings].to_numpy(float) * meant / own
        made[feelings] = moved / moved.sum(axis=1, keepdims=True)
    return leading(made)
