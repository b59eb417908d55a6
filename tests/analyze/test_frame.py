"""Results as a data frame hold what the written table holds."""

from __future__ import annotations

import builtins
import math
from dataclasses import replace

import numpy as np
import pytest

import mien
from mien.core.emotions import EMOTIONS
from mien.core.errors import MissingDependency
from mien.core.nouns import AuReading, Face, FaceResult, FrameResult, Quality


def a_frame() -> FrameResult:
    quality = Quality(eyes=31.5, hidden=("mouth",), flags={"hidden_mouth": "a mask covers it"})
    face = Face(np.array([1, 2, 3, 4], np.float32), 0.75, quality=quality)
    aus = {"AU06": AuReading.of(0.6, left=0.7, right=0.5), "AU12": AuReading.of(0.8)}
    emotions = dict.fromkeys(EMOTIONS, 0.05) | {"happiness": 0.65}
    return FrameResult("a.jpg", 0, 0.0, (FaceResult(face, emotions, aus).without_hidden(),), 64, 48)


def test_a_data_frame_of_results() -> None:
    pytest.importorskip("pandas")
    lost = FrameResult("b.jpg", 0, 0.0, (), error="Got this. Expected that. Do so.")
    table = mien.to_frame([a_frame(), lost])
    assert list(table["input"]) == ["a.jpg", "b.jpg"]
    assert list(table["success"]) == [1, 0]
    assert table["AU06_l"][0] == 3 and table["AU06_L"][0] == 0.7 and table["AU06_R"][0] == 0.5
    assert math.isnan(table["AU12_i"][0]) and table["AU12_c"].isna().all()
    assert table["hidden"][0] == "mouth" and table["quality"][0] == "hidden_mouth: a mask covers it"
    assert table["eye_distance"][0] == 31.5 and math.isnan(table["eye_distance"][1])
    assert str(table["face"].dtype) == "Int64" and str(table["AU06_p"].dtype) == "float64"
    assert mien.to_frame(a_frame(), "pyfeat")["AU12"].isna().all()


def test_no_emotion_out_of_nothing() -> None:
    pytest.importorskip("pandas")
    (face,) = a_frame().faces
    blank = replace(face, emotions=dict.fromkeys(EMOTIONS, math.nan))
    assert blank.emotion == "" and blank.to_dict()["emotion"] == ""
    assert mien.to_frame(replace(a_frame(), faces=(blank,)))["emotion"].isna().all()


def test_without_pandas_the_line_to_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: object, **more: object) -> object:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingDependency, match=r"pip install 'mien\[pandas\]'"):
        mien.to_frame([])
