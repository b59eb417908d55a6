"""Manifests as people and their programs write them, and 600 damaged ones: named or read, never a traceback."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from mien.core.errors import BadData
from mien.core.nouns import Labels, Sample
from mien.data import open_dataset
from mien.data.problems import Audit

MANIFEST = open_dataset("manifest")


def table(tmp_path: Path, text: str, jpeg: bytes, name: str = "manifest.csv") -> Path:
    for picture in ("a.jpg", "b.jpg"):
        (tmp_path / picture).write_bytes(jpeg)
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def one(tmp_path: Path, text: str, jpeg: bytes, name: str = "manifest.csv") -> Sample:
    (sample,) = MANIFEST.read("all", table(tmp_path, text, jpeg, name))
    return sample


CELLS: list[tuple[str, str, Labels]] = [
    ("AU12", "1.0", Labels(au_presence={"AU12": True})),
    ("AU12", "0.0", Labels(au_presence={"AU12": False})),
    ("AU12", "Yes", Labels(au_presence={"AU12": True})),
    ("AU12", "FALSE", Labels(au_presence={"AU12": False})),
    ("AU12", "NaN", Labels()),
    ("AU6", "1", Labels(au_presence={"AU06": True})),
    ("au6", "1", Labels(au_presence={"AU06": True})),
    ("AU 06", "1", Labels(au_presence={"AU06": True})),
    ("AU06_c", "1.0", Labels(au_presence={"AU06": True})),
    ("AU06_r", "2.5", Labels(au_intensity={"AU06": 0.5})),
    ("AU06_i", "0.5", Labels(au_intensity={"AU06": 0.5})),
    ("AU06_intensity", "0.5", Labels(au_intensity={"AU06": 0.5})),
    ("AU06_l", "3.0", Labels(au_level={"AU06": 3})),
    ("AU06_level", "C", Labels(au_level={"AU06": 3})),
    ("AU06_p", "0.3", Labels()),
    ("Emotion", "Happy", Labels("happiness")),
    ("emotion", "", Labels()),
    ("Valence", "-1", Labels(valence=-1.0)),
]


@pytest.mark.parametrize(("column", "cell", "labels"), CELLS)
def test_cells_as_people_write_them(
    column: str, cell: str, labels: Labels, tmp_path: Path, jpeg_bytes: bytes
) -> None:
    assert one(tmp_path, f"media,{column}\na.jpg,{cell}\n", jpeg_bytes).labels == labels
    assert MANIFEST.audit(tmp_path).notes == []


REFUSED = [
    ("AU06", "0.4", r"AU06 is '0.4', expected 0 or 1, true or false \(an intensity"),
    ("AU06", "maybe", "AU06 is 'maybe'"),
    ("AU06_level", "2.5", "AU06_level is '2.5', expected a whole number 0..5"),
    ("AU06_level", "True", "AU06_level is 'True'"),
    ("AU06_i", "1.5", "expected 0..1"),
    ("AU06_r", "5.5", "expected 0..5"),
    ("cropped", "perhaps", "cropped is 'perhaps', expected true or false"),
    ("valence", "inf", "valence is 'inf'"),
    ("right", "nought", "not four numbers"),
    ("frame", "x", ""),
]


@pytest.mark.parametrize(("column", "cell", "words"), REFUSED)
def test_what_no_column_can_hold_is_refused_by_name(
    column: str, cell: str, words: str, tmp_path: Path, jpeg_bytes: bytes
) -> None:
    root = table(tmp_path, f"media,{column}\na.jpg,{cell}\n", jpeg_bytes)
    if not words:  # a picture has no frames, so that the column says nothing
        assert len(list(MANIFEST.read("all", root))) == 1
        return
    with pytest.raises(BadData, match=words):
        list(MANIFEST.read("all", root))


def test_check_names_columns_words_and_pictures_outside(tmp_path: Path, jpeg_bytes: bytes) -> None:
    (tmp_path / "outside.jpg").write_bytes(jpeg_bytes)
    (tmp_path / "set").mkdir()
    text = "media,emotion,AU99,comment,AU06\n../outside.jpg,bored,1,x,1\na.jpg,Sad,0,y,0\n"
    found = MANIFEST.audit(table(tmp_path / "set", text, jpeg_bytes))
    assert found.problems == [] and found.counts == {"all": 2}
    said = [str(note) for note in found.notes]
    assert said[:3] == [
        "manifest.csv: column 'AU99' is not read",
        "manifest.csv: column 'comment' is not read",
        "manifest.csv: emotion 'bored' is none of the eight and stays a word of your own",
    ]
    assert "outside.jpg lies outside the folder" in said[3] and len(said) == 4


def test_two_columns_of_one_meaning_are_refused(tmp_path: Path, jpeg_bytes: bytes) -> None:
    root = table(tmp_path, "media,AU6,AU06\na.jpg,1,0\n", jpeg_bytes)
    with pytest.raises(BadData, match="columns 'AU6' and 'AU06' mean the same"):
        list(MANIFEST.read("all", root))
    root = table(tmp_path, "media,media\na.jpg,b.jpg\n", jpeg_bytes)
    with pytest.raises(BadData, match="column 'media' twice"):
        list(MANIFEST.read("all", root))


def test_the_table_that_mien_writes_is_a_manifest(tmp_path: Path, jpeg_bytes: bytes) -> None:
    text = (
        "input,frame,time,face,track,success,error,emotion,neutral,happiness,box_left,box_top,box_right,box_bottom,"
        "score,pitch,AU12_p,AU12_i,AU12_l,AU12_c\n"
        "a.jpg,0,0,0,,1,,happiness,.1,.9,1,2,11,12,.9,3.5,.99,.62,3,1\n"
        "a.jpg,0,0,1,,1,,neutral,.9,.1,21,2,31,12,.9,3.5,.01,0,0,0\n"
        "clip.mp4,12,.48,0,4,1,,happiness,.1,.9,1,2,11,12,.9,3.5,.99,.62,3,1\n"
        "b.jpg,0,0,,,0,no face,,NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN\n"
    )
    root = table(tmp_path, text, jpeg_bytes, "faces.csv")
    (root / "clip.mp4").write_bytes(b"clip")
    samples = list(MANIFEST.read("all", root / "faces.csv"))
    assert [s.id for s in samples] == ["a.jpg", "a.jpg#1", "clip.mp4!12"]
    assert samples[0].labels == Labels("happiness", None, {"AU12": True}, {"AU12": 3}, {"AU12": 0.62})
    assert samples[1].box == (21, 2, 31, 12) and samples[2].media.endswith("clip.mp4!12")
    found = MANIFEST.audit(root / "faces.csv")
    assert found.problems == []
    assert [str(note) for note in found.notes] == [
        "faces.csv: 1 rows without a face (success 0) are left out"
    ]


def test_openface_counts_frames_from_one(tmp_path: Path, jpeg_bytes: bytes) -> None:
    text = (
        "frame, face_id, timestamp, confidence, success, pose_Rx, gaze_angle_x, AU12_r, AU12_c, input\n"
        "1,0,0.0,.98,1,.1,.0,2.50,1.0,clip.mp4\n1,1,0.0,.98,1,.1,.0,0.00,0.0,clip.mp4\n2,0,.04,.1,0,0,0,0,0,clip.mp4\n"
    )
    root = table(tmp_path, text, jpeg_bytes)
    (root / "clip.mp4").write_bytes(b"clip")
    first, second = MANIFEST.read("all", root)
    assert first.id == "clip.mp4!0" and first.media.endswith("clip.mp4!0") and second.id == "clip.mp4!0#1"
    assert first.labels == Labels(au_presence={"AU12": True}, au_intensity={"AU12": 0.5})
    assert [note.what[:6] for note in MANIFEST.audit(root).notes] == ["1 rows"]
    table(tmp_path, text.replace("\n1,0", "\n0,0"), jpeg_bytes)
    with pytest.raises(BadData, match="frame is '0', expected a whole number from 1"):
        list(MANIFEST.read("all", root))


FORMS = {
    "semicolons.csv": "media;emotion;AU06\na.jpg;happy;1\n",
    "tabs.csv": "media\temotion\tAU06\na.jpg\thappy\t1\n",
    "bom.csv": "\ufeffmedia,emotion,AU06\r\na.jpg,happy,1\r\n",
    "records.json": '[{"media": "a.jpg", "emotion": "happy", "AU06": true}]',
    "lines.jsonl": '{"media": "a.jpg", "emotion": "happy", "AU06": 1.0, "id": null}\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_tables_of_other_programs(name: str, tmp_path: Path, jpeg_bytes: bytes) -> None:
    table(tmp_path, FORMS[name], jpeg_bytes, name)
    (sample,) = MANIFEST.read("all", tmp_path / name)
    assert sample.labels == Labels("happiness", au_presence={"AU06": True}) and sample.id == "a.jpg"


def test_names_with_backslashes_and_exclamation_marks(tmp_path: Path, jpeg_bytes: bytes) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces/wow!.jpg").write_bytes(jpeg_bytes)
    root = table(tmp_path, "media,emotion\nfaces\\wow!.jpg,happy\n", jpeg_bytes)
    assert MANIFEST.check(root) == []


LINES = [
    '{"media": 5}', '{"media": ["a.jpg"]}', '{"media": {}}', '{"media": "a.jpg", "id": [1]}', "[1]", "null", "{",
    '{"media": "a.jpg", "AU06": [1]}', '{"media": "a.jpg", "split": {"a": 1}, "subject": []}', "[" * 100_000,
    '{"media": "a\\u0000.jpg"}', '{"media": "a.jpg", "AU06_level": 1e999}', '{"media": "a.jpg", "n": '
    + "9" * 5000 + "}",
    '{"media": "' + "a" * 5000 + '.jpg"}', '{"media": "\\ud800.jpg"}',
]  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:24])
def test_a_hostile_line_is_named(line: str, tmp_path: Path, jpeg_bytes: bytes) -> None:
    good = '{"media": "a.jpg", "emotion": "happy"}\n'
    found = MANIFEST.audit(table(tmp_path, good + line + "\n", jpeg_bytes, "manifest.jsonl"))
    assert [(problem.file, problem.line) for problem in found.problems] in (
        [("manifest.jsonl", 2)], [("manifest.jsonl", 2)] * 2,
    )  # fmt: skip


def seeds(jpeg: bytes, folder: Path) -> dict[str, bytes]:
    rows = [
        {"media": "a.jpg", "split": "train", "subject": "p1", "emotion": "happy", "AU06": 1, "AU12_level": 3,
         "valence": 0.5, "left": 1, "top": 2, "right": 9, "bottom": 9, "cropped": True, "id": "x"},
        {"media": "b.jpg", "split": "test", "subject": "p2", "emotion": "bored", "AU06": 0, "AU12_level": 0,
         "valence": -1, "left": "", "top": "", "right": "", "bottom": "", "cropped": False, "id": "y"},
    ]  # fmt: skip
    table(folder, "", jpeg)
    (folder / "manifest.csv").unlink()
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    made = {
        "manifest.csv": "\n".join(",".join(map(str, row)) for row in cells).encode(),
        "manifest.tsv": "\n".join("\t".join(map(str, row)) for row in cells).encode(),
        "manifest.jsonl": "\n".join(map(json.dumps, rows)).encode(),
        "manifest.json": json.dumps(rows).encode(),
    }
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {name: [str(row[name]) for row in rows] for name in rows[0]}
    parquet.write_table(arrow.table(columns), folder / "manifest.parquet")
    made["manifest.parquet"] = (folder / "manifest.parquet").read_bytes()
    (folder / "manifest.parquet").unlink()
    return made


TOKENS = [b",", b'"', b"\n", b"\0", b"\xff", b"\t", b"{", b"}", b"[", b"null", b"NaN", b"1e999", b"-1", b"AU06",
          b"media", b"../", b"/dev/null", b"!", b"'", b"\r", b"\xef\xbb\xbf", b"\\u0000", b"a" * 300]  # fmt: skip


def mutated(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(changed) + 1)
        kind = draw.randrange(4)
        if kind == 0:
            changed[place:place] = draw.choice(TOKENS)
        elif kind == 1:
            del changed[place : place + draw.randint(1, 20)]
        elif kind == 2 and place < len(changed):
            changed[place] = draw.randrange(256)
        else:
            changed[place:place] = changed[max(0, place - 30) : place] * draw.randint(1, 3)
    return bytes(changed)


def test_six_hundred_damaged_manifests_are_named_or_read(tmp_path: Path, jpeg_bytes: bytes) -> None:
    kinds, draw = seeds(jpeg_bytes, tmp_path), random.Random(13)
    for name, seed in kinds.items():
        path = tmp_path / name
        for _ in range(120):
            data = mutated(seed, draw)
            path.write_bytes(data)
            began = time.process_time()
            try:
                found = MANIFEST.audit(path)
            except BadData as error:  # only of splits that nothing can be read of
                assert str(error)
                continue
            except Exception:
                (tmp_path / "last.bin").write_bytes(data)
                raise
            assert isinstance(found, Audit) and time.process_time() - began < 5
            if not found.problems:
                for split in found.counts:
                    assert all(isinstance(sample, Sample) for sample in MANIFEST.read(split, path))
