"""Figures of persons and conditions, held against published and other programs' numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mien.core.errors import BadInput
from mien.study import contrasts, episodes, read_faces, summarize

Made = Callable[..., pd.DataFrame]

TIMES = np.arange(100) / 25
# The example of Lakens (2013), Frontiers in Psychology 4:863, doi 10.3389/fpsyg.2013.00863: ratings of two films.
FILM_1 = [9, 7, 8, 9, 8, 9, 9, 10, 9, 9]
FILM_2 = [9, 6, 7, 8, 7, 9, 8, 8, 8, 7]


def rated(values: list[int], condition: str, prefix: str = "p") -> pd.DataFrame:
    return pd.DataFrame({
        "person": [f"{prefix}{number}" for number in range(len(values))], "condition": condition, "signal": "rating",
        "measure": "mean", "value": np.array(values, float), "n": 1,
    })  # fmt: skip


def test_effect_sizes_are_the_published_ones() -> None:
    within = contrasts(pd.concat([rated(FILM_2, "two"), rated(FILM_1, "one")])).iloc[0]
    assert within["paired"] == 1 and within["difference"] == pytest.approx(1.0)
    assert round(within["g"], 2) == 1.08 and within["p"] == pytest.approx(0.00105, abs=1e-4)  # t(9) = 4.74
    between = contrasts(pd.concat([rated(FILM_2, "two", "a"), rated(FILM_1, "one", "b")])).iloc[0]
    assert between["paired"] == 0 and round(between["g"], 2) == 1.08
    assert between["p"] == pytest.approx(stats.ttest_ind(FILM_1, FILM_2, equal_var=False).pvalue)
    # The bootstrap brackets the difference about as the t interval does.
    t = stats.ttest_ind(FILM_1, FILM_2, equal_var=False).confidence_interval()
    assert between["low"] == pytest.approx(t.low, abs=0.2) and between["high"] == pytest.approx(
        t.high, abs=0.2
    )


def test_nothing_is_found_in_nothing() -> None:
    rng = np.random.default_rng(3)
    rows = pd.concat([
        pd.DataFrame({"person": [f"p{n}" for n in range(20)], "condition": level, "signal": f"s{signal}",
                      "measure": "mean", "value": rng.standard_normal(20), "n": 1})
        for signal in range(40) for level in ("a", "b")
    ])  # fmt: skip
    table = contrasts(rows, draws=200)
    assert len(table) == 40 and (table["p"] < 0.05).sum() <= 5 and (table["q"] < 0.05).sum() == 0


def test_the_summary_counts_time_shares_and_events(faces: Made, bump: Made) -> None:
    smile = bump(TIMES, 1, 1.4, 2.4, 0.8)
    clips = [faces("anna_talk.mp4", aus={"AU12": smile}, happiness=np.where(TIMES < 1, 0.9, 0.1)),
             faces("ben_talk.mp4")]  # fmt: skip
    clips[0].loc[90:, "success"] = 0
    table = read_faces(clips, pattern="{person}_{condition}")
    found = summarize(table, by=["person", "condition"], events=episodes(table, ["AU12", "AU06"]))
    value = found.set_index(["person", "signal", "measure"])["value"]
    assert value["anna", "face", "seconds"] == pytest.approx(3.6) and value["anna", "face", "usable"] == 0.9
    assert value["anna", "happiness", "leads"] == pytest.approx(25 / 90)
    assert value["anna", "face", "switches per minute"] == pytest.approx(60 / 3.6)
    assert value["anna", "AU12_i", "present"] == pytest.approx((smile[:90] >= 0.1).mean())
    assert value["anna", "AU12_i", "per minute"] == pytest.approx(60 / 3.6)
    assert value["ben", "AU12_i", "count"] == 0 and value["anna", "AU12_i", "amplitude"] == pytest.approx(
        0.8, abs=0.02
    )
    with pytest.raises(BadInput, match="1 values of 'condition'"):
        contrasts(found)
