"""How other people's scripts read the tables: names held against published headers, cells read back by pandas.

OpenFace: the header of a real 2.2 run and its first row, as public projects quote them (714 names; RecorderCSV.cpp
writes them in this order). py-feat: the headers of ``docs/data/news_sample/002.csv`` (its first detector) and
``001.csv`` (its second, with the mesh) in the repository cosanlab/py-feat, less the vectors of identity and the
blendshapes.
"""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mien
from mien.analyze.file_names import file_stems, part_stem
from mien.analyze.tables.columns import Contents
from mien.analyze.tables.own_table import _read
from mien.analyze.tables.peer_columns import layout_of
from mien.analyze.tables.writing import FORMATS, Style, stream_table, write_table
from mien.core.nouns import AuReading, Face, FaceResult, FrameResult, Pose
from mien.data.manifest import DATASET as MANIFEST

pandas = pytest.importorskip("pandas")

EMOTIONS = {"neutral": 0.05, "happiness": 0.65} | dict.fromkeys(
    ("sadness", "surprise", "fear", "disgust", "anger", "contempt"), 0.05
)
MEASURED = ("AU01", "AU12", "AU43")
CONTENTS = Contents(MEASURED, "a model", landmarks=True)


def series(names: str, count: int) -> list[str]:
    return [f"{name}_{number}" for name in names.split() for number in range(count)]


R = [f"AU{n}_r" for n in "01 02 04 05 06 07 09 10 12 14 15 17 20 23 25 26 45".split()]
C = [f"AU{n}_c" for n in "01 02 04 05 06 07 09 10 12 14 15 17 20 23 25 26 28 45".split()]
OPENFACE = [
    *"frame face_id timestamp confidence success".split(),
    *"gaze_0_x gaze_0_y gaze_0_z gaze_1_x gaze_1_y gaze_1_z gaze_angle_x gaze_angle_y".split(),
    *series("eye_lmk_x eye_lmk_y eye_lmk_X eye_lmk_Y eye_lmk_Z", 56),
    *"pose_Tx pose_Ty pose_Tz pose_Rx pose_Ry pose_Rz".split(),
    *series("x y X Y Z", 68),
    *"p_scale p_rx p_ry p_rz p_tx p_ty".split(),
    *series("p", 34),
    *R,
    *C,
]
PYFEAT_AUS = [f"AU{n}" for n in "01 02 04 05 06 07 09 10 11 12 14 15 17 20 23 24 25 26 28 43".split()]
PYFEAT_HEAD = [
    *"FaceRectX FaceRectY FaceRectWidth FaceRectHeight FaceScore".split(),
    *series("x y", 68),
    *"Pitch Roll Yaw X Y Z".split(),
    *PYFEAT_AUS,
]
PYFEAT_TAIL = "FrameHeight FrameWidth input frame approx_time Identity".split()
PYFEAT_1 = [
    *PYFEAT_HEAD,
    *"anger disgust fear happiness sadness surprise neutral gaze_pitch gaze_yaw gaze_angle".split(),
    *PYFEAT_TAIL,
]
PYFEAT_2 = [
    *PYFEAT_HEAD,
    *"Neutral Happy Sad Surprise Fear Disgust Anger valence arousal gaze_pitch gaze_yaw gaze_angle".split(),
    *series("mesh_x mesh_y mesh_z", 478),
    *PYFEAT_TAIL,
]


def a_face(track: int | None) -> FaceResult:
    points = np.arange(478 * 3, dtype=np.float32).reshape(478, 3) / 7
    face = Face(np.array([1, 2, 30, 40], np.float32), 0.75, points, 0.9, Pose(5.0, -4.0, 3.0), track=track)
    aus = {"AU01": AuReading.of(0.1), "AU12": AuReading.of(0.8), "AU43": AuReading.of(0.5)}
    return FaceResult(face, EMOTIONS, aus)


def a_clip() -> list[FrameResult]:
    """A frame with a face, one without, one with two faces, and an end that cannot be read."""
    shape = {"width": 64, "height": 48, "video": True}
    return [
        FrameResult("a.mp4", 0, 0.0, (a_face(0),), **shape),
        FrameResult("a.mp4", 1, 0.04, (), **shape),
        FrameResult("a.mp4", 2, 0.08, (a_face(0), a_face(1)), **shape),
        FrameResult("a.mp4", 3, 0.08, (), video=True, error="Got this. Expected that. Do so."),
    ]


def a_photo(name: str = "b.jpg") -> FrameResult:
    return FrameResult(name, 0, 0.0, (a_face(None),), 64, 48)


def load(path: Path) -> Any:
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        return pandas.read_parquet(path)
    if path.suffix in (".json", ".jsonl"):
        return pandas.read_json(path, lines=path.suffix == ".jsonl")
    return pandas.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("columns", ["mien", "openface", "openface-spaced", "pyfeat"])
def test_pandas_reads_every_table_with_a_hole_and_a_never_measured_unit(
    columns: str, format: str, tmp_path: Path
) -> None:
    layout = layout_of(columns, CONTENTS)
    write_table(tmp_path / f"faces.{format}", format, layout, a_clip())
    table = load(tmp_path / f"faces.{format}")
    table.columns = [name.strip() for name in table.columns]
    assert len(table) == 5
    numbers = [column.name for column in layout.columns if column.kind != "text"]
    wrong = [
        name
        for name in numbers
        if not pandas.api.types.is_numeric_dtype(table[name]) and not table[name].isna().all()
    ]
    assert wrong == []
    smile = {"mien": "AU12_i", "pyfeat": "AU12"}.get(columns, "AU12_r")
    assert table[smile].isna().tolist() == [False, True, False, False, True]
    if columns != "mien":
        assert table[{"pyfeat": "AU28"}.get(columns, "AU28_c")].isna().all()


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def test_openface_names_are_those_of_a_real_run(tmp_path: Path) -> None:
    assert len(OPENFACE) == 714
    write_table(tmp_path / "a.csv", "csv", layout_of("openface", CONTENTS), a_clip())
    assert header(tmp_path / "a.csv") == OPENFACE
    line = (tmp_path / "a.csv").read_text().splitlines()[1].split(",")
    cells = dict(zip(OPENFACE, line, strict=True))
    # Digits as in that run: 1,0,0.000,0.98,1 … 577.7 … 0.335 … 0.53 … 1.00
    assert line[:5] == ["1", "0", "0.000", "0.90", "1"]
    assert (cells["pose_Rx"], cells["x_0"][-2], cells["AU12_r"], cells["AU12_c"]) == (
        "-0.087",
        ".",
        "4.00",
        "1.00",
    )
    assert {cells[name] for name in ("gaze_angle_x", "pose_Tx", "X_0", "p_33", "AU28_c")} == {""}
    photo = layout_of("openface", replace(CONTENTS, photos_only=True))
    write_table(tmp_path / "b.csv", "csv", photo, [a_photo()])
    assert header(tmp_path / "b.csv") == ["face", "confidence", *OPENFACE[5:]]


def test_habits_of_openface_scripts(tmp_path: Path) -> None:
    for columns, blank in (("openface", ""), ("openface-spaced", " ")):
        write_table(tmp_path / "a.csv", "csv", layout_of(columns, CONTENTS), a_clip())
        table = pandas.read_csv(tmp_path / "a.csv")
        assert list(table.columns) == [OPENFACE[0], *(blank + name for name in OPENFACE[1:])]
        assert table[table[blank + "success"] == 1][blank + "AU12_r"].mean() == pytest.approx(4.0)
        assert table.iloc[:, 5:].to_numpy().dtype.kind == "f"
        assert table.loc[:, blank + "AU01_r" :].shape[1] == 35
        assert table[blank + "AU45_r"].dropna().unique().tolist() == [2.5]
        assert not any(line.startswith((",", " ")) for line in (tmp_path / "a.csv").read_text().splitlines())


def test_what_stands_for_missing_numbers_can_be_chosen(tmp_path: Path) -> None:
    texts = {}
    for fill in ("nan", "empty", "0"):
        write_table(tmp_path / "a.csv", "csv", layout_of("openface", CONTENTS, fill), a_clip())
        whole = np.genfromtxt(
            tmp_path / "a.csv", delimiter=",", skip_header=1
        )  # as scripts without pandas do
        assert whole.shape == (5, 714) and whole[0, OPENFACE.index("AU12_r")] == 4.0
        assert np.isnan(whole[1, 5:]).all() == (fill != "0")
        row = (tmp_path / "a.csv").read_text().splitlines()[2].split(",")
        texts[fill] = dict(zip(OPENFACE, row, strict=True))["AU12_r"]
    assert texts == {"nan": "NaN", "empty": "", "0": "0"}


def test_pyfeat_names_are_those_of_its_published_tables(tmp_path: Path) -> None:
    for mesh, names in ((False, PYFEAT_1), (True, PYFEAT_2)):
        layout = layout_of("pyfeat", replace(CONTENTS, landmarks=mesh))
        write_table(tmp_path / "a.csv", "csv", layout, [a_photo(), a_photo("c.jpg"), *a_clip()])
        assert header(tmp_path / "a.csv") == [*names, "track"]
        table = pandas.read_csv(tmp_path / "a.csv")
        assert table[["X", "Y", "Z", "Identity"]].isna().all(axis=None)
        # Photos and clips never share a frame; both faces of one frame do.
        assert table["frame"].tolist() == [0, 1, 2, 3, 4, 4, 5]
        words = "Neutral Happy Sad Surprise Fear Disgust Anger" if mesh else "neutral happiness sadness"
        assert set(words.split()) <= set(table.columns)


def test_data_frames_of_other_layouts_tell_the_input() -> None:
    table = mien.to_frame([a_photo(), *a_clip()], "openface")
    assert table.index.tolist() == ["b.jpg", *["a.mp4"] * 5] and "input" not in table
    assert list(table.columns) == OPENFACE
    assert mien.to_frame(a_clip(), "pyfeat")["frame"].tolist() == [0, 1, 2, 2, 3]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_goes_down_a_pipe(format: str, tmp_path: Path) -> None:
    layout = layout_of("mien", replace(CONTENTS, landmarks=False))
    write_table(tmp_path / "a", format, layout, a_clip())
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as far, os.fdopen(writing, "wb") as near:
        assert stream_table(near, format, layout, a_clip()) == 5
        near.close()
        assert far.read() == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("mark", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "＝1"])
def test_no_cell_of_text_is_a_formula(mark: str, tmp_path: Path) -> None:
    layout, frame = layout_of("mien", replace(CONTENTS, landmarks=False)), a_photo(f"{mark}.jpg")
    for format in ("csv", "tsv"):
        write_table(tmp_path / f"a.{format}", format, layout, [frame])
        (name,) = load(tmp_path / f"a.{format}")["input"]
        assert name == f"'{mark}.jpg"
    write_table(tmp_path / "b.csv", "csv", layout, [frame], Style(formulas=True))
    write_table(tmp_path / "a.jsonl", "jsonl", layout, [frame])
    for path in (tmp_path / "b.csv", tmp_path / "a.jsonl"):
        assert load(path)["input"].tolist() == [f"{mark}.jpg"]
    # mien reads its own table with the name as it was; numbers stay numbers.
    (row,) = _read(tmp_path / "a.csv") or ()
    assert row.input == f"{mark}.jpg"
    assert float(load(tmp_path / "a.csv")["yaw"].iloc[0]) == -4.0


def test_no_two_inputs_have_one_file() -> None:
    given = [
        *("x/A.jpg", "x/a.jpg", "y/b.png", "con.jpg", "Nul.tar.jpg", "end..jpg", "a:b?.jpg", "y/ok.mp4"),
        *("\u00e9.jpg", "e\u0301.jpg", "straße.jpg", "STRASSE.jpg", "n" * 251 + ".jpg"),
    ]
    stems = file_stems(given)
    assert stems["y/b.png"] == "b" and stems["y/ok.mp4"] == "ok"
    assert len({stem.casefold() for stem in stems.values()}) == len(given)
    assert all(len(stem.encode()) <= 210 and not stem.endswith((".", " ")) for stem in stems.values())
    assert not any(mark in stem for stem in stems.values() for mark in '<>:"/\\|?*')
    assert {stems[name].split("-")[0] for name in ("con.jpg", "Nul.tar.jpg")} == {"con_", "Nul.tar_"}
    assert part_stem("faces", "faces.csv", "faces.csv") == "faces"
    assert part_stem("faces", "faces.csv", "x/a.jpg") != part_stem("faces", "faces.csv", "y/a.jpg")


def test_a_table_of_miens_is_a_manifest_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "out").mkdir()
    name = "pictures/=1.jpg"
    for path in (name, "=2.jpg"):
        (tmp_path / path).write_bytes(b"\xff\xd8\xff")
    sided = replace(CONTENTS, landmarks=False, explain=True, sides=("AU12",))
    layout = layout_of("mien", sided, overlays={name: "overlay/=1.jpg"})
    frames = [a_photo(name), a_photo("=2.jpg"), FrameResult("c.jpg", 0, 0.0, ())]
    write_table(tmp_path / "out" / "faces.csv", "csv", layout, frames)
    monkeypatch.chdir(tmp_path)  # where mien ran
    found = MANIFEST.audit(Path("out/faces.csv"))
    assert found.problems == [] and not any("is not read" in str(note) for note in found.notes)
    first, second = MANIFEST.read("all", Path("out/faces.csv"))
    assert first.media == name and second.media == "=2.jpg"
    assert first.labels.au_level == {"AU01": 1, "AU12": 4, "AU43": 3}
