"""Encoder stages: a separable miniature is learnt by contrast and as classes; targets and losses as stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Labels, Sample
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import prepare
from mien.models.facephi.words import alignment_text, dialogue
from mien.models.registry import open_system
from mien.train.align import (
    AlignmentTask,
    ClassificationTask,
    FaceBatches,
    FaceRowsOf,
    emotion_frequency,
    emotion_target,
    jittered,
)
from mien.train.data.drawn import Instruction
from mien.train.data.faces import Faces
from mien.train.data.instructions import open_tokenizer
from mien.train.recipe import StageRun, resolve_stage
from mien.train.stage_trainer import StageOptions, run_stage

SYSTEM = open_system("facephi")
INPUTS = Inputs(crop_size=16, image_size=16)
TEXTS = [alignment_text(label) for label in EMOTIONS]
CHANGES = {"learning_rate": 3e-3, "batch": 8, "epochs": 20, "precision": "fp32"}


def clouds(count: int) -> Faces:
    """Landmarks whose width tells the class: easy for any encoder that sees the points."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(478, 3))
    landmarks = [
        base * [(0.3, 1.0)[row % 2], 1.0, 1.0] * 40.0 + 60.0 + rng.normal(size=(478, 3)) * 0.2
        for row in range(count)
    ]
    samples = [
        Sample(f"s{row}", "made", "train", f"m{row}", Labels(emotion=EMOTIONS[row % 2]))
        for row in range(count)
    ]
    crops, still = np.zeros((count, 16, 16, 3), np.uint8), np.tile(np.eye(2, 3), (count, 1, 1))
    return Faces(tuple(samples), crops, np.asarray(landmarks, np.float32), still)


@pytest.fixture(scope="module")
def faces() -> Faces:
    return clouds(24)


def composite() -> FacialLM:
    torch.manual_seed(0)
    return FacialLM(SYSTEM.configure("tiny", 400))


def task_of(objective: str, model: FacialLM, faces: Faces) -> AlignmentTask | ClassificationTask:
    if objective == "classify":
        return ClassificationTask(model, "landmarks", emotion_frequency(faces))
    tokenizer = open_tokenizer(SYSTEM, None, [Instruction(0, "emotion", dialogue("happiness"))], 400)
    return AlignmentTask(model, "landmarks", TEXTS, tokenizer, "label")


@pytest.mark.parametrize("objective", ["align", "classify"])
def test_a_separable_miniature_is_learnt(objective: str, faces: Faces, tmp_path: Path) -> None:
    model = composite()
    stage = resolve_stage(SYSTEM, StageRun(name=objective, changes=CHANGES))
    declared = prepare(model, stage)
    before = {name: value.clone() for name, value in model.named_parameters()}
    task = task_of(objective, model, faces)
    batches = FaceBatches(model.config, "landmarks", INPUTS, faces)
    run_stage(task, stage, FaceRowsOf(range(len(faces))), batches, StageOptions(tmp_path))
    with torch.no_grad():
        logits = task.eval()(**batches(range(len(faces))))["logits"]
    assert logits[:, :2].argmax(dim=1).tolist() == [row % 2 for row in range(len(faces))]
    moved = sorted(name for name, value in model.named_parameters() if not torch.equal(value, before[name]))
    assert moved == declared


def test_texts_of_the_emotions_differ_in_the_tower(faces: Faces) -> None:
    task = task_of("align", composite(), faces)
    assert isinstance(task, AlignmentTask)
    features = task.text_features().detach()
    assert features.shape == (8, 128)
    distance = torch.cdist(features, features) + torch.eye(8)
    assert float(distance.min()) > 1e-3


def test_alignment_needs_a_text_per_emotion() -> None:
    tokenizer = open_tokenizer(SYSTEM, None, [Instruction(0, "emotion", dialogue("fear"))], 400)
    with pytest.raises(BadConfig, match="7 texts"):
        AlignmentTask(composite(), "landmarks", TEXTS[:7], tokenizer)


def test_targets_are_shares_of_votes_or_the_label() -> None:
    voted = emotion_target(Labels(emotion="fear", votes={"fear": 6.0, "surprise": 2.0, "unknown": 2.0}))
    assert voted[EMOTIONS.index("fear")] == 0.75 and float(voted.sum()) == pytest.approx(1.0)
    assert emotion_target(Labels(emotion="anger")).argmax() == EMOTIONS.index("anger")
    assert not emotion_target(Labels(smile=True)).any()


def test_classes_and_units_count_where_they_are_known(faces: Faces) -> None:
    task = ClassificationTask(composite(), "landmarks", emotion_frequency(faces)).eval()
    batch = FaceBatches(composite().config, "landmarks", INPUTS, faces)([0, 1])
    told = task(**batch)
    assert batch["units"].isnan().all()
    shares = batch["emotion"] * task.get_buffer("weight")
    by_hand = -(shares * told["logits"][:, :8].log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(told["loss"], by_hand)
    known = batch["units"].clone()
    known[0, 3] = 1.0
    with_unit = task(batch["items"], batch["emotion"], known)["loss"]
    torch.testing.assert_close(with_unit - told["loss"], torch.nn.functional.softplus(-told["logits"][0, 11]))


def test_jitter_keeps_the_cloud() -> None:
    torch.manual_seed(0)
    points = torch.randn(4, 478, 3) * 30.0 + 100.0
    changed = jittered(points)
    assert float((changed - points).abs().max()) > 0.1
    for before, after in zip(points, changed, strict=True):
        both = torch.stack([(cloud - cloud.mean(dim=0)).flatten() for cloud in (before, after)])
        assert float(torch.corrcoef(both)[0, 1]) > 0.97


def test_a_face_without_landmarks_is_named(faces: Faces) -> None:
    blind = Faces(faces.samples, faces.crops, np.full_like(faces.landmarks, np.nan), faces.transforms)
    with pytest.raises(BadInput, match="face without landmarks"):
        FaceBatches(composite().config, "landmarks", INPUTS, blind)([0])
