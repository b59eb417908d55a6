"""A coder's file beside the measurement; kappa as scikit-learn counts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mien.app.summarize_command import agreement
from mien.core.errors import BadData
from mien.metrics.classification import kappa
from mien.study import pair_with_codes, read_faces

Made = Callable[..., pd.DataFrame]

TIMES = np.arange(100) / 25


@pytest.fixture
def smile(bump: Made) -> np.ndarray:
    return bump(TIMES, 1, 1.4, 2.4, 0.8)


@pytest.fixture
def table(faces: Made, smile: np.ndarray) -> pd.DataFrame:
    return read_faces(faces(aus={"AU12": smile}, happiness=smile))


def test_events_of_a_coder(table: pd.DataFrame, tmp_path: Path) -> None:
    codes = tmp_path / "codes.tsv"
    codes.write_text(
        "clip\tonset\tduration\ttrial_type\nanna_baseline.mp4\t1.1\t1.1\tAU12\nanna_baseline.mp4\t0\t4\tneutral\n"
    )
    pairs = pair_with_codes(table, codes)
    figures = agreement(pairs, 1).set_index("signal")
    assert figures.loc["AU12", "n"] == 100 and figures.loc["AU12", "kappa"] > 0.85
    assert figures.loc["AU12", "f1"] > 0.9 and np.isnan(figures.loc["AU12", "icc"])
    assert figures.loc["emotion", "agree"] == (table["emotion"] == "neutral").mean()


@pytest.mark.parametrize("by", ["frame", "time"])
def test_levels_frame_by_frame(by: str, table: pd.DataFrame, smile: np.ndarray) -> None:
    levels = np.floor(5 * smile[::5] + 0.5).astype(int)
    letters = [" ABCDE"[one] if one else "0" for one in levels]
    codes = pd.DataFrame(
        {"clip": "anna_baseline", by: table[by][::5] + (0.004 if by == "time" else 0), "AU12": letters}
    )
    pairs = pair_with_codes(table, codes)
    assert len(pairs) == 20 and (pairs["coded"] == pairs["measured"]).all()
    row = agreement(pairs, 2).iloc[0]
    assert row["kappa"] == row["icc"] == row["f1"] == 1 and row["coded"] == (levels >= 2).mean()


def test_kappa_is_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(7)
    for count in (2, 3, 5):
        first, second = rng.integers(count, size=(2, 200))
        second = np.where(rng.random(200) < 0.5, first, second)
        assert kappa(list(first), list(second)).value == pytest.approx(
            sklearn.cohen_kappa_score(first, second)
        )
    assert np.isnan(kappa([1, 1], [1, 1]).value) and np.isnan(kappa([], []).value)


def test_files_of_neither_form_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(BadData, match="frame or time with a column per AU"):
        pair_with_codes(table, pd.DataFrame({"clip": ["a"], "AU12": [1]}))
    with pytest.raises(BadData, match="codes of other"):
        pair_with_codes(table, pd.DataFrame({"clip": ["other"], "frame": [1], "AU12": [1]}))
