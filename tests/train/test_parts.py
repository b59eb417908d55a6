"""Pieces of the training room: tokenizer, dialogues, batches, augmentation, masked losses, calibration."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.core.aus import AU_SETS
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadData
from mien.dialogue.read.au_arrays import FORMATS, read_array, slots
from mien.models.pocket.evidence import PocketEvidence, PocketEvidenceConfig
from mien.models.pocket.inputs import PRIOR_ROWS, PRIOR_WIDTH, prior_rows
from mien.models.pocket.prompt import ANSWER_END, EVIDENCE, prompt
from mien.train.data.augment import augment_crops, augment_with_points
from mien.train.data.renders import read_renders
from mien.train.data.tokenizer import train_tokenizer
from mien.train.pocket.detail_stage import REAL_WEIGHT, detail_arrays
from mien.train.pocket.evidence_task import EvidenceArrays, EvidenceCollator, EvidenceTask
from mien.train.pocket.language import TokenBatches, collate_language
from mien.train.pocket.language_data import (
    SINGLE_TOKENS,
    Faces,
    make_turns,
    task_mix,
    tokenise,
    vocabulary_texts,
)
from mien.train.pocket.measurement import fit_sharpness

UNITS = len(AU_SETS["pocket"])


@pytest.fixture(scope="module")
def faces() -> Faces:
    rng = np.random.default_rng(0)
    votes = rng.dirichlet(np.ones(8), 30).astype(np.float32)
    votes[20:] = 0
    intensity = (rng.random((30, UNITS)) * (rng.random((30, UNITS)) < 0.3)).astype(np.float32)
    return Faces(intensity, votes, rng.dirichlet(np.ones(8), 30).astype(np.float32))


@pytest.fixture(scope="module")
def tokenizer(faces: Faces):  # type: ignore[no-untyped-def]
    return train_tokenizer(vocabulary_texts(faces, 1, count=300), 1200, SINGLE_TOKENS)


def test_labels_digits_and_marks_are_single_tokens_and_text_returns(tokenizer, faces: Faces) -> None:  # type: ignore[no-untyped-def]
    for text in SINGLE_TOKENS:
        assert len(tokenizer.encode(text).ids) == 1
    for form in FORMATS:
        for choices in slots(form, 3):
            assert all(len(tokenizer.encode(choice).ids) == 1 for choice in choices)
    for text in vocabulary_texts(faces, 7, count=40):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_tokenizer_refuses_a_vocabulary_too_small_for_the_label_words() -> None:
    with pytest.raises(BadConfig, match="one token"):
        train_tokenizer(["happiness"], 270, ["happiness", "contempt"])


def test_only_answers_count_for_the_loss(tokenizer, faces: Faces) -> None:  # type: ignore[no-untyped-def]
    turns = make_turns(faces, 3, "explanation", random.Random(2))
    item = tokenise(tokenizer, turns, 3)
    learnt = tokenizer.decode(item.ids[item.learnt].tolist(), skip_special_tokens=False)
    assert learnt == f"{turns[1].text}{ANSWER_END}{turns[3].text}{ANSWER_END}"
    # What the model sees before its answer is exactly what inference gives it.
    seen = tokenizer.encode(prompt(turns[:3])).ids
    assert item.ids[: len(seen)].tolist() == seen


def test_arrays_in_dialogues_are_readable_and_reproducible(faces: Faces) -> None:
    for form in FORMATS:
        turns = make_turns(faces, 5, f"au-{form}", random.Random(4))
        assert turns == make_turns(faces, 5, f"au-{form}", random.Random(4))
        assert read_array(turns[1].text, form, UNITS).status == "answered"


def test_drawn_labels_follow_the_votes(faces: Faces) -> None:
    drawn = [make_turns(faces, 0, "emotion", random.Random(n))[1].text for n in range(3000)]
    share = np.asarray([drawn.count(label) / len(drawn) for label in EMOTIONS])
    assert np.abs(share - faces.emotion[0]).max() < 0.04


def test_task_mix_asks_for_labels_more_often_where_raters_gave_them() -> None:
    with_votes = [task_mix(random.Random(n), True) for n in range(500)].count("emotion")
    without = [task_mix(random.Random(n), False) for n in range(500)].count("emotion")
    assert with_votes > 2 * without


def test_batches_hold_every_item_once_within_the_token_limit(tokenizer, faces: Faces) -> None:  # type: ignore[no-untyped-def]
    items = []
    for number in range(80):
        rng = random.Random(number)
        face = number % len(faces)
        items.append(tokenise(tokenizer, make_turns(faces, face, task_mix(rng, True), rng), face))
    batches = TokenBatches(items, 800, seed=1)
    seen = [id(item) for batch in (batches[i] for i in range(len(batches))) for item in batch]
    assert sorted(seen) == sorted(id(item) for item in items)
    for i in range(len(batches)):
        longest = max(len(item.ids) for item in batches[i])
        assert len(batches[i]) == 1 or longest * len(batches[i]) <= 800 + 3 * len(batches[i])


def test_collated_batch_has_the_rows_its_placeholders_ask_for(tokenizer, faces: Faces) -> None:  # type: ignore[no-untyped-def]
    from mien.train.pocket.language import Rows

    rows = Rows(np.zeros((30, 5, 16), np.float16), np.zeros((30, 1, 16), np.float16), faces.intensity)
    items = [tokenise(tokenizer, make_turns(faces, f, "emotion", random.Random(f)), f) for f in (1, 2)]
    batch = collate_language(rows, items)
    for name, (token, count) in EVIDENCE.items():
        places = (batch["input_ids"] == tokenizer.token_to_id(token)).sum(dim=1)
        assert places.tolist() == [count, count] and batch["evidence"][name].shape[:2] == (2, count)
    assert (batch["labels"] >= 0).sum() == 4  # two labels, two end tokens


def test_prior_rows_hold_intensity_and_one_hot_level() -> None:
    intensity = np.zeros((1, UNITS), np.float32)
    intensity[0, 0], intensity[0, 7] = 0.62, 1.0
    packed = prior_rows(intensity)
    assert packed.shape == (1, PRIOR_ROWS, PRIOR_WIDTH)
    flat = packed.reshape(-1, 7)
    assert flat[0].tolist() == pytest.approx([0.62, 0, 0, 0, 1, 0, 0])
    assert flat[7].tolist() == [1, 0, 0, 0, 0, 0, 1]
    assert flat[UNITS:].sum() == 0


def test_augmentation_keeps_shape_and_is_reproducible() -> None:
    crops = torch.rand(16, 1, 64, 64)
    torch.manual_seed(3)
    first = augment_crops(crops)
    torch.manual_seed(3)
    assert torch.equal(first, augment_crops(crops))
    assert first.shape == crops.shape and torch.isfinite(first).all()
    assert not torch.equal(first, crops)


def test_points_move_with_their_crop_and_a_mirror_swaps_sides() -> None:
    places = torch.rand(64, 68, 2) - 0.5
    places[:, 8] = places[:, 30] = torch.tensor([0.25, -0.125])  # on the midline: they keep their number
    places[:, 36] = torch.nan
    crops = torch.zeros(64, 1, 128, 128)
    crops[:, :, 52:60, 76:84] = 1.0  # a square around x 0.25, y -0.125
    torch.manual_seed(0)
    moved, points = augment_with_points(crops, places)
    axis = (torch.arange(128) + 0.5) / 64 - 1
    bright = (moved[:, 0] > 0.55).float()
    centre = torch.stack([(bright * axis).sum((1, 2)), (bright * axis[:, None]).sum((1, 2))], 1)
    seen = bright.sum((1, 2)) > 40  # neither erased nor out of the picture
    assert int(seen.sum()) > 40
    distance = (centre[seen] / bright.sum((1, 2))[seen, None] - points[seen, 8]).norm(dim=1)
    assert float(distance.median()) < 0.02
    # The outer corner of an eye that was not known is now either that corner or the other eye's.
    missing = points.isnan().any(dim=2)
    assert (missing.sum(dim=1) == 1).all() and set(missing.int().argmax(dim=1).tolist()) == {36, 45}


def test_real_faces_are_taught_by_the_mesh_and_weigh_less() -> None:
    net = PocketEvidence(PocketEvidenceConfig())
    arrays = _arrays(6, side=128)
    marked = replace(
        arrays, presence=np.where(np.arange(UNITS) == 3, 1.0, arrays.presence).astype(np.float32)
    )
    made = detail_arrays(net, replace(arrays, intensity=np.zeros((6, UNITS), np.float32)), marked)
    assert made.trust.tolist() == pytest.approx([1.0] * 6 + [REAL_WEIGHT] * 6)
    assert np.isnan(made.table.intensity[6:, 3]).all()  # a human mark is not overruled
    assert ((made.table.intensity[6:, :3] > 0) & (made.table.intensity[6:, :3] < 1)).all()
    assert not np.allclose(made.base, made.blind_base)


def test_details_correct_aus_alone_and_only_where_they_are_given() -> None:
    torch.manual_seed(0)
    net = PocketEvidence(PocketEvidenceConfig()).eval()
    large = torch.rand(3, 1, 128, 128)
    inputs = large, torch.zeros(3, net.config.landmark_features), torch.ones(3), torch.ones(3)
    with torch.no_grad():
        plain = net(*inputs)
        detailed = net(*inputs, large, torch.tensor([1.0, 0.0, 1.0]))
    assert torch.equal(detailed.emotion_logits, plain.emotion_logits)
    assert torch.allclose(detailed.au_logits[1], plain.au_logits[1])
    assert not torch.allclose(detailed.au_logits[0], plain.au_logits[0])


def _arrays(count: int, side: int = 64) -> EvidenceArrays:
    rng = np.random.default_rng(1)
    config = PocketEvidenceConfig()
    return EvidenceArrays(
        crops=rng.integers(0, 255, (count, side, side), np.uint8),
        has_crop=np.ones(count, np.float32),
        landmarks=rng.normal(size=(count, config.landmark_features)).astype(np.float32),
        has_landmarks=np.ones(count, np.float32),
        emotion=np.eye(8, dtype=np.float32)[np.arange(count) % 8],
        emotion_weight=np.ones(count, np.float32),
        intensity=np.full((count, UNITS), np.nan, np.float32),
        presence=np.full((count, UNITS), np.nan, np.float32),
        points=rng.uniform(-1, 1, (count, 68, 2)).astype(np.float32),
        framed=np.ones(count, np.float32),
    )


def test_targets_that_are_missing_give_no_gradient() -> None:
    torch.manual_seed(0)
    task = EvidenceTask(PocketEvidence(PocketEvidenceConfig()))
    arrays = _arrays(8)
    task(**EvidenceCollator(arrays)(list(range(8))))["loss"].backward()
    # No AU target anywhere: the head's output layer stays untouched, the emotion head learns.
    assert float(task.net.au_head[-1].weight.grad.abs().sum()) == 0.0
    assert float(task.net.emotion_head[-1].weight.grad.abs().sum()) > 0.0


def test_missing_evidence_really_is_not_looked_at() -> None:
    torch.manual_seed(0)
    net = PocketEvidence(PocketEvidenceConfig()).eval()
    arrays = _arrays(4)
    batch = EvidenceCollator(replace(arrays, has_crop=np.zeros(4, np.float32)))
    batch.training = False
    inputs = {
        k: v
        for k, v in batch(list(range(4))).items()
        if k in ("crop", "landmarks", "has_crop", "has_landmarks")
    }
    with torch.no_grad():
        first = net(**inputs).au_logits
        second = net(**{**inputs, "crop": torch.rand_like(inputs["crop"])}).au_logits
    assert torch.allclose(first, second)


def test_calibration_maps_rest_to_the_edge_of_level_a() -> None:
    net = PocketEvidence(PocketEvidenceConfig())
    net.rest.fill_(0.3)
    raw = torch.tensor([[0.0, 0.15, 0.3, 0.65, 1.0] + [0.0] * (UNITS - 5)])
    assert net.calibrate(raw)[0, :5].tolist() == pytest.approx([0.0, 0.05, 0.1, 0.55, 1.0])


def test_sharpness_is_recovered_from_its_own_logistic() -> None:
    rng = np.random.default_rng(0)
    intensity = rng.random((4000, 1)).astype(np.float32) * 0.4
    chance = 1 / (1 + np.exp(-20 * (intensity - 0.1)))
    present = (rng.random((4000, 1)) < chance).astype(np.float32)
    assert fit_sharpness(intensity, present)[0] == pytest.approx(20, rel=0.2)


def test_renders_split_by_identity_and_missing_folder_is_explained(
    tiny_renders: Path, tmp_path: Path
) -> None:
    train, val = read_renders(tiny_renders, "train"), read_renders(tiny_renders, "val")
    assert len(train) + len(val) == 24 and len(val) > 0
    assert not set(train.identity.tolist()) & set(val.identity.tolist())
    with pytest.raises(BadData, match=r"render_faces\.py"):
        read_renders(tmp_path, "train")
