"""Movements begin, peak and end where they were put."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.errors import BadInput
from mien.study import blinks, episodes, read_faces, smiles
from mien.study.events import movements

Made = Callable[..., pd.DataFrame]

TIMES = np.arange(250) / 25


def test_planted_movements_are_found_to_two_frames(bump: Made) -> None:
    """Noise of 0.02 at 25 frames per second, slow and quick rises: the onset is where the truth passes its tenth."""
    rng, close = np.random.default_rng(2), 0
    for number in range(50):
        onset, rise, height = 2 + 0.01 * number, rng.uniform(0.2, 1.2), rng.uniform(0.3, 0.9)
        truth = bump(TIMES, onset, onset + rise, onset + rise + 1.0, height)
        found = movements(TIMES, np.clip(truth + rng.normal(0.05, 0.02, 250), 0, 1))
        assert len(found) == 1
        first = TIMES[np.flatnonzero(truth > 0.1 * truth.max())[0]]
        close += abs(found[0].onset - first) <= 2 / 25 + 1e-9
        assert found[0].amplitude == pytest.approx(height, abs=0.07)
        assert found[0].apex == pytest.approx(onset + rise, abs=0.16)
    assert close >= 45


@settings(max_examples=30)
@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=60))
def test_events_are_in_order_and_apart(values: list[float]) -> None:
    times = [number / 25 for number in range(len(values))]
    found = movements(times, values, 0.2)
    for event in found:
        assert event.onset <= event.apex <= event.offset and event.amplitude >= 0.2 - 1e-12
    assert all(one.offset <= two.onset for one, two in pairwise(found))


def test_two_rises_and_a_blink(faces: Made, bump: Made) -> None:
    smile = bump(TIMES, 1, 1.4, 2.4, 0.8) + bump(TIMES, 5, 5.4, 6.4, 0.6)
    cheeks = bump(TIMES, 5, 5.4, 6.4, 0.5)
    lids = bump(TIMES, 3, 3.1, 3.2, 0.9) + bump(TIMES, 7, 7.2, 8.4, 0.9)
    table = read_faces(faces(seconds=10, aus={"AU12": smile, "AU06": cheeks, "AU43": lids}))
    found = smiles(table)
    assert found["duchenne"].tolist() == [False, True] and found["AU06"].round(1).tolist() == [0.0, 0.5]
    assert found["onset"].tolist() == pytest.approx([1.08, 5.08], abs=0.05)
    assert blinks(table)["kind"].tolist() == ["blink", "closure"]
    everything = episodes(table)
    assert everything.groupby("signal").size().to_dict() == {"AU06_i": 1, "AU12_i": 2, "AU43_i": 2}
    assert len(episodes(table, ["AU12"], shortest=5)) == 0
    with pytest.raises(BadInput, match="AU45_i or AU43_i"):
        blinks(table.drop(columns="AU43_i"))
