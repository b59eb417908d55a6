"""A new data set in one file: a folder of pictures and a ``labels.txt``. A recipe names it as ``new_dataset:DATASET``.

On disk: ``labels.txt``, a line ``eileen_collins.jpg happiness`` for each picture. Split: ``train``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.emotions import EMOTIONS
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.problems import Entry, Found, Problem

__all__ = ["DATASET"]

_LIST = "labels.txt"


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples, and lines that say nothing."""
    for number, line in enumerate((root / _LIST).read_text(encoding="utf-8").splitlines(), 1):
        name, _, emotion = line.partition(" ")
        if emotion not in EMOTIONS:
            yield Problem(_LIST, number, f"emotion {emotion!r}, expected one of {', '.join(EMOTIONS)}")
            continue
        yield Entry(Sample(name, "portraits", split, str(root / name), Labels(emotion)), _LIST, number)


DATASET = Dataset("portraits", "pictures and the emotion that each shows", scan, fixed(("train",)))
