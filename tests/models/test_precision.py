"""Number formats: what learns is float32 on any base, geometry too, and evidence comes from any device."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from mien.layers.point_groups import PointGroups
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.precision import one_precision
from mien.models.composite.systems import Lora, Stage, prepare
from mien.models.emola import system as emola
from mien.models.facephi import system as facephi
from mien.models.formats.encoder_export import EvidenceGraph, export_onnx
from mien.models.registry import open_system

LORA = Lora((r"model\.language_model\.layers\.\d+\.self_attn\.[qv]_proj",), rank=2, alpha=4)
NEARER = torch.tensor([512.0, 512.0, 0.0])
HALVES = [torch.float16, torch.bfloat16]


def build(dtype: torch.dtype, system: str = "facephi") -> FacialLM:
    """A composite whose decoder is in a half precision, as published files are."""
    config = open_system(system).configure("tiny")
    torch.manual_seed(0)
    decoder = AutoModelForCausalLM.from_config(config.text_config).to(dtype)
    return FacialLM.from_decoder(decoder, config.evidence).eval()


def pixels(count: int = 2) -> torch.Tensor:
    """(N, 478, 3) landmarks of a face 200 px wide in the corner of a large photo."""
    cloud = torch.rand(count, 478, 3, generator=torch.Generator().manual_seed(3))
    return cloud * 200.0 + torch.tensor([900.0, 700.0, -50.0])


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "stage",
    [
        Stage(("model.projectors.",), 1e-3, 1, 1, precision="fp32"),
        Stage(("model.projectors.",), 1e-3, 1, 1, lora=LORA, precision="fp32"),
        Stage(("model.language_model.", "lm_head."), 1e-3, 1, 1, precision="fp32"),
        Stage(("model.language_model.norm.",), 1e-3, 1, 1, precision="fp32"),
        Stage(("model.encoders.",), 1e-3, 1, 1, precision="fp32"),
    ],
    ids=["projector", "adapters", "decoder", "norm", "encoder"],
)
def test_what_learns_is_float32_and_still_computes(stage: Stage, dtype: torch.dtype) -> None:
    model = build(dtype, "emola").to(dtype)
    names = prepare(model, stage)
    assert names and {model.get_parameter(name).dtype for name in names} == {torch.float32}
    frozen = {p.dtype for p in model.model.language_model.parameters() if not p.requires_grad}
    whole = any(start.startswith("model.language_model.") for start in stage.trains)
    assert frozen == (set() if "lm_head." in stage.trains else {torch.float32 if whole else dtype})
    # Outside of mixed precision as well: no part holds two formats that meet.
    ids = torch.tensor([[1, *[-200] * 4, 5, 6]])
    made = model.train()(
        input_ids=ids, evidence={"image": torch.randn(1, 3, 28, 28)}, labels=ids.clamp(min=0)
    )
    made.loss.backward()
    grads = [grad for name in names if (grad := model.get_parameter(name).grad) is not None]
    assert grads and all(grad.dtype == torch.float32 and bool(grad.isfinite().all()) for grad in grads)


def test_two_half_precisions_never_meet() -> None:
    model = build(torch.float16)
    prepare(model, Stage(("model.projectors.",), 1e-3, 1, 1, precision="bf16"))
    assert {p.dtype for p in model.model.language_model.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.model.encoders.parameters()} == {torch.float32}


def test_running_statistics_of_what_learns_are_float32() -> None:
    model = build(torch.float16).half()
    prepare(model, Stage(("model.encoders.landmarks.",), 1e-3, 1, 1, precision="fp16"))
    encoder = model.model.encoders["landmarks"]
    assert {b.dtype for b in encoder.buffers() if b.is_floating_point()} == {torch.float32}
    assert {p.dtype for p in model.model.language_model.parameters()} == {torch.float16}


@pytest.mark.parametrize("dtype", HALVES)
def test_a_finished_model_is_read_back_as_it_was(dtype: torch.dtype, tmp_path: Path) -> None:
    model = build(dtype)
    prepare(model, Stage(("model.projectors.",), 1e-3, 1, 1, precision="fp32"))
    one_precision(model).save_pretrained(tmp_path)
    loaded = FacialLM.from_pretrained(tmp_path).eval()
    assert {p.dtype for p in loaded.parameters()} == {dtype}
    ids, evidence = torch.tensor([[1, -200, 5, 6]]), {"landmarks": pixels(1)}
    with torch.no_grad():
        assert torch.equal(
            model(input_ids=ids, evidence=evidence).logits, loaded(input_ids=ids, evidence=evidence).logits
        )


def test_a_tower_is_read_back_as_it_was(tmp_path: Path) -> None:
    config = emola.configure("tiny")
    # As in the folder of a published tower.
    config.evidence["image"]["encoder"]["config"]["dtype"] = "float32"
    FacialLM(config).bfloat16().save_pretrained(tmp_path)
    assert {p.dtype for p in FacialLM.from_pretrained(tmp_path).parameters()} == {torch.bfloat16}


def test_a_decoder_that_learned_stays_float32() -> None:
    model = build(torch.float16)
    prepare(model, Stage(("model.language_model.", "lm_head."), 1e-3, 1, 1))
    assert {p.dtype for p in one_precision(model).parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_does_not_move_landmarks(dtype: torch.dtype) -> None:
    model = build(torch.float32)
    with torch.no_grad():
        exact = model.model.project("landmarks", pixels())
        model.to(dtype)
        near = model.model.project("landmarks", pixels())
        # The same face found nearer to the corner of a smaller photo: nothing was rounded on the way.
        same = model.model.project("landmarks", (pixels() - NEARER) / 4.0)
        graph = EvidenceGraph(model, "landmarks")(pixels())
    assert near.dtype == dtype and torch.equal(near, same) and torch.equal(near, graph)
    assert float((near.float() - exact).norm() / exact.norm()) < (0.01 if dtype == torch.float16 else 0.08)


def test_point_groups_do_not_move_landmarks() -> None:
    torch.manual_seed(0)
    encoder = PointGroups(groups=8, neighbors=4, width=12, layers=1, heads=2).eval().bfloat16()
    with torch.no_grad():
        assert torch.equal(encoder(pixels()), encoder((pixels() - NEARER) / 4.0))


def test_the_graph_of_a_half_model_takes_float32_landmarks(tmp_path: Path) -> None:
    model = build(torch.float16).half()
    export_onnx(model, "landmarks", pixels(), tmp_path / "points.onnx")
    (entry,) = onnx.load(tmp_path / "points.onnx").graph.input
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    session = onnxruntime.InferenceSession(tmp_path / "points.onnx", providers=["CPUExecutionProvider"])
    (rows,) = session.run(None, {"landmarks": pixels().numpy()})
    with torch.no_grad():
        expected = model.model.project("landmarks", pixels())
    torch.testing.assert_close(torch.from_numpy(rows).float(), expected.float(), atol=0.02, rtol=0.02)


def test_evidence_and_ids_go_to_the_model_s_device() -> None:
    """``meta`` stands in for an accelerator: torch refuses to mix its tensors with others."""
    model = FacialLM(emola.configure("tiny"))
    model.to("meta")
    width = model.config.text_config.hidden_size
    rows = model.model.project("image", torch.zeros(2, 3, 28, 28))
    assert rows.device.type == "meta" and rows.shape == (2, 4, width)
    assert model.model.project("prior", torch.zeros(2, 212)).device.type == "meta"
    reader = FacialLM(FacialLMConfig(text_config=facephi.configure("tiny").text_config)).to("meta")
    assert reader.embed(torch.tensor([[1, 2]])).device.type == "meta"


def test_adapters_on_every_linear_layer() -> None:
    """One expression for a decoder of any family: blocks, norms and attention that it also matches stay as they are."""
    model = build(torch.float32)
    prepare(
        model,
        Stage((), 1e-3, 1, 1, lora=Lora((r"model\.language_model\.layers\.\d+\..*",), rank=2, alpha=4)),
    )
    layer = model.model.language_model.layers[0]
    adapted = {name for name, part in layer.named_modules() if hasattr(part, "lora_A")}
    linear = {name for name, part in build(torch.float32).model.language_model.layers[0].named_modules()
              if isinstance(part, nn.Linear)}  # fmt: skip
    assert adapted == linear and len(adapted) == 6  # q, k, v, dense, fc1, fc2
    assert not any("lora" in name for name, _ in model.lm_head.named_parameters())
