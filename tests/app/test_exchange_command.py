"""``mien data export`` and ``convert`` on a small table of pictures."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mien.app.exchange_command import convert_command, convert_file, export_command, export_dialogues
from mien.core.errors import BadConfig, BadData
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


def invoke(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
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
        ("c.jsonl", "openai"),
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
    assert export_dialogues(samples, out, "label", system="expllm") == (1, 0)
    (item,) = read_items(out)
    assert item.dialogue.turns[1].text == "Fear"
    assert item.dialogue.turns[0].text.startswith("Expression recognition involves")
