"""``mien eval``, ``score``, ``compare``, ``reproduce``: models of this house, and a server that misbehaves."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from mien.app.cli import app
from mien.core.errors import BadConfig, MienError
from mien.evaluate.run import read_rows
from mien.evaluate.suite import open_suite, suite_names

WIRE = Path(__file__).parents[1] / "annotate"


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("mien_wire", WIRE / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    command = [sys.executable, str(WIRE / "wire_server.py"), "--keep-bodies"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield module.Wire(int(process.stdout.readline()))
        process.kill()


def mien(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    if isinstance(found.exception, MienError):
        raise found.exception
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_suites_are_listed():
    status, text = mien("eval", "suites")
    assert status == 0 and all(name in text for name in suite_names())


def test_the_embedded_model_from_the_command_line(data_root, tmp_path):
    out = tmp_path / "run"
    status, text = mien(
        "eval", "pocket", "--suite", "ferbench-ferplus-val", "--out", out, "--root", data_root, "--limit", 5,
        "--threads", 1,
    )  # fmt: skip
    assert (
        status == 0
        and "official: accuracy" in text
        and "unparsed 0" in text
        and "absent" in text
        and "5 of 5 faces in" in text
    )
    assert {path.name for path in out.iterdir()} == {".mien", "run.json", "predictions.jsonl", "result.json"}
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["suites"][0]["name"] == "ferbench-ferplus-val" and record["counts"]["items"] == 5
    status, again = mien("score", out)
    assert status == 0 and again.splitlines()[0] in text.splitlines()
    status, side = mien("compare", out, out, "--html", tmp_path / "page.html", "--json", tmp_path / "c.json")
    assert status == 0 and "+0.0000" in side and (tmp_path / "page.html").stat().st_size > 2000
    assert json.loads((tmp_path / "c.json").read_text())["pairs"][0]["n"] == 5


def _ferplus(miniature) -> Path:
    root: Path = miniature("ferplus")
    return root


def test_any_server_is_asked_as_the_protocol_says(server, miniature, tmp_path):
    server.reset()
    root, out = _ferplus(miniature), tmp_path / "run"
    words = (
        "eval", server.url, "--served-as", "some-vlm", "--suite", "ferbench-ferplus", "--out", out, "--root", root,
        "--price-out", 1000,
    )  # fmt: skip
    status, text = mien(*words)
    assert status == 0 and "server: " in text and ", cost " in text
    bodies = server.stats()["bodies"]
    suite, count = open_suite("ferbench-ferplus"), len(read_rows(out))
    # The pictures of the miniature are equal, so one request answers all; none is sent twice.
    assert len(bodies) == 1 and count == 4
    for body in bodies:
        picture, question = body["messages"][0]["content"]
        assert question["text"] == suite.asked and body["max_tokens"] == 1024 and body["temperature"] == 0
        data = base64.b64decode(picture["image_url"]["url"].split(",")[1])
        assert Image.open(io.BytesIO(data)).size == (224, 224)
    # The server echoes the question: official finds the first candidate in it, strict no single answer.
    told = json.loads((out / "result.json").read_text())["suites"]["ferbench-ferplus"]["readings"]
    assert told["official"]["unparsed"] == 0 and told["strict"]["unparsed"] == count
    (out / "predictions.jsonl").unlink()
    assert mien(*words)[0] == 0 and server.count() == 1


def test_a_server_that_talks_garbage_costs_its_items_and_no_more(server, miniature, tmp_path):
    server.reset()
    server.faults({"match": "expert", "kind": "malformed", "times": 99})
    root, out = _ferplus(miniature), tmp_path / "run"
    words = (
        "eval",
        server.url,
        "--served-as",
        "vlm",
        "--suite",
        "ferbench-ferplus",
        "--out",
        out,
        "--root",
        root,
    )
    status, text = mien(*words, "--retries", 0)
    assert status == 1
    rows = read_rows(out)
    assert {row["reason"] for row in rows} == {"no reply: malformed reply"} and "failed" in text
    server.reset()
    server.faults({"match": "expert", "kind": "refusal", "times": 99})
    status, _ = mien(*words[:-3], tmp_path / "refused", *words[-2:])
    assert status == 0
    declined = read_rows(tmp_path / "refused")
    assert {row["reason"] for row in declined} == {"declined: refusal"}
    server.reset()
    server.faults({"match": "expert", "kind": "status", "status": 401, "times": 99})
    with pytest.raises(MienError, match="401"):
        mien(*words[:-3], tmp_path / "locked", *words[-2:])


def test_a_judge_marks_chains_of_thought(miniature, gold, tmp_path):
    from mien.annotate.rules_teacher import RulesTeacher
    from mien.evaluate.exp_cot_judge import JUDGE_STEPS
    from mien.evaluate.run import Plan, evaluate

    plan = Plan([open_suite("exp-cot")], tmp_path / "run", {"": miniature("expllm")})
    result = evaluate(plan, lambda fold: gold, {"model": "gold"}, judge=RulesTeacher(JUDGE_STEPS))
    told = result["suites"]["exp-cot"]["readings"]["official"]
    assert (
        told["exp_cot"]["value"] == pytest.approx(1.0) and told["judge"] == "rules" and told["unmarked"] == 0
    )


def test_a_judge_on_a_server_that_cannot_mark_is_counted(server, miniature, tmp_path):
    server.reset()
    status, text = mien(
        "eval", server.url, "--served-as", "vlm", "--suite", "exp-cot", "--root", miniature("expllm"), "--out",
        tmp_path / "run", "--judge", server.url, "--judge-model", "judge",
    )  # fmt: skip
    rows = read_rows(tmp_path / "run")
    told = json.loads((tmp_path / "run" / "result.json").read_text())["suites"]["exp-cot"]["readings"][
        "official"
    ]
    assert status == 0 and "server: " in text and {row["judge"] for row in rows} == {"judge"}
    # The server echoes what it is asked: no marks are in it.
    assert told["unmarked"] == len(rows) == 3 and told["exp_cot"]["value"] is None


def test_tables_stand_beside_ours(miniature, gold, tmp_path):
    from mien.evaluate.run import Plan, evaluate

    evaluate(Plan([open_suite("rafdb")], tmp_path / "run", {"": miniature("rafdb")}), lambda fold: gold, {})
    status, text = mien("reproduce", "expllm:I", "--run", tmp_path / "run")
    assert status == 0 and "theirs RAF-DB 91.03 (95 %: 89.97 to 91.99), ours 100, outside" in text
    assert "starhiking/ExpLLM" in text and "conflict at SCN, RAF-DB" in text
    status, text = mien(
        "reproduce", "emola:3", "--weights", "rules", "--data", tmp_path, "--out", tmp_path / "made"
    )
    assert status == 0 and "rafdb not found below" in text
    with pytest.raises(BadConfig, match="expllm:V"):
        mien("reproduce", "expllm:IX")


def test_data_that_are_there_are_run(miniature, tmp_path):
    root = miniature("rafdb")
    status, text = mien(
        "reproduce",
        "emola:3",
        "--weights",
        "rules",
        "--data",
        root.parent,
        "--out",
        tmp_path / "made",
        "--limit",
        3,
    )
    assert status == 0 and "EmoLA" in text and ", ours " in text
    assert (tmp_path / "made" / "rules-rafdb" / "result.json").is_file()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("eval", "pocket"), "no suite"),
        (("eval", "pocket", "--suite", "rafdb"), "no --out"),
        (("eval", "pocket", "--suite", "nothing", "--out", "x"), "nothing"),
        (("eval", "pocket", "--suite", "rafdb", "--suite", "rafdb", "--out", "x"), "each once"),
        (("eval", "pocket", "--suite", "rafdb", "--out", "x", "--shard", "2"), "i/n"),
        (("eval", "pocket", "--suite", "rafdb", "--out", "x", "--readout", "mind"), "likelihood or text"),
        (("eval", "pocket", "--suite", "rafdb", "--out", "x", "--by", "height"), "height"),
        (("eval", "http://127.0.0.1:9/v1", "--suite", "rafdb", "--out", "x"), "--served-as"),
        (("eval", "pocket", "--suite", "rafdb", "--out", "x"), "rafdb"),
    ],
)
def test_wrong_use_is_told(words, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MienError, match=match):
        mien(*words)
