"""The Python API on real photos, the example clip and landmark files."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mien
from mien.analyze.analyzer import Analyzer, load_model
from mien.analyze.overlay_layout import strongest_aus
from mien.analyze.report_cards import card_from
from mien.core.aus import AU_SETS, HIDES
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import AuReading, Evidence, FaceResult, FrameResult, Quality
from mien.dialogue.read.claims import read_claims
from mien.face.decode.images import load_image
from mien.face.decode.part import Part
from mien.face.landmark_files import read_landmarks

Gallery = Callable[[Path, int], list[Path]]


class RecordingReader:
    """The default reader, noting what it is given."""

    def __init__(self) -> None:
        self.inner = load_model("pocket")
        self.batches: list[list[Evidence]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def measure(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        self.batches.append(list(batch))
        return self.inner.measure(batch)


class MaskedReader(RecordingReader):
    """The default reader, told that every mouth is covered."""

    def measure(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        masked = Quality(hidden=("mouth",), flags={"hidden_mouth": "a mask covers it"})
        return [replace(one, face=replace(one.face, quality=masked)) for one in super().measure(batch)]


def test_a_hidden_mouth_has_no_numbers_and_no_words(photos: list[Path], tmp_path: Path) -> None:
    (result,) = Analyzer(MaskedReader()).analyze(photos[0], explain=True)
    (face,) = result.faces
    hidden = set(HIDES["mouth"])
    assert {key for key, reading in face.aus.items() if not reading.measured} >= hidden & set(
        AU_SETS["pocket"]
    )
    assert face.aus["AU01"].measured and face.explanation is not None
    assert not {claim.au for claim in read_claims(face.explanation.text)} & hidden
    assert "AU12" not in dict(strongest_aus(face, 22))
    card = card_from(result, None)["faces"][0]
    assert card["aus"]["AU12"] == [None, 0, False]


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer()


def same(one: FrameResult, other: FrameResult) -> bool:
    """The same faces with the same numbers within float noise."""
    return len(one.faces) == len(other.faces) and all(
        np.allclose(
            [*a.emotions.values(), *(r.intensity for r in a.aus.values())],
            [*b.emotions.values(), *(r.intensity for r in b.aus.values())],
            atol=1e-4,
            equal_nan=True,
        )
        for a, b in zip(one.faces, other.faces, strict=True)
    )


def test_the_promise_of_the_package(photos: list[Path]) -> None:
    (result,) = mien.Analyzer("rules", device="cpu", threads=1).analyze(photos[0])
    (face,) = result.faces
    assert result.source == str(photos[0]) and result.frame == 0 and result.time == 0.0
    assert face.emotion in EMOTIONS
    assert tuple(face.emotions) == EMOTIONS
    assert sum(face.emotions.values()) == pytest.approx(1.0, abs=1e-5)
    assert isinstance(face.aus["AU12"], AuReading)
    assert face.landmarks is not None and face.landmarks.shape == (478, 3)
    assert face.pose is not None and abs(face.pose.yaw) < 45
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mien.nothing  # type: ignore[attr-defined]


def test_every_kind_of_source_in_order(analyzer: Analyzer, photos: list[Path], clip: Path) -> None:
    array = load_image(photos[0])
    sources = [str(photos[0]), photos[1], array, Image.fromarray(array), clip]
    results = list(analyzer.analyze(sources, every=20))
    names = list(dict.fromkeys(result.source for result in results))
    assert names == [str(photos[0]), str(photos[1]), "array:2", "picture:3", str(clip)]
    assert same(results[0], results[2]) and same(results[0], results[3])
    video = [result for result in results if result.source == str(clip)]
    assert len(video) > 2 and all(result.video for result in video)
    assert [result.frame for result in video] == [20 * i for i in range(len(video))]
    assert all(later.time > sooner.time for sooner, later in itertools.pairwise(video))
    assert {face.track for result in video for face in result.faces} == {0}


def test_a_folder_is_walked_in_sorted_order(analyzer: Analyzer, gallery: Gallery, tmp_path: Path) -> None:
    paths = gallery(tmp_path / "b", 2) + gallery(tmp_path / "c", 1)
    (tmp_path / ".hidden.jpg").write_bytes(paths[0].read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    assert [result.source for result in analyzer.analyze(tmp_path)] == [str(path) for path in paths]


def test_endless_sources_are_read_lazily_and_the_thread_ends(analyzer: Analyzer, photos: list[Path]) -> None:
    drawn = 0
    small = np.asarray(Image.open(photos[0]).convert("RGB").crop((160, 40, 300, 180)).resize((96, 96)))

    def endless() -> Iterator[Any]:
        nonlocal drawn
        while True:
            drawn += 1
            yield small

    before = threading.active_count()
    results = analyzer.analyze(endless(), cropped=True, batch_size=2)
    assert len(list(itertools.islice(results, 5))) == 5
    assert drawn < 20
    results.close()
    assert threading.active_count() == before


def test_faces_of_several_pictures_share_batches(gallery: Gallery, tmp_path: Path) -> None:
    reader = RecordingReader()
    gallery(tmp_path, 10)
    results = list(Analyzer(reader).analyze(tmp_path, batch_size=4))
    assert len(results) == 10 and all(len(result.faces) == 1 for result in results)
    assert [len(batch) for batch in reader.batches] == [4, 4, 2]
    alone = list(Analyzer(reader).analyze(tmp_path, batch_size=1))
    assert all(map(same, results, alone))


def test_a_group_depends_on_nothing_before_it(
    analyzer: Analyzer, gallery: Gallery, clip: Path, tmp_path: Path
) -> None:
    sources = [*gallery(tmp_path, 5), clip, *gallery(tmp_path / "more", 3)]
    groups = list(analyzer.analyze_groups(sources, batch_size=3, part=Part(every=10)))
    for group in groups:
        names = {frame.result.source for frame in group}
        assert str(clip) not in names or names == {str(clip)}
    done = [frame.result.source for group in groups[:1] for frame in group if frame.last]
    left = [source for source in sources if str(source) not in done]
    again = list(analyzer.analyze_groups(left, batch_size=3, part=Part(every=10)))
    assert [len(group) for group in again] == [len(group) for group in groups[1:]]
    for one, other in zip(itertools.chain(*groups[1:]), itertools.chain(*again), strict=True):
        assert one.result.source == other.result.source and one.last == other.last
        pairs = zip(one.result.faces, other.result.faces, strict=True)
        assert all(a.emotions == b.emotions and a.aus == b.aus for a, b in pairs)


def test_landmarks_only_never_shows_pixels_to_the_model(photos: list[Path], clip: Path) -> None:
    reader = RecordingReader()
    analyzer = Analyzer(reader)
    results = list(analyzer.analyze([photos[0], clip], landmarks_only=True, every=25))
    seen = list(itertools.chain(*reader.batches))
    assert seen and all(evidence.crop is None for evidence in seen)
    assert all(result.faces for result in results)
    reader.batches.clear()
    list(analyzer.analyze(photos[0]))
    size = analyzer.reader.crop_size
    assert [evidence.crop.shape for evidence in reader.batches[0] if evidence.crop is not None] == [
        (size, size, 3)
    ]


def test_landmark_files_give_the_photos_readings(
    analyzer: Analyzer, photos: list[Path], tmp_path: Path
) -> None:
    (photo,) = analyzer.analyze(photos[0], landmarks_only=True)
    points = photo.faces[0].landmarks
    assert points is not None
    size = [photo.width, photo.height]
    stack = np.stack([points, np.full_like(points, np.nan), points])
    np.save(tmp_path / "one.npy", points)
    np.save(tmp_path / "stack.npy", stack)
    np.savez(tmp_path / "named.npz", landmarks=points, size=size)
    (tmp_path / "object.json").write_text(json.dumps({"landmarks": points.tolist(), "size": size}))
    np.savetxt(tmp_path / "points.csv", points, delimiter=",")
    np.savetxt(tmp_path / "rows.csv", points.reshape(1, -1), delimiter=",")
    header = ",".join(["input", *(f"mesh_{axis}_{i}" for axis in "xyz" for i in range(478))])
    cells = ",".join(['"a, b"', *(f"{value:.4f}" for value in points.T.ravel())])
    (tmp_path / "mesh.csv").write_text(f"{header}\n{cells}\n")
    for name in ("one.npy", "named.npz", "object.json", "points.csv", "rows.csv", "mesh.csv"):
        (result,) = analyzer.analyze(tmp_path / name)
        assert result.error is None, result.error
        assert same(result, photo), name
    assert read_landmarks(tmp_path / "named.npz").size == (photo.width, photo.height)
    frames = list(analyzer.analyze(tmp_path / "stack.npy"))
    assert [len(frame.faces) for frame in frames] == [1, 0, 1]
    assert frames[2].frame == 2 and frames[2].faces[0].track == 0


def test_face_crops_of_48_grey_pixels(analyzer: Analyzer, photos: list[Path]) -> None:
    image = load_image(photos[0])
    left, top, right, bottom = (int(edge) for edge in next(analyzer.analyze(photos[0])).faces[0].box)
    face = Image.fromarray(image[top:bottom, left:right]).convert("L").resize((48, 48))
    grey = np.asarray(face)
    noise = np.random.default_rng(0).integers(0, 255, (48, 48), dtype=np.uint8)
    seen, blank = analyzer.analyze([grey, noise], cropped=True)
    assert seen.error is None and len(seen.faces) == 1
    assert seen.faces[0].landmarks is not None
    assert list(seen.faces[0].box) == [0, 0, 48, 48]
    assert blank.error is None and not blank.faces


def test_the_cut_off_moves_presence_and_nothing_else(photos: list[Path]) -> None:
    results = [next(Analyzer(cut_off=cut_off).analyze(photos[0])).faces[0] for cut_off in (1, 2, 5)]
    for key, first in results[0].aus.items():
        for cut_off, face in zip((1, 2, 5), results, strict=True):
            reading = face.aus[key]
            if not reading.measured:
                continue
            assert (reading.intensity, reading.level) == (first.intensity, first.level)
            assert reading.cut_off == cut_off
            assert reading.presence == (reading.level >= cut_off) == (reading.probability > 0.5)


def test_explanations_are_audited(analyzer: Analyzer, photos: list[Path]) -> None:
    faces = [face for result in analyzer.analyze(photos, explain=True) for face in result.faces]
    assert faces
    for face in faces:
        assert face.explanation is not None
        assert face.explanation.text.startswith("Key Observations: ")
        assert face.explanation.claims
        verdicts = {claim.verdict for claim in face.explanation.claims}
        assert "contradicted" not in verdicts and "supported" in verdicts
        for claim in face.explanation.claims:
            assert claim.verdict == "unmeasured" or claim.present == face.aus[claim.au].presence
    assert next(analyzer.analyze(photos[0])).faces[0].explanation is None


def test_asking(analyzer: Analyzer, photos: list[Path], tmp_path: Path) -> None:
    answer = analyzer.ask(photos[0], "What is the emotion of this face?")
    assert answer.text and answer.status == "answered"
    assert answer.labels is not None and answer.labels.emotion in EMOTIONS
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "grey.png")
    with pytest.raises(BadInput, match="no face was found"):
        analyzer.ask(tmp_path / "grey.png", "What is the emotion of this face?")
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(BadInput, match="text.jpg"):
        mien.ask(tmp_path / "text.jpg", "What is the emotion of this face?")


def test_smoothing_keeps_frames_and_calms_landmarks(analyzer: Analyzer, clip: Path) -> None:
    def jitter(smooth: bool) -> float:
        results = itertools.islice(analyzer.analyze(clip, smooth=smooth), 12)
        points = [result.faces[0].landmarks for result in results]
        return float(np.abs(np.diff(np.stack([p for p in points if p is not None]), n=2, axis=0)).mean())

    assert jitter(True) < jitter(False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "cuda"}, "device 'cuda'"),
        ({"threads": 0}, "threads 0"),
        ({"cut_off": 6}, "cut_off 6"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
def test_bad_options_of_the_analyzer(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadConfig, match=reason):
        Analyzer(**options)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 5000}, {"every": 0}])
def test_bad_options_of_analyze(analyzer: Analyzer, options: dict[str, Any], photos: list[Path]) -> None:
    with pytest.raises(BadConfig):
        next(analyzer.analyze(photos[0], **options))


def test_an_item_of_a_strange_type_is_refused(analyzer: Analyzer) -> None:
    with pytest.raises(BadInput, match="type int at position 0"):
        next(analyzer.analyze([3]))  # type: ignore[list-item]
