"""``mien models import`` and ``export`` on checkpoints made here: the written folders open and answer alike."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import typer
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from mien.app.models.transfer import add_transfer, run_export, run_import
from mien.core.errors import BadConfig, MissingWeights, OutputFailed
from mien.layers.pointmlp import PointMLP
from mien.models.composite.adapters import save_adapters
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import prepare
from mien.models.emola import system as emola

IDS = torch.tensor([[1, 5, 9, 12]])


def llava_checkpoint(folder: Path) -> FacialLM:
    """A tiny LLaVA-1.5 under liuhaotian's names, and the model that it is."""
    torch.manual_seed(0)
    model = FacialLM(emola.configure("tiny", layout="visual")).eval()
    said: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        key = re.sub(r"^model\.language_model\.", "model.", key)
        key = re.sub(r"^model\.projectors\.image\.", "model.mm_projector.", key)
        key = re.sub(
            r"^model\.encoders\.image\.model\.", "model.vision_tower.vision_tower.vision_model.", key
        )
        said[key] = value
    folder.mkdir()
    torch.save({**said, "model.mm_resampler.weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    return model


def logits(model: FacialLM, ids: Tensor = IDS) -> Tensor:
    with torch.no_grad():
        said: Tensor = model.eval()(input_ids=ids).logits
    return said


def command() -> typer.Typer:
    app = typer.Typer()
    add_transfer(app)
    return app


def test_import_writes_a_model_folder(tmp_path: Path) -> None:
    expected = llava_checkpoint(tmp_path / "llava")
    (tmp_path / "tokenizer.json").write_text("{}")
    arguments = [
        "import", str(tmp_path / "llava"), "--format", "llava-1.5", "--out", str(tmp_path / "ours"), "--scale", "tiny",
        "--dtype", "float32", "--tokenizer", str(tmp_path / "tokenizer.json"),
    ]  # fmt: skip
    result = CliRunner().invoke(command(), arguments)
    assert result.exit_code == 0, result.output
    assert "1 unused: model.mm_resampler.weight" in result.output
    loaded = FacialLM.from_pretrained(tmp_path / "ours")
    assert torch.equal(logits(loaded), logits(expected))
    about = json.loads((tmp_path / "ours" / "mien.json").read_text())
    assert about["system"] == "emola" and about["options"] == {"layout": "visual"}
    assert about["inputs"] == {"crop_size": 28, "image_size": 28}
    assert (tmp_path / "ours" / "tokenizer.json").read_text() == "{}"
    with pytest.raises(OutputFailed, match="which holds a model"):
        run_import([tmp_path / "llava"], "llava-1.5", tmp_path / "ours", scale="tiny")


def test_import_makes_place_for_what_is_trained_on_top(tmp_path: Path) -> None:
    """EmoLA starts from LLaVA-1.5 with a new projector for its prior."""
    expected = llava_checkpoint(tmp_path / "llava")
    arguments = [
        "import", str(tmp_path / "llava"), "--format", "llava-1.5", "--out", str(tmp_path / "ours"), "--scale", "tiny",
        "--dtype", "float32",
    ]  # fmt: skip
    whole = CliRunner().invoke(command(), [*arguments, "--option", "layout=after"])
    assert whole.exit_code != 0 and "partial" in str(whole.exception)
    result = CliRunner().invoke(command(), [*arguments, "--option", "layout=after", "--partial"])
    assert result.exit_code == 0, result.output
    assert "missing: model.projectors.prior.0.bias" in result.output
    loaded = FacialLM.from_pretrained(tmp_path / "ours")
    assert list(loaded.config.evidence) == ["image", "prior"]
    assert torch.equal(logits(loaded), logits(expected))
    about = json.loads((tmp_path / "ours" / "mien.json").read_text())
    assert about["options"] == {"layout": "after"} and about["inputs"]["prior"] == "insightface"
    with pytest.raises(BadConfig, match="NAME=VALUE"):
        CliRunner().invoke(command(), [*arguments, "--option", "layout"], catch_exceptions=False)


def test_an_encoder_keeps_its_precision_unless_asked(tmp_path: Path) -> None:
    """Encoders are small, and outside nets are read in float32: rounding them saves nothing."""
    torch.manual_seed(0)
    state = PointMLP("tiny", points=64).state_dict()
    torch.save(
        {"state_dict": {f"module.point_encoder.{key}": value for key, value in state.items()}},
        tmp_path / "u.pt",
    )
    lines = run_import([tmp_path / "u.pt"], "ulip-pointmlp", tmp_path / "ours", scale="tiny")
    assert lines[0].startswith(f"{len(state)} weights into")
    run_import([tmp_path / "u.pt"], "ulip-pointmlp", tmp_path / "half", scale="tiny", dtype="bfloat16")
    got, half = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "half"))
    assert got.keys() == half.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(got[key], value)
        assert torch.equal(half[key], value.bfloat16() if value.is_floating_point() else value)
    about = json.loads((tmp_path / "ours" / "mien.json").read_text())
    assert about["encoder"] == "PointMLP" and about["options"]["variant"] == "tiny"


def trained(tmp_path: Path) -> tuple[FacialLM, Path, Path]:
    """An imported model, its folder, and the adapters of a stage whose values are all random."""
    llava_checkpoint(tmp_path / "llava")
    run_import([tmp_path / "llava"], "llava-1.5", tmp_path / "base", scale="tiny", dtype="float32")
    model: FacialLM = FacialLM.from_pretrained(tmp_path / "base")
    stage = emola.SYSTEM.stages["lora"]
    names = prepare(model, stage)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in names:
                parameter.normal_(0.0, 0.05)
    save_adapters(model, stage, tmp_path / "adapters")
    return model, tmp_path / "base", tmp_path / "adapters"


def test_export_merges(tmp_path: Path) -> None:
    model, base, adapters = trained(tmp_path)
    lines = run_export(base, tmp_path / "whole", adapter=adapters)
    assert lines[0] == "14 adapters merged"  # 7 layers of 2 blocks
    loaded = FacialLM.from_pretrained(tmp_path / "whole")
    torch.testing.assert_close(logits(loaded), logits(model), atol=1e-5, rtol=1e-5)
    assert (logits(loaded) - logits(FacialLM.from_pretrained(base))).abs().max() > 1e-3
    assert json.loads((tmp_path / "whole" / "mien.json").read_text())["system"] == "emola"


# PEFT 0.21 reads a name that transformers 5 renamed.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_exported_adapter_is_pefts(tmp_path: Path) -> None:
    """PEFT puts it on the bare decoder, which then says what the adapted composite says of text."""
    model, base, adapters = trained(tmp_path)
    result = CliRunner().invoke(
        command(), ["export", str(adapters), "--adapter-only", "--out", str(tmp_path / "peft")]
    )
    assert result.exit_code == 0, result.output
    whole: FacialLM = FacialLM.from_pretrained(base)
    decoder = LlamaForCausalLM(LlamaConfig(**whole.config.text_config.to_dict()))
    decoder.model.load_state_dict(whole.model.language_model.state_dict())
    decoder.lm_head.load_state_dict(whole.lm_head.state_dict())
    adapted = PeftModel.from_pretrained(decoder, tmp_path / "peft").eval()
    with torch.no_grad():
        torch.testing.assert_close(adapted(input_ids=IDS).logits, logits(model), atol=1e-5, rtol=1e-5)


def test_speaks_about_bad_requests(tmp_path: Path) -> None:
    llava_checkpoint(tmp_path / "llava")
    out = tmp_path / "out"
    with pytest.raises(BadConfig, match="float32, bfloat16"):
        run_import([tmp_path / "llava"], "llava-1.5", out, scale="tiny", dtype="int3")
    with pytest.raises(BadConfig, match="facexformer"):
        run_import([tmp_path / "llava"], "openface", out)
    with pytest.raises(MissingWeights, match=r"no file .*llava-hf"):
        run_import([tmp_path / "llava"], "llava-1.5", out, scale="tiny", tokenizer=tmp_path / "none.json")
    with pytest.raises(MissingWeights, match="where no weight file is"):
        run_import([tmp_path / "absent"], "expllm", out, scale="tiny")
    with pytest.raises(MissingWeights, match=r"RUN/model"):
        run_export(tmp_path / "llava", out)
    with pytest.raises(MissingWeights, match="readable adapters"):
        run_export(tmp_path / "llava", out, adapter_only=True)
    with pytest.raises(BadConfig, match="one of them"):
        run_export(tmp_path, out, adapter=tmp_path, adapter_only=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="can be made"):
        run_import([tmp_path / "llava"], "llava-1.5", tmp_path / "file" / "out", scale="tiny")
    assert not (out / "mien.json").exists()
