"""GFT, Sayette Group Formation Task (Girard et al. 2017): 96 people in groups of three, AU occurrence per frame.

On disk: one CSV per person, ``AU_OCC/001A.csv`` (folder: ``labels="…"``), whose header is a frame column and AU
columns: ``frame,AU1,AU2,AU4,…`` then ``1,0,0,1,…``; 1 present, 0 absent; -1, 9, 999, -999 and blank: not coded.
Pictures ``images/001A/1.jpg``, or ``videos/001A.mp4``, whose frame 1 is the media ``001A.mp4!0``.
The layout follows the description of the release (osf.io/7wcyz); it was never run on a copy, so check first.

Labels: ``au_presence`` of the 10 AUs that are evaluated (1 2 4 6 10 12 14 15 23 24), or with ``units="gft19"`` of the
19 that EmoLA indexes.
Splits: ``train`` (78 people) and ``test`` (18), the standard partition. Its list of people comes with the release: put
it into ``partition.json`` as a split file (`mien.data.splits.Split`, key ``subject``, parts ``train`` and ``test``).
Leakage: neighbouring frames are nearly equal; the three people of a group sit in one room.
Licence: annotations CC BY 4.0; videos under an agreement with the University of Pittsburgh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mien.core.aus import au_set
from mien.core.errors import BadData
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.frames import Frames
from mien.data.problems import Entry, Found, Problem
from mien.data.splits import Split
from mien.data.tables import csv_rows

__all__ = ["DATASET", "check", "read", "scan"]

_PARTITION = "partition.json"
_NOT_CODED = frozenset(("", "-1", "9", "999", "-999", "NaN", "nan"))


def scan(split: str, root: Path, units: str = "gft10", labels: str = "AU_OCC") -> Iterator[Found]:
    """Samples and problems of one part; the module's text explains the options."""
    try:
        partition = Split.read(root / _PARTITION)
        people = partition.parts[split]
    except (BadData, KeyError) as error:
        yield Problem(_PARTITION, 0, f"no split file with train and test: {error}")
        return
    files = {path.stem for path in (root / labels).glob("*.csv")}
    for person in people:
        yield from _person(split, root, person, f"{labels}/{person}.csv", au_set(units))
    if split == "train":
        listed = {member for members in partition.parts.values() for member in members}
        for person in sorted(files - listed):
            yield Problem(f"{labels}/{person}.csv", 0, f"person {person} is in no part of {_PARTITION}")


def _person(split: str, root: Path, person: str, name: str, keys: Sequence[str]) -> Iterator[Found]:
    frames = Frames(root / "images" / person)
    video = root / "videos" / f"{person}.mp4"
    columns: Mapping[str, str] | None = None
    for row in csv_rows(root, name):
        if isinstance(row, Problem):
            yield row
            continue
        titles = list(row.cells)
        if columns is None:
            columns = {key: title for key in keys for title in titles[1:]
                       if title.upper().removeprefix("AU").lstrip("0") == str(int(key[2:]))}  # fmt: skip
            if len(columns) < len(keys):
                yield Problem(
                    name, 1, f"no column for {', '.join(key for key in keys if key not in columns)}"
                )
                return
        number = row.cells[titles[0]].strip()
        if not number.isdecimal():
            yield Problem(name, row.line, f"frame {number!r} is no number")
            continue
        codes = {key: row.cells[title].strip() for key, title in columns.items()}
        wrong = [
            f"{k}={code}" for k, code in codes.items() if code not in ("0", "1") and code not in _NOT_CODED
        ]
        if wrong:
            yield Problem(
                name, row.line, f"frame {number}: {' '.join(wrong)}, expected codes 0, 1 or -1, 9, -999"
            )
            continue
        present = {key: code == "1" for key, code in codes.items() if code in ("0", "1")}
        media = frames.path(int(number)) if len(frames) else f"{video}!{int(number) - 1}"
        sample = Sample(f"{person}/{number}", "gft", split, media, Labels(au_presence=present), person)
        yield Entry(sample, name, row.line)


DATASET = Dataset(
    "gft", "groups of three in conversation, AUs present or not", scan, fixed(("train", "test")),
    subjects_apart=True,
)  # fmt: skip
read, check = DATASET.read, DATASET.check
