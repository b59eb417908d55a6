"""A run of suites: killed anywhere it ends with the same bytes; an item that breaks is one row; folders are owned."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from mien.core.errors import BadConfig, BadData, OutputFailed
from mien.evaluate.answering import ReaderAnswers, Said
from mien.evaluate.figures import score_suite
from mien.evaluate.run import BLOCK, Plan, evaluate, read_rows, score_run
from mien.evaluate.samples import refuse_leak
from mien.evaluate.suite import open_suite
from mien.work.loop import Shard

FILES = ("predictions.jsonl", "result.json")


class Killed(BaseException):
    """As a kill: nothing below may catch it."""


def _many(root: Path, count: int) -> Path:
    """RAF-DB of so many test faces, all the same picture."""
    from PIL import Image

    lines = ""
    for index in range(1, count + 1):
        lines += f"test_{index:05d}.jpg {index % 7 + 1}\n"
        path = root / f"basic/Image/aligned/test_{index:05d}_aligned.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (index % 255, 140, 120)).save(path)
    (root / "basic/EmoLabel").mkdir(parents=True)
    (root / "basic/EmoLabel/list_patition_label.txt").write_text(lines)
    return root


class Hash:
    """Answers that depend on the face alone."""

    name, crop_size, clips = "hash", None, False

    def __init__(self) -> None:
        self.asked = 0

    def answers(self, shown, suite):
        self.asked += len(shown)
        return [Said(suite.words[int(one.picture[0, 0, 0]) % len(suite.words)]) for one in shown]


def _bytes(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in FILES]


def test_killed_at_twenty_random_moments_the_run_ends_with_the_same_bytes(tmp_path):
    root, suite = _many(tmp_path / "data", 5 * BLOCK + 3), open_suite("rafdb")
    whole = Plan([suite], tmp_path / "whole", {"": root})
    evaluate(whole, lambda fold: Hash(), {"model": "hash"})
    rng, broken = random.Random(0), Plan([suite], tmp_path / "broken", {"": root})
    for _ in range(20):
        moment = rng.randrange(1, 5)

        class Dies(Hash):
            def answers(self, shown, suite, moment=moment):
                if self.asked >= moment * BLOCK:
                    raise Killed
                return super().answers(shown, suite)

        model = Dies()
        try:
            evaluate(broken, lambda fold, model=model: model, {"model": "hash"})
        except Killed:
            continue
    evaluate(broken, lambda fold: Hash(), {"model": "hash"})
    assert _bytes(tmp_path / "broken") == _bytes(tmp_path / "whole")


def test_shards_together_give_the_whole(tmp_path):
    root, suite = _many(tmp_path / "data", 4 * BLOCK), open_suite("rafdb")
    whole = evaluate(Plan([suite], tmp_path / "whole", {"": root}), lambda fold: Hash(), {"model": "hash"})
    shards = [Plan([suite], tmp_path / "parts", {"": root}, shard=Shard(place, 3)) for place in (2, 3, 1)]
    for place, plan in enumerate(shards):
        assert evaluate(plan, lambda fold: Hash(), {"model": "hash"}) == {}
        if place < 2:
            with pytest.raises(BadData, match="of 3 finished"):
                score_run(tmp_path / "parts")
    assert (
        score_run(tmp_path / "parts")["suites"]["rafdb"]["readings"] == whole["suites"]["rafdb"]["readings"]
    )
    assert sorted(row["id"] for row in read_rows(tmp_path / "parts")) == sorted(
        row["id"] for row in read_rows(tmp_path / "whole")
    )


def test_an_item_that_breaks_is_a_row_and_the_rest_goes_on(tmp_path):
    root, suite = _many(tmp_path / "data", 9), open_suite("rafdb")
    (root / "basic/Image/aligned/test_00003_aligned.jpg").write_bytes(b"no picture")

    class Breaks(Hash):
        def answers(self, shown, suite):
            if any(one.sample.id == "test_00005" for one in shown):
                raise RuntimeError("the model fell over")
            return super().answers(shown, suite)

    result = evaluate(Plan([suite], tmp_path / "run", {"": root}), lambda fold: Breaks(), {"model": "x"})
    assert result["suites"]["rafdb"]["failed"] == 2
    rows = {row["id"]: row for row in read_rows(tmp_path / "run")}
    assert "fell over" in rows["test_00005"]["reason"]
    assert rows["test_00003"]["reason"].startswith("Got ")
    assert rows["test_00001"]["status"] == "answered"
    assert result["suites"]["rafdb"]["readings"]["official"]["accuracy"]["n"] == 9


def test_figures_come_again_from_the_answers_alone(tmp_path):
    root, suite = _many(tmp_path / "data", 20), open_suite("rafdb")
    result = evaluate(Plan([suite], tmp_path / "run", {"": root}), lambda fold: Hash(), {"model": "hash"})
    (tmp_path / "run" / "result.json").unlink()
    assert score_run(tmp_path / "run") == result
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    (tmp_path / "run" / "predictions.jsonl").write_text("{")
    with pytest.raises(BadData, match="predictions.jsonl:1"):
        score_run(tmp_path / "run")


def test_a_folder_is_its_own_run_s(tmp_path):
    root, suite = _many(tmp_path / "data", 4), open_suite("rafdb")
    evaluate(Plan([suite], tmp_path / "run", {"": root}), lambda fold: Hash(), {"model": "hash"})
    with pytest.raises(BadConfig, match="another model"):
        evaluate(Plan([suite], tmp_path / "run", {"": root}), lambda fold: Hash(), {"model": "other"})
    with pytest.raises(BadConfig, match="list of items"):
        evaluate(
            Plan([suite], tmp_path / "run", {"": _many(tmp_path / "more", 5)}),
            lambda fold: Hash(),
            {"model": "hash"},
        )
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / ".run.json.elsewhere+99999999+abcdef.part.json").write_text("{")
    evaluate(Plan([suite], tmp_path / "torn", {"": root}), lambda fold: Hash(), {"model": "hash"})
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    with pytest.raises(BadConfig, match=r"no run\.json"):
        evaluate(Plan([suite], tmp_path / "foreign", {"": root}), lambda fold: Hash(), {})


def test_a_model_that_cannot_be_opened_leaves_no_folder(tmp_path):
    root, suite = _many(tmp_path / "data", 4), open_suite("rafdb")

    def absent(fold):
        raise BadConfig(got="pockett", expected="a model", fix="Name one")

    with pytest.raises(BadConfig, match="pockett"):
        evaluate(Plan([suite], tmp_path / "run", {"": root}), absent, {"model": "pockett"})
    assert not (tmp_path / "run").exists()
    evaluate(Plan([suite], tmp_path / "run", {"": root}), lambda fold: Hash(), {"model": "hash"})


def test_ages_are_told_by_decades():
    suite = open_suite("rafdb")
    row = {"fold": "", "status": "answered", "answer": "Fear", "truth": {"emotion": "fear"}, "scores": None}
    groups = [{"age": "23"}, {"age": "29"}, {"age": "4-19"}, {}, {"age": ""}]
    told = score_suite(suite, [row | {"group": group} for group in groups], ["age"])["by"]["age"]
    assert {name: figures["official"]["n"] for name, figures in told.items()} == {
        "20-29": 2, "4-19": 1, "not said": 2
    }  # fmt: skip


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path, monkeypatch):
    root, suite = _many(tmp_path / "data", 4), open_suite("rafdb")

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OutputFailed, match="No space left"):
        patch.setattr("mien.evaluate.predictions.write_whole", full)
        evaluate(Plan([suite], tmp_path / "run", {"": root}), lambda fold: Hash(), {"model": "hash"})
    model = Hash()
    evaluate(Plan([suite], tmp_path / "run", {"": root}), lambda fold: model, {"model": "hash"})
    assert model.asked == 0


def test_a_model_that_learnt_the_tested_fold_is_refused(tmp_path):
    recipe = {"data": [{"dataset": "disfa", "split": "fold1"}, {"dataset": "disfa", "split": "fold2"}]}
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe))
    suite = open_suite("disfa")
    for folder in (tmp_path / "run", tmp_path / "run" / "model"):
        with pytest.raises(BadConfig, match="trained on disfa fold1"):
            refuse_leak(folder, suite, "fold1")
        refuse_leak(folder, suite, "fold3")
        refuse_leak(folder, open_suite("bp4d"), "fold1")
    (tmp_path / "run" / "recipe.json").write_text(
        json.dumps({"data": [{"dataset": "dfew", "split": "fold1-train"}]})
    )
    # Of five rounds, what one tests all the others learn from.
    with pytest.raises(BadConfig, match="never saw fold2-test"):
        refuse_leak(tmp_path / "run", open_suite("dfew"), "fold2-test")
    refuse_leak(tmp_path / "run", open_suite("dfew"), "fold1-test")


def test_folds_take_a_model_each(miniature, gold, tmp_path):
    opened: list[str] = []

    def open_model(fold):
        opened.append(fold)
        return gold

    evaluate(
        Plan([open_suite("disfa")], tmp_path / "run", {"": miniature("disfa")}), open_model, {"model": "gold"}
    )
    assert opened == ["fold1", "fold2", "fold3"]


def test_pocket_and_rules_answer_real_faces(data_root, tmp_path):
    """Rendered truth is for others: here the embedded model reads portraits with marks, by both ways."""
    from mien.backends.base import open_reader

    suites = [open_suite("london-aus"), open_suite("ferbench-ferplus-val"), open_suite("explanations")]
    for name in ("pocket", "rules"):
        reader = open_reader(name, threads=1)
        plan = Plan(suites, tmp_path / name, {"": data_root}, limit=6, by=("gender",), threads=1)
        result = evaluate(plan, lambda fold, reader=reader: ReaderAnswers(reader), {"model": name})["suites"]
        assert result["london-aus"]["failed"] == 0 and set(result["london-aus"]["by"]["gender"]) <= {
            "female",
            "male",
        }
        labels = result["ferbench-ferplus-val"]["readings"]
        assert labels["official"]["accuracy"]["value"] >= 0.3
        assert labels["official"]["unparsed"] == labels["strict"]["unparsed"] == 0
        assert labels["official"]["ece"]["n"] == 6
        assert result["explanations"]["readings"]["official"]["supported"]["n"] > 0
    plan = Plan(suites[:1], tmp_path / "text", {"": data_root}, limit=3, threads=1)
    told = evaluate(plan, lambda fold: ReaderAnswers(open_reader("rules"), "text"), {"model": "rules"})
    assert told["suites"]["london-aus"]["n"] == 3
