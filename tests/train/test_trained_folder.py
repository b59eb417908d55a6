"""The folder of a run: whose it is, what lies in it, and what `mien models export` makes of its adapters."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoProcessor
from typer.testing import CliRunner

from mien.app.cli import app, main
from mien.core.errors import BadConfig, OutputFailed
from mien.core.run_record import RunRecord
from mien.models.composite.adapters import adapter_folders
from mien.models.composite.processor import FacialProcessor
from mien.train.recipe import Recipe
from mien.train.recipe_files import load_recipe
from mien.train.run_folder import RECIPE, claim
from mien.train.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")


def tiny(data: Path, *changes: str) -> Recipe:
    return load_recipe("emola", "tiny", [f"data.0.root={data}", f"validation.0.root={data}", *changes])


@pytest.fixture(scope="module")
def base(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return Run(tiny(tiny_data), tmp_path_factory.mktemp("runs") / "base").train()


def test_the_command_is_tidy_and_takes_the_data_that_it_is_given(
    base: Path,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The mix and one line per stage beside the folder; an explicit root goes before the folder of the packs."""
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "no data"))
    out = tmp_path / "run"
    roots = [f"data.0.root={tiny_data}", f"validation.0.root={tiny_data}"]
    monkeypatch.setattr(sys, "argv", ["mien", "train", "emola", "--scale", "tiny", "--out", str(out), *roots])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    told = capfd.readouterr()
    assert told.out == f"{out}\n"
    mix, line = told.err.splitlines()
    assert mix == "16 dialogues in an epoch: ferplus/train emotion 16 (100.0%)"
    assert line.startswith("stage code: step 4 of 4")
    assert (out / "model" / "model.safetensors").read_bytes() == (
        base / "model" / "model.safetensors"
    ).read_bytes()


def test_the_processor_knows_its_system(base: Path) -> None:
    processor = AutoProcessor.from_pretrained(base / "model")
    assert isinstance(processor, FacialProcessor)
    assert (processor.system, processor.scale) == ("emola", "tiny")
    assert processor.inputs == json.loads((base / "model" / "mien.json").read_text())["inputs"]
    words = Tokenizer.from_file(str(base / "model" / "tokenizer.json"))
    assert processor.tokenizer.get_vocab() == words.get_vocab()
    assert processor.tokenizer.eos_token == "</s>" and processor.tokenizer.pad_token == "<pad>"
    assert processor.tokenizer("Anger and fear.").input_ids == words.encode("Anger and fear.").ids


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("seed=2", "seed = 1, for a recipe with 2"),
        ("stages.0.learning_rate=5.0", r"stages\.0\.learning_rate = 0.001, for a recipe with 5.0"),
        ("data.0.limit=8", "limit = 16, for a recipe with 8"),
    ],
)
def test_another_recipe_does_not_go_on_there(change: str, named: str, base: Path, tiny_data: Path) -> None:
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    with pytest.raises(BadConfig, match=named):
        Run(tiny(tiny_data, change), base).train()
    assert before == {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}


def test_a_run_of_before_is_known_by_its_record(base: Path, tiny_data: Path, tmp_path: Path) -> None:
    """Folders without ``recipe.json``: the record says the same, and what is no run of a recipe is left alone."""
    old = tmp_path / "old"
    shutil.copytree(base, old)
    (old / RECIPE).unlink()
    with pytest.raises(BadConfig, match="seed = 1"):
        claim(old, tiny(tiny_data, "seed=2"))
    claim(old, tiny(tiny_data))
    assert (old / RECIPE).read_bytes() == (base / RECIPE).read_bytes()
    (tmp_path / "other").mkdir()
    RunRecord.start({"model": "pocket"}).finish(items=1).write(tmp_path / "other" / "run.json")
    for folder in (tmp_path / "other", base / "model"):
        with pytest.raises(BadConfig, match="holds no run of a recipe"):
            claim(folder, tiny(tiny_data))


def test_a_run_that_learned_nothing_yet_may_be_corrected(tiny_data: Path, tmp_path: Path) -> None:
    claim(tmp_path, tiny(tiny_data, "attention=sdpa"))
    (tmp_path / "tokenizer.json").write_text("{}")
    claim(tmp_path, tiny(tiny_data))
    assert not (tmp_path / "tokenizer.json").exists()
    (tmp_path / "stages" / "0-code").mkdir()
    with pytest.raises(BadConfig, match="attention = None, for a recipe with 'sdpa'"):
        claim(tmp_path, tiny(tiny_data, "attention=sdpa"))


def test_a_folder_that_cannot_be(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputFailed, match="Not a directory"):
        claim(tmp_path / "file" / "run", tiny(tiny_data))


def test_adapters_make_the_trained_model_of_the_one_it_started_from(
    base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    run = Run(tiny(tiny_data, f"weights.model={base}", "seed=3"), tmp_path / "run").train()
    result = CliRunner().invoke(
        app,
        [
            "models",
            "export",
            str(base / "model"),
            "--adapter",
            str(run / "adapters"),
            "-o",
            str(tmp_path / "whole"),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "14 adapters merged" in result.output
    start, made, wanted = (
        load_file(folder / "model.safetensors")
        for folder in (base / "model", tmp_path / "whole", run / "model")
    )
    assert made.keys() == wanted.keys()
    assert all(torch.equal(made[name], wanted[name]) for name in wanted)
    assert any(not torch.equal(start[name], wanted[name]) for name in wanted)
    result = CliRunner().invoke(
        app, ["models", "export", str(run / "adapters"), "--adapter-only", "-o", str(tmp_path / "peft")]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "peft" / "adapter_config.json").is_file()
    _check_refusals(run, tmp_path)


def _check_refusals(run: Path, tmp_path: Path) -> None:
    """A failed export leaves nothing; two stages are two sets of adapters."""
    wrong = run / "stages" / "0-code.safetensors"
    result = CliRunner().invoke(
        app, ["models", "export", str(wrong), "--adapter-only", "-o", str(tmp_path / "no")]
    )
    assert "Pass" in str(result.exception) and not (tmp_path / "no").exists()
    several = run / "adapters"
    shutil.copytree(several / "0-code", several / "10-last")
    shutil.copytree(several / "0-code", several / "2-next")
    assert [path.name for path in adapter_folders(several)] == ["0-code", "2-next", "10-last"]
    result = CliRunner().invoke(
        app, ["models", "export", str(several), "--adapter-only", "-o", str(tmp_path / "no")]
    )
    assert "the adapters of 3 stages" in str(result.exception) and not (tmp_path / "no").exists()
