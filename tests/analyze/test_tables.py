"""The table in four layouts and five formats: exact names, scales that agree, streamed and all-or-nothing writing."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.analyze.analyzer import Analyzer
from mien.analyze.stored import frame_row, frames_of, rounded
from mien.analyze.tables.columns import Contents, label_orders
from mien.analyze.tables.peer_columns import layout_of
from mien.analyze.tables.schema import describe
from mien.analyze.tables.writing import FORMATS, Style, write_table
from mien.core.emotions import EMOTIONS, canonical
from mien.core.errors import BadConfig, OutputFailed
from mien.core.nouns import FrameResult, Pose
from mien.work.journal import Entry, Journal

OPENFACE_R = "01 02 04 05 06 07 09 10 12 14 15 17 20 23 25 26 45".split()


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer(threads=1)


@pytest.fixture(scope="module")
def contents(analyzer: Analyzer) -> Contents:
    return Contents(tuple(analyzer.reader.aus), analyzer.reader.name)


@pytest.fixture(scope="module")
def frames(analyzer: Analyzer, photos: list[Path], clip: Path) -> list[FrameResult]:
    """Two photos, a few video frames, a frame without a face, and an item that failed."""
    results = list(analyzer.analyze([*photos, clip], every=30))
    assert all(result.faces for result in results)
    empty = FrameResult("plain.png", 0, 0.0, (), 64, 48)
    failed = FrameResult('odd, "name".jpg', 0, 0.0, (), error='Got "this". Expected that. Do so.')
    return [*map(rounded, results), empty, failed]


def read_text(path: Path, separator: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=separator, skipinitialspace=True))


def read_back(path: Path) -> list[dict[str, Any]]:
    """Rows as numbers, texts and None, whatever the format."""
    if path.suffix == ".json":
        return list(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    rows = []
    for row in read_text(path, "\t" if path.suffix == ".tsv" else ","):
        rows.append({key: None if value in ("", "NaN") else number(value) for key, value in row.items()})
    return rows


def number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


@pytest.mark.parametrize("layout", ["mien", "openface", "openface-spaced", "pyfeat"])
def test_all_formats_hold_the_same(
    layout: str, frames: list[FrameResult], contents: Contents, tmp_path: Path
) -> None:
    columns = layout_of(layout, replace(contents, landmarks=True))
    tables = []
    for format in FORMATS:
        path = tmp_path / f"faces.{format}"
        assert write_table(path, format, columns, frames) == sum(max(len(f.faces), 1) for f in frames)
        tables.append(read_back(path))
    assert len(tables) == 5
    for table in tables[1:]:
        assert table == tables[0]
    assert list(tables[-1][0]) == [column.name for column in columns.columns]


def test_frames_without_a_face_and_errors_stay_as_rows(
    frames: list[FrameResult], contents: Contents, tmp_path: Path
) -> None:
    write_table(tmp_path / "faces.csv", "csv", layout_of("mien", contents), frames)
    rows = read_text(tmp_path / "faces.csv")
    assert {row["success"] for row in rows[:-2]} == {"1"} and [row["success"] for row in rows[-2:]] == [
        "0",
        "0",
    ]
    empty, failed = rows[-2:]
    assert (empty["input"], empty["width"], empty["height"], empty["error"]) == ("plain.png", "64", "48", "")
    assert failed["input"] == 'odd, "name".jpg' and failed["error"] == 'Got "this". Expected that. Do so.'
    assert {empty[name] for name in ("face", "AU12_i", "AU12_l", "happiness", "pitch", "score")} == {"NaN"}
    assert empty["emotion"] == ""


def test_mien_columns_agree_with_each_other(
    frames: list[FrameResult], contents: Contents, tmp_path: Path
) -> None:
    write_table(tmp_path / "faces.json", "json", layout_of("mien", contents), frames)
    rows = [row for row in read_back(tmp_path / "faces.json") if row["success"]]
    measured = 0
    for row in rows:
        assert sum(row[name] for name in EMOTIONS) == pytest.approx(1.0, abs=1e-5)
        assert row["emotion"] == max(EMOTIONS, key=lambda name: row[name])
        assert row["box_left"] < row["box_right"] <= row["width"]
        for key in contents.aus:
            intensity = row[f"{key}_i"]
            if intensity is None:
                continue
            measured += 1
            assert row[f"{key}_l"] == math.floor(5 * intensity + 0.5)
            assert row[f"{key}_c"] == (row[f"{key}_l"] >= 1) == (row[f"{key}_p"] > 0.5)
    assert measured > 20


def test_openface_scales(frames: list[FrameResult], contents: Contents, tmp_path: Path) -> None:
    write_table(tmp_path / "faces.csv", "csv", layout_of("openface", contents), frames)
    rows = read_text(tmp_path / "faces.csv")
    live = [(frame, face) for frame in frames for face in frame.faces]
    for row, (frame, face) in zip(rows[: len(live)], live, strict=True):
        assert row["frame"] == str(frame.frame + 1) and row["success"] == "1"
        assert face.landmarks is not None
        assert float(row["x_8"]) == pytest.approx(face.landmarks[152, 0], abs=0.051)  # the chin
        assert float(row["y_30"]) == pytest.approx(face.landmarks[4, 1], abs=0.051)  # the tip of the nose
        for unit in OPENFACE_R:
            reading = face.aus.get(f"AU{unit}") or (face.aus.get("AU43") if unit == "45" else None)
            if reading is None or not reading.measured:
                assert row[f"AU{unit}_r"] == "" == row[f"AU{unit}_c"]
                continue
            assert float(row[f"AU{unit}_r"]) == pytest.approx(5 * reading.intensity, abs=0.0101)
            assert row[f"AU{unit}_c"] == ("1.00" if reading.presence else "0.00")
            assert (float(row[f"AU{unit}_r"]) >= 0.5) == reading.presence
    assert [row["success"] for row in rows[-2:]] == ["0", "0"]
    assert rows[-1]["pose_Rx"] == ""


def test_pyfeat_scales(frames: list[FrameResult], contents: Contents, tmp_path: Path) -> None:
    write_table(tmp_path / "faces.csv", "csv", layout_of("pyfeat", contents), frames)
    rows = read_text(tmp_path / "faces.csv")
    face, row = frames[0].faces[0], rows[0]
    assert float(row["FaceRectX"]) + float(row["FaceRectWidth"]) == pytest.approx(face.box[2], abs=0.02)
    assert float(row["AU12"]) == pytest.approx(face.aus["AU12"].probability, abs=1e-6)
    assert row["AU11"] == ""
    assert sum(
        float(row[name]) for name in "anger disgust fear happiness sadness surprise neutral".split()
    ) == (pytest.approx(1.0, abs=1e-5))
    assert row["approx_time"] == "00:00"


def test_pose_signs_of_each_tool(frames: list[FrameResult], contents: Contents) -> None:
    face = frames[0].faces[0]
    # Chin up 10 degrees, turned 20 to the subject's left, tilted 30 to the subject's left.
    turned = replace(face, face=replace(face.face, pose=Pose(10.0, 20.0, 30.0)))
    frame = replace(frames[0], faces=(turned,))

    def angles(layout: str, *names: str) -> list[float]:
        columns = layout_of(layout, contents)
        (row,) = columns.rows(frame)
        cells = dict(zip([column.name for column in columns.columns], row, strict=True))
        return [float(str(cells[name])) for name in names]

    up, turn, tilt = np.radians([10.0, 20.0, 30.0])
    assert angles("mien", "pitch", "yaw", "roll") == [10.0, 20.0, 30.0]
    assert angles("openface", "pose_Rx", "pose_Ry", "pose_Rz") == pytest.approx([-up, -turn, tilt], abs=1e-3)
    assert angles("pyfeat", "Pitch", "Yaw", "Roll") == pytest.approx([up, -turn, -tilt], abs=1e-5)


@pytest.mark.parametrize("labels", label_orders())
def test_labels_are_spelled_and_ordered_as_the_tool_does(
    labels: str, frames: list[FrameResult], contents: Contents
) -> None:
    columns = layout_of("mien", replace(contents, labels=labels))
    names = [column.name for column in columns.columns]
    words = names[names.index("emotion") + 1 : names.index(f"{contents.aus[0]}_p")]
    assert len(words) in (6, 7, 8)
    for frame in frames[:2]:
        (row,) = columns.rows(frame)
        cells = dict(zip(names, row, strict=True))
        values = [float(str(cells[word])) for word in words]
        assert sum(values) == pytest.approx(1.0, abs=1e-5)
        own = [frame.faces[0].emotions[str(canonical(word))] for word in words]
        assert np.allclose(values, np.array(own) / sum(own), atol=2e-6)
        assert cells["emotion"] == words[int(np.argmax(values))]


def test_unknown_names_are_refused(contents: Contents, tmp_path: Path) -> None:
    for change in ({"labels": "mafw"}, {"labels": "none such"}):
        with pytest.raises(BadConfig, match="one of"):
            layout_of("mien", replace(contents, **change))
    with pytest.raises(BadConfig, match="mien, openface, openface-spaced, pyfeat"):
        layout_of("excel", contents)
    with pytest.raises(BadConfig, match="one of empty, nan, 0"):
        layout_of("openface", contents, "zero")
    with pytest.raises(BadConfig, match="in which 0 is a measurement"):
        layout_of("mien", contents, "0")
    layout = layout_of("mien", contents)
    for format, decimal in (("xlsx", "point"), ("json", "comma"), ("csv", "dot")):
        with pytest.raises(BadConfig):
            write_table(tmp_path / "faces.x", format, layout, [], Style(decimal))
    assert list(tmp_path.iterdir()) == []


def test_decimal_commas_for_excel(frames: list[FrameResult], contents: Contents, tmp_path: Path) -> None:
    write_table(tmp_path / "faces.csv", "csv", layout_of("mien", contents), frames, Style("comma"))
    rows = read_text(tmp_path / "faces.csv", ";")
    points = next(layout_of("mien", contents).rows(frames[0]))
    assert list(rows[0])[:3] == ["input", "frame", "time"]
    assert rows[0]["box_left"].replace(",", ".") == f"{points[9]:.2f}"
    assert rows[-1]["error"] == 'Got "this". Expected that. Do so.'


@pytest.mark.parametrize("layout", ["mien", "openface", "pyfeat"])
def test_the_schema_describes_every_column(layout: str, contents: Contents) -> None:
    full = replace(contents, explain=True, landmarks=True)
    columns = layout_of(layout, full)
    schema = json.loads(json.dumps(describe("faces.csv", "csv", columns, full)))
    assert [column["name"] for column in schema["columns"]] == [column.name for column in columns.columns]
    assert len({column["name"] for column in schema["columns"]}) == len(schema["columns"])
    for column in schema["columns"]:
        assert column["meaning"] and column["type"] in ("text", "integer", "number")
        if column["type"] == "number":
            assert column["unit"] or column["scale"], column["name"]
            assert column["decimals"] >= 1
    assert layout == "mien" or schema["omitted"]
    assert "apparent expression" in schema["notes"][0]


def test_the_journal_gives_back_what_it_was_given(
    analyzer: Analyzer, photos: list[Path], contents: Contents, tmp_path: Path
) -> None:
    live = list(analyzer.analyze(photos, explain=True))
    names = [frame.source for frame in live]
    with Journal(tmp_path / "journal.sqlite") as journal:
        rows = [frame_row(rounded(frame), "all") for frame in live]
        journal.add(rows, [Entry(name, "1:1") for name in names])
        stored = list(frames_of(journal, names))
    full = replace(contents, explain=True, landmarks=True)
    for layout in ("mien", "openface", "pyfeat"):
        columns = layout_of(layout, full)
        for one, other, third in zip(live, stored, map(rounded, live), strict=True):
            assert list(columns.rows(other)) == list(columns.rows(third))
            for a, b in zip(columns.rows(one), columns.rows(other), strict=True):
                for cell, kept in zip(a, b, strict=True):
                    same = (
                        cell == kept if not isinstance(cell, float) else abs(cell - float(str(kept))) < 0.011
                    )
                    assert same, (cell, kept)


def test_a_failing_write_leaves_the_old_table(
    frames: list[FrameResult], contents: Contents, tmp_path: Path
) -> None:
    layout = layout_of("mien", contents)
    path = tmp_path / "faces.csv"
    write_table(path, "csv", layout, frames)
    before = path.read_bytes()

    def breaking() -> Iterator[FrameResult]:
        yield frames[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputFailed, match="No space left on device while writing"):
        write_table(path, "csv", layout, breaking())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["faces.csv"]
    with pytest.raises(OutputFailed, match="writable folder"):
        write_table(tmp_path / "absent" / "faces.csv", "csv", layout, frames)
