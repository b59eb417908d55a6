"""``mien data export`` and ``convert`` on a small table of pictures."""

from __future__ import annotations

import base64
import io
import json
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image as Pictures
from typer.testing import CliRunner

from mien.app.data.exchange import (
    Exported,
    convert_command,
    convert_file,
    export_command,
    export_dialogues,
)
from mien.core.errors import BadConfig, BadData, BadInput
from mien.core.nouns import Labels, Sample
from mien.dialogue.files.exchange_files import read_items

app = typer.Typer()
app.command("export")(export_command)
app.command("convert")(convert_command)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "set" / "faces.csv"
    path.parent.mkdir()
    path.write_text(
        "media,split,emotion,AU06,AU12\na.jpg,train,fear,0,1\nb.jpg,train,,1,1\nc.jpg,train,contempt,0,0\n",
        "utf-8",
    )
    return path


def invoke(*words: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.output


def test_export_and_convert_through_every_format(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    first = tmp_path / "a.json"
    said = invoke("export", "manifest", first, "--root", table, "--format", "llava", "--relative")
    assert "2 dialogues" in said
    assert "1 samples" in said
    written = list(read_items(first, "llava"))
    assert [item.media for item in written] == [("set/a.jpg",), ("set/c.jpg",)]
    assert [item.dialogue.turns[1].text for item in written] == ["fear", "contempt"]
    chain = [
        ("a.json", "llava"),
        ("b.parquet", None),
        ("c.jsonl", "messages"),
        ("d.json", "sharegpt"),
        ("e.json", "llava"),
    ]
    for (source, old), (out, new) in pairwise(chain):
        assert convert_file(tmp_path / source, tmp_path / out, old, new) == 2
    assert (tmp_path / "e.json").read_bytes() == first.read_bytes()
    assert "2 dialogues" in invoke("convert", first, tmp_path / "f.parquet", "--from", "llava")


def test_what_is_drawn_depends_on_seed_and_id_only(tmp_path: Path) -> None:
    samples = [Sample(str(n), "made", "train", f"{n}.jpg", Labels("fear")) for n in range(20)]
    files = [tmp_path / f"{n}.jsonl" for n in range(3)]
    export_dialogues(samples, files[0], "emotion", seed=1)
    export_dialogues(reversed(samples), files[1], "emotion", seed=1)
    export_dialogues(samples, files[2], "emotion", seed=2)
    first, second, third = ({item.dialogue for item in read_items(path)} for path in files)
    assert first == second != third


def test_faba_leaves_out_what_it_has_no_word_for(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "eval.json"
    assert "1 dialogues" in invoke("export", "manifest", out, "--root", table, "--format", "faba")
    (record,) = json.loads(out.read_text("utf-8"))
    assert record["label"] == "Fear"
    invoke("export", "manifest", out, "--root", table, "--format", "faba", "--task", "au")
    assert [record["label"] for record in json.loads(out.read_text("utf-8"))] == ["12", "6, 12"]
    with pytest.raises(BadConfig, match="Leave out --system"):
        export_dialogues([], out, "emotion", system="emola", format="faba")


def test_no_label_at_all_is_an_error_and_no_file(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    with pytest.raises(BadData, match="task explanation"):
        export_dialogues([Sample("1", "made", "train", "1.jpg", Labels("fear"))], out, "explanation")
    assert not out.exists()


def test_export_in_the_words_of_a_system(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "a.jsonl"
    samples = [Sample("1", "made", "train", "1.jpg", Labels("fear"))]
    assert export_dialogues(samples, out, "label", system="expllm") == Exported(1)
    (item,) = read_items(out)
    assert item.dialogue.turns[1].text == "Fear"
    # ExpLLM's own template shows the picture; to another trainer the words must.
    assert item.dialogue.turns[0].text.startswith("<image>\nExpression recognition involves")
    assert item.media == ("1.jpg",)


@pytest.fixture
def faces(tmp_path: Path, examples: Path) -> Path:
    """A manifest: a picture with two boxes, a member of an archive, and one that is no picture."""
    root = tmp_path / "set"
    root.mkdir()
    for name in ("eileen_collins.jpg", "grace_hopper.jpg"):
        shutil.copy(examples / name, root / name)
    with zipfile.ZipFile(root / "more.zip", "w") as archive:
        archive.write(root / "grace_hopper.jpg", "img/a b.jpg")
    (root / "broken.jpg").write_bytes(b"no picture")
    (root / "manifest.csv").write_text(
        "id,media,emotion,left,top,right,bottom\n"
        "one,eileen_collins.jpg,happy,170,50,280,170\n"
        "../two,eileen_collins.jpg,sad,0,0,90,80\n"
        "three,more.zip!img/a b.jpg,fear,,,,\n"
        "four,grace_hopper.jpg,anger,,,,\n"
    )
    return root


def test_boxes_are_kept_and_told(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    said = invoke("export", "manifest", out, "--root", faces, "--split", "all", "--format", "llava")
    assert "2 name a picture and the box of a face in it" in said and "1 name a frame or a member" in said
    rows = json.loads(out.read_text())
    assert [row.get("box") for row in rows] == [[170, 50, 280, 170], [0, 0, 90, 80], None, None]
    with pytest.raises(BadInput, match="--pictures FOLDER or --embed"):
        invoke(
            "export",
            "manifest",
            tmp_path / "a.jsonl",
            "--root",
            faces,
            "--split",
            "all",
            "--format",
            "openai",
        )


def test_pictures_are_cut_out_and_frames_written(faces: Path, tmp_path: Path) -> None:
    with (faces / "manifest.csv").open("a") as file:
        file.write("five,broken.jpg,fear,1,1,9,9\nsix,grace_hopper.jpg,fear,9000,9000,9999,9999\n")
    out, cut = tmp_path / "new" / "a.json", tmp_path / "new" / "cut"
    out.parent.mkdir()
    words = ("export", "manifest", out, "--root", faces, "--split", "all", "--format", "llava")
    said = invoke(*words, "--pictures", cut, "--relative", status=1)
    assert "Left out: five: " in said and "Left out: six: Got the box 9000" in said and "4 dialogues" in said
    rows = json.loads(out.read_text())
    places = [out.parent / row["image"] for row in rows]
    assert all(place.is_file() for place in places) and len(set(places)) == 4
    assert all(place.parent == cut for place in places[:3]) and places[3].name == "grace_hopper.jpg"
    assert [Pictures.open(io.BytesIO(place.read_bytes())).size for place in places[:2]] == [
        (110, 120),
        (90, 80),
    ]
    assert not any("box" in row for row in rows) and len(list(cut.iterdir())) == 3
    before = {path: path.read_bytes() for path in (out, *cut.iterdir())}
    invoke(*words, "--pictures", cut, "--relative", status=1)
    assert before == {path: path.read_bytes() for path in (out, *cut.iterdir())}


def test_embedded_pictures_need_no_file(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    invoke("export", "manifest", out, "--root", faces, "--split", "all", "--format", "openai", "--embed")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 4 and all(list(line) == ["messages"] for line in lines)
    sizes = []
    for line in lines:
        kind, _, data = line["messages"][0]["content"][0]["image_url"]["url"].partition(";base64,")
        assert kind == "data:image/jpeg"
        sizes.append(Pictures.open(io.BytesIO(base64.b64decode(data, validate=True))).size)
    assert sizes[:2] == [(110, 120), (90, 80)]
    with pytest.raises(BadConfig, match="trainers open the files"):
        invoke("export", "manifest", out, "--root", faces, "--split", "all", "--format", "llava", "--embed")


def test_clips_are_videos_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("media,emotion\ntalk.MP4,happy\nframes,sad\n")
    (tmp_path / "frames").mkdir()
    for format, key in (
        ("llava", "video"),
        ("sharegpt", "videos"),
        ("messages", "videos"),
        ("openai", "video_url"),
    ):
        out = tmp_path / "out.json"
        invoke("export", "manifest", out, "--root", tmp_path, "--split", "all", "--format", format)
        text = out.read_text()
        assert f'"{key}"' in text and '"image' not in text and "<image>" not in text and 'frames/"' in text
    for place in (tmp_path, tmp_path / "manifest.csv"):
        with pytest.raises(BadConfig, match="the table they come from"):
            invoke("export", "manifest", tmp_path / "manifest.csv", "--root", place, "--format", "llava")


@pytest.mark.slow
def test_emola_rows_name_a_landmark_file_that_is_there(faces: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (faces / "gone.txt").write_text("")
    with (faces / "manifest.csv").open("a") as file:
        file.write("five,nowhere.jpg,fear,,,,\n")
    out = tmp_path / "a.json"
    words = ("--root", faces, "--split", "all", "--system", "emola", "--format", "llava")
    said = invoke("export", "manifest", out, *words, status=1)
    assert "five: Got" in said
    rows = json.loads(out.read_text())
    assert {row["id"] for row in rows} >= {"one", "three", "four"} and "<prior>" not in out.read_text()
    for row in rows:
        prior = np.load(row["landmark"], allow_pickle=False)
        assert prior.shape == (212,) and prior.dtype == np.float32 and np.abs(prior).max() < 2
        assert Path(row["landmark"]).parent == tmp_path / "a-landmarks"


def test_the_landmark_file_of_the_released_tree_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from mien.app.data.exchange_media import Media
    from mien.face.decode.media import MediaReader

    picture = tmp_path / "FABAInstruct/train/images/AffectNet/1/a.jpg"
    prior = tmp_path / "FABAInstruct/train/landmarks/AffectNet/1/a.npy"
    prior.parent.mkdir(parents=True)
    np.save(prior, np.zeros(212, np.float32))
    sample = Sample("a", "faba_instruct", "train-emotion", str(picture), Labels("fear"), cropped=True)
    out = tmp_path / "a.json"
    with MediaReader() as reader:
        media = Media(reader, priors=tmp_path / "new", beside=tmp_path)
        assert export_dialogues(
            [sample], out, "emotion", system="emola", format="llava", media=media
        ) == Exported(1)
    (row,) = json.loads(out.read_text())
    assert row["landmark"] == "FABAInstruct/train/landmarks/AffectNet/1/a.npy"
    assert row["image"] == "FABAInstruct/train/images/AffectNet/1/a.jpg" and not (tmp_path / "new").exists()
