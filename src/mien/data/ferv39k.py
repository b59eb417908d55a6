"""FERV39k (Wang et al. 2022): clips of 22 scenes with one of 7 expressions.

On disk: ``4_setups/All_scenes/train_All.csv`` and ``test_All.csv`` (also ``All_scenes/`` at the root), blank-separated
lines without a header, slashes either way: ``Action/Sad/0010 Sad``; the faces of that clip lie in
``2_ClipsforFaceCrop/Action/Sad/0010/`` (also one such folder deeper, as the archive unpacks). Held against the loaders
of five public repositories.

Labels: the words Angry, Disgust, Fear, Happy, Neutral, Sad, Surprise; the folder's word must be the label's.
Splits: official ``train`` 31,088, ``test`` 7,847. Media: the folder of a clip's faces; ``subject`` stays empty.
Leakage: clips of one film are in both parts. Licence: research agreement with Fudan University.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.nouns import Sample
from mien.data.dataset import Dataset, fixed
from mien.data.frames import first_folder
from mien.data.label_words import by_word, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import text_rows

__all__ = ["DATASET", "check", "read", "scan"]

_FACES = "2_ClipsforFaceCrop"
_LABELS = by_word(("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"))


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one part."""
    lists = first_folder(root, "4_setups/All_scenes", "All_scenes")
    faces = first_folder(root, f"{_FACES}/{_FACES}", _FACES, f"{_FACES}-002/{_FACES}")
    name = f"{lists.relative_to(root)}/{split}_All.csv"
    for row in text_rows(root, name, ("clip", "label")):
        if isinstance(row, Problem):
            yield row
            continue
        clip, word = row.cells["clip"].replace("\\", "/"), row.cells["label"]
        if word not in _LABELS:
            yield Problem(name, row.line, expected(word, list(_LABELS)))
        elif word not in clip.split("/"):
            yield Problem(name, row.line, f"label {word} for a clip in {clip}")
        else:
            media = str(faces / clip)
            yield Entry(Sample(clip, "ferv39k", split, media, _LABELS[word], cropped=True), name, row.line)


DATASET = Dataset(
    "ferv39k", "clips of 22 scenes, 7 expressions", scan, fixed(("train", "test")),
    published={"train": 31_088, "test": 7_847},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
