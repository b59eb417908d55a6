"""Readers of the data packs: the exact published format, on a miniature; the documented counts, on the real packs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mien.core.errors import BadData
from mien.core.nouns import Sample
from mien.data import ferplus, genki4k, lfw_emotion, london, open_dataset

PACKS = ("ferplus", "genki4k", "lfw_emotion", "london")
# data README: sole top label of FER+, labels of the others.
COUNTS = {
    ("ferplus", "train"): {"neutral": 8951, "happiness": 7149, "surprise": 2559, "sadness": 3079, "anger": 2132,
                           "disgust": 135, "fear": 504, "contempt": 140},
    ("ferplus", "val"): {"neutral": 1224, "happiness": 869, "surprise": 398, "sadness": 383, "anger": 298,
                         "disgust": 28, "fear": 64, "contempt": 24},
    ("lfw_emotion", "train"): {"neutral": 4392, "happiness": 3773, "surprise": 260, "anger": 181, "sadness": 91,
                               "fear": 12, "disgust": 7, "contempt": 6},
    ("london", "val"): {"neutral": 19, "happiness": 19},
}  # fmt: skip


def _read(name: str, split: str, root: Path | None = None) -> list[Sample]:
    return list(open_dataset(name).read(split, root))


@pytest.mark.parametrize("name", PACKS)
def test_every_pack_gives_samples_of_one_split(name: str, tiny_data: Path) -> None:
    train, val = _read(name, "train", tiny_data), _read(name, "val", tiny_data)
    assert train and val
    assert not {s.id for s in train} & {s.id for s in val} or name == "ferplus"
    for sample in train:
        assert sample.dataset == name and sample.split == "train" and "!" in sample.media


@pytest.mark.parametrize("name", PACKS)
def test_a_missing_pack_says_what_to_do(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="MIEN_DATA"):
        _read(name, "train", tmp_path)


def test_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "genki4k" / "genki4k.zip"
    path.parent.mkdir()
    path.write_bytes(b"PK not an archive")
    with pytest.raises(BadData, match=r"genki4k\.zip"):
        list(genki4k.read("train", tmp_path))


def test_ferplus_drops_single_votes_and_unusable_faces(tiny_data: Path) -> None:
    samples = list(ferplus.read("train", tiny_data))
    first, last = samples[0].labels, samples[-1].labels
    assert first.emotion == "neutral" and first.votes is not None
    assert first.votes["neutral"] == 7.0 and "unknown" not in first.votes
    assert last.emotion is None and last.votes is None


def test_london_leaves_unsure_marks_out(tiny_data: Path) -> None:
    marks = [sample.labels.au_presence for sample in london.read("train", tiny_data)]
    assert marks[0] is not None and set(marks[0]) == {"AU25"}
    assert marks[1] is not None and marks[1]["AU12"] is True


def test_real_packs_hold_what_their_page_says(data_root: Path) -> None:
    for (name, split), expected in COUNTS.items():
        counted = Counter(s.labels.emotion for s in _read(name, split, data_root) if s.labels.emotion)
        assert dict(counted) == expected, (name, split)


def test_real_packs_are_sound(data_root: Path) -> None:
    for name in PACKS:
        dataset = open_dataset(name)
        assert dataset.check(data_root) == [], name
        if name != "ferplus":
            counts = {split: len(_read(name, split, data_root)) for split in dataset.splits(data_root)}
            assert counts == dict(dataset.published), name


def test_no_person_of_lfw_and_london_is_in_both_parts(data_root: Path) -> None:
    for reader in (lfw_emotion, london):
        people = [{s.subject for s in reader.read(split, data_root)} for split in ("train", "val")]
        assert not people[0] & people[1]
