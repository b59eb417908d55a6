"""Overlays: what is drawn, where, and that redaction leaves no pixel of a face."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.analyze.overlay import OverlayVideo, draw_overlay, face_outline, redact_outlines
from mien.analyze.overlay_layout import OverlayLayout, Rect, plan, strongest_aus
from mien.analyze.palette import EMOTION_COLOURS, ink_on, rgb
from mien.core import paths
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadInput, OutputFailed
from mien.core.nouns import AuReading, Face, FaceResult, FrameResult

SMILE = {"AU06": 0.55, "AU12": 0.83, "AU25": 0.62, "AU04": 0.02, "AU09": 0.0}


def a_face(box, emotion="happiness", aus=SMILE, mesh=True, track=None):
    """A face whose 478 points lie on an ellipse in the box, as far as drawing is concerned."""
    left, top, right, bottom = box
    angle = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    points = np.zeros((478, 3), np.float32)
    points[:, 0] = (left + right) / 2 + 0.45 * (right - left) * np.cos(angle)
    points[:, 1] = (top + bottom) / 2 + 0.45 * (bottom - top) * np.sin(angle)
    face = Face(np.array(box, np.float32), 0.9, points if mesh else None, track=track)
    shares = {name: 0.86 if name == emotion else 0.02 for name in EMOTIONS}
    return FaceResult(face, shares, {key: AuReading.of(value) for key, value in aus.items()})


def a_frame(*faces, size=(1000, 700), time=0.0):
    return FrameResult("x.jpg", 0, time, faces, *size)


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def grown(rect: Rect, by: float) -> Rect:
    return Rect(rect.left - by, rect.top - by, rect.right + by, rect.bottom + by)


def mask_of(layout: OverlayLayout) -> np.ndarray:
    """True where an overlay may draw: boxes, chips and panels."""
    mask = np.zeros((layout.height, layout.width), bool)
    for face in layout.faces:
        rects = [grown(face.box, 10), face.chip] + ([face.panel.rect] if face.panel else [])
        for rect in rects:
            rows = slice(max(math.floor(rect.top), 0), math.ceil(rect.bottom) + 1)
            mask[rows, max(math.floor(rect.left), 0) : math.ceil(rect.right) + 1] = True
    return mask


def test_draws_only_in_its_places_and_leaves_the_input_alone():
    image = noise(1000, 700)
    before = image.copy()
    result = a_frame(a_face((300, 200, 500, 440)), a_face((700, 300, 800, 420), "anger", mesh=False))
    drawn = draw_overlay(image, result)
    layout = plan((1000, 700), result)
    allowed = mask_of(layout)
    assert drawn.shape == image.shape
    assert np.array_equal(image, before)
    assert np.array_equal(drawn[~allowed], image[~allowed])
    for face in layout.faces:
        assert face.panel is not None
        for rect in (face.chip, face.panel.rect):
            part = np.s_[int(rect.top) + 4 : int(rect.bottom) - 4, int(rect.left) + 4 : int(rect.right) - 4]
            assert (drawn[part] != image[part]).mean() > 0.8


def test_the_chip_has_the_colour_of_the_emotion():
    image = np.full((700, 1000, 3), 90, np.uint8)
    for emotion, colour in EMOTION_COLOURS.items():
        result = a_frame(a_face((300, 200, 500, 440), emotion))
        chip = plan((1000, 700), result).faces[0].chip
        drawn = draw_overlay(image, result)
        inside = drawn[int(chip.top) + 3 : int(chip.bottom) - 3, int(chip.left) + 3 : int(chip.right) - 3]
        assert (inside == rgb(colour)).all(axis=2).mean() > 0.3


def test_no_face_and_errors_leave_the_picture_as_it_is():
    image = noise(1000, 700)
    assert np.array_equal(draw_overlay(image, a_frame()), image)
    failed = FrameResult("x.jpg", 0, 0.0, (), error="Got nothing. Expected a picture. Look at it.")
    assert np.array_equal(draw_overlay(image, failed), image)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((48, 48), (900, 900)),
        ((450, 300), (900, 600)),
        ((1000, 700), (1000, 700)),
        ((100, 4000), (100, 4000)),
    ],
)
def test_small_pictures_are_enlarged(size, expected):
    drawn = draw_overlay(noise(*size), a_frame(a_face((5, 5, 40, 40)), size=size))
    assert (drawn.shape[1], drawn.shape[0]) == expected


def test_a_crop_filled_by_its_face_still_gets_label_and_panel():
    layout = plan((48, 48), a_frame(a_face((-2, -3, 50, 52)), size=(48, 48)))
    (face,) = layout.faces
    assert face.label == "happiness 86 %"
    assert face.chip.inside(900, 900)
    assert face.panel is not None and face.panel.rect.inside(900, 900)


def test_panels_list_the_strongest_present_aus():
    face = a_face((0, 0, 10, 10), aus={"AU01": 0.05, "AU12": 0.4, "AU06": 0.9, "AU25": math.nan, "AU04": 0.4})
    assert [key for key, _ in strongest_aus(face, 6)] == ["AU06", "AU04", "AU12"]
    assert [key for key, _ in strongest_aus(face, 1)] == ["AU06"]


def test_labels_carry_number_or_track_only_when_needed():
    one = plan((1000, 700), a_frame(a_face((300, 200, 500, 440))))
    two = plan((1000, 700), a_frame(a_face((100, 200, 300, 440)), a_face((600, 200, 800, 440), "fear")))
    tracked = plan((1000, 700), a_frame(a_face((300, 200, 500, 440), track=7)))
    assert one.faces[0].label == "happiness 86 %"
    assert [face.label for face in two.faces] == ["0 happiness 86 %", "1 fear 86 %"]
    assert tracked.faces[0].label == "#7 happiness 86 %"


boxes = st.tuples(st.floats(-50, 950), st.floats(-50, 650), st.floats(8, 400), st.floats(8, 400)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@settings(max_examples=80, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=7))
def test_panels_stay_inside_and_off_other_faces_chips_and_panels(found):
    layout = plan((1000, 700), a_frame(*(a_face(box) for box in found)))
    panels = [(i, face.panel.rect) for i, face in enumerate(layout.faces) if face.panel is not None]
    for i, panel in panels:
        assert panel.inside(1000, 700)
        for j, other in enumerate(layout.faces):
            assert panel.overlap(other.chip) == 0
            if i != j:
                assert panel.overlap(other.box) == 0
                assert other.panel is None or panel.overlap(other.panel.rect) == 0
    for face in layout.faces:
        assert face.chip.inside(1000, 700)


def test_a_hundred_faces_are_drawn():
    faces = [
        a_face((20 + 90 * i, 20 + 60 * j, 60 + 90 * i, 66 + 60 * j)) for i in range(10) for j in range(10)
    ]
    image = np.full((700, 1000, 3), 128, np.uint8)
    layout = plan((1000, 700), a_frame(*faces))
    assert len({face.chip for face in layout.faces}) == 100
    assert (draw_overlay(image, a_frame(*faces)) != image).any(axis=2).mean() > 0.1


@pytest.mark.parametrize("mesh", [True, False])
def test_redaction_leaves_no_pixel_of_the_face(mesh):
    image = noise(1000, 700, seed=3)
    face = a_face((300, 200, 500, 440), mesh=mesh)
    bare = redact_outlines(image, [face_outline(face)])
    drawn = draw_overlay(image, a_frame(face), redact=True)
    y, x = np.mgrid[0:700, 0:1000]
    inside = ((x - 400) / 88) ** 2 + ((y - 320) / 106) ** 2 < 1
    assert len(np.unique(bare[inside], axis=0)) == 1, "one flat colour"
    assert np.abs(bare[inside].astype(float) - image[inside]).mean() > 30
    # The mesh is drawn over it, in light colours only; noise this varied would show at once.
    assert len(np.unique(drawn[inside], axis=0)) < 0.1 * inside.sum()
    outside = ((x - 400) / 175) ** 2 + ((y - 320) / 210) ** 2 > 1
    assert np.array_equal(bare[outside], image[outside])


def test_redaction_does_not_depend_on_where_the_pixels_were():
    """Shuffled face pixels give the same picture: nothing but their mean is left."""
    image = noise(400, 400, seed=5)
    outline = face_outline(a_face((100, 100, 300, 300)))
    flat = redact_outlines(image, [outline])
    inside = (flat != image).any(axis=2) | (flat == flat[200, 200]).all(axis=2)
    shuffled = image.copy()
    pixels = shuffled[inside]
    np.random.default_rng(1).shuffle(pixels)
    shuffled[inside] = pixels
    assert np.array_equal(redact_outlines(shuffled, [outline]), flat)


def test_faces_at_the_edge_or_outside_do_no_harm():
    image = noise(1000, 700)
    result = a_frame(
        a_face((-150, -150, 60, 60)), a_face((2000, 2000, 2100, 2100)), a_face((980, 680, 1200, 900))
    )
    assert draw_overlay(image, result, redact=True).shape == image.shape


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(bad):
    with pytest.raises(BadInput, match="expected|Expected"):
        draw_overlay(bad, a_frame())


def test_text_on_emotion_colours_can_be_read():
    def luminance(colour):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb(colour)) / 255
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert tuple(EMOTION_COLOURS) == EMOTIONS
    for colour in EMOTION_COLOURS.values():
        high, low = sorted((luminance(colour), luminance(ink_on(colour))), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.2


def test_video_keeps_true_times_and_even_sides(tmp_path):
    av = pytest.importorskip("av")
    times = [0.0, 0.04, 0.05, 0.25, 0.9]
    path = tmp_path / "clip.mp4"
    with OverlayVideo(path, fps=25) as video:
        for time in times:
            video.add(
                noise(451, 301), a_frame(a_face((100, 60, 260, 240), track=1), size=(451, 301), time=time)
            )
            assert not path.exists(), "no unfinished file under the final name"
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)
    assert frames[0].width % 2 == 0 and frames[0].height % 2 == 0 and frames[0].width >= 900
    assert list(tmp_path.iterdir()) == [path]


def test_a_frame_of_another_size_is_shown_at_the_first_ones(tmp_path):
    av = pytest.importorskip("av")
    with OverlayVideo(tmp_path / "clip.mp4", fps=25) as video:
        for i, size in enumerate([(900, 600), (1200, 600), (300, 200)]):
            video.add(noise(*size), a_frame(size=size, time=i / 25))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert [(f.width, f.height) for f in container.decode(video=0)] == [(900, 600)] * 3


def test_redacted_video_covers_a_face_that_is_lost_for_a_moment(tmp_path):
    av = pytest.importorskip("av")
    image = np.zeros((600, 900, 3), np.uint8)
    image[200:400, 300:500] = 255
    image[200:400:2] = 0
    path = tmp_path / "clip.mp4"
    with OverlayVideo(path, fps=10, redact=True) as video:
        video.add(image, a_frame(a_face((300, 200, 500, 400), mesh=False, aus={}, track=1), size=(900, 600)))
        video.add(image, a_frame(size=(900, 600), time=0.5))
        video.add(image, a_frame(size=(900, 600), time=2.0))
    with av.open(str(path)) as container:
        spread = [
            float(f.to_ndarray(format="gray")[240:360, 340:460].std()) for f in container.decode(video=0)
        ]
    assert spread[1] < 3, "still covered half a second later"
    assert spread[2] > 50, "no longer after two seconds"


def test_an_interrupted_video_leaves_nothing(tmp_path):
    pytest.importorskip("av")
    with pytest.raises(KeyError), OverlayVideo(tmp_path / "clip.mp4", fps=25) as video:
        video.add(noise(900, 600), a_frame(size=(900, 600)))
        raise KeyError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_output_error(tmp_path, monkeypatch):
    pytest.importorskip("av")
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(paths.secrets, "token_hex", lambda count: "0" * count)
    name = f".clip.mp4.{platform.node()}+{os.getpid()}+000.part.mp4"
    (tmp_path / name).symlink_to(full)
    with (
        pytest.raises(OutputFailed, match="Free some space"),
        OverlayVideo(tmp_path / "clip.mp4", fps=25) as video,
    ):
        for i in range(60):
            video.add(noise(900, 600, i), a_frame(size=(900, 600), time=i / 25))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    pytest.importorskip("av")
    with (
        pytest.raises(OutputFailed, match="choose another folder"),
        OverlayVideo(tmp_path / "absent" / "clip.mp4", fps=25) as video,
    ):
        video.add(noise(900, 600), a_frame(size=(900, 600)))
