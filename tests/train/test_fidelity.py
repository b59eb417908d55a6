"""What decides whether training is as published: what counts alike, what is learnt, what is redrawn, what stops."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from torch.nn import functional
from transformers import TrainerCallback

from mien.core.aus import AU_SETS
from mien.core.errors import BadConfig, BadData
from mien.core.nouns import Dialogue, FaceFacts, Labels, Sample, Turn
from mien.face.pose import mean_face
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.processing import IGNORED
from mien.models.composite.systems import Stage, System, prepare
from mien.models.registry import BASELINES, SYSTEMS, open_system
from mien.train.data.conversations import read_conversations
from mien.train.data.drawn import Instruction, PartTasks, draw_instructions, draw_parts
from mien.train.data.faces import Faces
from mien.train.data.instructions import InstructionCollator, Instructions, open_tokenizer
from mien.train.stage_trainer import StageOptions, run_stage
from mien.train.supervised import run_supervised

INPUTS = Inputs(crop_size=28, image_size=28)
CHAIN = "**Key Observations:** a\n\n**Overall Emotional Interpretation:** b\n\n**Conclusion:** fear"
FACTS = FaceFacts(
    (0.1, 0.2, 0.5, 0.6), ((0.3, 0.4),) * 5, (1.0, -2.5, 0.0), (3, 1, 0), (True, False) * 20, "share"
)
EVERYTHING = Labels(
    "happiness", au_presence=dict.fromkeys(AU_SETS["bp4d12"], True), au_level=dict.fromkeys(AU_SETS["disfa12"], 3),
    description="A warm smile.", chain_of_thought=CHAIN, facts=FACTS,
)  # fmt: skip
WORDS = ("happiness", "fear", "neutral", "happiness", "fear", "happiness")
SAID = (
    "Yes.",
    "It is fear, with the eyes wide open and the brows high.",
    "No.",
    "A smile and raised cheeks.",
    "So.",
    "I",
)


def faces_of(count: int = 6) -> Faces:
    rng = np.random.default_rng(0)
    mesh = mean_face().points * 9.0 + [14.0, 14.0, 0.0]
    return Faces(
        tuple(
            Sample(f"s{i}", "made", "train", f"m{i}", Labels(WORDS[i % 6], description=SAID[i % 6]))
            for i in range(count)
        ),
        rng.integers(0, 255, (count, 28, 28, 3)).astype(np.uint8),
        np.stack([mesh] * count).astype(np.float32),
        np.tile(np.eye(2, 3), (count, 1, 1)),
    )


# ---- what counts alike in a step


def by_hand(model: FacialLM, batches: list[dict[str, Any]], kind: str) -> torch.Tensor:
    """The loss of a step as the released code of each kind would add it up, item by item."""
    tokens = sum(int((one["labels"][:, 1:] != IGNORED).sum()) for one in batches)
    total = torch.zeros(())
    for batch in batches:
        logits = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], evidence=batch["evidence"]
        ).logits
        losses = [
            [
                functional.cross_entropy(row[place - 1], label[place])
                for place in range(1, len(label))
                if label[place] != IGNORED
            ]
            for row, label in zip(logits, batch["labels"], strict=True)
        ]
        if kind == "token":
            total = total + sum(sum(item) for item in losses) / tokens
        elif kind == "sample":
            total = total + sum(sum(item) / len(item) for item in losses) / sum(
                len(one["labels"]) for one in batches
            )
        else:
            flat = [value for item in losses for value in item]
            total = total + sum(flat) / len(flat) / len(batches)
    return total


@pytest.mark.parametrize("kind", ["token", "sample", "micro_batch"])
def test_the_gradient_of_a_step_is_that_of_the_loop_by_hand(kind: str, tmp_path: Path) -> None:
    faces, system = faces_of(), open_system("emola")
    items = draw_instructions(system, faces, {"emotion-description": 1}, 0.0, 1)
    tokenizer = open_tokenizer(system, None, items, 400)
    torch.manual_seed(0)
    model = FacialLM(system.configure("tiny", tokenizer.get_vocab_size()))
    stage = Stage(("model.projectors.",), 1e-3, 6, 1, precision="fp32", loss=kind)  # type: ignore[arg-type]
    prepare(model, stage)
    model.eval()
    collator = InstructionCollator(system, model.config, INPUTS, faces, tokenizer, 0)
    data = Instructions(system, model.config, items, tokenizer)
    seen: list[list[str]] = []
    found: dict[str, torch.Tensor] = {}

    class Look(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            found.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    def collate(batch: Any) -> Any:
        seen.append([item.turns[-1].text for item, _ in batch])
        return collator(batch)

    # Steps of 2, 2, 2; clipping scales the whole gradient, so directions and ratios are compared.
    run_stage(
        model,
        replace(stage, learning_rate=0.0),
        data,
        collate,
        StageOptions(tmp_path, micro_batch=2, callbacks=(Look(),)),
    )
    by_text = {
        item.turns[-1].text: (item, encoded) for item, encoded in (data[place] for place in range(len(data)))
    }
    model.zero_grad()
    by_hand(model, [collator([by_text[text] for text in texts]) for texts in seen], kind).backward()
    whole = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    norm = torch.sqrt(sum((g**2).sum() for g in whole.values()))  # type: ignore[arg-type]
    for name, gradient in whole.items():
        expected = gradient * min(1.0, 1.0 / float(norm))
        torch.testing.assert_close(found[name], expected, rtol=2e-3, atol=1e-6)


def test_every_published_stage_names_its_reduction() -> None:
    def kinds(name: str) -> set[str]:
        return {stage.loss for stage in open_system(name).stages.values() if stage.objective == "language"}

    assert {name: kinds(name) for name in (*SYSTEMS, "llava-1.5")} == {
        "facephi": {"token"},
        "emola": {"micro_batch"},
        "emo-llama": {"micro_batch"},
        "au-llava": {"sample"},
        "expllm": {"sample"},
        "llava-1.5": {"micro_batch"},
    }


# ---- the learnt part begins where the open prompt ends


def metaspace() -> Tokenizer:
    """As Llama's: a blank is ``▁``, before a word a part of it, before what the vocabulary lacks a token of its own."""
    pieces = [
        "<pad>",
        "<s>",
        "</s>",
        "▁",
        *map(chr, range(33, 127)),
        "\n",
        "▁H",
        "▁a",
        "appiness",
        "▁Happiness",
        "▁The",
        "▁ASSISTANT:",
    ]
    tokenizer = Tokenizer(
        models.Unigram([(piece, -float(len(pieces) - place)) for place, piece in enumerate(pieces)], 0)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Replace("▁", " ")
    tokenizer.add_special_tokens(["<pad>", "<s>", "</s>"])
    return tokenizer


def items_of(system: System) -> list[Dialogue]:
    made = [
        system.build(task, Sample("1", "made", "train", "1", EVERYTHING), random.Random(0))
        for task in system.builders
    ]
    return [one for one in made if one is not None]


@pytest.mark.parametrize("words", [320, 420, 900, "llama"])
@pytest.mark.parametrize("name", [*SYSTEMS, *BASELINES])
def test_what_is_learnt_begins_where_an_open_prompt_ends(name: str, words: int | str) -> None:
    system = open_system(name)
    told = items_of(system)
    tokenizer = (
        metaspace()
        if words == "llama"
        else open_tokenizer(system, None, [Instruction(0, one.task, one.turns) for one in told], int(words))
    )
    config = system.configure("tiny", tokenizer.get_vocab_size())
    assert told
    for dialogue in told:
        laid = system.laid_out("plain") if dialogue.task == "caption" else system
        laid = replace(laid, max_length=10_000)
        config.text_config.max_position_embeddings = 10_000
        whole = laid.encode(dialogue.turns, tokenizer, config)
        for place in range(1, len(dialogue.turns), 2):
            asked = laid.encode(dialogue.turns[:place], tokenizer, config).ids
            said = laid.encode(dialogue.turns[: place + 1], tokenizer, config)
            assert said.ids[: len(asked)] == asked, "the open prompt is a prefix"
            assert all(label >= 0 for label in said.labels[len(asked) :]), "every token after it is learnt"
            assert whole.ids[: len(said.ids)] == said.ids
        first = len(laid.encode(dialogue.turns[:1], tokenizer, config).ids)
        assert all(label == IGNORED for label in whole.labels[:first])
        begun = laid.begun(dialogue.turns[:1], dialogue.turns[1].text, tokenizer, config)
        assert whole.ids[: len(begun)] == begun, "likelihoods score what training learnt"


# ---- data parts, epochs, conversations


def test_each_part_is_asked_its_own_tasks_and_balanced_alone() -> None:
    faces, system = faces_of(), open_system("emo-llama")
    parts = [
        PartTasks(
            range(0, 3), {"image": 1}, {"image": {"labels": ["fear", "happiness", "neutral"]}}, name="photos"
        ),
        PartTasks(range(3, 6), {"video": 2, "conversation": 1}, balance=1.0, name="films"),
    ]
    drawn = draw_parts(system, faces, parts, 1)
    assert drawn.counts() == {"photos image": 3, "films video": 6, "films conversation": 3}
    assert [(item.face < 3, "image?" in item.turns[0].text) for item in drawn][:3] == [(True, True)] * 3
    assert all("{fear, happiness, neutral}" in item.turns[0].text for item in drawn[:3])
    # The sampler leaves conversations alone: each face has its own.
    assert sorted(item.face for item in drawn if item.task == "conversation") == [3, 4, 5]
    with pytest.raises(BadConfig, match="mafw"):
        draw_parts(system, faces, [PartTasks(range(0), {"mafw": 1})], 1)


def test_every_visit_is_drawn_anew_and_again_the_same() -> None:
    faces, system = faces_of(6), open_system("facephi")
    drawn, again = (draw_instructions(system, faces, {"emotion": 4}, 1.0, 7) for _ in range(2))
    first = list(drawn)
    drawn.turn_to(1)
    second = list(drawn)
    assert len(first) == len(second) == 24 and [i.face for i in first] != [i.face for i in second]
    assert len({item.turns[0].text for item in first}) > 8
    again.turn_to(1)
    assert list(again) == second
    again.turn_to(0)
    assert list(again) == first
    fixed = draw_instructions(system, faces, {"emotion": 0.5}, 0.0, 7)
    subset = [item.face for item in fixed]
    fixed.turn_to(3)
    assert [item.face for item in fixed] == subset, "a part of the data is drawn once"


def test_what_annotate_conversations_writes_is_learnt_turn_by_turn(tmp_path: Path) -> None:
    turns = [
        ("human", "<image>\nWho smiles?"),
        ("gpt", "She does."),
        ("human", "How?"),
        ("gpt", "With the eyes."),
    ]
    rows = [
        {"id": f"s{i}", "image": f"m{i}", "conversations": [{"from": who, "value": text} for who, text in turns],
         "task": "conversation", "label": "fear", "dataset": "made", "split": "train"}
        for i in range(5)
    ]  # fmt: skip
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = read_conversations(path)
    faces, system = faces_of(), open_system("emo-llama")
    drawn = draw_parts(system, faces, [PartTasks(range(6), {"conversation": 1}, conversations=told)], 1)
    assert len(drawn) == 5, "a face without a conversation gives none"
    # LLaMA-VID shows the picture with every question, at its head or its end, by chance at each visit.
    later = {item.turns[2].text for epoch in range(4) for item in (drawn.turn_to(epoch), *drawn)[1:]}
    assert later == {"<image>\nHow?", "How?\n<image>"}
    tokenizer = open_tokenizer(system, None, drawn, 400)
    model = FacialLM(system.configure("tiny", tokenizer.get_vocab_size()))
    collator = InstructionCollator(system, model.config, replace(INPUTS, face_map=4), faces, tokenizer, 0)
    data = Instructions(system, model.config, drawn, tokenizer)
    batch = collator([data[0], data[1]])
    assert len(batch["evidence"]["image"]["pixels"]) == 4, "a clue for every question"
    assert model(**batch).loss.isfinite()
    labels = data[0][1]
    assert (
        tokenizer.decode([one for one in labels.labels if one >= 0]).split()
        == "She does. With the eyes.".split()
    )
    # A layout that shows the picture itself shows it once.
    once = open_system("expllm").adapt(told["s0"])
    assert [turn.text for turn in once.turns] == ["Who smiles?", "She does.", "How?", "With the eyes."]
    assert [t.text for t in open_system("emola").adapt(told["s0"]).turns[::2]] == [
        "<image><prior>\nWho smiles?",
        "How?",
    ]
    path.write_text(json.dumps({**rows[0], "conversations": rows[0]["conversations"][:3]}) + "\n")
    with pytest.raises(BadData, match="question and answer in turn"):
        read_conversations(path)


# ---- kills


class KilledOnce(TrainerCallback):
    """Breaks off after the step that begins next."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.first != state.global_step:
            raise KeyboardInterrupt

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.first = state.global_step + 1


@pytest.mark.slow
def test_killed_after_every_second_step_what_is_drawn_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Order, words, balance and changed crops are drawn in each epoch of 4 steps, and kills fall anywhere in it."""
    faces, system = faces_of(), open_system("expllm")
    samples = tuple(replace(one, labels=replace(one.labels, chain_of_thought=CHAIN)) for one in faces.samples)
    faces, options = replace(faces, samples=samples), {"item": {"order": "random"}}

    def state(folder: Path, *callbacks: TrainerCallback) -> dict[str, bytes]:
        items = draw_parts(system, faces, [PartTasks(range(6), {"item": 1, "label": 0.5}, options, 1.0)], 1)
        tokenizer = open_tokenizer(system, None, items, 400)
        torch.manual_seed(0)
        model = FacialLM(system.configure("tiny", tokenizer.get_vocab_size()))
        stage = Stage(("model.projectors.", "lm_head."), 1e-3, 2, 3, precision="fp32")
        prepare(model, stage)
        options_here = StageOptions(folder, save_steps=1, micro_batch=1, callbacks=callbacks)
        run_supervised(model, system, stage, items, faces, INPUTS, tokenizer, options_here, augment="expllm")
        return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}

    whole, kills = state(tmp_path / "whole"), 0
    while True:
        try:
            ended = state(tmp_path / "killed", KilledOnce())
            break
        except KeyboardInterrupt:
            kills += 1
            if kills == 2:  # the kill came while the checkpoint was written
                (state_file,) = (tmp_path / "killed").glob("checkpoint-*/trainer_state.json")
                state_file.write_bytes(state_file.read_bytes()[:100])
    assert kills >= 5 and ended == whole


# ---- what is not finite


def test_a_loss_that_is_not_finite_stops_before_the_optimiser_and_names_the_item(tmp_path: Path) -> None:
    faces, system = faces_of(), open_system("facephi")
    broken = replace(faces, landmarks=faces.landmarks.copy())
    broken.landmarks[4, 5] = 1e30
    items = [
        Instruction(i, "emotion", (Turn("user", "[LM PAD] Which?"), Turn("assistant", WORDS[i])))
        for i in range(6)
    ]
    tokenizer = open_tokenizer(system, None, items, 400)
    torch.manual_seed(0)
    model = FacialLM(system.configure("tiny", tokenizer.get_vocab_size()))
    stage = Stage(("model.projectors.",), 1e-3, 6, 1, precision="fp32")
    prepare(model, stage)
    with torch.no_grad():
        weight = next(model.model.projectors.parameters())
        before = weight.clone()
    model.model.projectors.register_forward_hook(lambda *_: None)
    entry = model.model.encoders["landmarks"]
    entry.register_forward_hook(
        lambda module, given, made: (
            torch.where(given[0].abs().amax((1, 2)) > 1e20, torch.nan, 1.0)[:, None] * made
        )
    )
    with pytest.raises(BadData, match=r"loss that is not finite at step 1: s4 \(\d+ tokens, loss nan\)\."):
        run_supervised(
            model, system, stage, items, broken, INPUTS, tokenizer, StageOptions(tmp_path, micro_batch=2)
        )
    assert torch.equal(weight, before) and not list(tmp_path.glob("checkpoint-*"))
