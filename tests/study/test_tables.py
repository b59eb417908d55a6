"""Tables of runs and of OpenFace become one, and everyone in them has a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.errors import BadConfig, BadData, BadInput
from mien.study import read_faces, signals_of

Made = Callable[..., pd.DataFrame]

OPENFACE = """frame, face_id, timestamp, confidence, success, gaze_0_x, pose_Rx, pose_Ry, pose_Rz, x_0, AU12_r, AU12_c
1, 0, 0.000, 0.98, 1, 0.1, 0.1, -0.2, 0.3, 100.5, 2.50, 1
2, 0, 0.040, 0.97, 1, 0.1, 0.1, -0.2, 0.3, 100.5, 5.00, 1
3, 0, 0.080, 0.02, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00, 0
"""
"""As OpenFace 2.2's recorder writes it: comma and space, frames from 1, radians, zeros where the face was lost."""


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet", "comma"])
def test_every_format_gives_the_same_table(suffix: str, clip: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / f"faces.{suffix if suffix != 'comma' else 'csv'}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        clip.to_parquet(path)
    elif suffix.startswith("json"):
        clip.to_json(path, orient="records", lines=suffix == "jsonl")
    else:
        separator = {"csv": ",", "tsv": "\t", "comma": ";"}[suffix]
        clip.to_csv(path, sep=separator, index=False, decimal="," if suffix == "comma" else ".")
    read, empty = read_faces(path), ["error", "quality"]
    expected = read_faces(clip).drop(columns=empty)
    pd.testing.assert_frame_equal(read.drop(columns=empty), expected, check_dtype=False, rtol=1e-9)
    assert list(read.columns[:5]) == ["clip", "person", "session", "condition", "input"]
    assert set(read["person"]) == {"anna_baseline"}


def test_openface_reads_in_miens_units(tmp_path: Path) -> None:
    (tmp_path / "ben_talk.csv").write_text(OPENFACE)
    read = read_faces(tmp_path, pattern="{person}_{condition}")
    assert read["AU12_i"].tolist()[:2] == pytest.approx([0.5, 1.0]) and np.isnan(read["AU12_i"][2])
    assert read[["frame", "time"]].to_numpy().tolist() == [[0, 0], [1, 0.04], [2, 0.08]]
    assert read.loc[0, ["pitch", "yaw", "roll"]].tolist() == pytest.approx(
        np.degrees([-0.1, 0.2, 0.3]).tolist()
    )
    assert read.loc[0, ["person", "condition"]].tolist() == ["ben", "talk"] and "x_0" not in read
    assert {"AU12_i", "gaze_0_x", "pitch"} <= set(signals_of(read))


def test_the_main_face_comes_back_under_a_new_number(faces: Made) -> None:
    clip = faces(seconds=4)
    clip.loc[clip["time"] >= 2, "track"] = 2
    clip.loc[clip["time"].between(1.9, 2.1), "success"] = 0
    passer = faces(seconds=1, track=1).assign(frame=lambda t: t["frame"] + 10, face=1)
    both = pd.concat([clip, passer]).sort_values(["frame", "face"])
    read = read_faces(both)
    assert read["frame"].tolist() == list(range(100)) and set(read["track"].dropna()) == {0, 2}
    lost = read["success"] != 1
    assert lost.sum() == 5 and read.loc[lost, "AU12_i"].isna().all()
    everyone = read_faces(both, faces="all")
    assert everyone.groupby("person")["success"].sum().to_dict() == {
        "anna_baseline/0": 48, "anna_baseline/1": 25, "anna_baseline/2": 47,
    }  # fmt: skip
    assert (everyone.groupby("person").size() == 100).all()


def test_a_table_tells_who_is_who(faces: Made) -> None:
    both = pd.concat([faces("d1.mp4"), faces("d1.mp4", track=1).assign(face=1), faces("d2.mp4")])
    people = pd.DataFrame({
        "clip": ["d1.mp4", "d1.mp4", "clips/d2"], "track": [0, 1, np.nan], "person": ["Ann", "Ben", "Cem"],
        "dyad": ["A", "A", "B"], "age": [30, 40, 50],
    })  # fmt: skip
    read = read_faces(both, people=people)
    assert read.groupby("person", sort=False)["dyad"].first().to_dict() == {
        "Ann": "A",
        "Ben": "A",
        "Cem": "B",
    }
    assert read.groupby("person")["age"].first().to_dict() == {"Ann": 30, "Ben": 40, "Cem": 50}
    only = read_faces(both, people=people[people["track"] != 1])
    assert list(dict.fromkeys(only["person"])) == ["Ann", "Cem"]


NAMES = st.text("abcxyz019-", min_size=1, max_size=6)


@settings(max_examples=10)
@given(NAMES, NAMES, NAMES)
def test_fields_come_back(faces: Made, person: str, session: str, condition: str) -> None:
    clip = faces(seconds=0.2).assign(input=f"study/{person}/{session}_{condition}.mp4")
    row = read_faces(clip, pattern="{person}/{session}_{condition}.mp4").iloc[0]
    assert (row.person, row.session, row.condition) == (person, session, condition)


def test_what_cannot_be_told_is_said(clip: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not fit the pattern"):
        read_faces(clip, pattern="{person}/{condition}/{session}/x")
    with pytest.raises(BadConfig, match="with fields"):
        read_faces(clip, pattern="person")
    with pytest.raises(BadConfig, match="each field once"):
        read_faces(clip, pattern="{person}_{person}")
    with pytest.raises(BadInput, match="no line for anna_baseline"):
        read_faces(clip, people=pd.DataFrame({"clip": ["other"]}))
    with pytest.raises(BadData, match="a column clip"):
        read_faces(clip, people=pd.DataFrame({"name": ["other"]}))
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadData, match="odd.csv with the columns a, b"):
        read_faces(tmp_path / "odd.csv")
    with pytest.raises(BadData, match="gone.csv"):
        read_faces(tmp_path / "gone.csv")
    with pytest.raises(BadData, match="numbers"):
        read_faces(clip.assign(AU12_i="high"))
    with pytest.raises(BadInput, match="without a table"):
        (tmp_path / "empty").mkdir()
        read_faces(tmp_path / "empty")


def test_equal_names_in_two_folders_stay_apart(faces: Made) -> None:
    two = [faces("a.mp4", 0.2).assign(input=f"{day}/a.mp4") for day in ("mon", "tue")]
    assert list(dict.fromkeys(read_faces(two)["clip"])) == ["mon/a", "tue/a"]
