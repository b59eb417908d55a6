"""The One Euro filter: steady in, steady out; steps arrive; jitter shrinks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.errors import BadConfig
from mien.core.nouns import Face
from mien.face.pose import mean_face
from mien.face.smooth import LandmarkSmoother, OneEuro


@given(value=st.floats(-1e6, 1e6), cutoff=st.floats(0.01, 20), beta=st.floats(0, 5))
def test_constant_in_constant_out(value: float, cutoff: float, beta: float) -> None:
    one_euro = OneEuro(cutoff, beta)
    assert all(one_euro([value, -value], 0.04 * i).tolist() == [value, -value] for i in range(10))


@given(step=st.floats(-1000, 1000).filter(lambda value: abs(value) > 1e-3), beta=st.floats(0, 2))
def test_a_step_arrives_without_overshoot(step: float, beta: float) -> None:
    one_euro = OneEuro(1.0, beta)
    one_euro(0.0, 0.0)
    path = np.array([float(one_euro(step, 0.04 * i)) for i in range(1, 120)]) / step
    assert (np.diff(path) >= -1e-9).all() and path.max() <= 1 + 1e-9
    assert path[-1] == pytest.approx(1.0, abs=1e-3)


def test_jitter_shrinks_and_speed_cuts_the_lag() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 300)
    slow = OneEuro(1.0, 0.0)
    smooth = np.array([float(slow(value, 0.04 * i)) for i, value in enumerate(noise)])
    assert smooth[50:].std() < 0.5 * noise.std()
    lags = []
    for beta in (0.0, 1.0):
        one_euro = OneEuro(1.0, beta)
        lags.append(100 * 0.04 * 50 - [float(one_euro(100 * 0.04 * i, 0.04 * i)) for i in range(51)][-1])
    assert 0 <= lags[1] < 0.2 * lags[0]


def test_time_that_runs_back_starts_anew() -> None:
    one_euro = OneEuro()
    one_euro(0.0, 5.0)
    assert float(one_euro(10.0, 1.0)) == 10.0


def test_tracks_are_smoothed_by_themselves() -> None:
    rest = (100 * mean_face().points + 200).astype(np.float32)
    rng, smoother = np.random.default_rng(0), LandmarkSmoother()
    box = np.array([100, 100, 300, 300], dtype=np.float32)
    raw, smooth = [], []
    for index in range(60):
        faces = [
            Face(
                box,
                1.0,
                (rest + shift + rng.normal(0, 0.5, (478, 3))).astype(np.float32),
                time=index / 25,
                track=t,
            )
            for t, shift in ((0, 0.0), (1, 1000.0))
        ]
        filtered = smoother.smooth([*faces, Face(box, 1.0)])
        assert filtered[2].landmarks is None and [face.track for face in filtered[:2]] == [0, 1]
        raw.append(faces[1].landmarks)
        smooth.append(filtered[1].landmarks)
        assert filtered[0].pose is not None
    assert np.std(smooth[20:], axis=0).mean() < 0.7 * np.std(raw[20:], axis=0).mean()
    assert np.abs(np.mean(smooth[20:], axis=0) - (rest + 1000)).max() < 1.0


@pytest.mark.parametrize("options", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, 0.0)])
def test_options_are_checked(options: tuple[float, float, float]) -> None:
    with pytest.raises(BadConfig):
        OneEuro(*options)
