"""MAFW (Liu et al. 2022): film clips with one of 11 expressions, some with a description in English and Chinese.

On disk: ``split/single/no_caption/set_1/train.txt`` … ``set_5/test.txt`` (also below ``Train & Test Set/``),
blank-separated lines without a header: ``00001.mp4 happiness``; clips in ``data/clips/00001.mp4`` or faces in
``data/frames/00001/`` (also ``clips/``, ``frames/``). Descriptions, if wanted (``descriptions=True``):
``Labels/descriptive_text.xlsx``, three columns without a header row: the clip, the description in Chinese and in
English; a copy with a header row is read by its column "English". The full stop at their end is not part of them. As a
public loader (``header=None``) and an inventory of its 8,034 rows have it.

Labels: anger disgust fear happiness neutral sadness surprise contempt anxiety helplessness disappointment; the last
three are not among the eight and stay as they are.
Splits: official five folds over 9,172 clips, ``fold1-train``, ``fold1-test`` … ``fold5-test``; UAR and WAR are
averaged.
Leakage: clips of one film are in both sides of a fold. Licence: research agreement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mien.core.emotions import order
from mien.core.nouns import Sample
from mien.data.dataset import Dataset, fixed
from mien.data.frames import first_folder
from mien.data.label_words import by_word, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import text_rows, xlsx_rows

__all__ = ["DATASET", "check", "read", "scan"]

_LABELS = by_word(order("mafw"))
_LISTS = ("split", "Train & Test Set")
_CLIPS, _FACES = ("data/clips", "clips"), ("data/frames", "frames")
_TEXTS = "Labels/descriptive_text.xlsx"
_COLUMNS = ("clip", "chinese", "english")
_CLIP = re.compile(r"\d+(\.\w+)?")


def scan(split: str, root: Path, descriptions: bool = False) -> Iterator[Found]:
    """Samples and problems of one side of one fold; the module's text explains the option."""
    fold, _, side = split.partition("-")
    base = next((folder for folder in _LISTS if (root / folder).is_dir()), _LISTS[0])
    name = f"{base}/single/no_caption/set_{fold.removeprefix('fold')}/{side}.txt"
    texts: dict[str, str] = {}
    if descriptions:
        for one in _texts(root):
            if isinstance(one, Problem):
                yield one
            else:
                texts[one[0]] = one[1]
    faces = next((root / folder for folder in _FACES if (root / folder).is_dir()), None)
    clips = first_folder(root, *_CLIPS)
    for row in text_rows(root, name, ("clip", "label")):
        if isinstance(row, Problem):
            yield row
            continue
        clip, word = row.cells["clip"], row.cells["label"]
        if word not in _LABELS:
            yield Problem(name, row.line, expected(word, list(_LABELS)))
            continue
        stem = clip.partition(".")[0]
        labels = replace(_LABELS[word], description=texts.get(stem)) if texts else _LABELS[word]
        media = str(faces / stem) if faces else str(clips / clip)
        yield Entry(Sample(stem, "mafw", split, media, labels, cropped=faces is not None), name, row.line)


def _texts(root: Path) -> Iterator[tuple[str, str] | Problem]:
    english, first = _COLUMNS[2], True
    for row in xlsx_rows(root, _TEXTS, _COLUMNS):
        if isinstance(row, Problem):
            yield row
            return
        if first and not _CLIP.fullmatch(row.cells["clip"]):
            english = next((name for name, title in row.cells.items() if "english" in title.lower()), english)
        elif text := row.cells[english]:
            yield row.cells["clip"].partition(".")[0], text.removesuffix(".")
        first = False


DATASET = Dataset(
    "mafw", "film clips, 11 expressions and descriptions, five folds", scan,
    fixed(*((f"fold{k}-train", f"fold{k}-test") for k in range(1, 6))),
)  # fmt: skip
read, check = DATASET.read, DATASET.check
