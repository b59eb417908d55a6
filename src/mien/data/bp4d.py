"""BP4D-Spontaneous (Zhang et al. 2014): 41 young adults, 8 tasks each, AU occurrence per frame.

On disk: ``AUCoding/AU_OCC/F001_T1.csv``, a header of AU numbers and a line per coded frame (frame number, then 0
absent, 1 present, 9 not coded): ``0,1,2,4,5,6,7,…`` then ``2440,0,0,1,0,1,1,…``; the pictures are
``Sequences(2D+3D)/F001/T1/2440.jpg`` (or ``2D+3D/``, ``Sequences/``, ``images/``), numbers with any zero padding.
The folder's name is the release's, as three public scripts for BP4D have it.

Labels: ``au_presence`` of the 12 AUs of the literature (1 2 4 6 7 10 12 14 15 17 23 24), or of any that are coded with
``units="1 2 4"``; AUs coded 9 are left out of a sample. Frames that are not coded have no line.
Splits: ``fold1``, ``fold2``, ``fold3``, the subject-exclusive parts that the literature shares
(`mien.data.splits.protocol("bp4d-3fold")`); train on two, test on the third.
Leakage: neighbouring frames are nearly equal; never split by frame.
Licence: research agreement with Binghamton University; not redistributable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.core.aus import AU_SETS, au_key
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.frames import Frames, first_folder
from mien.data.problems import Entry, Found, Problem
from mien.data.splits import protocol
from mien.data.tables import csv_rows

__all__ = ["DATASET", "check", "read", "scan"]

_FOLDER = "AUCoding/AU_OCC"
_PICTURES = ("Sequences(2D+3D)", "2D+3D", "Sequences", "images")
_NOT_CODED = "9"


def scan(split: str, root: Path, units: str = "") -> Iterator[Found]:
    """Samples and problems of one fold; the module's text explains the option."""
    keys = tuple(map(au_key, units.split())) if units else AU_SETS["bp4d12"]
    folds = protocol("bp4d-3fold")
    known = {subject for members in folds.parts.values() for subject in members}
    files = sorted((root / _FOLDER).glob("*.csv"))
    if not files:
        yield Problem(_FOLDER, 0, "no F001_T1.csv and so on")
    for file in files:
        subject, _, task = file.stem.partition("_")
        if subject in folds.parts[split]:
            yield from _sequence(split, root, subject, task, keys)
        elif subject not in known and split == "fold1":
            yield Problem(f"{_FOLDER}/{file.name}", 0, f"subject {subject} is in no fold")


def _sequence(split: str, root: Path, subject: str, task: str, keys: Sequence[str]) -> Iterator[Found]:
    name = f"{_FOLDER}/{subject}_{task}.csv"
    frames = Frames(first_folder(root, *_PICTURES) / subject / task)
    columns = {key: str(int(key[2:])) for key in keys}
    for row in csv_rows(root, name, list(columns.values())):
        if isinstance(row, Problem):
            yield row
            continue
        frame = next(iter(row.cells.values()))
        codes = {key: row.cells[column].strip() for key, column in columns.items()}
        wrong = [
            f"AU{columns[key]}={code}" for key, code in codes.items() if code not in ("0", "1", _NOT_CODED)
        ]
        if wrong or not frame.strip().isdecimal():
            yield Problem(
                name, row.line, f"frame {frame}: {' '.join(wrong) or 'no number'}, expected codes 0, 1 or 9"
            )
            continue
        present = {key: code == "1" for key, code in codes.items() if code != _NOT_CODED}
        sample = Sample(f"{subject}/{task}/{int(frame)}", "bp4d", split, frames.path(int(frame)),
                        Labels(au_presence=present), subject)  # fmt: skip
        yield Entry(sample, name, row.line)


DATASET = Dataset(
    "bp4d", "spontaneous expressions of 41 adults, 12 AUs present or not", scan,
    fixed(("fold1", "fold2", "fold3")), subjects_apart=True,
)  # fmt: skip
read, check = DATASET.read, DATASET.check
