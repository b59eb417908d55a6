"""The nouns: an AU reading never contradicts itself, and shapes are checked where they enter."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mien.core.aus import au_level, level_edge, level_intensity, rounded_intensity
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadInput
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


@given(
    intensity=intensities, sharpness=st.floats(0.1, 200.0), first=st.integers(1, 5), then=st.integers(1, 5)
)
def test_another_cut_off_is_as_if_it_had_been_the_first(
    intensity: float, sharpness: float, first: int, then: int
) -> None:
    moved = AuReading.of(intensity, sharpness, first, left=0.25).at(then)
    assert moved == AuReading.of(intensity, sharpness, then, left=0.25)
    assert moved.presence == (moved.level >= then) == (moved.probability >= 0.5)
    assert moved.presence == (round(moved.probability, 6) > 0.5)


def test_a_steep_unit_seen_from_the_highest_cut_off() -> None:
    """AU27's slope in the embedded model: the probability once fell from 0.95 to 0.66 as the mouth opened wider."""
    seen = [AuReading.of(i / 1000, 43.2725).at(5).probability for i in range(900, 1001)]
    assert seen == sorted(seen)
    assert AuReading.of(0.966, 43.2725).at(5).probability == pytest.approx(0.946, abs=5e-4)


@pytest.mark.parametrize("cut_off", [0, 6, 2.5, "2", None, True])
def test_no_cut_off_but_a_level(cut_off: object) -> None:
    with pytest.raises(BadConfig, match="Expected a whole number, 1 to 5. Use 1"):
        AuReading.of(0.5).at(cut_off)  # type: ignore[arg-type]


@given(intensity=st.floats(0.0, 1.0), scale=st.sampled_from([1.0, 5.0]), decimals=st.integers(2, 6))
@example(intensity=0.2999999999, scale=1.0, decimals=6)
def test_a_written_intensity_keeps_its_level(intensity: float, scale: float, decimals: int) -> None:
    written = rounded_intensity(intensity, scale, decimals)
    assert au_level(written / scale) == au_level(intensity)
    assert abs(written - scale * intensity) <= 10.0**-decimals


def test_levels_and_their_edges() -> None:
    assert [au_level(level_edge(level)) for level in range(1, 6)] == [1, 2, 3, 4, 5]
    assert [au_level(level_intensity(level)) for level in range(6)] == [0, 1, 2, 3, 4, 5]
    assert [au_level(level_edge(level) - 1e-9) for level in range(1, 6)] == [0, 1, 2, 3, 4]


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
