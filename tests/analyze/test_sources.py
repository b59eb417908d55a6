"""What people hand over: paths of all kinds, patterns, bytes, open files, frames of their own, parts of clips."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mien
from mien.analyze.jobs import JobOptions, run_job
from mien.analyze.sources import expand
from mien.analyze.stored import rounded
from mien.analyze.tables.columns import Contents
from mien.analyze.tables.peer_columns import layout_of
from mien.app.progress import ProgressWatch
from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import FrameResult
from mien.face.decode.part import Part
from mien.face.decode.video import read_frames


@pytest.fixture(scope="module")
def analyzer() -> mien.Analyzer:
    return mien.Analyzer(threads=1)


def rows(frames: list[FrameResult], **change: Any) -> list[list[Any]]:
    measured = next(face.aus for frame in frames for face in frame.faces)
    layout = layout_of("mien", Contents(tuple(measured), "a model"))
    return [row for frame in frames for row in layout.rows(rounded(replace(frame, **change)))]


class Entry:
    """As `os.DirEntry` and others name a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


def test_a_picture_in_every_form_reads_the_same(analyzer: mien.Analyzer, photos: list[Path]) -> None:
    data = photos[0].read_bytes()
    with photos[0].open("rb") as file:
        forms = [photos[0], str(photos[0]), Entry(photos[0]), data, bytearray(data), io.BytesIO(data), file]
        found = list(analyzer.analyze(forms, batch_size=1))
    assert [frame.source for frame in found[3:]] == ["bytes:3", "bytes:4", "file:5", str(photos[0])]
    first, *others = [rows([frame], source="one") for frame in found]
    assert all(other == first for other in others)
    assert rows(list(analyzer.analyze(data, batch_size=1)), source="one") == first
    assert analyzer.ask(io.BytesIO(data), "What is the emotion of this face?").status == "answered"


def test_a_clip_in_memory_reads_as_its_file(analyzer: mien.Analyzer, clip: Path) -> None:
    given = {"every": 24, "start": 0.5}
    of_file = list(analyzer.analyze(clip, **given))
    of_bytes = list(analyzer.analyze(io.BytesIO(clip.read_bytes()), **given))
    assert len(of_file) > 1 and rows(of_bytes, source="one") == rows(of_file, source="one")
    assert analyzer.ask(clip.read_bytes(), "Is this face smiling?").text


def test_moving_and_damaged_bytes(analyzer: mien.Analyzer, photos: list[Path], clip: Path) -> None:
    with Image.open(photos[0]) as opened:
        small = opened.convert("RGB").resize((96, 96))
    moving = io.BytesIO()
    small.save(moving, "GIF", save_all=True, append_images=[small.rotate(90), small], duration=100)
    frames = list(analyzer.analyze(moving.getvalue()))
    assert [(frame.frame, frame.time) for frame in frames] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    (torn,) = analyzer.analyze(b"hello")
    assert torn.error is not None and torn.error.startswith("Got bytes:0, which starts with b'hello'")
    *_, cut = analyzer.analyze(clip.read_bytes()[:2000])
    assert cut.error is not None and "bytes:0" in cut.error and "/clip" not in cut.error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "type NoneType"),
        (3, "type int"),
        ([None], "type NoneType at position 0"),
        ("", "an empty path"),
        (["a.jpg", "  "], "an empty path"),
        (io.StringIO("text"), "gives str and no bytes"),
        (Path("x"), ""),
    ],
)
def test_what_cannot_be_analysed_is_named(given: Any, said: str) -> None:
    if not said:
        assert [source.name for source in expand(given)] == ["x"]
        return
    with pytest.raises(BadInput, match=said):
        list(expand(given))


def test_addresses_are_not_read_and_the_rest_goes_on(analyzer: mien.Analyzer, photos: list[Path]) -> None:
    addresses = [
        "https://a.example/b.jpg",
        "rtsp://camera/1",
        "file:///etc/hosts",
        "data:image/png;base64,iVBO",
    ]
    *refused, read = analyzer.analyze([*addresses, photos[0]])
    assert all(f"the address {name}" in str(one.error) for name, one in zip(addresses, refused, strict=True))
    assert [one.source for one in refused] == addresses and read.faces


def test_a_pattern_that_no_shell_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a.jpg", "b.jpg", "c.png", "sub/d.jpg", "odd[1].jpg", "[2] x/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\xff\xd8\xff")

    def names(pattern: str) -> list[str]:
        return [str(Path(one.name).relative_to(tmp_path)) for one in expand(str(tmp_path / pattern))]

    assert names("*.jpg") == ["a.jpg", "b.jpg", "odd[1].jpg"]
    assert names("**/d.jpg") == ["sub/d.jpg"] == names("s*")
    assert names("odd[1].jpg") == ["odd[1].jpg"]  # a file of that name
    assert names("?.png") == ["c.png"] and names("[2] x/*.jpg") == ["[2] x/e.jpg"]
    assert [one.name for one in expand("~/c.*")] == [str(tmp_path / "c.png")]
    monkeypatch.chdir(tmp_path)
    assert [one.name for one in expand("?.jpg")] == ["a.jpg", "b.jpg"]
    assert names("*.bmp") == ["*.bmp"]  # its reader says that nothing matches


def test_whole_numbers_of_numpy_count(analyzer: mien.Analyzer, photos: list[Path]) -> None:
    counted = mien.Analyzer(analyzer.reader, threads=np.int8(1), cut_off=np.uint8(2))  # type: ignore[arg-type]
    (frame,) = counted.analyze(photos[0], batch_size=np.uint8(16))  # type: ignore[arg-type]
    assert json.loads(frame.to_json())["faces"][0]["aus"]["AU12"]["cut_off"] == 2
    for name, value in (("threads", 1e9), ("cut_off", 2.5)):
        with pytest.raises(BadConfig, match=f"{name} {value}"):
            mien.Analyzer(analyzer.reader, **{name: value})


def test_a_picture_through_a_pipe(
    analyzer: mien.Analyzer, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with photos[0].open("rb") as file:
        monkeypatch.setattr(
            "sys.stdin", io.TextIOWrapper(io.BufferedReader(io.FileIO(file.fileno(), closefd=False)))
        )
        monkeypatch.setattr("mien.analyze.jobs._opened", lambda options: analyzer)
        summary = run_job(
            JobOptions(("-",), tmp_path / "out", format="jsonl", overlay=True), ProgressWatch(True)
        )
    (row,) = [json.loads(line) for line in (tmp_path / "out" / "faces.jsonl").read_text().splitlines()]
    assert summary.status == 0 and row["success"] == 1 and (tmp_path / "out" / row["overlay"]).is_file()


# -- sessions


def test_a_session_gives_the_rows_of_the_file(analyzer: mien.Analyzer, clip: Path) -> None:
    frames = [frame for frame in read_frames(clip) if frame.index < 30 and frame.index % 2 == 0]
    of_file = [one for one in analyzer.analyze(clip, every=2, end=frames[-1].time + 0.001, batch_size=1)]
    live = analyzer.session(name="one")
    pushed = [live.push(frame.image, frame.time) for frame in frames]
    assert len(pushed) == len(of_file) == len(frames) and any(one.faces for one in pushed)
    same = [replace(one, frame=number) for number, one in enumerate(of_file)]
    assert rows(pushed, source="one") == rows(same, source="one")
    # Read together with other frames, the last digits may differ.
    batched = [one for one in analyzer.analyze(clip, every=2, end=frames[-1].time + 0.001)]
    for a, b in zip(pushed, batched, strict=True):
        for one, other in zip(a.faces, b.faces, strict=True):
            assert one.face.track == other.face.track
            for key, reading in one.aus.items():
                assert reading.intensity == pytest.approx(other.aus[key].intensity, abs=1e-4, nan_ok=True)


def test_a_session_keeps_its_own_time_and_survives_a_bad_frame(
    analyzer: mien.Analyzer, photos: list[Path]
) -> None:
    with Image.open(photos[0]) as opened:
        image = np.asarray(opened.convert("RGB"))
    live = analyzer.session(fps=25)
    results = [live.push(image), live.push(image.astype(np.float64)), live.push(image), live.push(image, 1.0)]
    assert [(one.frame, one.time) for one in results] == [(0, 0.0), (1, 0.04), (2, 0.08), (3, 1.0)]
    assert [bool(one.faces) for one in results] == [True, False, True, True]
    assert str(results[1].error).startswith("Got an array of shape") and results[0].video
    assert results[0].faces[0].track == results[2].faces[0].track == 0
    with pytest.raises(BadInput, match="at 1 s after one at 1 s"):
        live.push(image, 1.0)
    with pytest.raises(BadInput, match="without time"):
        analyzer.session().push(image)
    with pytest.raises(BadConfig, match="fps 0"):
        analyzer.session(fps=0)


# -- parts of clips


def test_parts_of_a_clip(encoder: Callable[..., Path], tmp_path: Path) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    path = encoder(tmp_path / "a.mp4", [image] * 50)  # 25 frames per second

    def taken(**given: Any) -> list[float]:
        return [frame.time for frame in read_frames(path, part=Part(**given))]

    assert taken(start=1.0, end=1.12) == [1.0, 1.04, 1.08]
    assert taken(fps=5) == pytest.approx([n / 5 for n in range(10)])
    assert taken(fps=100) == taken() and len(taken()) == 50
    assert taken(every=20, start=0.5) == [0.8, 1.6]
    assert len(taken(fps=10, start=0.6, end=1.6)) == 10
    assert len(taken(fps=7)) == 14
    with pytest.raises(BadInput, match=r"last frame is at 1.96 s, and no frame from 3 s to its end"):
        taken(start=3.0)
    for odd in (
        {"every": 2, "fps": 5},
        {"end": 0.0},
        {"start": -1.0},
        {"start": 2.0, "end": 1.0},
        {"fps": 0.0},
    ):
        with pytest.raises(BadConfig):
            Part(**odd)  # type: ignore[arg-type]
    assert Part(fps=5).count(50, 25.0) == 10 and Part(start=1.0, every=5).count(50, 25.0) == 5
    assert (
        Part(every=3).count(7, 0.0) == 3 and Part(fps=10).rate(25.0) == 10 and Part(every=5).rate(25.0) == 5
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: mien.read_claims(None),  # type: ignore[arg-type]
        lambda: mien.read_emotion(b"happy"),  # type: ignore[arg-type]
        lambda: mien.Analyzer(None),  # type: ignore[arg-type]
        lambda: mien.Analyzer(device=None),  # type: ignore[arg-type]
        lambda: mien.to_frame([5]),  # type: ignore[list-item]
        lambda: mien.to_frame(None),  # type: ignore[arg-type]
    ],
)
def test_values_of_other_types_are_one_sentence(call: Callable[[], Any]) -> None:
    with pytest.raises(mien.MienError, match="of type"):
        call()


def test_what_is_asked_and_verified_is_text(analyzer: mien.Analyzer, photos: list[Path]) -> None:
    for given in (None, 5):
        with pytest.raises(mien.BadInput, match="a question of type"):
            analyzer.ask(photos[0], given)  # type: ignore[arg-type]
        with pytest.raises(mien.BadInput, match="a text to verify of type"):
            analyzer.verify(given, photos[0])  # type: ignore[arg-type]


def test_a_column_of_paths_is_many(analyzer: mien.Analyzer, photos: list[Path]) -> None:
    results = list(analyzer.analyze(np.array([str(photos[0]), "nothere.jpg"])))
    assert [result.error is None for result in results] == [True, False]
