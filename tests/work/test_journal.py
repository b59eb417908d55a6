"""The journal: all or nothing, one process, older formats refused or taken over."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import ModuleType

import pytest

from mien.annotate.decisions import open_folder
from mien.annotate.runner import RunOptions, run
from mien.backends.chat import ChatRequest, Reply
from mien.core.errors import BadConfig, BadInput, OutputFailed
from mien.work.journal import JOURNAL, Entry, Journal, Row
from mien.work.replies import Replies


def test_rows_come_back_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.add([Row("b", "frame", 1, "b1"), Row("b", "frame", 0, "b0"), Row("b", "card", 0, "c")])
        journal.add([Row("a", "frame", 0, "ä" * 5000)], [Entry("a", "1"), Entry("b", "2", "failed", False)])
    with Journal(tmp_path / "j.sqlite") as journal:
        found = list(journal.bodies(["b", "none", "a"], "frame"))
        assert found == [("b", "b0"), ("b", "b1"), ("a", "ä" * 5000)]
        assert journal.entries()["b"] == Entry("b", "2", "failed", False)
        journal.add([Row("late", "frame", 0, "x")])
        journal.forget(["b"])
        journal.forget_unfinished()
        assert list(journal.bodies(["b", "late"], "frame")) == []


def test_a_block_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        with pytest.raises(ZeroDivisionError), journal.together():
            journal.set_meta("one", "1")
            journal.add([], [Entry("a", "1")])
            raise ZeroDivisionError
        assert journal.meta("one") is None
        assert journal.entries() == {}
        journal.set_meta("one", "1")
        assert journal.meta("one") == "1"


def test_another_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE items (source TEXT)")
    old.close()
    with pytest.raises(BadConfig, match="format 1.*--replace"):
        Journal(path)


def test_other_settings_are_named(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.check_settings({"a": 1, "b": [1]})
        journal.check_settings({"b": (1,), "a": 1})
        with pytest.raises(BadConfig, match=r"a 2 \(was 1\); c None \(was|a 2 \(was 1\)"):
            journal.check_settings({"a": 2, "b": [1]})


class Nobody:
    model = "echo"

    def reply(self, request: ChatRequest) -> Reply:
        raise AssertionError("paid twice")


def test_what_an_older_run_paid_for_is_taken_over(toy: ModuleType, tmp_path: Path) -> None:
    class Echo(Nobody):
        def reply(self, request: ChatRequest) -> Reply:
            return Reply(f"echo {request.facts['text']}", "stop", 10, 4)

    old, engine = tmp_path / "old", toy.ToyEngine(10)
    run(engine, Echo(), tmp_path / "new", RunOptions())
    old.mkdir()
    (tmp_path / "new" / JOURNAL).rename(old / "store.sqlite")
    with sqlite3.connect(old / "store.sqlite") as store:
        store.execute("DROP TABLE items")
        store.execute("DROP TABLE rows")
        store.execute("PRAGMA user_version=0")
        store.execute('UPDATE meta SET value = \'{"engine":"toy","format":1,"teacher":"echo","wording":1}\'')
    store.close()
    with pytest.raises(BadConfig, match="--resume"):
        open_folder(old, resume=False)
    assert run(engine, Nobody(), old, RunOptions(resume=True)).reused == 20
    assert (old / "items.jsonl").read_bytes() == (tmp_path / "new" / "items.jsonl").read_bytes()


def test_an_older_memory_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_text("no database at all, but long enough to look at" * 50)
    with pytest.raises(BadInput, match=r"store\.sqlite"):
        open_folder(tmp_path, resume=True)


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.add([], [Entry("a", "1")])
        journal._database.execute("PRAGMA max_page_count=16")
        with pytest.raises(OutputFailed, match="full"):
            journal.add([Row("b", "frame", n, str(n) * 90) for n in range(20000)], [Entry("b", "1")])
        assert journal.entries().keys() == {"a"}
        assert Replies(journal).totals().requests == 0
