"""One odd item does not end a run, whichever step meets it and whatever it raises."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mien.analyze import jobs, pictures
from mien.analyze.jobs import JobOptions, Summary, merge_runs, run_job
from mien.core.errors import BadConfig, OutputFailed
from mien.core.nouns import FrameResult
from mien.face.finder import FaceFinder


class Silent:
    def begin(self, items: int, done: int, frames: int) -> None:
        pass

    def advance(self, frames: Sequence[FrameResult], items: int) -> None:
        pass


def analyse(folder: Path, out: Path, **options: object) -> Summary:
    return run_job(JobOptions((str(folder),), out, threads=1, **options), Silent())  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, photos: list[Path]) -> Path:
    place = tmp_path / "in"
    place.mkdir()
    for name in ("a", "m", "z"):
        (place / f"{name}.jpg").write_bytes(photos[0].read_bytes())
    return place


def errors(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]


def rows(out: Path) -> dict[str, list[str]]:
    lines = (out / "faces.csv").read_text().splitlines()
    return {Path(line.split(",")[0]).name: line.split(",") for line in lines[1:]}


FAULTS = [ValueError("colour matrix"), MemoryError(), RecursionError("deep"), AttributeError("width")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_step_that_fails_on_one_item(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    calls: list[str] = []
    find, kept = FaceFinder.find, jobs.frame_row

    def finding(self: FaceFinder, image: object) -> object:
        calls.append("find")
        if len(calls) == 2:
            raise fault
        return find(self, image)  # type: ignore[arg-type]

    def storing(frame: FrameResult, points: str) -> object:
        if frame.source.endswith("m.jpg") and frame.error is None:
            raise fault
        return kept(frame, points)  # type: ignore[arg-type]

    for out, target, name, replacement in (
        ("finding", FaceFinder, "find", finding),
        ("storing", jobs, "frame_row", storing),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, replacement)
            summary = analyse(folder, tmp_path / out)
        assert (summary.failed, summary.status) == (1, 1)
        (error,) = errors(tmp_path / out)
        assert str(error["input"]).endswith("m.jpg")
        assert type(fault).__name__ in str(error["error"])
        found = rows(tmp_path / out)
        assert found.keys() == {"a.jpg", "m.jpg", "z.jpg"}
        assert found["a.jpg"][1:] == found["z.jpg"][1:]


def test_a_picture_that_cannot_be_drawn_keeps_its_row(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = pictures.draw_overlay

    def drawing(image: object, stored: FrameResult, redact: bool) -> object:
        if stored.source.endswith("m.jpg"):
            raise MemoryError
        return draw(image, stored, redact)  # type: ignore[arg-type]

    monkeypatch.setattr(pictures, "draw_overlay", drawing)
    summary = analyse(folder, tmp_path / "out", overlay=True, report=True)
    assert summary.failed == 1
    found = rows(tmp_path / "out")
    assert found["m.jpg"][1:-1] == found["a.jpg"][1:-1]
    assert (found["m.jpg"][-1], found["a.jpg"][-1]) == ("", "overlay/a.jpg")
    assert [Path(str(one["input"])).name for one in errors(tmp_path / "out")] == ["m.jpg"]
    assert sorted(path.name for path in (tmp_path / "out" / "overlay").iterdir()) == ["a.jpg", "z.jpg"]


def test_a_full_disk_ends_the_run_and_it_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(image: object, stored: FrameResult, redact: bool) -> object:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "draw_overlay", full)
        with pytest.raises(OutputFailed, match="--resume"):
            analyse(folder, tmp_path / "out", overlay=True)
    assert analyse(folder, tmp_path / "out", overlay=True, resume=True).failed == 0


def test_long_names_are_cut_in_the_names_of_their_pictures(tmp_path: Path, photos: list[Path]) -> None:
    place = tmp_path / "in"
    place.mkdir()
    for name in ("é" * 120 + ".jpg", "é" * 119 + "e.jpg"):
        (place / name).write_bytes(photos[0].read_bytes())
    assert analyse(place, tmp_path / "out", overlay=True).failed == 0
    assert len(list((tmp_path / "out" / "overlay").iterdir())) == 2


def test_shares_joined_are_the_whole(folder: Path, tmp_path: Path) -> None:
    whole = analyse(folder, tmp_path / "whole", batch_size=2)
    shares = [analyse(folder, tmp_path / text[0], shard=text, batch_size=2) for text in ("1/2", "2/2")]
    assert [one.items for one in (whole, *shares)] == [3, 2, 1]
    merged = merge_runs([tmp_path / "2", tmp_path / "1"], tmp_path / "merged")
    assert (merged.items, merged.faces) == (whole.items, whole.faces)
    for name in ("faces.csv", "schema.json"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(BadConfig, match="each of the 2 once"):
        merge_runs([tmp_path / "2"], tmp_path / "half")
    with pytest.raises(BadConfig, match="shard"):
        analyse(folder, tmp_path / "3", shard="3/2")


def test_a_table_of_landmarks_keeps_who_when_and_where(
    clip: Path, photos: list[Path], tmp_path: Path
) -> None:
    first = run_job(
        JobOptions((str(clip), str(photos[0])), tmp_path / "one", threads=1, landmarks=True, every=20),
        Silent(),
    )
    table = tmp_path / "one" / "faces.csv"
    again = run_job(JobOptions((str(table),), tmp_path / "two", threads=1), Silent())
    assert again.faces == first.faces > 4
    names = ("input", "frame", "time", "width", "height", "face", "track")
    tables = []
    for out in ("one", "two"):
        with (tmp_path / out / "faces.csv").open(encoding="utf-8", newline="") as file:
            tables.append([[row[name] for name in names] for row in csv.DictReader(file)])
    assert tables[0] == tables[1]
