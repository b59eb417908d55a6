"""Tracks: ids that hold through motion and short occlusion, and are never given twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import BadConfig
from mien.core.nouns import Image
from mien.face.decode.video import VideoFrame, read_frames
from mien.face.finder import FaceFinder
from mien.face.tracks import FaceTracker

SIZE = (200, 480)


def scene(*pasted: tuple[Image, int, int]) -> Image:
    """Heads pasted over a plain wall at (left, top)."""
    wall = np.linspace(90, 150, SIZE[1]).astype(np.uint8)
    image = np.repeat(np.tile(wall, (SIZE[0], 1))[:, :, None], 3, axis=2)
    for head, left, top in pasted:
        x0, x1 = max(left, 0), min(left + head.shape[1], SIZE[1])
        if x0 < x1:
            image[top : top + head.shape[0], x0:x1] = head[:, x0 - left : x1 - left]
    return image


def ids(
    tracker: FaceTracker, images: list[Image], rate: float = 25.0, start: int = 0
) -> list[list[int | None]]:
    """Track ids of each frame, ordered from left to right."""
    rows = []
    for index, image in enumerate(images, start):
        faces = tracker.update(VideoFrame(index, index / rate, image))
        assert all((face.frame, face.time) == (index, index / rate) for face in faces)
        rows.append([face.track for face in sorted(faces, key=lambda face: float(face.box[0]))])
    return rows


def test_moving_faces_keep_their_ids(finder: FaceFinder, head: Image, second_head: Image) -> None:
    images = [scene((head, 10 + 5 * i, 30), (second_head, 340 - 3 * i, 40)) for i in range(24)]
    assert (
        ids(FaceTracker(finder), images) == [[0, 1]] * 24 or ids(FaceTracker(finder), images) == [[1, 0]] * 24
    )


def test_short_occlusion_keeps_the_id(finder: FaceFinder, head: Image, second_head: Image) -> None:
    tracker = FaceTracker(finder)
    before = ids(tracker, [scene((head, 10 + 4 * i, 30), (second_head, 340, 40)) for i in range(6)])
    hidden = ids(tracker, [scene((second_head, 340, 40))] * 15, start=6)
    after = ids(tracker, [scene((head, 60, 30), (second_head, 340, 40))] * 3, start=21)
    (other,) = hidden[-1]
    assert all(len(row) == 2 for row in before) and hidden == [[other]] * 15
    assert after == [before[-1]] * 3


def test_long_absence_gives_a_new_id(finder: FaceFinder, head: Image) -> None:
    tracker = FaceTracker(finder)
    assert ids(tracker, [scene((head, 50, 30))] * 2) == [[0]] * 2
    assert ids(tracker, [scene()] * 30, start=2) == [[]] * 30
    assert ids(tracker, [scene((head, 50, 30))], start=32) == [[1]]


def test_a_newcomer_is_found_beside_a_tracked_face(
    finder: FaceFinder, head: Image, second_head: Image
) -> None:
    tracker = FaceTracker(finder, search_every=0.4)
    ids(tracker, [scene((head, 10, 30))] * 3)
    rows = ids(tracker, [scene((head, 10, 30), (second_head, 300, 40))] * 12, start=3)
    assert rows[-1] == [0, 1]


def test_a_newcomer_far_from_a_lost_face_is_someone_else(finder: FaceFinder, head: Image) -> None:
    tracker = FaceTracker(finder)
    ids(tracker, [scene((head, 0, 30))] * 3)
    assert ids(tracker, [scene((head, 350, 30))] * 2, start=3) == [[1]] * 2


def test_a_scene_cut_starts_new_ids(finder: FaceFinder, head: Image, second_head: Image) -> None:
    tracker = FaceTracker(finder)
    ids(tracker, [scene((head, 180, 30))] * 3)
    other = np.ascontiguousarray(255 - scene()[:, ::-1] // 2)
    other[::7] = 20
    other[40:160, 180:300] = second_head
    assert ids(tracker, [other] * 2, start=3) == [[1]] * 2


def test_a_flash_is_no_cut(finder: FaceFinder, head: Image) -> None:
    tracker = FaceTracker(finder)
    image = scene((head, 180, 30))
    bright = (image // 2 + 127).astype(np.uint8)
    assert ids(tracker, [image, image, bright, image]) == [[0]] * 4


def test_low_frame_rate_and_uneven_times(finder: FaceFinder, head: Image) -> None:
    tracker = FaceTracker(finder)
    tracks = []
    for index, time in enumerate([0.0, 0.5, 0.52, 1.4, 1.41, 2.3]):
        (face,) = tracker.update(VideoFrame(index, time, scene((head, 40 + 12 * index, 30))))
        tracks.append(face.track)
    assert tracks == [0] * 6


def test_two_heads_that_cross(finder: FaceFinder, head: Image, second_head: Image) -> None:
    """While one covers the other there is one face, never two on one place; ids are not doubled."""
    images = [scene((second_head, 320 - 12 * i, 40), (head, 20 + 12 * i, 30)) for i in range(26)]
    rows = ids(FaceTracker(finder), images)
    assert all(len(row) == len(set(row)) for row in rows)
    assert set(rows[0]) == {0, 1} and len(rows[-1]) == 2
    assert min(len(row) for row in rows) == 1
    assert {track for row in rows for track in row} <= {0, 1, 2}


def test_a_real_encoded_clip(tmp_path: Path, encoder, finder: FaceFinder, head: Image) -> None:
    path = encoder(tmp_path / "a.mp4", [scene((head, 20 + 8 * i, 30)) for i in range(30)])
    tracker = FaceTracker(finder)
    places = []
    for frame in read_frames(path):
        (face,) = tracker.update(frame)
        assert face.track == 0 and face.landmarks is not None
        places.append(float(face.landmarks[4, 0]))
    steps = np.diff(places)
    assert len(places) == 30 and steps.mean() == pytest.approx(8, abs=0.3)
    assert np.abs(steps - 8).mean() < 1.0, "jitter of the nose stays below a pixel"


def test_sample_clips(finder: FaceFinder, data_root: Path) -> None:
    pytest.importorskip("av")
    tracker = FaceTracker(finder)
    found = [
        [face.track for face in tracker.update(frame)]
        for frame in read_frames(data_root / "samples" / "single_face.mp4")
    ]
    assert found == [[0]] * 72
    tracker = FaceTracker(finder)
    frames = read_frames(data_root / "samples" / "no_face.mp4")
    assert sum(len(tracker.update(frame)) for frame in frames if frame.index % 6 == 0) == 0


def test_options_are_checked(finder: FaceFinder) -> None:
    with pytest.raises(BadConfig):
        FaceTracker(finder, remember=-1.0)
