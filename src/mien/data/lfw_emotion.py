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
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import by_word
from mien.data.packs import labelled_crops
from mien.data.problems import Found

__all__ = ["DATASET", "check", "read", "scan"]

_LABELS = by_word(EMOTIONS)


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of ``train`` or ``val``."""
    yield from labelled_crops("lfw_emotion", split, root, _LABELS, subject="person")


DATASET = Dataset(
    "lfw_emotion", "112x112 news faces, 8 expressions, mostly machine labels", scan, fixed(("train", "val")),
    subjects_apart=True, packed=True, published={"train": 8_722, "val": 1_243},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
