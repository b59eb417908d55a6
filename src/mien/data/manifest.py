"""A manifest of your own: one table that names pictures or videos and what is known about them.

On disk: ``manifest.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` in the root folder, or the root is the file itself.
Sample: ``media,split,subject,emotion,AU06,AU12_level,age`` then ``faces/a.jpg,train,p01,happiness,1,3,34``.

Columns: ``media`` (relative to the manifest's folder, or absolute) is a must; all others may be missing or blank:
``id`` (default: media), ``split`` (default: ``all``), ``subject``, ``emotion`` (any spelling of the eight, or a word of
your own), ``valence``, ``arousal`` (-1..1), ``description``, ``chain_of_thought``; ``AU06`` (0 or 1), ``AU06_level``
(0-5), ``AU06_intensity`` (0..1); ``age``, ``gender``, ``ethnicity`` for audits; ``left``, ``top``, ``right``,
``bottom`` (px) for the face that is meant; ``cropped`` (0 or 1). Other columns are ignored.
Splits: the words of the ``split`` column. A subject in two splits counts as a problem.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.nouns import Sample
from mien.data.dataset import Dataset, Groups
from mien.data.problems import Entry, Found, Problem
from mien.data.row_labels import YES_NO, RowLabels
from mien.data.tables import Item, Row, csv_rows, json_lines, parquet_items

__all__ = ["DATASET", "check", "read", "scan"]

_FILES = ("manifest.csv", "manifest.tsv", "manifest.jsonl", "manifest.parquet")
_SIDES = ("left", "top", "right", "bottom")


def _place(root: Path) -> tuple[Path, str]:
    if root.is_file():
        return root.parent, root.name
    return root, next((name for name in _FILES if (root / name).exists()), _FILES[0])


def _records(folder: Path, name: str) -> Iterator[Row | Item | Problem]:
    suffix = os.path.splitext(name)[1]
    if suffix == ".jsonl":
        return json_lines(folder, name)
    if suffix == ".parquet":
        return parquet_items(folder, name)
    return csv_rows(folder, name, ("media",), delimiter="\t" if suffix == ".tsv" else ",")


def _groups(root: Path) -> Groups:
    splits = dict.fromkeys(
        (record[1].get("split") or "all")
        for record in _records(*_place(root))
        if not isinstance(record, Problem)
    )
    return (tuple(map(str, splits)) or ("all",),)


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one split; problems of unreadable rows come with every split."""
    folder, name = _place(root)
    base, known = f"{folder}/", RowLabels()
    for record in _records(folder, name):
        if isinstance(record, Problem):
            yield record
            continue
        line, values = record
        if (values.get("split") or "all") != split:
            continue
        media = values.get("media")
        if not media:
            yield Problem(name, line, "no media")
            continue
        try:
            labels, box = known.of(values), _box(values)
        except ValueError as error:
            yield Problem(name, line, str(error))
            continue
        path = media if os.path.isabs(media) else base + media
        sample = Sample(
            str(values.get("id") or media), "manifest", split, path, labels, values.get("subject") or None,
            cropped=YES_NO.get(str(values.get("cropped")), False), box=box,
        )  # fmt: skip
        yield Entry(sample, name, line)


def _box(values: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    if not values.get("right"):
        return None
    try:
        left, top, right, bottom = (float(values[side]) for side in _SIDES)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("left, top, right, bottom are not four numbers") from error
    if right <= left or bottom <= top:
        raise ValueError(f"empty box {left:g} {top:g} {right:g} {bottom:g}")
    return left, top, right, bottom


DATASET = Dataset(
    "manifest", "your own table of pictures or videos", scan, _groups, subjects_apart=True, free_splits=True
)
read, check = DATASET.read, DATASET.check
