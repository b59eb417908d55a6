"""Shares of a run, joined, are the run."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from mien.annotate.runner import RunOptions, merge_runs, run
from mien.backends.chat import ChatRequest, Reply
from mien.core.errors import BadConfig
from mien.work.loop import Shard


class Echo:
    model = "echo"

    def reply(self, request: ChatRequest) -> Reply:
        return Reply(f"echo {request.facts['text']}", "stop", 10, 4)


@pytest.fixture
def shares(toy: ModuleType, tmp_path: Path) -> list[Path]:
    for number in (1, 2, 3):
        run(toy.ToyEngine(20), Echo(), tmp_path / str(number), RunOptions(shard=Shard(number, 3)))
    return [tmp_path / name for name in ("3", "1", "2")]


def test_shares_of_an_annotation_give_the_files_of_the_whole(
    toy: ModuleType, shares: list[Path], tmp_path: Path
) -> None:
    run(toy.ToyEngine(20), Echo(), tmp_path / "whole", RunOptions())
    kept, rejected = merge_runs(shares, tmp_path / "merged")
    assert (kept, rejected) == (18, {"a seventh": 2})
    for name in ("items.jsonl", "rejected.jsonl", "statistics.json"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_does_not_belong_together_is_refused(
    toy: ModuleType, shares: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "merged"
    with pytest.raises(BadConfig, match="each of the 3 once"):
        merge_runs(shares[:2], out)
    with pytest.raises(BadConfig, match="each of the 3 once"):
        merge_runs([*shares, shares[0]], tmp_path / "again")
    run(toy.ToyEngine(3, settings={"wording": 2}), Echo(), tmp_path / "other", RunOptions())
    run(toy.ToyEngine(3), Echo(), tmp_path / "same", RunOptions())
    with pytest.raises(BadConfig, match="wording"):
        merge_runs([tmp_path / "same", tmp_path / "other"], tmp_path / "a")
    run(toy.ToyEngine(4), Echo(), tmp_path / "twice", RunOptions())
    with pytest.raises(BadConfig, match="in two of the runs"):
        merge_runs([tmp_path / "same", tmp_path / "twice"], tmp_path / "b")
    with pytest.raises(BadConfig, match="without"):
        merge_runs([tmp_path], tmp_path / "c")
