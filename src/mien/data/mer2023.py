"""MER2023 (Lian et al. 2023): clips of Chinese films and series with one of 6 emotions.

On disk: ``train-label.csv`` with the lines ``name,discrete,valence`` then ``sample_00000000,neutral,-1.0`` and the
clips ``train/sample_00000000.avi`` (any suffix); ``test1``, ``test2``, ``test3`` likewise (``test3`` has no valence).
Only parts whose label file is there count as splits: the challenge gave out ``train`` first.

Labels: neutral, angry, happy, sad, worried, surprise. ``worried`` is none of the eight and stays as it is. The valence
is not read: its scale is not the -1..1 of ours.
Leakage: no person key. Licence: agreement for academic research; not redistributable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mien.core.nouns import Sample
from mien.data.dataset import Dataset, Groups
from mien.data.label_words import by_word, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import csv_rows

__all__ = ["DATASET", "check", "read", "scan"]

_LABELS = by_word(("neutral", "angry", "happy", "sad", "worried", "surprise"))
_PARTS = ("train", "test1", "test2", "test3")


def _groups(root: Path) -> Groups:
    return (tuple(part for part in _PARTS if part == "train" or (root / f"{part}-label.csv").exists()),)


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one part."""
    name, folder = f"{split}-label.csv", root / split
    clips = (
        {os.path.splitext(file)[0]: file for file in sorted(os.listdir(folder))} if folder.is_dir() else {}
    )
    for row in csv_rows(root, name, ("name", "discrete")):
        if isinstance(row, Problem):
            yield row
            continue
        clip, word = row.cells["name"].strip(), row.cells["discrete"].strip()
        if word not in _LABELS:
            yield Problem(name, row.line, expected(word, list(_LABELS)))
        else:
            media = str(folder / clips.get(clip, f"{clip}.avi"))
            yield Entry(Sample(clip, "mer2023", split, media, _LABELS[word]), name, row.line)


DATASET = Dataset("mer2023", "clips of Chinese films and series, 6 emotions", scan, _groups)
read, check = DATASET.read, DATASET.check
