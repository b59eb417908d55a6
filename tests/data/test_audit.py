"""What a check tries, and what it says of a split without samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mien.data import open_dataset

CopyOf = Callable[[str], Path]
RAF, FERV = "basic/EmoLabel/list_patition_label.txt", "4_setups/All_scenes/train_All.csv"


def test_deep_check_tries_every_picture(copy_of: CopyOf) -> None:
    root = copy_of("rafdb")
    tried: list[str] = []

    def can_open(media: str) -> str | None:
        tried.append(media)
        return "no picture" if media.endswith("test_00002_aligned.jpg") else None

    problems = open_dataset("rafdb").check(root, can_open)
    assert len(tried) == 14
    assert [str(problem) for problem in problems] == [f"{RAF}:9: no picture"]


def test_empty_split_is_a_problem(copy_of: CopyOf) -> None:
    root = copy_of("ferv39k")
    (root / FERV).write_text("")
    assert [str(problem) for problem in open_dataset("ferv39k").check(root)] == [
        ".: split train holds no sample"
    ]
