"""The run record: complete, the same bytes for the same content, written whole or not at all, without secrets."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mien.core import run_record
from mien.core.errors import BadConfig, BadInput, OutputFailed
from mien.core.run_record import RunRecord


def a_record() -> RunRecord:
    return RunRecord.start(
        {"model": "rules", "columns": {"set": "pocket"}, "größe": 3},
        command=["mien", "analyze", "a.jpg"],
        seed=7,
        decoding={"method": "greedy"},
    )


def test_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    record = a_record().finish(items=50, failed=1, unparsed=0)
    first = record.write(tmp_path / "run.json").read_bytes()
    assert RunRecord.read(tmp_path / "run.json") == record
    assert record.write(tmp_path / "again.json").read_bytes() == first
    assert RunRecord.read(tmp_path / "run.json").write(tmp_path / "third.json").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "run.json", "third.json"]


def test_what_it_knows_of_the_machine_and_the_time() -> None:
    before = datetime.now(UTC)
    opened = a_record()
    closed = opened.finish(items=2)
    assert opened.finished is None
    assert closed.finished is not None
    assert before <= closed.started <= closed.finished
    assert closed.counts == {"items": 2}
    assert closed.hardware.cores >= 1
    assert closed.hardware.cpu
    assert {"python", "numpy", "onnxruntime"} <= set(closed.versions)


def test_counts_grow_and_are_never_negative() -> None:
    assert a_record().finish(items=1).finish(failed=2).counts == {"items": 1, "failed": 2}
    with pytest.raises(BadConfig, match="count failed -1"):
        a_record().finish(failed=-1)


def test_secrets_are_not_stored(tmp_path: Path) -> None:
    record = RunRecord.start(
        {"api_key": "sk-1", "teacher": {"token": "sk-2", "url": "http://localhost"}, "max_new_tokens": 5},
        command=[
            "mien",
            "annotate",
            "--api-key",
            "sk-3",
            "--hub-token=sk-4",
            "--keys-per-page",
            "9",
            "--key-env",
            "sk-5",
        ],
    )
    text = record.write(tmp_path / "run.json").read_text()
    assert "sk-" not in text
    assert record.command == (
        "mien",
        "annotate",
        "--api-key",
        "***",
        "--hub-token=***",
        "--keys-per-page",
        "9",
        "--key-env",
        "***",
    )
    assert record.config["max_new_tokens"] == 5
    assert record.config["teacher"] == {"token": "***", "url": "http://localhost"}


def git(folder: Path, *arguments: str) -> None:
    names = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", folder, *names, *arguments], check=True, capture_output=True)


def test_commit_of_a_checkout(tmp_path: Path) -> None:
    state = run_record._checkout_state
    assert state(tmp_path) == (None, None), "no repository"
    git(tmp_path, "init", "-q")
    assert state(tmp_path) == (None, None), "no commit yet"
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "a")
    commit, dirty = state(tmp_path)
    assert commit is not None
    assert (len(commit), dirty) == (40, False)
    (tmp_path / "a").write_text("2")
    assert state(tmp_path) == (commit, True)
    (tmp_path / "inside").mkdir()
    assert state(tmp_path / "inside") == (None, None), "a folder inside another project's repository"


def test_the_repository_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that git would bring up to date, beside another's lock; and a hook's environment."""
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "a")
    os.utime(tmp_path / "a", (1, 1))
    index = tmp_path / ".git" / "index"
    before = index.read_bytes(), index.stat().st_mtime_ns
    (tmp_path / ".git" / "index.lock").write_bytes(b"")
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    commit, dirty = run_record._checkout_state(tmp_path)
    assert (commit is not None, dirty) == (True, False)
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before
    assert (tmp_path / ".git" / "index.lock").read_bytes() == b""


def test_no_git_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_record._checkout_state(tmp_path) == (None, None)


def test_an_unwritable_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match=r"Got No such file.*run\.json\. Expected a writable folder"):
        a_record().write(tmp_path / "absent" / "run.json")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_record().write(tmp_path / "run.json")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputFailed, match="No space left on device"):
        a_record().write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1", b'{"format": "x"}'])
def test_what_is_no_record(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=r"run\.json written by mien"):
        RunRecord.read(path)
