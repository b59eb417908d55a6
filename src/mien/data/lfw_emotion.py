"""LFW emotion labels (muxspace/facial_expressions): grey 112x112 news faces, mostly machine-labelled.

On disk: ``lfw_emotion/lfw_emotion.zip`` with ``manifest.csv`` and ``img/<hash>.jpg``. Sample line
(file, label, split, source, person, group, labeler, second_look):
``img/0a1b2c3d4e5f.jpg,happiness,train,lfw,9f8e7d6c5b4a,g0012,dwdii,``

Splits: ``train`` 8,722, ``val`` 1,243, no person in both.
Labels: the eight words; by eye happiness about 85 % and neutral 80-85 % convincing; the rare classes are small.
Licence: the repository is Apache-2.0 and silent on the news photographs. Training and evaluation only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.emotions import EMOTIONS
from mien.core.nouns import Sample
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import by_word, expected
from mien.data.packs import pack_member, pack_name, pack_rows
from mien.data.problems import Entry, Found, Problem

__all__ = ["DATASET", "check", "read", "scan"]

_LABELS = by_word(EMOTIONS)


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of ``train`` or ``val``."""
    pack = pack_name(root, "lfw_emotion")
    for row in pack_rows(root, "lfw_emotion", ("file", "label", "split", "person")):
        if isinstance(row, Problem):
            yield row
        elif row.cells["split"] != split:
            continue
        elif row.cells["label"] not in _LABELS:
            yield Problem(pack, row.line, expected(row.cells["label"], list(_LABELS)))
        else:
            file, labels = row.cells["file"], _LABELS[row.cells["label"]]
            media = f"{root / pack}!{pack_member(file)}"
            sample = Sample(file, "lfw_emotion", split, media, labels, row.cells["person"], cropped=True)
            yield Entry(sample, pack, row.line)


DATASET = Dataset(
    "lfw_emotion", "112x112 news faces, 8 expressions, mostly machine labels", scan, fixed(("train", "val")),
    subjects_apart=True, packed=True, published={"train": 8_722, "val": 1_243},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
