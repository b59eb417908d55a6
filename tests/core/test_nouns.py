"""The nouns: an AU reading never contradicts itself, and shapes are checked where they enter."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadInput
from mien.core.nouns import AuReading, Explanation, Face, FaceResult

# Every level's edges and their neighbours, where rounding could split the views.
EDGES = [
    edge + step
    for k in range(6)
    for edge in (k / 5, (k - 0.5) / 5)
    for step in (-1e-9, -1e-17, 0.0, 1e-17, 1e-9)
]
intensities = st.one_of(st.floats(-0.5, 1.5), st.sampled_from(EDGES), st.floats(allow_nan=False))


@given(intensity=intensities, sharpness=st.floats(0.1, 200.0), cut_off=st.integers(1, 5))
@example(intensity=math.inf, sharpness=10.0, cut_off=1)
@example(intensity=-math.inf, sharpness=10.0, cut_off=5)
@example(intensity=0.1, sharpness=10.0, cut_off=1)
def test_the_four_views_agree(intensity: float, sharpness: float, cut_off: int) -> None:
    reading = AuReading.of(intensity, sharpness, cut_off)
    assert 0.0 <= reading.probability <= 1.0
    assert 0.0 <= reading.intensity <= 1.0
    assert abs(reading.level - 5.0 * reading.intensity) <= 0.5 + 1e-12
    assert reading.presence == (reading.level >= cut_off)
    assert reading.presence == (reading.probability > 0.5)
    assert reading.letter == ("" if reading.level == 0 else "ABCDE"[reading.level - 1])
    assert reading.measured


@given(
    low=st.floats(0.0, 1.0),
    high=st.floats(0.0, 1.0),
    sharpness=st.floats(0.1, 200.0),
    cut_off=st.integers(1, 5),
)
def test_all_views_rise_together(low: float, high: float, sharpness: float, cut_off: int) -> None:
    low, high = sorted((low, high))
    weak, strong = AuReading.of(low, sharpness, cut_off), AuReading.of(high, sharpness, cut_off)
    assert weak.level <= strong.level
    assert weak.presence <= strong.presence
    assert weak.probability <= strong.probability


def test_an_unmeasured_unit_claims_nothing() -> None:
    reading = AuReading.of(math.nan)
    assert math.isnan(reading.probability)
    assert math.isnan(reading.intensity)
    assert (reading.level, reading.presence, reading.measured, reading.letter) == (0, False, False, "")


def test_protocols_move_only_the_cut_off() -> None:
    trace, disfa = AuReading.of(0.25), AuReading.of(0.25, cut_off=2)
    assert (trace.level, trace.presence) == (1, True)
    assert (disfa.level, disfa.presence) == (1, False)


def test_landmarks_of_another_mesh_are_refused() -> None:
    with pytest.raises(BadInput, match=r"\(468, 3\).*Expected \(478, 3\).*478 refined landmarks"):
        Face(box=np.zeros(4, np.float32), score=1.0, landmarks=np.zeros((468, 3), np.float32))


def test_nouns_are_frozen() -> None:
    reading = AuReading.of(0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        reading.level = 5  # type: ignore[misc]


def test_a_result_names_its_most_probable_emotion() -> None:
    face = Face(box=np.zeros(4, np.float32), score=0.9)
    emotions = dict.fromkeys(EMOTIONS, 0.05) | {"surprise": 0.65}
    assert FaceResult(face, emotions, {}).emotion == "surprise"
    assert FaceResult(face, emotions, {}).landmarks is None


def test_an_explanation_reads_as_three_parts() -> None:
    text = Explanation("The cheeks are raised.", "This suggests joy.", "happiness").text
    headings = [line.split(":")[0] for line in text.split("\n\n")]
    assert headings == ["Key Observations", "Overall Emotional Interpretation", "Conclusion"]
