"""Landmark files with one fault each: a sentence, and never more memory than the bound."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.core.errors import BadInput
from mien.face import landmark_files
from mien.face.landmark_files import read_landmarks

POINTS = np.random.default_rng(0).uniform(50, 400, (478, 3))


def header(shape: str, kind: str = "<f8") -> bytes:
    """As NumPy's format 1.0 says (NEP 1), written by hand."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", 118) + text.encode()


def sized(size: object) -> str:
    return json.dumps({"landmarks": POINTS.tolist(), "size": size})


TEXTS = {
    "deep.json": "[" * 100_000 + "]" * 100_000,
    "mixed.json": json.dumps([[None, {}, "a"]] * 478),
    "big.json": json.dumps([[10**400] * 3] * 478),
    "ragged.json": json.dumps([[1, 2, 3]] * 477 + [[1, 2]]),
    "object.json": '{"points": []}',
    "cut.json": json.dumps(POINTS.tolist())[:900],
    "nan.json": "[[NaN, NaN, NaN]]",
    "size-null.json": sized([None, 1]),
    "size-none.json": sized([]),
    "size-word.json": sized("1e400"),
    "size-huge.json": sized([10**6, 10**6]),
    "size-infinite.json": sized(0).replace('"size": 0', '"size": [1e400, 1]'),
    "size-zero.json": sized([0, 5]),
    "line.csv": "x" * 300_000 + "\n",
    "words.csv": "a,b,c\n1,2,x\n",
    "short.csv": "1,2,3\n4,5,6\n",
    "nul.csv": "1,2,3\n\0,5,6\n",
    "empty.csv": "",
    "header.csv": ",".join(f"mesh_{axis}_{point}" for point in range(478) for axis in "xyz") + "\n1,2\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_that_is_no_landmarks(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TEXTS[name])
    with pytest.raises(BadInput) as caught:
        read_landmarks(tmp_path / name)
    assert str(caught.value).startswith("Got ") and name in str(caught.value) and len(str(caught.value)) < 700


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_headers_that_promise_too_much(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(header("(100000000, 478, 3)") + bytes(100))
    (tmp_path / "b.npy").write_bytes(header("(478, 3)", "|O") + bytes(100))
    (tmp_path / "c.npy").write_bytes(header("(478, 3)") + bytes(100))
    (tmp_path / "d.npy").write_bytes(header("(-478, -3)") + bytes(100))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("landmarks.npy", "w", force_zip64=True) as file:
            file.write(header("(90000, 478, 3)"))
            for _ in range(30):
                file.write(bytes(478 * 3 * 8 * 1000))
    npz(tmp_path / "size.npz", landmarks=POINTS, size=np.float64(3))
    npz(tmp_path / "many.npz", landmarks=POINTS, size=np.zeros(10_000))
    npz(tmp_path / "names.npz", a=POINTS, b=POINTS)
    (tmp_path / "no.npz").write_bytes(b"PK\3\4 and no more")
    tracemalloc.start()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(BadInput, match=path.name):
            read_landmarks(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_too_many_frames_are_refused_as_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landmark_files, "_MOST_NUMBERS", 3 * 478 * 3)
    rows = "\n".join(",".join(f"{value:.1f}" for value in POINTS.ravel()) for _ in range(4))
    (tmp_path / "a.csv").write_text(rows)
    with pytest.raises(BadInput, match="frames"):
        read_landmarks(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("\n".join(rows.splitlines()[:3]))
    assert read_landmarks(tmp_path / "a.csv").points.shape == (3, 478, 3)


def test_no_regular_file(tmp_path: Path) -> None:
    (tmp_path / "folder.npy").mkdir()
    for name in ("folder.npy", "absent.csv"):
        with pytest.raises(BadInput, match="file"):
            read_landmarks(tmp_path / name)


def test_good_files_of_every_kind(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", POINTS.astype(np.float32))
    npz(tmp_path / "a.npz", landmarks=POINTS, size=np.array([640, 480]))
    (tmp_path / "a.json").write_text(sized([640, 480]))
    np.savetxt(tmp_path / "a.csv", POINTS, delimiter=",")
    for path in tmp_path.iterdir():
        assert np.allclose(read_landmarks(path).points[0], POINTS, atol=1e-3)
    assert read_landmarks(tmp_path / "a.npz").size == read_landmarks(tmp_path / "a.json").size == (640, 480)


def named(points: Any) -> list[dict[str, float]]:
    return [dict(zip("xyz", map(float, point), strict=True)) for point in points]


def text_of(points: Any, mark: str) -> str:
    rows = (mark.join(str(value) for value in row) for row in points.tolist())
    return "\n".join(row.replace(".", ",") if mark == ";" else row for row in rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("semicolons.csv", lambda points: text_of(points, ";")),
        ("tabs.csv", lambda points: text_of(points, "\t")),
        ("blanks.csv", lambda points: text_of(points, "  ")),
        ("header.csv", lambda points: "i, X, Y, Z\n0," + text_of(points, ",").replace("\n", "\n0,")),
        ("pyfeat.csv", lambda points: ",".join(f"{axis}_{i}" for axis in "xyz" for i in range(478))
            + "\n" + ",".join(map(str, points.T.ravel().tolist()))),
        ("bom.json", lambda points: "\ufeff" + json.dumps(points.tolist())),
        ("names.json", lambda points: json.dumps({"landmarks": named(points), "size": [640, 480]})),
        ("mediapipe.json", lambda points: json.dumps(
            {"faceLandmarks": [named(points / [640, 480, 640])], "size": [640, 480]})),
        ("frames.json", lambda points: json.dumps([named(points)] * 2)),
    ],
)  # fmt: skip
def test_points_as_other_programs_write_them(tmp_path: Path, name: str, text: Callable[[Any], str]) -> None:
    points = np.random.default_rng(0).uniform(50, 400, (478, 3)).round(2)
    (tmp_path / name).write_text(text(points), encoding="utf-8")
    found = read_landmarks(tmp_path / name).points
    assert len(found) == (2 if "frames" in name else 1)
    np.testing.assert_allclose(found[0], points, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("openface.csv", "frame, face_id, x_0, x_67\n1,0,5,5\n", "columns frame, face_id"),
        ("two.json", json.dumps({"face_landmarks": [[{"x": 0}]] * 2}), "2 faces"),
        ("units.json", json.dumps({"faceLandmarks": [[{"x": 0.5, "y": 0.5, "z": 0.1}] * 478]}), "Add `size`"),
    ],
)
def test_points_of_others_that_cannot_be_taken(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=said):
        read_landmarks(tmp_path / name)
