"""Tar files and Parquet tables as input: the same rows as for the files themselves, hostile ones told one by one."""

from __future__ import annotations

import csv
import io
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from mien import Analyzer
from mien.analyze.jobs import JobOptions, run_job
from mien.analyze.packed import list_pack
from mien.core.nouns import FrameResult


class Silent:
    def begin(self, items: int, done: int, frames: int) -> None: ...

    def advance(self, frames: object, items: int) -> None: ...


@pytest.fixture(scope="module")
def photos(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        with Image.open(repository / "examples" / "eileen_collins.jpg") as opened:
            opened.convert("RGB").resize((256, 256)).rotate(5 * number).save(folder / f"{number:04d}.jpg")
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path) -> list[FrameResult]:
    return list(Analyzer().analyze(photos))


def told(results: list[FrameResult]) -> list[tuple[int, str]]:
    return [(len(one.faces), one.faces[0].emotion if one.faces else str(one.error)) for one in results]


def packed(photos: Path, target: Path) -> Path:
    with tarfile.open(target, "w") as out:
        for photo in sorted(photos.iterdir()):
            out.add(photo, photo.name)
            label = tarfile.TarInfo(photo.with_suffix(".cls").name)
            label.size = 1
            out.addfile(label, io.BytesIO(b"3"))
    return target


def test_a_shard_gives_the_rows_of_its_files(
    photos: Path, expected: list[FrameResult], tmp_path: Path
) -> None:
    shard = packed(photos, tmp_path / "shard-000.tar")
    found = list(Analyzer().analyze(shard))
    assert told(found) == told(expected)
    assert [one.source for one in found] == [f"{shard}/{number:04d}.jpg" for number in range(3)]


@pytest.mark.parametrize("form", ["bytes", "struct", "path"])
def test_a_table_gives_the_rows_of_its_files(
    form: str, photos: Path, expected: list[FrameResult], tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    files = sorted(photos.iterdir())
    data = [file.read_bytes() for file in files]
    for file in files:
        shutil.copy(file, tmp_path)
    columns = {
        "bytes": {"id": ["a", "b", "c"], "image": data},
        # As the hub's `datasets` writes a column of pictures.
        "struct": {"image": [{"bytes": one, "path": None} for one in data], "label": [0, 1, 2]},
        "path": {"path": [file.name for file in files]},
    }[form]
    table = tmp_path / "faces.parquet"
    parquet.write_table(pyarrow.table(columns), table, row_group_size=2)
    found = list(Analyzer().analyze(table))
    assert told(found) == told(expected)
    names = ["a", "b", "c"] if form == "bytes" else ["0", "1", "2"]
    assert [one.source for one in found] == [f"{table}/{name}" for name in names]


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/hostname", "link.jpg"])
def test_a_table_reaches_no_file_elsewhere(name: str, photos: Path, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(photos / "0000.jpg", tmp_path / "outside.jpg")
    (folder / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    shutil.copy(photos / "0000.jpg", folder / "inside.jpg")
    parquet.write_table(pyarrow.table({"path": [name, "inside.jpg"]}), folder / "t.parquet")
    first, second = Analyzer().analyze(folder / "t.parquet")
    assert "below the folder of the table" in str(first.error) and len(second.faces) == 1


def test_hostile_members_are_told_and_nothing_is_unpacked(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "in" / "bad.tar"
    target.parent.mkdir()
    photo = (photos / "0000.jpg").read_bytes()
    with tarfile.open(target, "w") as out:
        for name in ("../escaped.jpg", "/absolute.jpg", "same.jpg", "same.jpg", "text.jpg"):
            data = b"no picture" if name == "text.jpg" else photo
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
        for kind, name in (
            (tarfile.SYMTYPE, "link.jpg"),
            (tarfile.LNKTYPE, "hard.jpg"),
            (tarfile.FIFOTYPE, "pipe.jpg"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            out.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    found = list(Analyzer().analyze(target))
    assert [len(one.faces) for one in found] == [1, 1, 1, 1, 0] and found[-1].error is not None
    assert found[3].source.endswith("same.jpg#2") and sorted(tmp_path.rglob("*")) == before


def test_a_pack_that_is_cut_short_keeps_what_is_whole(photos: Path, tmp_path: Path) -> None:
    whole = packed(photos, tmp_path / "whole.tar")
    cut = tmp_path / "cut.tar"
    places = [place.place for _, _, place in list_pack(str(whole))]
    cut.write_bytes(whole.read_bytes()[: places[2] + 100])
    (tmp_path / "no.parquet").write_bytes(b"PAR1 and nothing more")
    (tmp_path / "gz.tar").write_bytes(b"\x1f\x8b\x08\x00" + bytes(600))
    found = list(Analyzer().analyze([cut, tmp_path / "no.parquet", tmp_path / "gz.tar"]))
    assert [len(one.faces) for one in found[:2]] == [1, 1]
    assert all(one.error for one in found[2:]) and "cut short" in str(found[2].error)
    assert "Parquet" in str(found[-2].error) and "tar" in str(found[-1].error)


def test_a_run_over_a_shard_resumes_and_shares(photos: Path, tmp_path: Path) -> None:
    shard = packed(photos, tmp_path / "s.tar")
    for number in (1, 2):
        share = JobOptions(
            inputs=(str(shard),), out=tmp_path / f"run{number}", shard=f"{number}/2", batch_size=2
        )
        run_job(share, Silent())
    again = JobOptions(inputs=(str(shard),), out=tmp_path / "run1", shard="1/2", batch_size=2, resume=True)
    assert run_job(again, Silent()).failed == 0
    tables = [(tmp_path / f"run{number}" / "faces.csv").read_text().splitlines() for number in (1, 2)]
    rows = [row["input"] for table in tables for row in csv.DictReader(table)]
    assert sorted(rows) == [f"{shard}/{number:04d}.jpg" for number in range(3)]
