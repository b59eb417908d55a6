"""AffectNet (Mollahosseini et al. 2017): web faces with one of 8 expressions, valence and arousal.

On disk, one of three layouts, found by itself or named by ``layout``:

* ``csv``: the original release. ``training.csv`` and ``validation.csv`` (at the root or in
  ``Manually_Annotated_file_lists/``; the header line may be absent) and ``Manually_Annotated_Images/``:
  ``689/737db2483489148d783ef278f43f486c0a97e140fc4b6b61b84363ca.jpg,134,134,899,899,181.64;530.91;…,1,0.785714,-0.055556``
* ``npy``: the 8-class release. ``train_set/images/0.jpg``, ``train_set/annotations/0_exp.npy``, ``0_val.npy``,
  ``0_aro.npy``, ``0_lnd.npy`` (numbers, often stored as text); ``val_set/`` likewise.
* ``folder``: re-packs. ``train/3/image0001.jpg`` or ``train/surprise/…``; ``val``, ``valid`` or ``test`` for ``val``,
  capital or not.

Labels: 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt; 8 none, 9 uncertain
and 10 no face are left out. ``classes=7`` leaves contempt out too. Valence and arousal -1..1; -2 means not given.
Splits: ``train`` 287,651 (7 classes: 283,901), ``val`` 4,000 (3,500); the test set was never released, papers report
``val``. FacePhi's AffectLandmarkNet is this set with landmarks of our front-end: see `mien.data.landmark_files`.
Leakage: no person key. Licence: research agreement with the University of Denver; not redistributable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.core.emotions import canonical, order
from mien.core.errors import BadConfig, reason_of
from mien.core.nouns import Labels, Sample
from mien.core.suffixes import PICTURE_SUFFIXES
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import by_code, expected, number
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import csv_rows

__all__ = ["DATASET", "check", "read", "scan"]

COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
_LABELS = by_code(order("affectnet"))
_NO_EMOTION = ("8", "9", "10")
_LISTS = {"train": "training.csv", "val": "validation.csv"}
_FOLDERS = {"train": ("train", "train_class"), "val": ("val", "valid", "val_class", "test")}
_IMAGES = ("Manually_Annotated_Images", "Manually_Annotated_compressed", "images")
_NOT_GIVEN = -2.0


def scan(split: str, root: Path, layout: str | None = None, classes: int = 8) -> Iterator[Found]:
    """Samples and problems of one split; the module's text explains the options."""
    layouts = {"csv": _scan_csv, "npy": _scan_npy, "folder": _scan_folder}
    found = layout or _layout(root)
    if found not in layouts or classes not in (7, 8):
        raise BadConfig(
            got=f"layout {layout!r}, classes {classes!r}",
            expected="layout csv, npy or folder, and 7 or 8 classes",
        )
    for one in layouts[found](split, root):
        if classes == 8 or isinstance(one, Problem) or one.sample.labels.emotion != "contempt":
            yield one


def _layout(root: Path) -> str:
    if (root / "train_set").is_dir() or (root / "val_set").is_dir():
        return "npy"
    listed = any((root / folder / name).exists() for name in _LISTS.values() for folder in _list_folders())
    return "csv" if listed else "folder"


def _list_folders() -> tuple[str, ...]:
    return ("", "Manually_Annotated_file_lists")


def _scan_csv(split: str, root: Path) -> Iterator[Found]:
    name = next(
        (f"{folder}/{_LISTS[split]}".lstrip("/") for folder in _list_folders()
         if (root / folder / _LISTS[split]).exists()),
        _LISTS[split],
    )  # fmt: skip
    images = next((root / folder for folder in _IMAGES if (root / folder).is_dir()), root / _IMAGES[0])
    prefix = f"{images}/"
    for row in csv_rows(root, name, header=COLUMNS):
        if isinstance(row, Problem):
            yield row
            continue
        file, x, y, width, height, _, code, valence, arousal = row.cells.values()
        if code in _NO_EMOTION:
            continue
        labels, fault = _labels(code, valence, arousal)
        try:
            left, top, w, h = float(x), float(y), float(width), float(height)
        except ValueError:
            labels, fault = None, f"face box {x},{y},{width},{height} is not four numbers"
        if labels is None:
            yield Problem(name, row.line, fault)
            continue
        box = (left, top, left + w, top + h)
        yield Entry(Sample(file, "affectnet", split, prefix + file, labels, box=box), name, row.line)


def _labels(code: str, valence: str, arousal: str) -> tuple[Labels | None, str]:
    known = _LABELS.get(code)
    if known is None:
        return None, expected(code, [*_LABELS, *_NO_EMOTION])
    v, a = number(valence, _NOT_GIVEN, 1), number(arousal, _NOT_GIVEN, 1)
    if v is None or a is None or _NOT_GIVEN < v < -1 or _NOT_GIVEN < a < -1:
        return None, f"valence {valence}, arousal {arousal}, expected -1..1 or -2"
    labels = Labels(known.emotion, valence=v if v >= -1 else None, arousal=a if a >= -1 else None)
    return labels, ""


def _scan_npy(split: str, root: Path) -> Iterator[Found]:
    folder = f"{split}_set"
    images = sorted((root / folder / "images").glob("*.jpg"), key=lambda path: (len(path.stem), path.stem))
    if not images:
        yield Problem(folder, 0, "no images/*.jpg")
    stems = {image.stem for image in images}
    for labelled in sorted((root / folder / "annotations").glob("*_exp.npy")):
        stem = labelled.name.removesuffix("_exp.npy")
        if stem not in stems:
            yield Problem(f"{folder}/annotations/{labelled.name}", 0, f"no file {folder}/images/{stem}.jpg")
    for image in images:
        values = []
        for suffix in ("exp", "val", "aro"):
            name = f"{folder}/annotations/{image.stem}_{suffix}.npy"
            try:
                values.append(str(np.load(root / name, allow_pickle=False)))
            except (OSError, ValueError) as error:
                yield Problem(name, 0, f"cannot be read: {reason_of(error)}")
        if len(values) < 3 or values[0] in _NO_EMOTION:
            continue
        labels, fault = _labels(*values)
        if labels is None:
            yield Problem(f"{folder}/annotations/{image.stem}_exp.npy", 0, fault)
            continue
        sample = Sample(f"{folder}/{image.name}", "affectnet", split, str(image), labels, cropped=True)
        yield Entry(sample, f"{folder}/images/{image.name}", 0)


def _scan_folder(split: str, root: Path) -> Iterator[Found]:
    there = {path.name.lower(): path.name for path in root.iterdir() if path.is_dir()}
    folder = next((there[name] for name in _FOLDERS[split] if name in there), None)
    if folder is None:
        yield Problem(_FOLDERS[split][0], 0, f"no folder, nor any of {', '.join(_FOLDERS[split][1:])}")
        return
    for place in sorted(path for path in (root / folder).iterdir() if path.is_dir()):
        # The Kaggle re-pack numbers its folders class001 … class008.
        code = str(int(place.name[5:]) - 1) if place.name.startswith("class0") else place.name
        emotion = canonical(code)
        labels = Labels(emotion=emotion) if emotion else _LABELS.get(code)
        if labels is None:
            if code not in _NO_EMOTION:
                yield Problem(f"{folder}/{place.name}", 0, expected(place.name, list(_LABELS)) + " or a word")
            continue
        for image in sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES):
            name = f"{folder}/{place.name}/{image.name}"
            base = Sample(name, "affectnet", split, str(image), labels)
            yield Entry(replace(base, cropped=True), name, 0)


DATASET = Dataset(
    "affectnet", "web faces, 8 expressions, valence and arousal", scan, fixed(("train", "val")),
    published={"train": 287_651, "val": 4_000},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
