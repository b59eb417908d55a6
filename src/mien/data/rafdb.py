"""RAF-DB (Li et al. 2017), basic emotions: web faces labelled by about 40 raters each.

On disk: ``basic/EmoLabel/list_patition_label.txt`` (the release's own spelling), a line per picture:
``train_00001.jpg 5``; ``basic/Image/aligned/train_00001_aligned.jpg`` (100 x 100), ``basic/Image/original/
train_00001.jpg``; ``basic/Annotation/manual/train_00001_manu_attri.txt``, whose last three lines are gender (0 male,
1 female, 2 unsure), race (0 Caucasian, 1 African-American, 2 Asian) and age (0: 0-3, 1: 4-19, 2: 20-39, 3: 40-69,
4: 70+). The folder ``basic`` may be the root itself. Or re-packed, as eight public loaders have it:
``DATASET/train/1/train_00001_aligned.jpg`` (also ``train/1/…``), number folders or words, with ``train_labels.csv``
(``image,label``) beside ``DATASET``, which must then agree with the folders.

Labels: 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral.
Options: ``pictures="aligned"`` or ``"original"``; ``attributes=True`` also reads gender, race and age for audits.
Splits (official): ``train`` 12,271, ``test`` 3,068. Leakage: no person key.
Licence: for non-commercial research, on request from BUPT; not redistributable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mien.core.emotions import canonical, order
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Sample
from mien.core.suffixes import PICTURE_SUFFIXES
from mien.data.dataset import Dataset, fixed
from mien.data.frames import first_folder
from mien.data.label_words import by_code, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import csv_rows, text_rows

__all__ = ["DATASET", "check", "read", "scan"]

_LIST = "EmoLabel/list_patition_label.txt"
_LABELS = by_code(order("rafdb"), first=1)
_GROUPS = (
    ("gender", ("male", "female", "unsure")),
    ("ethnicity", ("Caucasian", "African-American", "Asian")),
    ("age", ("0-3", "4-19", "20-39", "40-69", "70+")),
)


def scan(split: str, root: Path, pictures: str = "aligned", attributes: bool = False) -> Iterator[Found]:
    """Samples and problems of one split; the module's text explains the options."""
    require_known(pictures, ("aligned", "original"), "pictures")
    base = "basic/" if (root / "basic").is_dir() else ""
    name = base + _LIST
    folder = first_folder(root, *(f"{one}{split}" for one in ("DATASET/", "dataset/", "")))
    if not (root / name).exists() and folder.is_dir():
        if pictures != "aligned" or attributes:
            raise BadConfig(
                got=f"pictures={pictures!r}, attributes={attributes!r} of a re-packed copy",
                expected="pictures=aligned and no attributes: it holds nothing else",
                fix="Leave them out, or use the original release",
            )
        yield from _repacked(split, root, folder)
        return
    ending = "_aligned" if pictures == "aligned" else ""
    for row in text_rows(root, name, ("file", "label")):
        if isinstance(row, Problem):
            yield row
            continue
        file, code = row.cells["file"], row.cells["label"]
        stem = file.removesuffix(".jpg")
        part = stem.split("_")[0]
        if part not in ("train", "test"):
            if split == "train":
                yield Problem(name, row.line, f"{file} is in neither part: expected train_ or test_")
            continue
        if part != split:
            continue
        if code not in _LABELS:
            yield Problem(name, row.line, expected(code, list(_LABELS)))
            continue
        media = str(root / f"{base}Image/{pictures}/{stem}{ending}.jpg")
        sample = Sample(stem, "rafdb", split, media, _LABELS[code], cropped=pictures == "aligned")
        if attributes:
            group = _attributes(root, f"{base}Annotation/manual/{stem}_manu_attri.txt")
            if isinstance(group, Problem):
                yield group
                continue
            sample = replace(sample, labels=replace(sample.labels, group=group))
        yield Entry(sample, name, row.line)


def _repacked(split: str, root: Path, folder: Path) -> Iterator[Found]:
    """Samples of a folder per class, held against the list beside it."""
    listed: dict[str, str] = {}
    name = f"{split}_labels.csv"
    for row in csv_rows(root, name, ("image", "label")) if (root / name).exists() else ():
        if isinstance(row, Problem):
            yield row
        else:
            listed[row.cells["image"].strip()] = row.cells["label"].strip()
    codes = {labels.emotion: code for code, labels in _LABELS.items()}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        code = codes.get(canonical(place.name), place.name)
        shown = str(place.relative_to(root))
        if code not in _LABELS:
            yield Problem(shown, 0, expected(place.name, list(_LABELS)))
            continue
        for image in sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES):
            told = listed.pop(image.name, code)
            if told != code:
                yield Problem(
                    f"{shown}/{image.name}", 0, f"label {told!r} in {name}, but it lies in {place.name}"
                )
                continue
            key = image.stem.removesuffix("_aligned")
            yield Entry(
                Sample(key, "rafdb", split, str(image), _LABELS[code], cropped=True),
                f"{shown}/{image.name}",
                0,
            )
    for image_name in listed:
        yield Problem(name, 0, f"no file {image_name} below {folder.relative_to(root)}")


def _attributes(root: Path, name: str) -> dict[str, str] | Problem:
    try:
        codes = (root / name).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        return Problem(name, 0, f"cannot be read: {error}")
    codes = [line.strip() for line in codes if line.strip()][-len(_GROUPS) :]
    try:
        return {key: words[int(code)] for (key, words), code in zip(_GROUPS, codes, strict=True)}
    except (ValueError, IndexError):
        return Problem(name, 0, f"last lines {' '.join(codes)!r}, expected codes of gender, race and age")


DATASET = Dataset(
    "rafdb", "web faces, 7 basic expressions", scan, fixed(("train", "test")),
    published={"train": 12_271, "test": 3_068},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
