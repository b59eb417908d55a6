"""A run's folder: what is somebody else's stays, what is the run's own is replaced or removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.core.errors import BadConfig
from mien.core.paths import write_whole
from mien.work.folder import RunFolder
from mien.work.journal import JOURNAL, Entry

NAMES = ("table.csv", "run.json", "overlay/")


def do(out: Path, content: str = "x", names: tuple[str, ...] = NAMES, **options: object) -> None:
    """A run from its beginning to its end."""
    with RunFolder(out, names, {"content": content}, **options) as folder:  # type: ignore[arg-type]
        for name in names:
            if name.endswith("/"):
                (folder.own_folder(name) / "a.jpg").write_text(content)
            else:
                with folder.writing(name) as path:
                    write_whole(path, content)
        folder.finish()


def files(out: Path) -> set[str]:
    return {
        str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and ".mien" not in path.parts
    }


@pytest.mark.parametrize("name", ["table.csv", "run.json", "overlay/mine.jpg"])
def test_somebody_elses_file_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "overlay").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(BadConfig, match="no run of mien here wrote.*choose another --out.*--replace"):
        do(tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / ".mien").exists()
    do(tmp_path, replace=True)


def test_a_file_that_the_user_changed_is_the_users(tmp_path: Path) -> None:
    do(tmp_path)
    do(tmp_path)  # the same run again
    (tmp_path / "table.csv").write_text("x and a note")
    for options in ({}, {"resume": True}):
        with pytest.raises(BadConfig, match="was changed since this run wrote it"):
            do(tmp_path, **options)
    assert (tmp_path / "table.csv").read_text() == "x and a note"
    (tmp_path / "table.csv").unlink()
    do(tmp_path, resume=True)


def test_a_finished_run_of_something_else_is_kept(tmp_path: Path) -> None:
    do(tmp_path)
    with pytest.raises(BadConfig, match=r"content 'y' \(was 'x'\).*--resume.*--replace.*--out"):
        do(tmp_path, "y")
    assert (tmp_path / "table.csv").read_text() == "x"
    do(tmp_path, "y", replace=True)
    assert (tmp_path / "table.csv").read_text() == "y"


def test_files_that_a_new_form_leaves_out_do_not_stay_beside_it(tmp_path: Path) -> None:
    do(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    do(tmp_path, names=("table.json", "run.json"), resume=True)
    assert files(tmp_path) == {"table.json", "run.json", "notes.txt"}


def test_an_unfinished_run_waits_for_a_decision(tmp_path: Path) -> None:
    with RunFolder(tmp_path, NAMES, {}) as folder:
        folder.journal.add([], [Entry("a", "1")])
    with pytest.raises(BadConfig, match="1 finished items of a run that did not end.*--resume"):
        do(tmp_path)
    with RunFolder(tmp_path, NAMES, {}, resume=True) as folder:
        assert folder.journal.entries().keys() == {"a"}
    with RunFolder(tmp_path, NAMES, {}, replace=True) as folder:
        assert folder.journal.entries() == {}


def test_a_file_that_a_kill_left_without_its_digest_is_the_runs_own(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        RunFolder(tmp_path, NAMES, {}) as folder,
        folder.writing("run.json") as path,
    ):
        write_whole(path, "x")
        raise KeyboardInterrupt
    do(tmp_path, resume=True)


def test_an_output_among_the_inputs_is_refused(tmp_path: Path) -> None:
    do(tmp_path / "out")
    (tmp_path / "link.csv").symlink_to(tmp_path / "out" / "table.csv")
    for item in ("link.csv", "out/table.csv", "out/../out/table.csv"):
        for options in ({}, {"resume": True}, {"replace": True}):
            with pytest.raises(BadConfig, match="which the run would write over"):
                do(tmp_path / "out", inputs=["a", str(tmp_path / item)], **options)  # type: ignore[arg-type]


def test_a_journal_that_is_none_makes_room_only_when_told_to(tmp_path: Path) -> None:
    (tmp_path / ".mien").mkdir()
    (tmp_path / JOURNAL).write_text("no database at all, but long enough to look at" * 50)
    with pytest.raises(Exception, match=r"journal\.sqlite"):
        do(tmp_path)
    do(tmp_path, replace=True)
    with (
        RunFolder(tmp_path, NAMES, {"content": "x"}, resume=True),
        pytest.raises(BadConfig, match="another process"),
    ):
        do(tmp_path, replace=True)
