"""Rows of the faba engine as FABA-Instruct's published files, and the split into train and test.

A row is a published training item (``source``, ``image``, ``id``, ``conversations``, ``landmark``) with ``task``,
``split``, ``subject``, ``box`` (the face in px where the picture shows more), ``label``, ``label_source`` beside it.
The test files are flat: ``image``, ``label``, ``gpt4``, ``landmark``. Formats: facts on papers, 5.4; the reader is
`mien.data.faba_instruct`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mien.annotate.faba.filters import affirmed_units
from mien.annotate.faba.statistics import described_emotion
from mien.core.aus import AU_SETS, AUS, level_edge
from mien.core.emotions import canonical, order
from mien.core.errors import BadConfig, BadData, OutputFailed
from mien.core.nouns import Sample
from mien.core.paths import write_whole

__all__ = [
    "EMOTION_LABELS",
    "TREE",
    "UNITS",
    "Rows",
    "eval_items",
    "prior_name",
    "relative_name",
    "row_label",
    "row_text",
    "say_units",
    "split_rows",
    "train_items",
    "tree_name",
    "write_faba",
]  # fmt: skip

Rows = Sequence[Mapping[str, Any]]
EMOTION_LABELS: tuple[str, ...] = order("faba")
"""FABA's seven emotions, capitalised, in index order."""
TREE = "FABAInstruct"
"""The released tree's folder."""
_PLAIN = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
UNITS: tuple[str, ...] = AU_SETS["faba20"]
"""Keys of FABA's AUs in index order."""
_TRAIN_KEYS = ("source", "image", "id", "conversations", "landmark")
_WORD = {canonical(word): word for word in EMOTION_LABELS}


def row_text(row: Mapping[str, Any]) -> str:
    """The description of a row."""
    return str(row["conversations"][-1]["value"])


def row_label(sample: Sample, task: str, text: str) -> tuple[str, str]:
    """A test item's label, and whether it comes from the ``dataset`` or was read in the ``text``.

    Returns:
        An emotion of `EMOTION_LABELS` (empty when neither tells one of the seven), or AU numbers as ``"1, 4, 7"``.
    """
    labels = sample.labels
    if task == "emotion":
        if labels.emotion in _WORD:
            return _WORD[labels.emotion], "dataset"
        return _WORD.get(described_emotion(text), ""), "text"
    known: Mapping[str, float] = labels.au_intensity or labels.au_level or labels.au_presence or {}
    # FABA counts every visible AU.
    floor = level_edge(1) if labels.au_intensity else 0.5
    present = [key for key in UNITS if known.get(key, 0) >= floor]
    return (say_units(present), "dataset") if present else (say_units(affirmed_units(text, UNITS)), "text")


def say_units(keys: Iterable[str]) -> str:
    """AU keys as FABA writes them: ``"1, 4, 7"``."""
    return ", ".join(str(AUS[key].number) for key in keys)


def relative_name(media: str, root: str | None) -> str:
    """``media`` with forward slashes, relative to ``root`` when it lies below it."""
    path = media if root is None else os.path.relpath(media, root)
    return (media if path.startswith("..") else path).replace(os.sep, "/")


def prior_name(image: str) -> str:
    """Where the released layout keeps a picture's (212,) landmark prior: ``images/`` -> ``landmarks/``, ``.npy``."""
    path = PurePosixPath(image.replace("!", "/")).with_suffix(".npy")
    parts = list(path.parts)
    if "images" in parts:
        parts[parts.index("images")] = "landmarks"
        return "/".join(parts)
    return "/".join(["landmarks", *(part for part in parts if part != "/")])


def tree_name(row: Mapping[str, Any], part: str) -> str:
    """Where a row's picture lies in the released tree: ``FABAInstruct/train/images/…``; unlike pictures never share it.

    Args:
        row: of the engine; a face that is cut out of its picture, or a member of an archive, becomes a ``.jpg``.
        part: ``train`` or ``eval``.
    """
    image, folder = str(row["image"]), f"{TREE}/{part}/images"
    path = PurePosixPath(image.replace("!", "/").removeprefix(f"{folder}/"))
    parts = [one.replace(":", "_") for one in path.parts if one not in ("/", "..", "images")]
    parts, apart = (parts[-2:], image) if path.is_absolute() else (parts, "")
    if row.get("box") is not None:
        apart += repr(row["box"])
    suffix = path.suffix.lower()
    whole = suffix in _PLAIN and row.get("box") is None and "!" not in image
    end = f"-{hashlib.sha256(apart.encode()).hexdigest()[:10]}" if apart else ""
    stem = parts[-1].removesuffix(path.suffix) if whole or suffix in _PLAIN else parts[-1].replace(".", "_")
    return "/".join([folder, *parts[:-1], f"{stem}{end}{path.suffix if whole else '.jpg'}"])


def train_items(rows: Rows) -> list[dict[str, Any]]:
    """Rows as published training items, nothing beside the five keys."""
    return [{key: row[key] for key in _TRAIN_KEYS} | _placed(row, "train") for row in rows]


def _placed(row: Mapping[str, Any], part: str) -> dict[str, str]:
    image = tree_name(row, part)
    return {"image": image, "landmark": prior_name(image)}


def eval_items(rows: Rows) -> list[dict[str, Any]]:
    """Rows as published flat test items.

    Raises:
        BadData: a row without a label.
    """
    items = []
    for row in rows:
        if not row["label"]:
            raise BadData(
                got=f"row {row['id']} without a label",
                expected=f"one of {', '.join(EMOTION_LABELS)}, or AU numbers",
                fix="Give it one in the review sheet, or drop the row there",
            )
        placed = _placed(row, "eval")
        items.append({"image": placed["image"], "label": row["label"], "gpt4": row_text(row)} | placed)
    return items


def split_rows(
    rows: Rows, test_pictures: int | None = None, seed: int = 0
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Train and test rows; no picture and no known subject is in both, for both tasks together.

    Args:
        rows: rows of the engine.
        test_pictures: pictures of the test part, drawn by a seeded hash of the subject (of the picture where none
            is known); whole subjects go over, so that the number is reached or just passed. None keeps the data
            set's own split as the paper does: every row whose split is not ``train`` is a test row.
        seed: of the draw.

    Raises:
        BadConfig: more test pictures than there are pictures.
    """
    if test_pictures is None:
        return [row for row in rows if row["split"] == "train"], [
            row for row in rows if row["split"] != "train"
        ]
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(_group(row), set()).add(row["image"])
    if not 0 <= test_pictures <= sum(map(len, groups.values())):
        raise BadConfig(
            got=f"{test_pictures} test pictures",
            expected=f"0 to {sum(map(len, groups.values()))}, the pictures there are",
            fix="Lower the number",
        )
    drawn: set[str] = set()
    pictures = 0
    for group in sorted(groups, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest()):
        if pictures >= test_pictures:
            break
        drawn.add(group)
        pictures += len(groups[group])
    test = [row for row in rows if _group(row) in drawn]
    return [row for row in rows if _group(row) not in drawn], test


def _group(row: Mapping[str, Any]) -> str:
    return f"subject {row['subject']}" if row.get("subject") else f"picture {row['image']}"


def write_faba(folder: Path, train: Rows, test: Rows) -> dict[str, int]:
    """Write FABA-Instruct's four files in their tree; a file without rows is not written.

    The rows name pictures and landmark files of the tree, which the caller brings there: see `tree_name`.

    Args:
        folder: what holds the tree, ``data/`` of the released scripts.
        train: rows of the training part.
        test: rows of the test part, best after review (`mien.annotate.faba.review`).

    Returns:
        Rows by file name.

    Raises:
        BadData: a test row without a label.
        OutputFailed: the folder cannot be written.
    """
    counts: dict[str, int] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part, rows in (("train", train), ("eval", test)):
            for task in ("emotion", "au"):
                own = [row for row in rows if row["task"] == task]
                if own:
                    (folder / TREE / part).mkdir(parents=True, exist_ok=True)
                    name = f"{TREE}/{part}/{part}_{task}_anno.json"
                    items = train_items(own) if part == "train" else eval_items(own)
                    text = json.dumps(items, ensure_ascii=False, indent=1)
                    write_whole(folder / name, text + "\n")
                    counts[name] = len(own)
    except OSError as error:
        raise OutputFailed(
            got=f"{folder}, which cannot be written ({error.strerror})",
            expected="a folder for the annotation files",
            fix="Choose another folder or free some space",
        ) from error
    return counts
