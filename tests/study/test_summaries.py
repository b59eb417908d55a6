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


# py-feat 2.0.3's own figures of the tables that its documentation comes with: twenty clips, ten of good news and ten of
# bad news (Watson & Johnston, 2020). Mean of each clip by `extract_mean`; slope, standard error and t by `regress` on
# +1 and -1. Numbers only.
CLIP_MEANS = {
    "AU06": [
        0.769566886,
        0.611725282,
        0.696084784,
        0.668920077,
        0.890274941,
        0.936330292,
        0.942670449,
        0.540019621,
        0.563573694,
        0.573266986,
        0.008048644,
        0.012177579,
        0.058088052,
        0.007086745,
        0.012141989,
        0.027590822,
        0.036469488,
        0.045871834,
        0.021418049,
        0.077545286,
    ],
    "AU12": [
        0.995721716,
        0.978899413,
        0.98764509,
        0.993411283,
        0.997311147,
        0.997468704,
        0.997212099,
        0.919014557,
        0.988471055,
        0.929655619,
        0.256877525,
        0.158507517,
        0.502474389,
        0.086891348,
        0.185777792,
        0.166001442,
        0.296999077,
        0.323351976,
        0.24516871,
        0.327305189,
    ],
    "AU25": [
        0.606582708,
        0.54927561,
        0.828106527,
        0.827924629,
        0.759646153,
        0.765481485,
        0.781964865,
        0.614326144,
        0.766485961,
        0.489509274,
        0.316618022,
        0.362396926,
        0.322340291,
        0.694544173,
        0.546837364,
        0.193364004,
        0.671851005,
        0.55013327,
        0.549008955,
        0.555804843,
    ],
}
REGRESSED = {
    "AU06": (0.3442997262907739, 0.025065738094808877, 13.735870253989388),
    "AU12": (0.36177278603543345, 0.019074538834495683, 18.96626645469295),
    "AU25": (0.11132022517172092, 0.03270123432895958, 3.404159734519192),
}
# AU12 in the frames of its clip 011, with mean, standard deviation and maximum.
FRAMES = [
    0.14808375,
    0.20230937,
    0.4897741,
    0.36951512,
    0.21964778,
    0.06128805,
    0.0618533,
    0.0495927,
    0.06400621,
    0.068373814,
    0.056025118,
    0.08026673,
    0.10769827,
    0.13638522,
    0.33318156,
    0.5572525,
    0.68479145,
    0.9337504,
]
OF_FRAMES = {"mean": 0.2568775245555555, "sd": 0.25676014257041285}


def test_figures_of_another_programs_tables_are_that_programs(faces: Made) -> None:
    rows = [
        {"person": f"{number:03}", "condition": "good" if number < 10 else "bad", "signal": key, "measure": "mean",
         "value": value, "n": 1}
        for key, values in CLIP_MEANS.items() for number, value in enumerate(values)
    ]  # fmt: skip
    found = contrasts(pd.DataFrame(rows)[::-1]).set_index("signal")
    for key, (slope, _, t) in REGRESSED.items():
        assert (found.loc[key, "first"], found.loc[key, "n_first"], found.loc[key, "n_second"]) == (
            "bad",
            10,
            10,
        )
        assert found.loc[key, "difference"] == pytest.approx(2 * slope, abs=1e-6)
        # Of two groups of ten: d = t sqrt(2/10), corrected for bias.
        assert found.loc[key, "g"] == pytest.approx(t * np.sqrt(2 / 10) * (1 - 3 / 71), abs=1e-5, rel=1e-6)
    table = faces(seconds=len(FRAMES) / 25, aus={"AU12": np.array(FRAMES)})
    value = summarize(table.assign(person="a", clip="a"), by=["person"]).set_index(["signal", "measure"])[
        "value"
    ]
    for measure, expected in OF_FRAMES.items():
        assert value["AU12_i", measure] == pytest.approx(expected, abs=1e-6)


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
