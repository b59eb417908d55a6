"""Changed faces: colours stay, points and priors move with the pixels, and nothing said of a side becomes wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.core.nouns import Labels, Sample, Turn
from mien.face.pose import mean_face
from mien.face.topology import MESH106
from mien.models.au_llava import words as au_llava_words
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.registry import open_system
from mien.train.data.augmented import augmented, tells_sides
from mien.train.data.drawn import draw_instructions
from mien.train.data.faces import Faces
from mien.train.data.instructions import InstructionCollator, open_tokenizer
from mien.train.supervised import cached_rows

SIZE, COUNT = 96, 40
INPUTS = Inputs(crop_size=SIZE, image_size=28)
RIGHT, LEFT = 33, 263  # outer corners of the subject's eyes
EMOLA = open_system("emola")


def faces_of(crops: np.ndarray, places: np.ndarray) -> Faces:
    """Faces whose pictures are twice as large as their crops."""
    count = len(crops)
    return Faces(
        tuple(Sample(f"s{i}", "made", "train", f"m{i}", Labels(emotion="fear")) for i in range(count)),
        crops.astype(np.uint8),
        (places * 2.0).astype(np.float32),
        np.tile([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]], (count, 1, 1)),
    )


@pytest.fixture(scope="module")
def marked() -> Faces:
    """Dark faces with a bright square at the corner of the right eye."""
    mesh = mean_face().points * 30.0 + [SIZE / 2, SIZE / 2, 0.0]
    x, y = mesh[RIGHT, :2].round().astype(int)
    crops = np.full((COUNT, SIZE, SIZE, 3), 20)
    crops[:, y - 4 : y + 4, x - 4 : x + 4] = 255
    return faces_of(crops, np.tile(mesh, (COUNT, 1, 1)))


def bright(crop: np.ndarray) -> np.ndarray | None:
    """Centre of the bright square; None where it was erased or left the picture."""
    there = crop[..., 0] > 140
    if there.sum() < 30:
        return None
    return np.asarray([place.mean() + 0.5 for place in np.nonzero(there)[::-1]])


@pytest.mark.parametrize("mirror", [True, False])
def test_points_move_with_the_pixels(marked: Faces, mirror: bool) -> None:
    torch.manual_seed(0)
    shown = [(row,) for row in range(COUNT)]
    mirrored = 0
    found = []
    for one in augmented(marked, shown, [mirror] * COUNT):
        points, place = one.face.landmarks, bright(one.crop)
        assert points[RIGHT, 0] < points[LEFT, 0]  # a right eye stays on the picture's left
        if place is not None:
            distances = [np.linalg.norm(points[key, :2] - place) for key in (RIGHT, LEFT)]
            mirrored += distances[1] < distances[0]
            found.append(min(distances))
    assert len(found) > COUNT / 2 and np.median(found) < 1.0
    assert (mirrored > COUNT / 5) if mirror else mirrored == 0


def test_depth_grows_with_the_face(marked: Faces) -> None:
    torch.manual_seed(0)
    before = marked.landmarks[0] / 2
    for one in augmented(marked, [(row,) for row in range(5)], [False] * 5):
        after = one.face.landmarks
        spread = [np.linalg.norm(points[RIGHT, :2] - points[LEFT, :2]) for points in (before, after)]
        np.testing.assert_allclose(
            np.ptp(after[:, 2]) / np.ptp(before[:, 2]), spread[1] / spread[0], rtol=1e-3
        )


def test_colours_stay(marked: Faces) -> None:
    crops = np.zeros((8, SIZE, SIZE, 3), np.uint8)
    crops[:4] = [180, 90, 40]
    crops[4:] = 120
    faces = replace(marked.take(range(8)), crops=crops)
    torch.manual_seed(0)
    changed = [one.crop.astype(int) for one in augmented(faces, [(row,) for row in range(8)], [True] * 8)]
    for crop in changed[:4]:
        assert (crop[..., 0] > crop[..., 1]).all() and (crop[..., 1] > crop[..., 2]).all()
    for crop in changed[4:]:
        assert (np.ptp(crop, axis=2) <= 1).all()
    assert not np.array_equal(changed[0], changed[1])


def test_an_unchanged_face_is_boxed_in_px_of_its_picture(marked: Faces) -> None:
    np.testing.assert_allclose(marked.evidence(0).face.box, [0, 0, 2 * SIZE, 2 * SIZE])


def test_frames_of_one_item_are_turned_alike(marked: Faces) -> None:
    torch.manual_seed(0)
    points = [one.face.landmarks for one in augmented(marked, [(0, 1, 2), (3,)], [True, True])]
    assert np.array_equal(points[0], points[1]) and np.array_equal(points[0], points[2])
    assert not np.allclose(points[0], points[3])


def test_a_face_without_mesh_stays_without(marked: Faces) -> None:
    faces = replace(marked, landmarks=np.full_like(marked.landmarks, np.nan))
    assert augmented(faces, [(0,)], [True])[0].face.landmarks is None


def test_what_tells_left_from_right_is_not_mirrored(marked: Faces) -> None:
    assert tells_sides([Turn("user", au_llava_words.ask("feafa")), Turn("assistant", "[0.1]")])
    assert tells_sides([Turn("user", "Why?"), Turn("assistant", "The Left lip corner is raised.")])
    assert not any(tells_sides([Turn("user", au_llava_words.ask(task))]) for task in ("bp4d", "disfa"))
    assert not tells_sides([Turn("user", "Which brightness?")])
    items = [
        replace(item, turns=(*item.turns[:1], Turn("assistant", "Its right eye is closed.")))
        for item in draw_instructions(EMOLA, marked, {"emotion": 1}, 0.0, 1)
    ]
    tokenizer = open_tokenizer(EMOLA, None, items, 400)
    collator = InstructionCollator(
        EMOLA, EMOLA.configure("tiny", 400), INPUTS, marked, tokenizer, 0, augment=True
    )
    torch.manual_seed(0)
    points = collator.evidence(items)["prior"].view(COUNT, 106, 2)
    # The same draws, mirrored where the coin says so, give other places.
    torch.manual_seed(0)
    allowed = augmented(marked, [(row,) for row in range(COUNT)], [True] * COUNT)
    priors = np.stack([2 * one.face.landmarks[list(MESH106), :2] / SIZE - 1 for one in allowed])
    same = [np.allclose(points[row], priors[row], atol=1e-4) for row in range(COUNT)]
    assert COUNT / 5 < sum(same) < COUNT * 4 / 5


def test_a_cached_prior_is_that_of_its_cached_picture(marked: Faces) -> None:
    faces = marked.take(range(4))
    model = FacialLM(EMOLA.configure("tiny", 400)).eval()
    views = cached_rows(model, "prior", INPUTS, faces, 2, seed=5)
    torch.manual_seed((5 * 1_000_003 + 1) * 1_000_003)
    changed = augmented(faces, [(row,) for row in range(4)], [True] * 4)
    expected = evidence_inputs(model.config, INPUTS, changed, names=["image", "prior"])
    torch.testing.assert_close(views[1, :, 0].float(), expected["prior"], atol=2e-3, rtol=2e-3)
    with torch.no_grad():
        rows = model.model.encoders["image"](expected["image"])
    torch.testing.assert_close(
        cached_rows(model, "image", INPUTS, faces, 2, seed=5)[1].float(), rows, atol=5e-3, rtol=5e-3
    )
    assert not torch.equal(views[0], views[1])


def test_a_batch_takes_every_evidence_from_one_view(marked: Faces) -> None:
    items = draw_instructions(EMOLA, marked, {"emotion": 1}, 0.0, 1)
    tokenizer = open_tokenizer(EMOLA, None, items, 400)
    numbers = torch.arange(6.0).view(6, 1, 1, 1).expand(6, COUNT, 1, 1).half()
    collator = InstructionCollator(
        EMOLA, EMOLA.configure("tiny", 400), INPUTS, marked, tokenizer, 0, True,
        {"image": numbers, "prior": numbers},
    )  # fmt: skip
    torch.manual_seed(0)
    made = collator.evidence(items)
    assert torch.equal(made["image"], made["prior"]) and len(set(made["image"].flatten().tolist())) == 6
