"""``mien models list | info | verify | export`` on runs and model folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from typer.testing import CliRunner

from mien.app.cli import app
from mien.app.models.transfer import run_export, run_import
from mien.core.errors import BadConfig, MissingWeights
from mien.layers.pointmlp import PointMLP
from mien.models.composite.facial_lm import FacialLM
from mien.models.formats.loading import open_facial
from mien.models.formats.model_folders import check_model, seal
from mien.models.registry import SYSTEMS, open_system


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


def write(folder: Path, name: str, **card: Any) -> Path:
    torch.manual_seed(0)
    FacialLM(open_system(name).configure("tiny")).save_pretrained(folder)
    Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1}, "<pad>")).save(str(folder / "tokenizer.json"))
    about = {"system": name, "scale": "tiny", "options": {}, "inputs": {"image_size": 28}, **card}
    (folder / "mien.json").write_text(json.dumps(about))
    seal(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write(folder / "model", "emola", task="emotion", tasks=["emotion", "au"])
    (folder / "run.json").write_text("{}")
    return folder


def said(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["models", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def test_a_run_is_described(run: Path) -> None:
    assert "emola, scale tiny" in said("list", run) and "F32" in said("list", run / "model")
    told = said("info", run)
    model = open_facial(run)
    prior = sum(p.numel() for p in model.model.projectors["prior"].parameters())
    total = sum(p.numel() for p in model.parameters())
    for part in (
        "emola", "tiny", "trained by mien", "vision: ", f"mlp2x_gelu, 1 rows per item: {prior:,} parameters",
        "LlamaModel: ", f"{total:,} parameters in F32", "emotion, au", "image_size=28", "outside nets",
    ):  # fmt: skip
        assert part in told


def test_the_outside_nets_that_a_model_wants_are_named(tmp_path: Path) -> None:
    write(tmp_path, "emola", inputs={"image_size": 28, "prior": "insightface"})
    told = said("info", tmp_path)
    assert "2d106det.onnx" in told and "MISSING" in told and "buffalo_l" in told
    assert "2d106det.onnx" in said("verify", tmp_path, status=1)


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_written_is_whole(tmp_path: Path, name: str) -> None:
    assert {one.state for one in check_model(write(tmp_path, name))} == {"ok"}


def test_damage_is_found(run: Path, tmp_path: Path) -> None:
    assert "damaged" not in said("verify", run)
    path = write(tmp_path, "expllm") / "model.safetensors"
    state = load_file(path)
    state["model.projectors.image.2.weight"] = torch.zeros(2, 2)
    del state["lm_head.weight"]
    save_file({**state, "extra": torch.zeros(1)}, path, metadata={"format": "pt"})
    (tmp_path / "tokenizer.json").unlink()
    told = said("verify", tmp_path, status=1)
    assert "changed" in told and "missing" in told
    assert "1 missing, such as lm_head.weight; 1 unknown, such as extra" in told
    assert "1 of another shape, such as model.projectors.image.2.weight" in told
    path.write_bytes(path.read_bytes()[:200])
    assert "cannot be read" in said("verify", tmp_path, status=1)
    (tmp_path / "mien.json").write_text("{")
    assert "no JSON" in said("verify", tmp_path, status=1)
    with pytest.raises(BadConfig, match="without a model"):
        CliRunner().invoke(app, ["models", "verify", str(tmp_path.parent)], catch_exceptions=False)
    with pytest.raises(BadConfig, match="a run, or a model folder"):
        CliRunner().invoke(app, ["models", "info", "nobody"], catch_exceptions=False)


def test_files_without_a_record_are_no_fault(tmp_path: Path) -> None:
    card = write(tmp_path, "expllm") / "mien.json"
    about = json.loads(card.read_text())
    del about["sha256"]
    card.write_text(json.dumps(about))
    assert "not recorded" in said("verify", tmp_path)


def test_an_imported_encoder(tmp_path: Path) -> None:
    torch.save(PointMLP("tiny", points=64).state_dict(), tmp_path / "p.pt")
    run_import([tmp_path / "p.pt"], "pointmlp", tmp_path / "ours", scale="tiny")
    count = sum(value.numel() for value in PointMLP("tiny", points=64).state_dict().values())
    assert f"PointMLP: {count:,} parameters" in said("info", tmp_path / "ours")
    assert "imported from pointmlp" in said("info", tmp_path / "ours")
    assert "model.safetensors" in said("verify", tmp_path / "ours")


def test_export_takes_a_run(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_export(run, tmp_path / "whole", dtype="bfloat16") == [
        f"model in {tmp_path / 'whole'} (bfloat16)"
    ]
    assert capfd.readouterr() == ("", "")
    assert {one.state for one in check_model(tmp_path / "whole")} == {"ok"}
    weight = "model.projectors.image.0.weight"
    whole, own = (
        load_file(tmp_path / "whole" / "model.safetensors"),
        load_file(run / "model" / "model.safetensors"),
    )
    assert torch.equal(whole[weight], own[weight].bfloat16())
    with pytest.raises(BadConfig, match="whose model holds them already"):
        run_export(run, tmp_path / "twice", adapter=run / "adapters")
    assert not (tmp_path / "twice").exists()


def test_random_weights_are_not_exported(tmp_path: Path) -> None:
    path = write(tmp_path / "model", "emola") / "model.safetensors"
    state = {key: value for key, value in load_file(path).items() if "projectors.image" not in key}
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(MissingWeights, match=r"such as model\.projectors\.image"):
        run_export(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hints_name_the_command_s_options(tmp_path: Path) -> None:
    state = {"model.embed_tokens.weight": torch.zeros(300, 32)}
    torch.save(state, tmp_path / "x.bin")
    with pytest.raises(MissingWeights, match="--partial"):
        run_import([tmp_path / "x.bin"], "llava-1.5", tmp_path / "out", scale="tiny")
    assert "paper, base, small or tiny" in " ".join(said("import", "--help").replace("│", " ").split())
