"""ExpLLM's items (Lan et al. 2025): RAF-DB and AffectNet faces with labels, FEAFA values and chains of thought.

On disk: list files ``data_list/train/<name>.txt`` and ``data_list/test/<name>.txt``, a line per source,
``json,image_root[,repeat]`` with paths relative to the root:
``data_list/anno_json/rafdb_train.json,data/raf-db/aligned,3``; each JSON holds an array of items
``{"file_name": "train_00001_aligned.jpg", "emo": "Sadness", "au": [0.1, … 24 values], "description": "**Key …"}``,
where ``au`` and ``description`` may be missing.

Labels: Neutral Happiness Sadness Surprise Fear Disgust Anger Contempt; ``au_intensity`` by FEAFA's names;
``chain_of_thought`` is the description. ``repeats=True`` applies the third column: whole numbers copy a source (ids get
``#2``, ``#3``), a fraction draws that share of it by a seeded hash.
Splits: the list files, ``train/raf-db-des`` and so on. RAF-DB train 12,271, test 3,068; AffectNet-Kaggle train 37,553,
test 4,000. Lists repeat pictures on purpose, so ids are compared within one list only.
Leakage: as RAF-DB and AffectNet. Licence: none stated; labels and pictures fall under those sets' agreements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mien.core.aus import FEAFA_24
from mien.core.emotions import order
from mien.core.nouns import Labels, Sample
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
    if word not in _LABELS:
        return expected(str(word), list(_LABELS))
    if units is not None:
        fits = isinstance(units, list) and len(units) == len(_NAMES)
        if not fits or not all(isinstance(value, int | float) and 0 <= value <= 1 for value in units):
            return "au is not 24 numbers in 0..1"
        units = dict(zip(_NAMES, map(float, units), strict=True))
    return replace(
        _LABELS[str(word)], au_intensity=units, chain_of_thought=text if isinstance(text, str) else None
    )


DATASET = Dataset("expllm", "ExpLLM's items: labels, FEAFA values, chains of thought", scan, _groups)
read, check = DATASET.read, DATASET.check
