"""Every system, tiny and random, answers suites: by likelihood, in words, and by its own published questions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch", reason="trained systems need torch")

from typer.testing import CliRunner  # noqa: E402

from mien.app.cli import app  # noqa: E402
from mien.backends.base import open_reader  # noqa: E402
from mien.core.errors import MienError  # noqa: E402
from mien.evaluate.answering import ReaderAnswers  # noqa: E402
from mien.evaluate.run import Plan, evaluate, read_rows  # noqa: E402
from mien.evaluate.suite import open_suite, suite_names  # noqa: E402
from mien.models.registry import SYSTEMS, open_system  # noqa: E402


def _tiny() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "mien_tiny_systems", Path(__file__).parents[1] / "backends" / "test_torch.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_published_question_can_be_put():
    for name in suite_names():
        for system, own in open_suite(name).asks.items():
            opened = open_system(system).laid_out(own.template)
            for asked in own.rounds:
                assert opened.ask(**asked)


def test_a_damaged_checkpoint_is_told_in_a_sentence_and_leaves_no_run(miniature, tmp_path):
    folder, out = _tiny().write(tmp_path / "model", "facephi"), tmp_path / "run"
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    words = ["eval", str(folder), "--suite", "rafdb", "--root", str(miniature("rafdb")), "--out", str(out)]
    for harm in (whole[:-200], whole[:5], b"", b"{" * len(whole)):
        weights.write_bytes(harm)
        found = CliRunner().invoke(app, words)
        assert isinstance(found.exception, MienError), found.exception
        assert "model" in str(found.exception) and "\n" not in str(found.exception) and not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_tiny_system_answers_both_ways(name, data_root, tmp_path):
    folder = _tiny().write(tmp_path / "model", name)
    reader = open_reader(str(folder), threads=1)
    base = open_suite("ferplus-val").model_dump()
    rounds = {
        "expllm": [{"task": "label"}, {"task": "cot"}], "au-llava": [{"task": "disfa"}], "facephi": [{"question": 2}],
        "emola": [{"task": "rafdb"}], "emo-llama": [{"task": "image"}],
    }[name]  # fmt: skip
    own = {name: {"rounds": rounds, "max_new_tokens": 4, "sampling": {}}}
    template = "llava_v1" if name == "emola" else None
    suite = type(open_suite("rafdb")).model_validate(
        base
        | {
            "data": {"dataset": "london", "split": "val"},
            "asks": {name: own[name] | {"template": template}},
            "max_new_tokens": 4,
        }
    )
    found = {}
    for readout in ("likelihood", "text"):
        plan = Plan([suite], tmp_path / readout, {"": data_root}, limit=3, threads=1)
        model = ReaderAnswers(reader, readout)
        assert model.name == name
        evaluate(plan, lambda fold, model=model: model, {"model": name})
        found[readout] = read_rows(tmp_path / readout)
        assert [row["status"] for row in found[readout]] == ["answered"] * 3
    assert all(row["answer"] in suite.words and row["scores"] for row in found["likelihood"])
    assert not any(row["scores"] for row in found["text"])
    free = suite.model_copy(update={"asks": {}})
    evaluate(Plan([free], tmp_path / "free", {"": data_root}, limit=2, threads=1), lambda fold: model, {})
    assert all(row["status"] == "answered" for row in read_rows(tmp_path / "free"))
