"""Supervised stages: items, tokenizer, rates, frozen parts, adapters, and batches that cannot leak answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mien.core.errors import BadConfig, BadData, MissingWeights
from mien.core.nouns import Labels, Sample, Turn
from mien.evaluate.figures import constants, score_answers
from mien.evaluate.predictions import read_predictions, write_predictions
from mien.face.pose import mean_face
from mien.models.composite.adapters import merge_adapters
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.processing import IGNORED
from mien.models.composite.systems import Lora, Stage, prepare
from mien.models.registry import open_system
from mien.train.data.drawn import Instruction, draw_instructions
from mien.train.data.faces import Faces, taught
from mien.train.data.instructions import InstructionCollator, Instructions, open_tokenizer
from mien.train.stage_trainer import StageOptions, parameter_groups, rest_frozen, run_stage, trained_state
from mien.train.supervised import cached_rows, frozen_encoders, run_supervised

INPUTS = Inputs(crop_size=28, image_size=28)
LABELS = ("happiness", "happiness", "happiness", "fear", "neutral", "neutral")
STAGE = Stage(("model.projectors.",), 1e-3, 4, 1, precision="fp32")
EMOLA = open_system("emola")


@pytest.fixture(scope="module")
def faces() -> Faces:
    rng = np.random.default_rng(0)
    mesh = mean_face().points * [60.0, 60.0, 60.0] + [14.0, 14.0, 0.0]
    count = len(LABELS)
    return Faces(
        tuple(Sample(f"s{i}", "made", "train", f"m{i}", Labels(emotion=one)) for i, one in enumerate(LABELS)),
        rng.integers(0, 255, (count, 28, 28, 3)).astype(np.uint8),
        np.stack([mesh + rng.normal(size=(478, 3)) * 0.1 for _ in range(count)]).astype(np.float32),
        np.tile(np.eye(2, 3), (count, 1, 1)),
    )


def emola(faces: Faces) -> tuple[FacialLM, InstructionCollator, Instructions]:
    items = draw_instructions(EMOLA, faces, {"emotion": 1}, 0.0, 1)
    tokenizer = open_tokenizer(EMOLA, None, items, 400)
    torch.manual_seed(0)
    model = FacialLM(EMOLA.configure("tiny", tokenizer.get_vocab_size())).eval()
    collator = InstructionCollator(EMOLA, model.config, INPUTS, faces, tokenizer, 0)
    return model, collator, Instructions(EMOLA, model.config, items, tokenizer)


@pytest.mark.parametrize("cached", [False, True])
def test_no_answer_leaks_into_what_stands_before_it(faces: Faces, cached: bool) -> None:
    # A composite whose decoder lost its causal mask learns to copy the answer: its loss falls to nothing.
    model, collator, items = emola(faces)
    if cached:
        rows = {"image": cached_rows(model, "image", INPUTS, faces, 1, 0)}
        collator = replace(collator, cached=rows)
    batch = collator([items[0], items[3]])
    kept = {name: value for name, value in batch["evidence"].items() if not (cached and name == "image")}
    if cached:
        kept["image"] = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        before = model(
            input_ids=batch["input_ids"], evidence=kept, attention_mask=batch["attention_mask"]
        ).logits
        ids = batch["input_ids"].clone()
        ids[:, -1] = 7
        after = model(input_ids=ids, evidence=kept, attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(before[:, :-1], after[:, :-1])
    assert not torch.allclose(before[:, -1], after[:, -1])


def test_a_batch_learns_answers_only(faces: Faces) -> None:
    _, collator, items = emola(faces)
    batch = collator([items[0], items[3]])
    for row, label in enumerate(("Happiness", "Fear")):
        learnt = [token for token in batch["labels"][row].tolist() if token != IGNORED]
        assert collator.tokenizer.decode(learnt[:-1]).strip() == label
        assert learnt[-1] == collator.tokenizer.token_to_id("</s>")
    assert set(batch["evidence"]) == {"image", "prior"} and batch["evidence"]["prior"].shape == (2, 212)


def test_items_are_reproducible_and_fractions_take_a_part(faces: Faces) -> None:
    system = open_system("facephi")
    drawn = draw_instructions(system, faces, {"emotion": 2.5}, 0.0, 3)
    assert drawn == draw_instructions(system, faces, {"emotion": 2.5}, 0.0, 3)
    assert drawn != draw_instructions(system, faces, {"emotion": 2.5}, 0.0, 4)
    counts = Counter(item.face for item in drawn)
    assert set(counts.values()) <= {2, 3} and 12 < len(drawn) < 18


def test_balance_draws_by_the_inverse_count(faces: Faces) -> None:
    items = draw_instructions(EMOLA, faces, {"emotion": 400}, 0.0, 1)
    drawn = draw_instructions(EMOLA, faces, {"emotion": 400}, 1.0, 1)
    shares = Counter(faces.samples[item.face].labels.emotion for item in drawn)
    assert len(drawn) == len(items)
    for label in set(LABELS):
        assert shares[label] / len(drawn) == pytest.approx(1 / 3, abs=0.04)
    assert drawn == draw_instructions(EMOLA, faces, {"emotion": 400}, 1.0, 1)
    drawn.turn_to(1)
    assert len(drawn) == len(items) and drawn != draw_instructions(EMOLA, faces, {"emotion": 400}, 1.0, 1)


def test_a_task_without_labels_is_named(faces: Faces) -> None:
    with pytest.raises(BadConfig, match="task 'au' for 6 faces"):
        draw_instructions(EMOLA, faces, {"au": 1}, 0.0, 1)


def test_a_teacher_gives_readings_and_a_chain_of_thought(faces: Faces) -> None:
    told = taught(faces, "rules", 1)
    labels = told.samples[0].labels
    assert labels.au_intensity and labels.au_level and labels.chain_of_thought
    assert "Conclusion:" in labels.chain_of_thought and labels.emotion == "happiness"
    assert draw_instructions(open_system("expllm"), told, {"cot": 1}, 0.0, 1)


def test_digits_are_single_tokens_and_text_comes_back() -> None:
    system = open_system("au-llava")
    item = Instruction(0, "disfa", (Turn("user", system.ask("disfa")), Turn("assistant", "[0, 5, 2]")))
    tokenizer = open_tokenizer(system, None, [item], 500)
    assert tokenizer.encode("[0, 5, 2]", add_special_tokens=False).tokens.count("5") == 1
    assert tokenizer.decode(tokenizer.encode("[0, 5, 2]").ids) == "[0, 5, 2]"
    assert tokenizer.encode("x").ids[0] == 1  # the start token


def test_rates_and_decay_by_group() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    model["c"].requires_grad_(False)
    groups = parameter_groups(model, Stage(("a", "b"), 1e-3, 1, 1, rates={"b": 1e-5}, weight_decay=0.1))
    found = {(group["lr"], group["weight_decay"]): len(group["params"]) for group in groups}
    assert found == {(1e-3, 0.1): 1, (1e-3, 0.0): 1, (1e-5, 0.1): 1, (1e-5, 0.0): 1}


def test_frozen_parts_stay_in_evaluation() -> None:
    model = nn.ModuleDict(
        {"frozen": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "learns": nn.BatchNorm1d(2)}
    )
    model["frozen"].requires_grad_(False)
    rest_frozen(model.train())
    assert not model["frozen"].training and not model["frozen"][1].training
    assert model["learns"].training


def test_a_frozen_decoder_recomputes_where_it_is_told_to(faces: Faces, tmp_path: Path) -> None:
    calls, weights, kept = [], [], []
    for checkpointing in (False, True):
        model, collator, items = emola(faces)
        for part in model.model.language_model.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.9  # of a frozen part, never applied
        prepare(model, STAGE)
        counted: list[int] = []
        block = model.model.language_model.layers[0].self_attn
        block.register_forward_hook(lambda *_, counted=counted: counted.append(1))
        with torch.autograd.graph.saved_tensors_hooks(lambda one: kept_bytes(one, kept), lambda one: one):
            kept.append(0)
            run_stage(
                model, replace(STAGE, batch=6), items, collator,
                StageOptions(tmp_path / str(checkpointing), gradient_checkpointing=checkpointing),
            )  # fmt: skip
        calls.append(len(counted))
        weights.append(trained_state(model))
    assert calls == [1, 2]  # one step: once forward, and once more on the way back
    assert kept[1] < 0.7 * kept[0]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value)


def kept_bytes(tensor: torch.Tensor, kept: list[int]) -> torch.Tensor:
    kept[-1] += tensor.nbytes
    return tensor


def test_adapters_are_folded_in_without_a_change(faces: Faces) -> None:
    model, collator, items = emola(faces)
    lora = Lora((r"model\.language_model\.layers\.\d+\.self_attn\.[qv]_proj",), rank=2, alpha=4)
    prepare(model, replace(STAGE, lora=lora))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    batch = collator([items[0]])
    with torch.no_grad():
        before = model.eval()(**batch).logits
        assert merge_adapters(model) == 4
        torch.testing.assert_close(model(**batch).logits, before, atol=1e-5, rtol=1e-4)
    assert not any("lora" in name for name in model.state_dict())


def test_cached_rows_are_the_encoder_s(faces: Faces) -> None:
    model, *_ = emola(faces)
    prepare(model, STAGE)
    assert frozen_encoders(model) == ["image"]
    views = cached_rows(model, "image", INPUTS, faces, 3, seed=5)
    assert views.shape == (3, len(faces), 4, 16)
    pixels = evidence_inputs(
        model.config, INPUTS, [faces.evidence(i) for i in range(len(faces))], names=["image"]
    )
    with torch.no_grad():
        plain = model.model.encoders["image"](pixels["image"])
    torch.testing.assert_close(views[0].float(), plain, atol=2e-3, rtol=2e-3)
    assert not torch.equal(views[1], views[0]) and not torch.equal(views[1], views[2])
    assert torch.equal(views, cached_rows(model, "image", INPUTS, faces, 3, seed=5))


class Elsewhere(nn.Module):
    """Lies on another device, reads only from there, and answers from there as far as ``meta`` can."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, device="meta"))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.device == self.weight.device
        return torch.ones(len(pixels), 4, 16)


def test_rows_are_cached_wherever_a_stage_left_the_encoder(faces: Faces) -> None:
    model, *_ = emola(faces)
    model.model.encoders["image"] = Elsewhere()
    rows = cached_rows(model, "image", INPUTS, faces, 1, 0)
    assert rows.device.type == "cpu" and bool((rows == 1.0).all())


def test_a_cache_needs_a_frozen_encoder(faces: Faces, tmp_path: Path) -> None:
    model, collator, items = emola(faces)
    stage = replace(STAGE, trains=("model.encoders.image.",))
    prepare(model, stage)
    with pytest.raises(BadConfig, match="cache for encoders that learn"):
        run_supervised(
            model,
            EMOLA,
            stage,
            items.items,
            faces,
            INPUTS,
            collator.tokenizer,
            StageOptions(tmp_path),
            cache=1,
        )


def supervised(faces: Faces, folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    model, collator, items = emola(faces)
    prepare(model, STAGE)
    settings = StageOptions(folder, **{"micro_batch": None, **options})
    run_supervised(model, EMOLA, STAGE, items.items, faces, INPUTS, collator.tokenizer, settings, cache=1)
    return trained_state(model)


def test_accumulation_gives_the_step_of_the_whole_batch(faces: Faces, tmp_path: Path) -> None:
    whole = supervised(faces, tmp_path / "whole")
    parts = supervised(faces, tmp_path / "parts", micro_batch=2)
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name], atol=1e-5, rtol=1e-3)


def test_a_checkpoint_of_another_stage_is_refused(faces: Faces, tmp_path: Path) -> None:
    supervised(faces, tmp_path, save_steps=1)
    model, collator, items = emola(faces)
    stage = replace(STAGE, trains=("lm_head.",))
    prepare(model, stage)
    with pytest.raises(MissingWeights, match="other parameters"):
        run_supervised(
            model, EMOLA, stage, items.items, faces, INPUTS, collator.tokenizer, StageOptions(tmp_path)
        )


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"precision": "fp16"}, {}, "fp16 without a GPU"),
        ({}, {"micro_batch": 3}, "a batch of 4"),
    ],
)
def test_settings_that_cannot_be(
    changes: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    if torch.cuda.is_available() and "precision" in changes:
        pytest.skip("fp16 works here")
    with pytest.raises(BadConfig, match=message):
        run_stage(nn.Linear(1, 1), replace(STAGE, **changes), [0], list, StageOptions(tmp_path, **options))  # type: ignore[arg-type]


class Precision(nn.Module):
    """Remembers in what precision it ran last."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(2, 2), torch.float64

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.layer(x)
        self.seen = y.dtype
        return {"loss": y.float().sum()}


def test_mixed_precision_ends_with_its_stage(tmp_path: Path) -> None:
    model = Precision()
    stage = replace(STAGE, trains=(), precision="bf16")
    run_stage(
        model, stage, [torch.ones(2)] * 4, lambda rows: {"x": torch.stack(list(rows))}, StageOptions(tmp_path)
    )  # type: ignore[arg-type]
    assert model.seen == torch.bfloat16
    model(torch.ones(1, 2))
    assert model.seen == torch.float32


def test_scores_by_hand(tmp_path: Path) -> None:
    def row(true: str, said: str | None) -> dict[str, Any]:
        return {
            "task": "emotion",
            "status": "answered" if said else "unparsed",
            "truth": {"emotion": true},
            "said": {"emotion": said} if said else None,
        }

    rows = [row("fear", "fear"), row("fear", None), row("neutral", "neutral"), row("neutral", "fear")]
    write_predictions(tmp_path / "p.jsonl", rows)
    assert read_predictions(tmp_path / "p.jsonl") == rows
    odd = [{"answer": "a\u2028b\x85c\r\nd"}]
    write_predictions(tmp_path / "odd.jsonl", odd)
    assert read_predictions(tmp_path / "odd.jsonl") == odd
    for damaged in (b'{"id": 1}\n{"id"', b'{"id": 1}\n3', b'{"id": 1}\n"\xff"'):
        (tmp_path / "odd.jsonl").write_bytes(damaged)
        with pytest.raises(BadData, match=r"odd\.jsonl:2: .*one JSON object per line"):
            read_predictions(tmp_path / "odd.jsonl")
    always = constants([{"emotion": "neutral"}, {"emotion": "neutral"}, {"emotion": "fear"}])
    found = score_answers(rows, always)
    assert found["accuracy"] == 0.5 and found["uar"] == 0.5 and found["unparsed"] == 1
    assert found["baseline"] == {"answer": "neutral", "accuracy": 0.5, "uar": 0.5}


def test_arrays_are_scored_against_the_best_constant() -> None:
    def row(true: list[int], said: list[int] | None) -> dict[str, Any]:
        names = ("AU01", "AU12")
        return {
            "task": "disfa",
            "status": "answered" if said else "unparsed",
            "truth": {"form": "au_level", "aus": dict(zip(names, true, strict=True))},
            "said": {"form": "au_level", "aus": dict(zip(names, said, strict=True))} if said else None,
        }

    rows = [row([0, 4], [0, 3]), row([2, 0], [1, 0]), row([0, 2], None)]
    always = constants([{"aus": {"AU01": 0.0, "AU12": value}} for value in (0.0, 1.0, 5.0)])
    assert always["aus"] == {"AU01": 0.0, "AU12": 1.0}
    found = score_answers(rows, always)
    # Unparsed: the constant's values, errors 0 and 1.
    assert found["mae"] == pytest.approx(((0 + 1 + 0) / 3 + (1 + 0 + 1) / 3) / 2)
    assert found["baseline"]["mae"] == pytest.approx((2 / 3 + (3 + 1 + 1) / 3) / 2)
    assert found["per_au"]["AU01"]["f1"] == 1.0
