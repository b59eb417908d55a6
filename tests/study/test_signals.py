"""Rates, smoothing, rest and what is not to be trusted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mien.core.errors import BadConfig, BadInput
from mien.study import read_faces, resample, rest_of, signals_of, smooth, take_rest, withhold

Made = Callable[..., pd.DataFrame]


def test_what_is_not_to_be_trusted_is_missing_but_counted(clip: pd.DataFrame) -> None:
    clip.loc[:9, "yaw"], clip.loc[10:14, "presence"] = 45.0, 0.2
    clip.loc[15:19, "quality"] = "blurred: too soft | small: 9 px"
    clip.loc[20:24, "quality"] = "hidden_mouth: a mask covers it"
    kept = withhold(read_faces(clip))
    assert len(kept) == 100 and kept["usable"].sum() == 80
    assert kept.loc[:19, signals_of(kept)].isna().all().all() and kept.loc[:19, "emotion"].isna().all()
    assert kept.loc[20:24, "AU12_i"].notna().all()


@pytest.mark.parametrize("rate", [10.0, 12.5, 60.0])
def test_a_line_stays_a_line_at_any_rate(rate: float, faces: Made) -> None:
    clip = faces(seconds=4, aus={"AU12": np.linspace(0, 0.99, 100)})
    clip = clip.drop(index=range(50, 62))  # a hole of half a second
    made = resample(withhold(read_faces(clip)), rate)
    assert np.diff(made["time"]).round(9).tolist() == pytest.approx([1 / rate] * (len(made) - 1))
    known = made.dropna(subset="AU12_i")
    assert known["AU12_i"].to_numpy() == pytest.approx(0.25 * known["time"].to_numpy(), abs=0.011)
    assert not known["time"].between(2.06, 2.36).any() and made["time"].max() == pytest.approx(
        3.96, abs=1 / rate
    )
    assert made["emotion"].dropna().eq("neutral").all() and (made["person"] == "anna_baseline").all()


def test_smoothing_keeps_means_gaps_and_blinks(faces: Made, bump: Made) -> None:
    rng, times = np.random.default_rng(0), np.arange(100) / 25
    noisy = np.clip(0.5 + 0.1 * rng.standard_normal(100), 0, 1)
    blink = bump(times, 2.0, 2.08, 2.16, 0.9)
    table = read_faces(faces(aus={"AU12": noisy, "AU43": blink}, happiness=noisy))
    table.loc[40:44, "AU12_i"] = np.nan
    made = smooth(table, 0.4)
    assert made["AU12_i"].std() < 0.5 * noisy.std() and made["AU12_i"].isna().sum() == 5
    assert made["AU43_i"].max() == pytest.approx(blink.max())
    assert made[["neutral", "happiness"]].sum(axis=1).to_numpy() == pytest.approx(1)


def test_a_neutral_clip_reads_neutral_after_its_rest_is_taken(faces: Made) -> None:
    """The complaint: without a baseline a neutral face reads happy, and switches all the time."""
    rng = np.random.default_rng(1)
    resting = np.clip(0.5 + 0.08 * rng.standard_normal(100), 0, 1)  # a face that looks half happy at rest
    talk = np.clip(np.where(np.arange(100) > 60, 0.97, resting), 0, 1)
    both = read_faces([faces("anna_rest.mp4", happiness=resting, aus={"AU12": np.full(100, 0.2)}),
                       faces("anna_talk.mp4", happiness=talk, aus={"AU12": 0.2 + 0.5 * (talk > 0.9)})],
                      pattern="{person}_{condition}")  # fmt: skip
    before = both[both["condition"] == "rest"]["emotion"]
    assert before.ne(before.shift()).sum() > 20
    for how, more in (("neutral", {"condition": "rest"}), ("first", {}), ("percentile", {})):
        rest = rest_of(both, how, **more)
        made = take_rest(both, rest)
        lead = made.groupby("condition")["emotion"].value_counts(normalize=True)
        assert lead["rest", "neutral"] >= 0.95, how
        assert lead["talk", "happiness"] == pytest.approx(39 / 100, abs=0.03), how
        assert made[["neutral", "happiness"]].to_numpy().max() <= 1
        assert made.groupby("condition")["AU12_i"].median()["rest"] == pytest.approx(0, abs=1e-9)
        assert made["AU12_i"].max() == pytest.approx(0.5)


def test_nobody_without_a_rest(clip: pd.DataFrame) -> None:
    table = read_faces(clip, pattern="{person}_{condition}")
    with pytest.raises(BadInput, match="no readable moment of rest of anna"):
        rest_of(table, "neutral", condition="other")
    with pytest.raises(BadConfig, match="a column and its value"):
        rest_of(table, "neutral")
    with pytest.raises(BadConfig, match="baseline 'best'"):
        rest_of(table, "best")
    with pytest.raises(BadConfig, match="signal 'AU99'"):
        signals_of(table, ["AU99"])
    assert signals_of(table, ["AU12", "happiness"]) == ["AU12_i", "happiness"]
