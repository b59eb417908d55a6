"""Splits as files with a hash; the folds that the literature fixed; seeded draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mien.core.errors import BadConfig, BadData
from mien.core.nouns import Labels, Sample
from mien.data.splits import Split, chosen, protocol


def sample(key: str, subject: str) -> Sample:
    return Sample(key, "x", "all", f"{key}.jpg", Labels(), subject)


def test_folds_of_the_literature() -> None:
    bp4d, disfa = protocol("bp4d-3fold"), protocol("disfa-3fold")
    assert [len(members) for members in bp4d.parts.values()] == [14, 14, 13]
    assert sorted(s for members in bp4d.parts.values() for s in members) == sorted(
        [f"F{k:03d}" for k in range(1, 24)] + [f"M{k:03d}" for k in range(1, 19)]
    )
    assert [len(members) for members in disfa.parts.values()] == [9, 9, 9]
    numbers = {int(subject[2:]) for members in disfa.parts.values() for subject in members}
    assert numbers == {*range(1, 33)} - {14, 15, 19, 20, 22}
    with pytest.raises(BadConfig, match="bp4d-3fold"):
        protocol("gft-3fold")


def test_hash_ignores_names_and_order_and_nothing_else(tmp_path: Path) -> None:
    split = Split("a", "subject", {"train": ("p1", "p2"), "test": ("p3",)}, "me")
    same = Split("b", "subject", {"test": ("p3",), "train": ("p2", "p1")})
    other = Split("a", "subject", {"train": ("p1",), "test": ("p3", "p2")})
    assert split.hash == same.hash != other.hash
    assert Split.read(split.write(tmp_path / "split.json")) == split


def test_altered_split_is_refused(tmp_path: Path) -> None:
    path = Split("a", "id", {"train": ("x", "y"), "test": ("z",)}).write(tmp_path / "split.json")
    content = json.loads(path.read_text())
    content["parts"]["train"].remove("y")
    path.write_text(json.dumps(content))
    with pytest.raises(BadData, match="hash"):
        Split.read(path)
    with pytest.raises(BadData, match="in train and in test"):
        Split("a", "subject", {"train": ("p1",), "test": ("p1",)})
    with pytest.raises(BadData, match=r"absent\.json"):
        Split.read(tmp_path / "absent.json")


def test_draw_is_the_same_everywhere() -> None:
    names = [f"face{k}" for k in range(100)]
    assert sorted(chosen(names, 3)) == sorted(chosen(reversed(names), 3))
    assert chosen(names, 3) != chosen(names, 3, seed=1)
    assert chosen(names, 3) < chosen(names, 10)
