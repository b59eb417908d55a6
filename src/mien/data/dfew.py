"""DFEW (Jiang et al. 2020): film clips with one of 7 expressions by ten raters.

On disk: ``EmoLabel_DataSplit/train(single-labeled)/set_1.csv`` … ``set_5.csv`` and ``test(single-labeled)/…``, with the
lines ``video_name,label`` then ``1,2``; the aligned faces of clip 1 lie in ``Clip/clip_224x224_16f/00001/``
(or ``clip_224x224``, ``jpg_256``), or the clip itself in ``Clip/original/1.mp4``.

Labels: 1 happy, 2 sad, 3 neutral, 4 angry, 5 surprise, 6 disgust, 7 fear.
Splits: official five folds, ``fold1-train``, ``fold1-test`` … ``fold5-test``; papers average UAR and WAR over them.
11,697 clips have a single label. Media: the folder of a clip's faces, or its video.
Leakage: clips of one film are in both sides of a fold. Licence: research agreement with Southeast University.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.emotions import order
from mien.core.nouns import Sample
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import by_code, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import csv_rows

__all__ = ["DATASET", "check", "read", "scan"]

_LABELS = by_code(order("dfew"), first=1)
_FOLDERS = ("clip_224x224_16f", "clip_224x224", "jpg_256")


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one side of one fold."""
    fold, _, side = split.partition("-")
    name = f"EmoLabel_DataSplit/{side}(single-labeled)/set_{fold.removeprefix('fold')}.csv"
    faces = next((folder for folder in _FOLDERS if (root / "Clip" / folder).is_dir()), None)
    for row in csv_rows(root, name, ("video_name", "label")):
        if isinstance(row, Problem):
            yield row
            continue
        clip, code = row.cells["video_name"].strip(), row.cells["label"].strip()
        if code not in _LABELS:
            yield Problem(name, row.line, expected(code, list(_LABELS)))
        elif not clip.isdecimal():
            yield Problem(name, row.line, f"video_name {clip!r} is no number")
        else:
            media = (
                root / "Clip" / faces / f"{int(clip):05d}"
                if faces
                else root / "Clip/original" / f"{clip}.mp4"
            )
            sample = Sample(clip, "dfew", split, str(media), _LABELS[code], cropped=faces is not None)
            yield Entry(sample, name, row.line)


DATASET = Dataset(
    "dfew", "film clips, 7 expressions, five folds", scan,
    fixed(*((f"fold{k}-train", f"fold{k}-test") for k in range(1, 6))),
)  # fmt: skip
read, check = DATASET.read, DATASET.check
