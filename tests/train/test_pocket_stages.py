"""The stages that teach the expression encoder and the net of hidden regions: draws, labels, kills, learning."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from mien.core.emotions import EMOTIONS
from mien.core.nouns import FloatArray, Labels, Sample
from mien.layers.face_crop import FaceCropEncoder
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.expression import ExpressionClassifier, PocketExpression
from mien.models.pocket.inputs import HIDDEN_REGIONS
from mien.models.pocket.regions import PocketRegions
from mien.models.pocket.system import SCALES, PocketScale, build
from mien.train.data.tokenizer import train_tokenizer
from mien.train.pocket import hidden_stage, state
from mien.train.pocket.belief_stage import BeliefStage, kept_dialogues, read_told, run_belief_stage
from mien.train.pocket.emotion import Clear, fit_join, joined, projected, told_logits
from mien.train.pocket.expression_stage import ExpressionStage, draw_shares, run_expression_stage
from mien.train.pocket.hidden_stage import HiddenStage, hidden_probabilities, run_hidden_stage
from mien.train.pocket.language import Rows, evidence_of
from mien.train.pocket.language_data import SINGLE_TOKENS, Faces, Item, make_turns, tokenise, vocabulary_texts
from mien.train.pocket.occluders import HARMLESS, HELD_BACK, TRAINING, occlude
from mien.train.pocket.readout import asked
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
    stage = ExpressionStage(
        epochs=6, small_epochs=3, small_size=32, batch_size=8, learning_rate=1e-2, average=0.5, dropout=0.0
    )
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


@pytest.fixture(scope="module")
def talk() -> Talk:
    votes = np.zeros((24, 8), np.float32)
    votes[::2, EMOTIONS.index("fear")] = votes[1::2, 0] = 1.0
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
    return Talk(votes, rows, faces, tokenizer, items)


@dataclass(frozen=True)
class Talk:
    """Faces whose rows say their votes, and dialogues about them."""

    votes: FloatArray
    rows: Rows
    faces: Faces
    tokenizer: Tokenizer
    items: list[Item]

    def taught(self, folder: Path) -> FacialLM:
        stage = ReadoutStage(steps=26, batch_size=16, learning_rate=1e-2, batch_tokens=256, language_every=8)
        shape = PocketScale(hidden=32, layers=1, heads=2, groups=1, inner=32, feature=8)
        torch.manual_seed(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(SCALES, "tiny", shape)
            model = build(self.tokenizer.get_vocab_size(), "tiny")
        folder.mkdir(exist_ok=True)
        return run_readout_stage(
            model, self.tokenizer, stage, lambda shown: evidence_of(self.rows, shown), self.votes, self.items,
            folder,
        )  # fmt: skip


def test_readout_stage_teaches_votes_and_a_killed_run_ends_the_same(talk: Talk, tmp_path: Path) -> None:
    whole = talk.taught(tmp_path / "one")
    ids, words = asked(talk.tokenizer)
    said = read_told(whole.eval(), ids, torch.from_numpy(projected(whole, talk.rows)).float())
    assert (said[:, words].argmax(dim=1).numpy() == talk.votes.argmax(axis=1)).all()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        write, calls = state.written_whole, iter([1])
        patch.setattr(state, "written_whole", lambda path: write(path) if next(calls, 0) else _kill())
        talk.taught(tmp_path / "two")
    resumed = talk.taught(tmp_path / "two").state_dict()
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed[key]), key


def test_decoder_says_the_belief_it_is_told_and_is_not_changed_by_it(talk: Talk, tmp_path: Path) -> None:
    model = talk.taught(tmp_path / "readout").eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rows, head = projected(model, talk.rows), np.zeros((24, 8), np.float32)
    stage = BeliefStage(steps=150, batch_size=16, learning_rate=1e-2, items=6, batch_tokens=256, keep=0.02)
    items = kept_dialogues(talk.faces, talk.tokenizer, stage)

    def run(folder: Path) -> PocketExpression:
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        net = PocketExpression(ExpressionClassifier(FaceCropEncoder((8, 8, 8, 8), blocks=1)), 32, 16)
        return run_belief_stage(
            net, model, talk.tokenizer, stage, rows, head, talk.votes, items, folder
        )  # fmt: skip

    net = run(tmp_path / "one")
    clear = Clear(_faces(24), head, rows, talk.votes.argmax(axis=1))
    opposite = np.roll(talk.votes, 1, axis=0)  # of what the rows say
    said = told_logits(net, model, talk.tokenizer, clear, torch.from_numpy(np.log(opposite + 0.01)))
    assert (said.argmax(axis=1) == opposite.argmax(axis=1)).all()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        write, calls = state.written_whole, iter([1])
        patch.setattr(state, "written_whole", lambda path: write(path) if next(calls, 0) else _kill())
        run(tmp_path / "two")
    resumed = run(tmp_path / "two").state_dict()
    for key, value in net.state_dict().items():
        assert torch.equal(value, resumed[key]), key


def test_joined_logits_favour_the_rare_and_one_temperature_makes_them_true() -> None:
    torch.manual_seed(0)
    net = PocketExpression(ExpressionClassifier(FaceCropEncoder((8, 8, 8, 8), blocks=1)), 32, 16)
    rng = np.random.default_rng(0)
    head = rng.normal(0, 4, (400, 8)).astype(np.float32)
    chances = np.exp(head / 2) / np.exp(head / 2).sum(axis=1, keepdims=True)
    leading = np.asarray([rng.choice(8, p=row / row.sum()) for row in chances])
    clear = Clear(np.repeat(_faces(1), 400, axis=0), head, np.zeros((400, 10, 32), np.float16), leading)
    votes = np.full((10, 8), 0.01, np.float32)
    votes[:, 0] = 0.93
    plain = joined(fit_join(net, clear, votes, 1.0, 0.0), clear)
    assert float(net.temperature) == pytest.approx(2.0, rel=0.2)
    adjusted = joined(fit_join(net, clear, votes, 1.0, 1.0), clear)
    assert int((adjusted.argmax(dim=1) == 0).sum()) < int((plain.argmax(dim=1) == 0).sum())
    unseen = net(torch.rand(2, 1, 128, 128), torch.zeros(2), torch.from_numpy(head[:2]))
    assert torch.equal(unseen[0], torch.from_numpy(head[:2])) and not unseen[1].any()


def test_rare_votes_are_drawn_more_often_than_they_come() -> None:
    votes = np.zeros((100, 8), np.float32)
    votes[:99, 0], votes[99, EMOTIONS.index("contempt")] = 1.0, 1.0
    assert readout_shares(votes, 0.0)[99] == pytest.approx(0.01)
    assert readout_shares(votes, 1.0)[99] == pytest.approx(0.5)
    assert readout_shares(np.vstack([votes, np.zeros((1, 8), np.float32)]), 0.5)[100] == 0.0
