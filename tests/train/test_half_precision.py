"""Stages on decoders published in half precision: nothing turns to NaN, and what is written has one format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mien.models.composite.adapters import merge_adapters, trained_state
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.precision import one_precision
from mien.models.composite.systems import Lora, Stage, prepare
from mien.models.registry import open_system
from mien.train.stage_trainer import StageOptions, run_stage

STEPS = 10
LAYERS = r"model\.language_model\.layers\.\d+\.(?:self_attn|mlp)\..*"
STAGES = {
    "projector": Stage(("model.projectors.",), 2.5e-3, 2, 1),
    "adapters": Stage(("model.projectors.",), 2e-4, 2, 1, lora=Lora((LAYERS,), 4, 8)),
    "decoder": Stage(("model.projectors.", "model.language_model.", "lm_head."), 2.5e-4, 2, 1),
    "encoder": Stage(("model.encoders.landmarks.", "model.projectors."), 2.5e-4, 2, 1),
}
CLOUDS = torch.rand(6, 478, 3, generator=torch.Generator().manual_seed(0)) * 200.0 + 800.0


def batch(rows: Sequence[int]) -> dict[str, Any]:
    ids = torch.tensor([[1, -200, 5, 6, 7 + row % 3, 2] for row in rows])
    labels = ids.clone()
    labels[:, :4] = -100
    return {"input_ids": ids, "labels": labels, "evidence": {"landmarks": CLOUDS[[row % 6 for row in rows]]}}


NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="fp16 needs a GPU")


@pytest.mark.parametrize("precision", ["bf16", "fp32", pytest.param("fp16", marks=NEEDS_GPU)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", STAGES)
def test_stages_learn_on_a_half_precision_decoder(
    name: str, dtype: torch.dtype, precision: Any, tmp_path: Path
) -> None:
    stage = replace(STAGES[name], precision=precision)
    config = open_system("facephi").configure("tiny")
    torch.manual_seed(0)
    decoder = AutoModelForCausalLM.from_config(config.text_config).to(dtype)
    model = FacialLM.from_decoder(decoder, config.evidence)
    prepare(model, stage)
    before = {key: value.clone() for key, value in trained_state(model).items()}
    run_stage(model, stage, range(STEPS * stage.batch), batch, StageOptions(tmp_path / "stage"))  # type: ignore[arg-type]
    after = trained_state(model)
    assert all(bool(value.isfinite().all()) for value in after.values())
    learning = [key for key, parameter in model.named_parameters() if parameter.requires_grad]
    assert {after[key].dtype for key in learning} == {torch.float32}
    assert any(not torch.equal(after[key], before[key]) for key in learning)
    merge_adapters(model)
    one_precision(model).save_pretrained(tmp_path / "model")
    written = load_file(tmp_path / "model" / "model.safetensors")
    found = {value.dtype for value in written.values() if value.is_floating_point()}
    frozen = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, dtype)
    assert found == {torch.float32 if name == "decoder" else frozen}
    inputs = {key: value for key, value in batch([0, 1]).items() if key != "labels"}
    with torch.no_grad():
        assert bool(model.eval()(**inputs).logits.isfinite().all())
