"""CMMA (Zhang et al. 2023): utterances of Chinese series with emotion, sentiment, sarcasm and humour.

On disk: ``text/train.csv``, ``text/dev.csv``, ``text/test.csv`` and a clip per utterance, ``<UtteranceID>.mp4``, below
``video/`` (in ``video/train/`` and so on, or flat). Sample line (ConversationID, UtteranceID, Utterance, Speaker,
StartTime, EndTime, Emotion, Sentiment, Sarcasm, Humor, two relevancies, Pride, Love):
``C_1801,C_1801_U_1,…,…,"00:00:00,000","00:00:01,640",sadness,negative,none,none,2,-1,none,none``
The layout of the tables is the release's; where the clips lie follows no description and was never seen.

Labels: neutral, joy, sadness, anger, disgust, fear, surprise: of the utterance, not of a face. ``subject`` is the
speaker. Splits: official ``train``, ``dev``, ``test`` (21,795 utterances in all).
Leakage: speakers are in several parts. Licence: for academic research (see its License folder).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.nouns import Sample
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import by_word, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import csv_rows

__all__ = ["DATASET", "check", "read", "scan"]

COLUMNS = (
    "ConversationID", "UtteranceID", "Utterance", "Speaker", "StartTime", "EndTime", "Emotion", "Sentiment",
    "Sarcasm", "Humor", "Relevancy(Emo→Sen)", "Relevancy(Sar→Hum)", "Pride", "Love",
)  # fmt: skip
_LABELS = by_word(("neutral", "joy", "sadness", "anger", "disgust", "fear", "surprise"))


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one part."""
    name = f"text/{split}.csv"
    clips = root / "video" / split if (root / "video" / split).is_dir() else root / "video"
    for row in csv_rows(root, name, ("UtteranceID", "Speaker", "Emotion")):
        if isinstance(row, Problem):
            yield row
            continue
        utterance, word = row.cells["UtteranceID"].strip(), row.cells["Emotion"].strip()
        if word not in _LABELS:
            yield Problem(name, row.line, expected(word, list(_LABELS)))
        else:
            media = str(clips / f"{utterance}.mp4")
            sample = Sample(utterance, "cmma", split, media, _LABELS[word], row.cells["Speaker"].strip())
            yield Entry(sample, name, row.line)


DATASET = Dataset("cmma", "utterances of Chinese series, 7 emotions", scan, fixed(("train", "dev", "test")))
read, check = DATASET.read, DATASET.check
