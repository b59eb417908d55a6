"""MELD (Poria et al. 2019): utterances from the series Friends with one of 7 emotions.

On disk: ``train_sent_emo.csv``, ``dev_sent_emo.csv``, ``test_sent_emo.csv`` (at the root, in ``data/MELD/`` or in a
folder named like the part) and the clips ``train_splits/dia0_utt0.mp4``, ``dev_splits_complete/``,
``output_repeated_splits_test/`` (at the root or in a folder named like the part). Sample line (Sr No., Utterance,
Speaker, Emotion, Sentiment, Dialogue_ID, Utterance_ID, Season, Episode, StartTime, EndTime):
``1,also I was the point person …,Chandler,neutral,neutral,0,0,8,21,"00:16:16,059","00:16:21,731"``

Labels: neutral, joy, surprise, anger, sadness, disgust, fear: of the whole utterance, not of a face; a clip often shows
several people or none. ``subject`` is the speaker.
Splits: official ``train`` 9,989, ``dev`` 1,109, ``test`` 2,610. Known gaps of the release: ``dia110_utt7`` of dev is
missing, ``dia125_utt3`` of train cannot be decoded.
Leakage: the six main actors are in all parts. Licence: annotations GPL-3.0; the clips belong to their owners.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.emotions import order
from mien.core.nouns import Sample
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import by_word, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import csv_rows

__all__ = ["DATASET", "check", "read", "scan"]

COLUMNS = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
)  # fmt: skip
_LABELS = by_word(order("meld"))
_CLIPS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one part."""
    file = f"{split}_sent_emo.csv"
    places = (file, f"data/MELD/{file}", f"{split}/{file}")
    name = next((place for place in places if (root / place).exists()), file)
    clips = root / _CLIPS[split]
    if not clips.is_dir() and (root / split / _CLIPS[split]).is_dir():
        clips = root / split / _CLIPS[split]
    for row in csv_rows(root, name, ("Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")):
        if isinstance(row, Problem):
            yield row
            continue
        word = row.cells["Emotion"].strip()
        if word not in _LABELS:
            yield Problem(name, row.line, expected(word, list(_LABELS)))
            continue
        stem = f"dia{row.cells['Dialogue_ID'].strip()}_utt{row.cells['Utterance_ID'].strip()}"
        media = str(clips / f"{stem}.mp4")
        sample = Sample(f"{split}/{stem}", "meld", split, media, _LABELS[word], row.cells["Speaker"].strip())
        yield Entry(sample, name, row.line)


DATASET = Dataset(
    "meld", "utterances of a series, 7 emotions", scan, fixed(("train", "dev", "test")),
    published={"train": 9_989, "dev": 1_109, "test": 2_610},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
