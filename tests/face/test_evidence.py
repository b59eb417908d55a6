"""No evidence, no reading: crops without a face, landmarks of no face, files that must not be opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadInput
from mien.core.nouns import Image
from mien.face.decode.listing import list_media
from mien.face.finder import FaceFinder, is_evident


@pytest.mark.parametrize("grey", [0, 90, 255])
def test_plain_crops_show_no_face(finder: FaceFinder, grey: int) -> None:
    assert not is_evident(finder.find_cropped(np.full((96, 96, 3), grey, dtype=np.uint8)))


@pytest.mark.parametrize("grain", [5, 16, 48, 96])
def test_noise_shows_no_face(finder: FaceFinder, grain: int) -> None:
    noise = np.random.default_rng(grain).integers(0, 255, (grain, grain, 3), dtype=np.uint8)
    crop = np.asarray(pillow.fromarray(noise).resize((96, 96), pillow.Resampling.BICUBIC))
    assert not is_evident(finder.find_cropped(crop))


@pytest.mark.parametrize("degrees", [0, 45, -45, 90])
def test_grey_crops_of_faces_do_however_they_lie(
    finder: FaceFinder, cut_head: Callable[[Image, int], Image], portrait: Image, degrees: int
) -> None:
    small = pillow.fromarray(cut_head(portrait, 96)).convert("L").resize((48, 48))
    face = finder.find_cropped(np.asarray(small.rotate(degrees, fillcolor=128).convert("RGB")))
    assert is_evident(face) and face.landmarks is not None and face.presence >= 0.5


@pytest.mark.slow
def test_few_crops_of_ferplus_are_refused(finder: FaceFinder, data_root: Path) -> None:
    with np.load(data_root / "ferplus" / "val.npz") as pack:
        images = pack["images"][::4]
    faces = finder.find_cropped_batch([np.repeat(one[:, :, None], 3, axis=2) for one in images])
    assert np.mean([not is_evident(face) for face in faces]) < 0.02


@pytest.mark.parametrize(
    "points",
    [
        np.stack([np.arange(478.0)] * 3, axis=1),
        np.random.default_rng(0).normal(300, 60, (478, 3)),
        np.stack([np.cos(np.arange(478.0)), np.sin(np.arange(478.0)), np.zeros(478)], axis=1) * 90 + 200,
    ],
    ids=["line", "cloud", "circle"],
)
def test_landmarks_of_no_face_are_refused(finder: FaceFinder, points: np.ndarray) -> None:
    with pytest.raises(BadInput, match="eye distances from the mean face"):
        finder.from_landmarks(points, (600, 600))


def test_landmarks_without_depth_or_mirrored_still_count(finder: FaceFinder, portrait: Image) -> None:
    points = finder.find(portrait)[0].landmarks
    assert points is not None
    for factors in ([1, 1, 0], [1, 1.3, 1]):
        finder.from_landmarks(points * np.array(factors, np.float32), (800, 800))


def test_pipes_and_links_are_passed_over_with_a_reason(tmp_path: Path, portrait: Image) -> None:
    pillow.fromarray(portrait).save(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "m.jpg").symlink_to("n.jpg")
    (tmp_path / "n.jpg").symlink_to("m.jpg")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "good.jpg").symlink_to("a.jpg")
    skipped: dict[Path, str] = {}
    assert [os.path.basename(path) for path in list_media([tmp_path], skipped)] == ["a.jpg", "good.jpg"]
    told = {path.name: reason for path, reason in skipped.items()}
    assert told["pipe.jpg"] == told["pipe"] == "a named pipe" and "nowhere" in told["gone.png"]
    assert set(told) == {"pipe.jpg", "pipe", "m.jpg", "n.jpg", "gone.png"} and all(told.values())


def test_names_that_are_no_utf8_are_listed(tmp_path: Path, portrait: Image) -> None:
    name = os.fsencode(tmp_path) + b"/m_\xe9.jpg"
    pillow.fromarray(portrait).save(tmp_path / "a.jpg")
    os.rename(tmp_path / "a.jpg", name)
    assert [os.fsencode(path) for path in list_media([tmp_path])] == [name]
