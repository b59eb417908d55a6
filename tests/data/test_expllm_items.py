"""ExpLLM's files as released: the lists with repeats, and the first stage's items with px, angles and codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mien.core.errors import BadData
from mien.core.nouns import FaceFacts
from mien.data.expllm import check, read

CELEBA = {
    "file_name": "000001.jpg", "bbox": [95, 71, 226, 313],
    "landmark": [[165, 184], [244, 176], [196, 249], [194, 271], [266, 260]], "attr": [0, 1] * 20,
}  # fmt: skip
WILD = {"file_name": "a/1.jpg", "bbox": [3.5, 4, 50, 60], "headpose": [-10.5, 3, 0]}
UTK = {"file_name": "1_0_2_3.jpg", "bbox": [0, 0, 9, 9], "age_gender_race": [0, 1, 2]}


def copy(root: Path, items: list[dict[str, Any]], name: str = "alltask_stage") -> Path:
    for folder in ("data_list/train", "data_list/anno_json", "pictures/a"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / f"data_list/anno_json/{name}.json").write_text(json.dumps(items))
    # The released lists end without a line break, and name absolute folders.
    (root / f"data_list/train/{name}.txt").write_text(f"data_list/anno_json/{name}.json,{root}/pictures")
    for item in items:
        (root / "pictures" / item["file_name"]).write_bytes(b"x")
    return root


def test_items_of_the_first_stage(tmp_path: Path) -> None:
    root = copy(tmp_path, [CELEBA, WILD, UTK])
    celeba, wild, utk = read("train/alltask_stage", root)
    facts = celeba.labels.facts
    assert isinstance(facts, FaceFacts) and facts.unit == "px"
    assert facts.box == (95, 71, 226, 313) and facts.points is not None and facts.points[3] == (194, 271)
    assert facts.attributes == (False, True) * 20 and facts.pose is None
    assert celeba.media == f"{root}/pictures/000001.jpg" and celeba.cropped and celeba.labels.emotion is None
    assert wild.labels.facts == FaceFacts(box=(3.5, 4, 50, 60), pose=(-10.5, 3, 0))
    assert utk.labels.facts is not None and utk.labels.facts.demographics == (0, 1, 2)
    assert utk.labels.group == {}  # audits only: nothing fills it from training labels
    assert check(root) == []


def test_an_expression_needs_no_task_and_a_task_no_expression(tmp_path: Path) -> None:
    root = copy(tmp_path, [{"file_name": "1.jpg", "emo": "Fear"}, {**UTK, "emo": "Anger"}])
    labels = [sample.labels for sample in read("train/alltask_stage", root)]
    assert [one.emotion for one in labels] == ["fear", "anger"] and labels[0].facts is None
    assert labels[1].facts is not None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bbox": [1, 2, 3]}, "bbox is not"),
        ({"bbox": [1, 2, 0, 3]}, "bbox is not"),
        ({"bbox": [1, 2, True, 3]}, "bbox is not"),
        ({"bbox": [1, 2, float("nan"), 3]}, "bbox is not"),
        ({"bbox": [1, 2, 10**400, 3]}, "bbox is not"),
        ({"landmark": [[1, 2]] * 4}, "five points"),
        ({"landmark": [[1, 2, 3]] * 5}, "five points"),
        ({"headpose": [1, 2, 400]}, "yaw, pitch, roll"),
        ({"age_gender_race": [9, 0, 0]}, "three codes"),
        ({"age_gender_race": [1, 0]}, "three codes"),
        ({"attr": [0, 1]}, "forty"),
        ({"attr": [2] * 40}, "forty"),
        ({"emo": "happy"}, "label 'happy'"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    root = copy(tmp_path, [CELEBA, {**UTK, **changed}])
    problems = check(root)
    assert len(problems) == 1 and words in problems[0].what
    with pytest.raises(BadData, match="alltask_stage.json:1"):
        list(read("train/alltask_stage", root))


def test_an_item_without_anything_is_a_problem(tmp_path: Path) -> None:
    assert "expected one of Neutral" in check(copy(tmp_path, [{"file_name": "1.jpg"}]))[0].what
