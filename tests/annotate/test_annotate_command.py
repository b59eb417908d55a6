"""``mien annotate``, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mien.annotate.faba.review import row_key, sheet_key
from mien.app.cli import app
from mien.core.errors import BadConfig, MienError
from mien.data import open_dataset


@pytest.fixture(autouse=True)
def packs(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_DATA", str(tiny_data))


def mien(*words: str) -> Result:
    result = CliRunner().invoke(app, ["annotate", *words])
    if isinstance(result.exception, MienError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_exp_cot_by_rules(tmp_path: Path) -> None:
    result = mien(
        "exp-cot", "lfw_emotion", "--split", "val", "--aus", "rules", "-o", str(tmp_path), "--threads", "1"
    )
    assert result.exit_code == 0
    kept, rejected = rows(tmp_path / "items.jsonl"), rows(tmp_path / "rejected.jsonl")
    assert len(kept) + len(rejected) == 4
    assert f"4 items = {len(kept)} kept + {len(rejected)} rejected" in result.stdout
    assert all("Conclusion" in row["description"] and len(row["au"]) == 24 for row in kept)
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["config"]["dataset"], record["config"]["teacher"]) == ("lfw_emotion", "rules")
    assert record["counts"]["items"] == 4
    with pytest.raises(BadConfig, match="--resume"):
        mien("exp-cot", "lfw_emotion", "--split", "val", "--aus", "rules", "-o", str(tmp_path))


def test_faba_writes_the_published_files_and_takes_corrections(tmp_path: Path) -> None:
    words = [
        "faba",
        "london",
        "--split",
        "val",
        "--reader",
        "rules",
        "--threads",
        "1",
    ]
    result = mien(*words, "-o", str(tmp_path), "-q")
    assert (result.exit_code, result.stdout) == (0, "")
    kept = rows(tmp_path / "items.jsonl")
    assert len(kept) >= 2
    assert sum(map(len, published(tmp_path))) == len(kept)
    assert open_dataset("faba_instruct").audit(tmp_path / "faba").counts["eval-emotion"] == len(kept)
    for item in (item for items in published(tmp_path) for item in items):
        assert (tmp_path / "faba" / item["image"]).is_file()
        assert np.load(tmp_path / "faba" / item["landmark"], allow_pickle=False).shape == (212,)
    statistics = json.loads((tmp_path / "faba" / "statistics.json").read_text())
    assert sum(statistics["test"].values()) == len(kept)
    assert "FABA-Instruct, as published" in (tmp_path / "statistics.html").read_text(encoding="utf-8")
    assert all(f'"{row["id"]}"' in sheet(tmp_path) for row in kept)
    items = {
        kept[0]["id"]: exported(kept[0], "ok", "A corrected description of the face."),
        kept[1]["id"]: exported(kept[1], "drop", "x"),
    }
    content = {"format": "mien-review-1", "sheet": sheet_key(kept), "items": items}
    (tmp_path / "review.json").write_text(json.dumps(content))
    result = mien("review", str(tmp_path), str(tmp_path / "review.json"))
    assert "review: 1 checked, 1 texts and 0 labels changed, 1 dropped" in result.stdout
    assert sum(map(len, published(tmp_path))) == len(kept) - 1
    assert "A corrected description of the face." in json.dumps(published(tmp_path))
    with pytest.raises(BadConfig, match="no finished run of faba"):
        mien("review", str(tmp_path / "faba"))


def published(out: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in (out / "faba").rglob("*_anno.json")]


def sheet(out: Path) -> str:
    return (out / "review.html").read_text(encoding="utf-8")


def exported(row: dict[str, Any], verdict: str, text: str) -> dict[str, str]:
    return {"was": row_key(row), "verdict": verdict, "text": text, "label": row["label"], "note": ""}


def test_conversations_by_rules(tmp_path: Path) -> None:
    words = ("--split", "val", "--reader", "rules", "--threads", "1", "--limit", "2")
    assert mien("conversations", "london", *words, "-o", str(tmp_path)).exit_code == 0
    assert len(rows(tmp_path / "items.jsonl")) + len(rows(tmp_path / "rejected.jsonl")) == 2


def test_a_server_is_asked_and_a_limit_stops_the_run(wire: Any, tmp_path: Path) -> None:
    words = [
        "faba",
        "london",
        "--split",
        "val",
        "--task",
        "emotion",
        "--teacher",
        wire.url,
        "--model",
        "toy-1",
    ]
    words += ["-o", str(tmp_path), "--workers", "1"]
    with pytest.raises(MienError, match="--resume and a higher --max-requests"):
        mien(*words, "--max-requests", "1")
    assert wire.count() == 1
    result = mien(*words, "--resume", "--price-in", "1000000", "--price-out", "0")
    assert result.exit_code == 0
    # Some of the server's echoes pass for descriptions; others are too short or tell no emotion, asked again too.
    kept, rejected = rows(tmp_path / "items.jsonl"), rows(tmp_path / "rejected.jsonl")
    assert len(kept) + len(rejected) == 4
    assert {row["reason"] for row in rejected} <= {"too short", "no emotion described"}
    assert wire.count() == 4 + len(rejected)
    assert f"4 items = {len(kept)} kept" in result.stdout and f"{wire.count()} replies" in result.stdout
    bodies = wire.stats()["bodies"]
    kinds = [body["messages"][-1]["content"][0]["type"] for body in bodies]
    assert kinds == ["image_url"] * wire.count()
    tokens = sum(len(body["messages"][-1]["content"][1]["text"].split()) for body in bodies)
    assert f"cost {tokens}.00" in result.stdout


def test_items_without_a_reply_give_status_1(wire: Any, tmp_path: Path) -> None:
    wire.faults({"match": "", "kind": "status", "status": 503, "times": 99})
    words = ["faba", "london", "--split", "val", "--limit", "1", "--task", "emotion", "--teacher", wire.url]
    result = mien(*words, "--model", "toy-1", "--retries", "0", "-o", str(tmp_path))
    assert result.exit_code == 1
    assert "1 no reply" in result.stdout


def test_a_dry_run_sends_and_writes_nothing(wire: Any, tmp_path: Path) -> None:
    words = ["exp-cot", "lfw_emotion", "--split", "val", "--aus", "rules", "--threads", "1", "--dry-run"]
    words += ["--teacher", wire.url, "--model", "toy-1", "--price-in", "2", "--price-out", "8"]
    result = mien(*words, "-o", str(tmp_path / "run"))
    assert result.exit_code == 0
    # One of the four faces shows no landmarks, so that rules have no AUs to ask about.
    assert "4 items; nothing was sent." in result.stdout
    assert "exp-cot/au2des: 0.75" in result.stdout
    assert "Cost: about" in result.stdout
    assert "First request (exp-cot/au2des)" in result.stdout
    assert (wire.count(), (tmp_path / "run").exists()) == (0, False)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("exp-cot", "lfw_emotion"), "--split"),
        (("exp-cot", "lfw_emotion", "--split", "val", "--teacher", "http://localhost:1/v1"), "--model"),
        (("exp-cot", "lfw_emotion", "--split", "val", "--teacher", "gpt", "--model", "x"), "address"),
        (("faba", "lfw_emotion", "--split", "val", "--task", "smile"), "one of emotion, au, both"),
        (("exp-cot", "lfw_emotion", "--split", "val", "--max-cost", "1"), "--price-in"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, words: tuple[str, ...], named: str) -> None:
    extra = ("--aus", "labels") if words[0] == "exp-cot" else ("--reader", "none")
    with pytest.raises(BadConfig) as caught:
        mien(*words, *extra, "-o", str(tmp_path / "run"))
    assert named in str(caught.value)


def test_a_server_answers_a_question_and_is_held_against_the_measurement(
    wire: Any, photos: list[Path]
) -> None:
    asked = "AU12 is present and the brows are strongly lowered. Is that so?"
    words = ["ask", str(photos[0]), asked, "--teacher", wire.url, "--threads", "1"]
    with pytest.raises(MienError, match="--served-as"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    result = CliRunner().invoke(app, [*words, "--served-as", "toy-1"], catch_exceptions=False)
    assert result.exit_code == 0 and wire.count() == 1
    (body,) = wire.stats()["bodies"]
    assert "image_url" in str(body["messages"]) and result.stdout.strip()
    assert "precision" in result.stderr
