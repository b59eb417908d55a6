"""Adapter checkpoints, merging, pretrained parts, precisions and quantised decoders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from mien.core.errors import BadConfig, MissingDependency, MissingWeights
from mien.models.composite.adapters import load_adapters, merge_adapters, save_adapters
from mien.models.composite.assemble import assemble
from mien.models.composite.backbones import DECODERS, TOWERS, WEIGHTS, decoder_fields
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import prepare
from mien.models.expllm import system as expllm
from mien.models.registry import SYSTEMS, open_system

STAGE = expllm.SYSTEM.stages["stage2-rafdb"]
IDS = torch.tensor([[1, 5, *[-200] * 4, 7, 8]])


def build(**options: Any) -> FacialLM:
    torch.manual_seed(0)
    return FacialLM(expllm.configure("tiny", **options)).eval()


def logits(model: FacialLM) -> torch.Tensor:
    pixels = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS, evidence={"image": pixels}).logits
    return found


def trained(model: FacialLM) -> FacialLM:
    """Adapters and what is trained whole, moved away from their start."""
    prepare(model, STAGE)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


def test_a_checkpoint_of_adapters_alone_brings_the_model_back(tmp_path: Path) -> None:
    base = build()
    before = logits(base)
    model = trained(build())
    after = logits(model)
    names = save_adapters(model, STAGE, tmp_path)
    assert (after - before).abs().max() > 1e-2
    assert any(".lora_A" in name for name in names) and any("projectors.image" in name for name in names)
    size = (tmp_path / "adapter.safetensors").stat().st_size
    assert size < sum(p.numel() * 4 for p in model.parameters()) / 2
    loaded = build()
    assert load_adapters(loaded, tmp_path) == names
    torch.testing.assert_close(logits(loaded), after)
    assert sorted(name for name, p in loaded.named_parameters() if p.requires_grad) == names


def test_running_statistics_come_back(tmp_path: Path) -> None:
    facephi = open_system("facephi")
    stage = facephi.stages["align"]

    def begun() -> FacialLM:
        torch.manual_seed(0)
        return FacialLM(facephi.configure("tiny"))

    points = torch.randn(8, 478, 3, generator=torch.Generator().manual_seed(1))
    model = begun()
    prepare(model, stage)
    encoder = model.model.encoders["landmarks"].train()
    for _ in range(5):
        encoder(points)  # moves the statistics and no parameter
    names = save_adapters(model, stage, tmp_path)
    loaded = begun()
    assert load_adapters(loaded, tmp_path) == names
    with torch.no_grad():
        moved = model.eval().model.project("landmarks", points)
        torch.testing.assert_close(loaded.eval().model.project("landmarks", points), moved)
        assert not torch.allclose(begun().eval().model.project("landmarks", points), moved, rtol=0.05)


def test_merged_is_equal_and_plain(tmp_path: Path) -> None:
    model = trained(build())
    expected = logits(model)
    assert merge_adapters(model) == 8  # q and v of two layers, in both towers
    torch.testing.assert_close(logits(model), expected, atol=1e-4, rtol=1e-4)
    assert set(model.state_dict()) == set(build().state_dict())
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(FacialLM.from_pretrained(tmp_path)), expected, atol=1e-4, rtol=1e-4)
    assert merge_adapters(model) == 0
    # ExpLLM's code has two stages with adapters: a second set begins anew, without PEFT's warning of two at once.
    assert prepare(model, expllm.SYSTEM.stages["code-rafdb"]) and merge_adapters(model) == 8


def test_adapters_of_another_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="nothing learns"):
        save_adapters(build().requires_grad_(False), STAGE, tmp_path)
    save_adapters(trained(build()), STAGE, tmp_path)
    with pytest.raises(MissingWeights, match="of which this model has no equal"):
        load_adapters(build(projector="linear"), tmp_path)
    torch.manual_seed(0)
    with pytest.raises((BadConfig, MissingWeights)):
        load_adapters(FacialLM(open_system("facephi").configure("tiny")), tmp_path)
    (tmp_path / "adapter.json").write_text("{")
    with pytest.raises(MissingWeights, match="without readable adapters"):
        load_adapters(build(), tmp_path)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A decoder and a tower as their own folders, as downloaded ones would be."""
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(3)
    for kind, auto, fields in (
        ("decoder", AutoModelForCausalLM, DECODERS["llama-tiny"]),
        ("image", AutoModel, TOWERS["dinov2-tiny"]),
    ):
        settings = AutoConfig.for_model(**fields)
        auto.from_config(settings).save_pretrained(folder / kind)
    return {kind: str(folder / kind) for kind in ("decoder", "image")}


def test_a_system_is_built_around_downloaded_parts(parts: dict[str, str]) -> None:
    model = assemble(expllm.SYSTEM, "tiny", parts)
    decoder = AutoModelForCausalLM.from_pretrained(parts["decoder"]).state_dict()
    ours = model.model.language_model.state_dict()
    assert all(torch.equal(ours[key.removeprefix("model.")], value) for key, value in decoder.items()
               if key.startswith("model."))  # fmt: skip
    assert torch.equal(model.lm_head.weight, decoder["lm_head.weight"])
    tower = AutoModel.from_pretrained(parts["image"]).state_dict()
    found = model.model.encoders["image"].model.state_dict()
    assert tower.keys() == found.keys() and all(torch.equal(found[key], tower[key]) for key in tower)
    named = assemble(
        expllm.SYSTEM, "paper", parts, decoder=parts["decoder"], tower=parts["image"], image_size=28
    )
    assert named.config.text_config.hidden_size == 32 and named.config.evidence["image"]["rows"] == 4
    assert logits(named).shape == (1, 8, 300)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_throughout(parts: dict[str, str], precision: Any, dtype: torch.dtype) -> None:
    whole = assemble(expllm.SYSTEM, "tiny", parts)
    model = assemble(expllm.SYSTEM, "tiny", parts, precision=precision)
    model.model.projectors.load_state_dict(whole.model.projectors.state_dict())
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    torch.testing.assert_close(logits(model).float(), logits(whole), atol=3e-3, rtol=0.05)


def test_absent_weights_say_where_they_are_published(parts: dict[str, str], tmp_path: Path) -> None:
    for name in SYSTEMS:
        system = open_system(name)
        with pytest.raises(MissingWeights, match="decoder: published as") as error:
            assemble(system, "paper", {})
        assert all(place in str(error.value) for place in system.weights.values())
    with pytest.raises(MissingWeights, match=r"weights=\{'image': FOLDER"):
        assemble(expllm.SYSTEM, "base", {"decoder": parts["decoder"]})
    with pytest.raises(MissingWeights, match="cannot be read"):
        assemble(expllm.SYSTEM, "tiny", {**parts, "decoder": str(tmp_path)})
    with pytest.raises(BadConfig, match="decoder of width 32"):
        assemble(expllm.SYSTEM, "small", parts)
    with pytest.raises(BadConfig, match="fp32, bf16, fp16"):
        assemble(expllm.SYSTEM, "tiny", parts, precision="fp8")  # type: ignore[arg-type]


def test_backbones_are_names_folders_or_hub_ids(parts: dict[str, str], tmp_path: Path) -> None:
    assert decoder_fields(parts["decoder"])["hidden_size"] == 32
    assert decoder_fields("llama-tiny", vocabulary=77)["vocab_size"] == 77
    with pytest.raises(BadConfig, match="a folder, or a hub id"):
        expllm.configure("tiny", decoder="no such decoder")
    with pytest.raises(MissingWeights, match="without a configuration"):
        expllm.configure("tiny", tower=str(tmp_path))
    with pytest.raises(BadConfig, match="patches of 14 px"):
        expllm.configure("tiny", image_size=30)
    assert all("/" in place for place in WEIGHTS.values())


def test_bits_need_bitsandbytes(parts: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingDependency, match=r"pip install 'mien\[quant\]'"):
        assemble(expllm.SYSTEM, "tiny", parts, bits=4)


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_decoders_take_adapters(parts: dict[str, str], tmp_path: Path, bits: Any) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra 'quant'")
    # Blocks of 64 values: the tiny decoder is too narrow.
    wide = {"hidden_size": 128, "intermediate_size": 256, "num_key_value_heads": 4}
    settings = AutoConfig.for_model(**{**DECODERS["llama-tiny"], **wide})
    AutoModelForCausalLM.from_config(settings).save_pretrained(tmp_path)
    places = {**parts, "decoder": str(tmp_path)}
    whole = assemble(expllm.SYSTEM, "tiny", places, decoder=str(tmp_path))
    model = assemble(expllm.SYSTEM, "tiny", places, decoder=str(tmp_path), bits=bits)
    model.model.projectors.load_state_dict(whole.model.projectors.state_dict())
    kinds = {type(part).__name__ for part in model.model.language_model.modules()}
    assert kinds & {"Linear4bit", "Linear8bitLt"}
    names = prepare(model, STAGE)
    assert any("language_model" in name and ".lora_" in name for name in names)
    found = torch.stack([logits(model).float().flatten(), logits(whole).flatten()])
    assert torch.corrcoef(found)[0, 1] > 0.95


def test_the_description_of_adapters_is_plain_json(tmp_path: Path) -> None:
    save_adapters(trained(build()), STAGE, tmp_path)
    about = json.loads((tmp_path / "adapter.json").read_text())
    assert about["lora"]["rank"] == 8 and about["names"]
