"""EMO-LLaMA's parts: what its Q-Former starts from and reads, options of its bricks, its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor
from transformers import (
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from mien.core.errors import BadConfig
from mien.models.composite.assemble import assemble
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import Stage, prepare
from mien.models.emo_llama import system as emo_llama
from mien.models.formats.encoder_export import export_onnx
from mien.models.registry import open_system

AT = "model.encoders.image."


def instructblip(folder: Path, config: Any, queries: int = 3) -> dict[str, Tensor]:
    """A folder as Salesforce's, in the shapes of a scale, with random weights; its tensors."""
    entry = config.evidence["image"]["encoder"]
    fields = {key: value for key, value in entry["tower"].items() if key != "model_type"}
    vision = InstructBlipVisionConfig(**fields)
    qformer = InstructBlipQFormerConfig(**entry["clue"]["qformer"], encoder_hidden_size=vision.hidden_size)
    text = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
    )
    whole = InstructBlipConfig(
        vision_config=vision, qformer_config=qformer, text_config=text, num_query_tokens=queries
    )
    torch.manual_seed(3)
    model = InstructBlipForConditionalGeneration(whole)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.1)
    model.save_pretrained(folder / "instructblip")
    return {key: value.detach() for key, value in model.state_dict().items()}


def decoder(folder: Path, config: Any) -> str:
    torch.manual_seed(0)
    LlamaForCausalLM(config.text_config).save_pretrained(folder / "decoder")
    return str(folder / "decoder")


def test_the_qformer_starts_as_instructblip_s(tmp_path: Path) -> None:
    config = emo_llama.configure("tiny")
    published = instructblip(tmp_path, config)
    places = {"decoder": decoder(tmp_path, config), "image": str(tmp_path / "instructblip")}
    own = assemble(open_system("emo-llama"), "tiny", places).state_dict()
    renamed = {f"{AT}aggregator.queries": "query_tokens"}
    for key in ("weight", "bias"):
        renamed[f"{AT}aggregator.norm.{key}"] = f"vision_model.post_layernorm.{key}"
    for key in published:
        if key.startswith("qformer."):
            renamed[f"{AT}aggregator.{key}"] = key
        elif key.startswith("vision_model."):
            renamed[f"{AT}tower.model.{key.removeprefix('vision_model.')}"] = key
    assert len(renamed) > 60
    assert all(torch.equal(own[ours], published[theirs]) for ours, theirs in renamed.items())


def test_another_qformer_is_refused(tmp_path: Path) -> None:
    config = emo_llama.configure("tiny")
    instructblip(tmp_path, config, queries=5)
    places = {"decoder": decoder(tmp_path, config), "image": str(tmp_path / "instructblip")}
    with pytest.raises(BadConfig, match=r"queries \(1, 5, 16\) for \(1, 3, 16\)"):
        assemble(open_system("emo-llama"), "tiny", places)


def frame(tokens: int = 4, count: int = 2, words: int = 300, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(count, tokens, dtype=torch.long)
    mask[0, 1 + tokens // 2 :] = 0
    return {
        "pixels": torch.randn(count, 3, 28, 28, generator=generator),
        "instruction_ids": torch.randint(0, words, (count, tokens), generator=generator),
        "instruction_mask": mask,
        "face": torch.randn(count, 49, 8, generator=generator),
        "landmarks": 0.3 * torch.randn(count, 68, 2, generator=generator),
    }


@pytest.mark.parametrize("scale", ["base", "small", "tiny"])
def test_a_new_qformer_reads_the_decoder_s_words(scale: str) -> None:
    """Without a published Q-Former BERT's words would be nothing but a tokenizer more to bring."""
    config: Any = emo_llama.configure(scale)
    clue = config.evidence["image"]["encoder"]["clue"]
    assert clue["qformer"]["vocab_size"] == config.text_config.vocab_size
    other: Any = emo_llama.configure(scale, 777)
    assert other.evidence["image"]["encoder"]["clue"]["qformer"]["vocab_size"] == 777


def test_options_of_the_bricks_reach_them() -> None:
    model = FacialLM(
        emo_llama.configure("tiny", branches="global", heads=4, keys="visual", face_width=5, layer="final")
    )
    clues: Any = model.model.encoders["image"]
    assert clues.mining.branches == "global" and clues.mining.own.attention.num_heads == 4
    assert (
        clues.aggregator.face is None and clues.mining.face.in_features == 5 and clues.tower.layer == "final"
    )
    ready: Any = FacialLM(emo_llama.configure("tiny")).model.encoders["image"]
    assert ready.aggregator.face is not None and ready.mining.branches == "both" and ready.tower.layer == -1
    assert emo_llama.configure("tiny", tower="dinov2-tiny").evidence["image"]["encoder"]["layer"] == "final"
    with pytest.raises(BadConfig, match="joint keys"):
        emo_llama.configure("tiny", priors="none", keys="joint")


@pytest.mark.parametrize("name", ["paper", "llama-vid"])
def test_the_visual_projector_learns_at_its_own_rate(name: str) -> None:
    """LLaVA-1.5's LoRA script: 2e-4, and mm_projector_lr 2e-5."""
    stage: Stage = open_system("emo-llama").stages[name]
    assert stage.learning_rate == 2e-4 and stage.rates == {f"{AT}projectors.visual.": 2e-5}
    priors = "none" if name == "llama-vid" else "all"
    learning = prepare(FacialLM(emo_llama.configure("tiny", priors=priors)), stage)
    assert any(key.startswith(f"{AT}projectors.visual.") for key in learning)


def test_the_graph_takes_questions_of_any_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = FacialLM(emo_llama.configure("tiny")).eval()
    export_onnx(model, "image", frame(), tmp_path / "image.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "image.onnx"), providers=["CPUExecutionProvider"])
    for tokens, count in ((4, 2), (9, 3), (2, 1)):
        given = frame(tokens, count, seed=tokens)
        (rows,) = session.run(None, {key: value.numpy() for key, value in given.items()})
        with torch.no_grad():
            expected = model.model.project("image", given)
        torch.testing.assert_close(torch.from_numpy(rows), expected, atol=1e-5, rtol=1e-4)
