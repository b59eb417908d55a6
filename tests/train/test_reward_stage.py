"""Stage ``reward``: groups, the shuffled control, what it learns, and a kill at any step."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.backends.audit import reward
from mien.core.errors import BadConfig
from mien.core.nouns import Labels, Sample
from mien.face.pose import mean_face
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import Stage, prepare
from mien.models.registry import open_system
from mien.train import reward_stage
from mien.train.data.drawn import draw_instructions
from mien.train.data.faces import Faces
from mien.train.data.instructions import open_tokenizer
from mien.train.recipe import Rewarding
from mien.train.reward_stage import labelled_face, run_reward
from mien.train.stage_trainer import StageOptions
from mien.train.supervised import run_supervised

INPUTS = Inputs(crop_size=28, image_size=28)
EXPLLM = open_system("expllm")
STAGE = Stage(
    ("model.projectors.", "model.language_model.", "lm_head."), 1.0e-3, 8, 8.0, objective="reward",
    schedule="constant", precision="fp32",
)  # fmt: skip
HOW = Rewarding(group=4, max_new_tokens=24, kl=0.0)


@pytest.fixture(scope="module")
def faces() -> Faces:
    """Two kinds of pictures: on black ones AU12 moves, on white ones AU04; either is told of either."""
    mesh = (mean_face().points * 60.0 + [14.0, 14.0, 0.0]).astype(np.float32)
    kinds = [("happiness", "AU12", "AU04"), ("anger", "AU04", "AU12")] * 4
    told = ("The brows are lowered.", "The lip corners are pulled up.")
    samples = [
        Sample(
            f"s{place}", "made", "train", "m",
            Labels(emotion=emotion, au_intensity={moves: 0.8, still: 0.0}, chain_of_thought=told[place % 3 > 0]),
        )
        for place, (emotion, moves, still) in enumerate(kinds)
    ]  # fmt: skip
    crops = np.stack([np.full((28, 28, 3), 255 * (place % 2), np.uint8) for place in range(len(kinds))])
    return Faces(
        tuple(samples), crops, np.stack([mesh] * len(kinds)), np.tile(np.eye(2, 3), (len(kinds), 1, 1))
    )


def prepared(faces: Faces, tmp_path: Path):
    """A model that has learnt to say both sentences, of any face."""
    items = draw_instructions(EXPLLM, faces, {"cot": 1}, 0.0, 1, {"cot": {"order": "label-first"}})
    tokenizer = open_tokenizer(EXPLLM, None, items, 400)
    torch.manual_seed(0)
    model = FacialLM(EXPLLM.configure("tiny", tokenizer.get_vocab_size())).eval()
    taught = replace(STAGE, objective="language", epochs=250.0, batch=8, learning_rate=3.0e-3)
    prepare(model, taught)
    run_supervised(model, EXPLLM, taught, items, faces, INPUTS, tokenizer, StageOptions(tmp_path / "taught"))
    return model, items, tokenizer


@pytest.fixture(scope="module")
def spoken(faces, tmp_path_factory):
    model, items, tokenizer = prepared(faces, tmp_path_factory.mktemp("spoken"))
    return {name: value.clone() for name, value in model.state_dict().items()}, model, items, tokenizer


def rewarded(spoken, faces, folder: Path, stage: Stage = STAGE, how: Rewarding = HOW, **options):
    state, model, items, tokenizer = spoken
    model.load_state_dict(state)
    prepare(model, stage)
    told = run_reward(
        model,
        EXPLLM,
        stage,
        items,
        faces,
        INPUTS,
        tokenizer,
        StageOptions(folder, **options),
        how,
        cache=True,
    )
    return told, {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.slow
def test_answers_follow_the_face_after_the_reward_and_not_after_that_of_other_faces(spoken, faces, tmp_path):
    stage = replace(STAGE, epochs=30.0, learning_rate=3.0e-4)
    told, _ = rewarded(spoken, faces, tmp_path / "own", stage)
    other, _ = rewarded(
        spoken, faces, tmp_path / "shuffled", stage, HOW.model_copy(update={"shuffled": True})
    )
    assert np.mean(told[-10:]) > np.mean(told[:10]) + 0.15
    assert np.mean(told[-10:]) > np.mean(other[-10:]) + 0.15


@pytest.mark.slow
def test_a_killed_stage_ends_with_the_same_bytes(spoken, faces, tmp_path, monkeypatch):
    short = replace(STAGE, epochs=2.0)
    whole, wanted = rewarded(spoken, faces, tmp_path / "whole", short, save_steps=3)
    assert any(whole) and not all(torch.equal(wanted[name], value) for name, value in spoken[0].items())
    steps = iter(range(100))
    true = reward_stage._loss

    def killed(*given):
        if next(steps) == 5:
            raise KeyboardInterrupt
        return true(*given)

    monkeypatch.setattr(reward_stage, "_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        rewarded(spoken, faces, tmp_path / "killed", short, save_steps=3)
    monkeypatch.setattr(reward_stage, "_loss", true)
    told, found = rewarded(spoken, faces, tmp_path / "killed", short, save_steps=3)
    assert told == whole and all(torch.equal(found[name], value) for name, value in wanted.items())
    texts = [(tmp_path / name / "rewards.json").read_bytes() for name in ("whole", "killed")]
    assert texts[0] == texts[1] and len(json.loads(texts[0])) == len(whole)


def test_the_shuffled_control_gives_every_face_the_truth_of_another(faces):
    rows = range(len(faces))
    own, other = (reward_stage._truths(faces, rows, shuffled, 3) for shuffled in (False, True))
    assert all(other[row] is not own[row] for row in rows)
    found = sorted(json.dumps(sorted(one.aus)) + one.emotion for one in other.values())
    assert found == sorted(json.dumps(sorted(one.aus)) + one.emotion for one in own.values())


def test_what_the_reward_knows_of_a_face_is_its_labels(faces):
    happy = labelled_face(faces, 0)
    right, wrong = reward(["The lip corners are pulled up."] * 2, [happy, labelled_face(faces, 1)])
    assert right > wrong


def test_advantages_compare_within_a_group():
    found = reward_stage._advantages(torch.tensor([1.0, 0.0, 0.5, 0.5]), 2)
    assert found[0] > 0.7 and found[1] < -0.7 and found[2] == found[3] == 0.0


def test_every_item_comes_once_before_any_comes_again():
    seen = [place for step in range(5) for place in reward_stage._chosen(10, step, 4, 0)]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10)) and seen[:10] != seen[10:]
    assert random.Random("0/0").sample(range(10), 10) == seen[:10]


@pytest.mark.parametrize(
    ("stage", "said"),
    [(replace(STAGE, precision="bf16"), "fp32"), (replace(STAGE, batch=6), "groups of 4")],
)
def test_what_cannot_be_is_refused(spoken, faces, tmp_path, stage, said):
    with pytest.raises(BadConfig, match=said):
        rewarded(spoken, faces, tmp_path, stage)
