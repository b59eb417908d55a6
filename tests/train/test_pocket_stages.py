"""The stages that teach the expression encoder and the net of hidden regions: draws, labels, kills, learning."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.core.emotions import EMOTIONS
from mien.core.nouns import Labels, Sample
from mien.layers.face_crop import FaceCropEncoder
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.inputs import HIDDEN_REGIONS
from mien.models.pocket.regions import PocketRegions
from mien.models.pocket.system import SCALES, PocketScale, build
from mien.train.data.tokenizer import train_tokenizer
from mien.train.pocket import hidden_stage, readout_stage
from mien.train.pocket.expression_stage import (
    ExpressionClassifier,
    ExpressionStage,
    draw_shares,
    run_expression_stage,
)
from mien.train.pocket.hidden_stage import HiddenStage, hidden_probabilities, run_hidden_stage
from mien.train.pocket.language import Rows, evidence_of
from mien.train.pocket.language_data import SINGLE_TOKENS, Faces, make_turns, tokenise, vocabulary_texts
from mien.train.pocket.occluders import HARMLESS, HELD_BACK, TRAINING, occlude
from mien.train.pocket.readout import label_logits
from mien.train.pocket.readout_stage import ReadoutStage, readout_shares, run_readout_stage

POINTS = np.asarray([
    *((10 + 2.4 * i, 28 + 28 * np.sin(np.pi * i / 16)) for i in range(17)),
    *((15 + 3.2 * i, 20) for i in range(5)), *((36 + 3.2 * i, 20) for i in range(5)),
    *((32, 25 + 4 * i) for i in range(4)), *((27 + 2.5 * i, 40) for i in range(5)),
    *((20 + 5 * np.cos(a), 26 + 2 * np.sin(a)) for a in np.linspace(np.pi, 3 * np.pi, 6, endpoint=False)),
    *((43 + 5 * np.cos(a), 26 + 2 * np.sin(a)) for a in np.linspace(np.pi, 3 * np.pi, 6, endpoint=False)),
    *((32 + 8 * np.cos(a), 47 + 3 * np.sin(a)) for a in np.linspace(np.pi, 3 * np.pi, 20, endpoint=False)),
], np.float32)  # fmt: skip
"""A plain frontal face in a crop of 64 px."""


def _faces(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Flat faces with dark brows, eyes and mouth, each of its own tone."""
    rng = np.random.default_rng(0)
    faces = np.empty((count, 64, 64), np.uint8)
    for face in faces:
        face[:] = np.clip(rng.normal(rng.uniform(120, 200), 8, (64, 64)), 0, 255)
        for x, y in POINTS[17:].astype(int):
            face[y - 1 : y + 2, x - 1 : x + 2] = rng.integers(20, 60)
    return faces


def _kill() -> None:
    raise KeyboardInterrupt


def _sample(dataset: str = "ferplus") -> Sample:
    return Sample("a", dataset, "train", "a.png", Labels())


def test_rare_faces_are_drawn_more_often_and_clear_common_ones_less() -> None:
    votes = np.zeros((5, 8), np.float32)
    votes[0, EMOTIONS.index("fear")], votes[0, 0] = 0.4, 0.6
    votes[1, EMOTIONS.index("happiness")] = 1.0
    votes[2, EMOTIONS.index("anger")] = 1.0
    votes[3, 0] = 1.0
    samples = [_sample(), _sample(), _sample(), _sample("lfw_emotion"), _sample("genki4k")]
    shares = draw_shares(samples, votes, ExpressionStage())
    assert shares.tolist() == pytest.approx([2.5, 0.4, 1.0, 0.2, 0.0])


@pytest.mark.parametrize("kind", [*TRAINING, *HARMLESS, *HELD_BACK])
def test_what_is_drawn_hides_what_it_says(kind: str) -> None:
    crop, seen = _faces(1)[0], []
    for number in range(20):
        covered, hidden = occlude(crop, POINTS, kind, np.random.default_rng(number))
        again, _ = occlude(crop, POINTS, kind, np.random.default_rng(number))
        assert np.array_equal(covered, again)
        assert not np.array_equal(covered, crop)
        seen.append(hidden)
    found = {
        name for hidden in seen for name, value in zip(HIDDEN_REGIONS, hidden, strict=True) if value == 1
    }
    expected = {
        "mask": {"mouth"}, "box mask": {"mouth"}, "scarf": {"mouth"}, "cup": {"mouth"}, "bandana": {"mouth"},
        "sunglasses": {"eyes"}, "aviators": {"eyes"}, "fringe": {"brow"},
        "glasses": set(), "patch": set(), "beard": set(),
    }  # fmt: skip
    assert found >= expected.get(kind, {"mouth"})
    if kind in expected and expected[kind] != {"eyes"}:
        assert found <= expected[kind] | {"eyes"} if kind == "fringe" else found == expected[kind]


def test_net_of_hidden_regions_learns_what_a_mask_is_and_a_killed_run_ends_the_same(tmp_path: Path) -> None:
    crops, stage = _faces(128), HiddenStage(epochs=4, faces=128, batch_size=16, learning_rate=2e-2)
    points = np.repeat(POINTS[None], len(crops), axis=0)
    torch.manual_seed(0)
    start = PocketRegions((8, 8, 16, 16)).state_dict()

    def fresh() -> PocketRegions:
        net = PocketRegions((8, 8, 16, 16))
        net.load_state_dict(start)
        return net

    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    net = run_hidden_stage(fresh(), stage, crops, points, tmp_path / "one")
    rng = np.random.default_rng(5)
    masked = np.stack([occlude(face, POINTS, "box mask", rng)[0] for face in crops[:64]])
    bare, hidden = hidden_probabilities(net, crops[:64])[:, 0], hidden_probabilities(net, masked)[:, 0]
    assert hidden.mean() > bare.mean() + 0.2
    assert (bare > 0.5).mean() <= 0.05

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        whole, calls = hidden_stage.cover_faces, iter([1, 2])
        patch.setattr(
            hidden_stage, "cover_faces", lambda *given: whole(*given) if next(calls, 0) else _kill()
        )
        run_hidden_stage(fresh(), stage, crops, points, tmp_path / "two")
    resumed = run_hidden_stage(fresh(), stage, crops, points, tmp_path / "two")
    for key, value in net.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_expression_stage_learns_and_a_stopped_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    crops = _faces(48)
    crops[::2, 32:, :] = 10
    votes = np.zeros((48, 8), np.float32)
    votes[::2, 1], votes[1::2, 0] = 1.0, 1.0
    stage = ExpressionStage(epochs=6, batch_size=8, learning_rate=1e-2, average=0.5, dropout=0.0)
    shares = np.ones(48, np.float32)
    torch.manual_seed(0)
    start = FaceCropEncoder((8, 8, 8, 8), blocks=1).state_dict()

    def fresh() -> ExpressionClassifier:
        torch.manual_seed(1)
        net = ExpressionClassifier(FaceCropEncoder((8, 8, 8, 8), blocks=1), stage.dropout)
        net.encoder.load_state_dict(start)
        return net

    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    whole = run_expression_stage(fresh(), stage, crops, votes, shares, tmp_path / "one")
    run_expression_stage(fresh(), stage, crops, votes, shares, tmp_path / "two", epochs=2)
    resumed = run_expression_stage(fresh(), stage, crops, votes, shares, tmp_path / "two")
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    with torch.no_grad():
        guesses = whole(torch.from_numpy(crops).unsqueeze(1).float() / 255).argmax(dim=1).numpy()
    assert (guesses == votes.argmax(axis=1)).mean() > 0.9


def test_readout_stage_teaches_votes_and_a_killed_run_ends_the_same(tmp_path: Path) -> None:
    votes = np.zeros((24, 8), np.float32)
    votes[::2, EMOTIONS.index("fear")] = votes[1::2, 0] = 1.0
    shape = PocketScale(hidden=32, layers=1, heads=2, groups=1, inner=32, feature=8)
    rows = Rows(
        np.repeat(votes[:, None], 5, axis=1).astype(np.float16), np.zeros((24, 1, 8), np.float16),
        np.zeros((24, 22), np.float32),
    )  # fmt: skip
    faces = Faces(intensity=rows.intensity, emotion=votes, belief=votes)
    tokenizer = train_tokenizer(vocabulary_texts(faces, 1, 40), 700, SINGLE_TOKENS)
    items = [
        tokenise(tokenizer, make_turns(faces, face, "au-list", random.Random(face)), face)
        for face in range(4)
    ]
    stage = ReadoutStage(steps=26, batch_size=16, learning_rate=1e-2, batch_tokens=256, language_every=8)

    def run(folder: Path) -> FacialLM:
        torch.manual_seed(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(SCALES, "tiny", shape)
            model = build(tokenizer.get_vocab_size(), "tiny")
        folder.mkdir(exist_ok=True)
        return run_readout_stage(
            model, tokenizer, stage, lambda shown: evidence_of(rows, shown), votes, items, folder
        )

    whole = run(tmp_path / "one")
    guesses = label_logits(whole, tokenizer, rows, range(24)).argmax(axis=1)
    assert (guesses == votes.argmax(axis=1)).all()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        write, calls = readout_stage.written_whole, iter([1])
        patch.setattr(readout_stage, "written_whole", lambda path: write(path) if next(calls, 0) else _kill())
        run(tmp_path / "two")
    resumed = run(tmp_path / "two").state_dict()
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed[key]), key


def test_rare_votes_are_drawn_more_often_than_they_come() -> None:
    votes = np.zeros((100, 8), np.float32)
    votes[:99, 0], votes[99, EMOTIONS.index("contempt")] = 1.0, 1.0
    assert readout_shares(votes, 0.0)[99] == pytest.approx(0.01)
    assert readout_shares(votes, 1.0)[99] == pytest.approx(0.5)
    assert readout_shares(np.vstack([votes, np.zeros((1, 8), np.float32)]), 0.5)[100] == 0.0
