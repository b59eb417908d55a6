"""ExpLLM's items (Lan et al. 2025): faces with labels, FEAFA values, chains of thought, or the first stage's tasks.

On disk: list files ``data_list/train/<name>.txt`` and ``data_list/test/<name>.txt``, a line per source,
``json,image_root[,repeat]`` with paths relative to the root, or absolute (the released lists name the authors' own
folders: write yours there): ``data_list/anno_json/rafdb_train.json,data/raf-db/aligned,3``; each JSON holds an array
of items ``{"file_name": "train_00001_aligned.jpg", "emo": "Sadness", "au": [0.1, … 24 values], "description": "**Key
…"}`` or, in the lists ``facedetect_stage`` and ``alltask_stage``, ``{"file_name": "000001.jpg", "bbox": [95, 71, 226,
313], "landmark": [[165, 184], … five], "attr": [0, 1, … 40], "headpose": [yaw, pitch, roll], "age_gender_race": [3, 1,
0]}``. Everything but the file name may be missing, but not all of it.

Labels: Neutral Happiness Sadness Surprise Fear Disgust Anger Contempt; ``au_intensity`` by FEAFA's names;
``chain_of_thought`` is the description; ``facts`` are box (left, top, width, height) and landmarks in px, angles in
degrees, codes and attributes. ``repeats=True`` applies the third column: whole numbers copy a source (ids get ``#2``,
``#3``), a fraction draws that share of it by a seeded hash.
Splits: the list files, ``train/raf-db-des`` and so on. RAF-DB train 12,271, test 3,068; AffectNet-Kaggle train 37,553,
test 4,000; first stage UTKFace 22,308, FairFace 69,639, 300W-LP 122,450, CelebA 162,770. Lists repeat pictures on
purpose, so ids are compared within one list only.
Leakage: as RAF-DB and AffectNet. Licence: none stated; labels and pictures fall under those sets' agreements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mien.core.aus import FEAFA_24
from mien.core.emotions import order
from mien.core.nouns import FaceFacts, Labels, Sample
from mien.data.dataset import Dataset, Groups
from mien.data.label_words import by_word, expected, number
from mien.data.problems import Entry, Found, Problem
from mien.data.splits import chosen
from mien.data.tables import json_items, text_rows

__all__ = ["DATASET", "check", "read", "scan"]

_LABELS = by_word(order("expllm"))
_NAMES = tuple(value.name for value in FEAFA_24)


def _groups(root: Path) -> Groups:
    lists = sorted(root.glob("data_list/train/*.txt")) + sorted(root.glob("data_list/test/*.txt"))
    return tuple((f"{path.parent.name}/{path.stem}",) for path in lists)


def scan(split: str, root: Path, repeats: bool = False) -> Iterator[Found]:
    """Samples and problems of one list; the module's text explains the option."""
    name = f"data_list/{split}.txt"
    for row in text_rows(root, name, ("source",), rest=True):
        if isinstance(row, Problem):
            yield row
            continue
        file, *rest = (cell.strip() for cell in row.cells["source"].split(","))
        if len(rest) not in (1, 2) or (len(rest) == 2 and number(rest[1], 0, 1000) is None):
            yield Problem(name, row.line, "expected json,image_root or json,image_root,repeat")
            continue
        times = float(rest[1]) if repeats and len(rest) == 2 else 1.0
        yield from _source(split, root, file, root / rest[0], times)


def _source(split: str, root: Path, name: str, images: Path, times: float) -> Iterator[Found]:
    found = list(_items(split, root, name, images))
    if times < 1:
        ids = [one.sample.id for one in found if isinstance(one, Entry)]
        drawn = chosen(ids, round(times * len(ids)))
        found = [one for one in found if isinstance(one, Problem) or one.sample.id in drawn]
    yield from found
    for copy in range(2, int(times) + 1):
        for one in found:
            if isinstance(one, Entry):
                yield replace(one, sample=replace(one.sample, id=f"{one.sample.id}#{copy}"))


def _items(split: str, root: Path, name: str, images: Path) -> Iterator[Found]:
    for item in json_items(root, name):
        if isinstance(item, Problem):
            yield item
            continue
        labels = _labels(item.values)
        file = item.values.get("file_name")
        if isinstance(labels, str) or not isinstance(file, str):
            yield Problem(name, item.line, labels if isinstance(labels, str) else "no file_name")
            continue
        sample = Sample(
            f"{Path(name).stem}/{file}", "expllm", split, str(images / file), labels, cropped=True
        )
        yield Entry(sample, name, item.line)


def _labels(values: Mapping[str, Any]) -> Labels | str:
    word, units, text = values.get("emo"), values.get("au"), values.get("description")
    facts = _facts(values)
    if isinstance(facts, str):
        return facts
    if word not in _LABELS and (word is not None or facts is None):
        return expected(str(word), list(_LABELS))
    if units is not None:
        if not _numbers(units, len(_NAMES), 0.0, 1.0):
            return "au is not 24 numbers in 0..1"
        units = dict(zip(_NAMES, map(float, units), strict=True))
    told = text if isinstance(text, str) else None
    known = Labels() if word is None else _LABELS[str(word)]
    return replace(known, au_intensity=units, chain_of_thought=told, facts=facts)


def _facts(values: Mapping[str, Any]) -> FaceFacts | str | None:
    """The first stage's labels; what is wrong with them; or None where there are none."""
    box, points, pose = values.get("bbox"), values.get("landmark"), values.get("headpose")
    codes, attributes = values.get("age_gender_race"), values.get("attr")
    if box is not None and not (_numbers(box, 4) and min(box[2:]) > 0):
        return "bbox is not left, top, width, height in px"
    if points is not None and not (_sized(points, 5) and all(_numbers(point, 2) for point in points)):
        return "landmark is not five points x, y"
    if pose is not None and not _numbers(pose, 3, -360.0, 360.0):
        return "headpose is not yaw, pitch, roll in degrees"
    if codes is not None and not (_sized(codes, 3) and all(map(_in_codes, codes, (8, 1, 4)))):
        return "age_gender_race is not three codes up to 8, 1 and 4"
    if attributes is not None and not (_sized(attributes, 40) and all(map(_in_codes, attributes, [1] * 40))):
        return "attr is not forty 0 or 1"
    if all(one is None for one in (box, points, pose, codes, attributes)):
        return None
    return FaceFacts(
        box=None if box is None else (box[0], box[1], box[2], box[3]),
        points=None if points is None else tuple((x, y) for x, y in points),
        pose=None if pose is None else (pose[0], pose[1], pose[2]),
        demographics=None if codes is None else (codes[0], codes[1], codes[2]),
        attributes=None if attributes is None else tuple(map(bool, attributes)),
    )


def _sized(values: object, count: int) -> bool:
    return isinstance(values, list) and len(values) == count


def _numbers(values: object, count: int, low: float = -1e9, high: float = 1e9) -> bool:
    """Whether this is a list of so many numbers within the bounds; JSON's NaN is in none."""
    if not (isinstance(values, list) and len(values) == count):
        return False
    return all(type(one) in (int, float) and low <= one <= high for one in values)


def _in_codes(value: object, highest: int) -> bool:
    return type(value) is int and 0 <= value <= highest


DATASET = Dataset(
    "expllm", "ExpLLM's items: labels, FEAFA values, chains of thought, face tasks", scan, _groups
)
read, check = DATASET.read, DATASET.check
