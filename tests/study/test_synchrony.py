"""Planted synchrony is found, chance is not; simulated dyads of five minutes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from mien.core.errors import BadInput
from mien.study import read_faces, resample, synchronies, synchrony

Made = Callable[..., pd.DataFrame]

RATE, SECONDS, PACE = 10.0, 300.0, 0.5


def slow(rng: np.random.Generator, count: int) -> np.ndarray:
    """Movement as faces have it: autocorrelation that falls to 1/e in half a second."""
    keep = float(np.exp(-1 / (PACE * RATE)))
    made = lfilter([1.0], [1.0, -keep], rng.standard_normal(count + 200))[200:]
    return np.asarray(made / made.std())


def dyad(rng: np.random.Generator, r: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Two people whose movement correlates by ``r`` at a lag within two seconds."""
    count, lag = round(RATE * SECONDS), int(rng.integers(-20, 21))
    common = slow(rng, count + 40)
    first = common[20 : 20 + count]
    second = r * common[20 - lag : 20 - lag + count] + np.sqrt(1 - r * r) * slow(rng, count)
    return first, second, lag / RATE


def test_planted_synchrony_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(4)
    planted, apart = [], []
    for _ in range(100):
        first, second, lag = dyad(rng, 0.3)
        one = synchrony(first, second, RATE, surrogates=100)
        planted.append((one.p <= 0.05, abs(one.lag - lag) <= 0.2, one.r))
        first, second, _ = dyad(rng, 0.0)
        apart.append(synchrony(first, second, RATE, surrogates=100).p <= 0.05)
    found, at_its_lag, strength = np.array(planted, float).T
    assert found.mean() >= 0.9 and at_its_lag.mean() >= 0.9
    assert strength.mean() == pytest.approx(0.3, abs=0.05)
    # Five of a hundred are meant to be taken for synchrony; a true rate of 5 % gives ten or more in 3 of 100 tests.
    assert sum(apart) <= 9


def test_a_gap_is_bridged_and_a_still_face_is_not_in_synchrony() -> None:
    first, second, lag = dyad(np.random.default_rng(5), 0.8)
    first[500:505] = np.nan
    second[1000:1400] = np.nan
    one = synchrony(first, second, RATE)
    assert one.lag == pytest.approx(lag) and one.r > 0.7 and one.p < 0.01
    assert one.windows < 29 and len(one.course) == len(one.starts) == one.windows
    still = synchrony(first, np.full(len(first), 0.2), RATE, surrogates=50)
    assert still.r == 0 and still.p == 1
    with pytest.raises(BadInput, match="readable windows"):
        synchrony(first[:300], second[:300], RATE)
    with pytest.raises(BadInput, match="two of one length"):
        synchrony(first, second[1:], RATE)


def test_dyads_of_a_table(faces: Made) -> None:
    first, second, lag = dyad(np.random.default_rng(6), 0.6)
    clips = [
        faces(f"d1_{name}.mp4", SECONDS, RATE, aus={"AU12": np.clip(0.4 + 0.1 * values, 0, 1)})
        for name, values in (("ann", first), ("ben", second))
    ]
    table = resample(read_faces(clips, pattern="{dyad}_{person}"), RATE)
    row = synchronies(table, ["AU12"], surrogates=200).iloc[0]
    assert (row["first"], row["second"], row["signal"]) == ("ann", "ben", "AU12_i")
    assert row["lag"] == pytest.approx(lag) and row["q"] < 0.01
    short = synchronies(table[table["time"] < 20], ["AU12"]).iloc[0]
    assert np.isnan(short["r"]) and np.isnan(short["q"]) and "readable windows" in short["error"]
    with pytest.raises(BadInput, match="several clips of ann"):
        again = table[table["person"] == "ann"].assign(clip="other")
        synchronies(pd.concat([table, again]), ["AU12"])
    with pytest.raises(BadInput, match="without dyads"):
        synchronies(table.drop(columns="dyad"), ["AU12"])
    with pytest.raises(BadInput, match="of 1 people"):
        synchronies(table[table["person"] == "ann"], ["AU12"])
