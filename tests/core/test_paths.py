"""Where things lie."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mien.core import paths
from mien.core.errors import OutputFailed


def test_weights_lie_in_the_package() -> None:
    assert (paths.face_weights() / "manifest.json").is_file()
    assert paths.pocket_weights().is_relative_to(paths.PACKAGE)


def test_data_root_is_named_or_beside_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path))
    assert paths.data_root() == tmp_path
    monkeypatch.delenv("MIEN_DATA")
    assert paths.data_root().parts[-2:] == ("shared", "data")


def test_text_and_bytes_are_written_whole(tmp_path: Path) -> None:
    assert paths.write_whole(tmp_path / "a.txt", "é\r\n").read_bytes() == "é\r\n".encode()
    paths.write_whole(tmp_path / "a.txt", b"\x00")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a.txt", b"\x00")]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, OutputFailed])
@pytest.mark.parametrize("folder", [False, True])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, failure: type[BaseException], folder: bool) -> None:
    path = tmp_path / "a.npz"
    if not folder:
        path.write_text("before")

    def fail() -> None:
        with paths.written_whole(path) as partial:
            assert partial.suffix == path.suffix
            assert partial.parent == path.parent
            if folder:
                partial.mkdir()
                (partial / "half").write_text("half")
            else:
                partial.write_text("half")
            raise OSError(28, "full") if failure is OutputFailed else failure

    with pytest.raises(failure):
        fail()
    assert [one.read_text() for one in tmp_path.iterdir()] == ([] if folder else ["before"])


def test_a_folder_is_written_whole(tmp_path: Path) -> None:
    with paths.written_whole(tmp_path / "run") as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "deep" / "file").write_text("all")
    assert [one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*")] == [
        "run",
        "run/deep",
        "run/deep/file",
    ]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with paths.written_whole(path) as one:
        one.write_text("one")
        paths.write_whole(path, "two")
        assert path.read_text() == "two"
    assert path.read_text() == "one"


@pytest.mark.skipif(os.name != "posix", reason="other systems cannot ask whether a process lives")
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from mien.core.paths import written_whole\n"
        "with written_whole(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "a[1].txt"
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    alive = tmp_path / f".{path.name}.{platform.node()}+{os.getppid()}+00ffee.part.txt"
    elsewhere = tmp_path / f".{path.name}.another-host+99999999+00ffee.part.txt"
    for other in (alive, elsewhere):
        other.write_text("theirs")
    paths.write_whole(path, "whole")
    assert set(tmp_path.iterdir()) == {path, alive, elsewhere}


def test_a_name_as_long_as_the_disk_takes_is_written(tmp_path: Path) -> None:
    name = "笑" * 83 + ".txt"
    assert paths.write_whole(tmp_path / name, "whole").read_text() == "whole"
