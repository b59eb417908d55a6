"""FER+ (Barsoum et al. 2016): grey 48x48 web faces with ten raters' votes.

On disk, one of three layouts, found by itself:

* pack: ``ferplus/train.npz`` and ``val.npz`` with ``images`` uint8 (N, 48, 48), ``votes`` uint8 (N, 10) and ``names``.
  Sample: ``fer0000000.png``, votes neutral 6, sadness 4. Media: ``train.npz!index``.
* ``fer2013new.csv``: ``Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0`` (usage, name, ten votes) beside the pictures
  written by the authors' script: ``FER2013Train/fer0000000.png``, ``FER2013Valid/``, ``FER2013Test/``.
* the same file beside ``fer2013.csv``: ``0,70 80 82 72 …,Training`` (label, 2,304 grey values, usage), row by row.
  Media: ``fer2013.csv!row``, 0-based, without the header.

Votes are counted by the rules of `mien.data.fer_votes`, option ``votes`` (``clean``, ``majority``, ``probability``,
``crossentropy``, and FERBench's ``emotions``). Rows of NF only have no picture and are left out.
Splits: ``train`` 28,709 rows, ``val`` (PublicTest) 3,589, ``test`` (PrivateTest) 3,589; the packs hold ``train``
and ``val`` without near-duplicates.
Leakage: FER2013 has no person key, so one person may occur in several parts; it holds many near-duplicates.
Licence: votes MIT; no licence of the pictures' makers was found. Research and training only.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from mien.core.errors import require_known
from mien.core.nouns import Sample
from mien.data.dataset import Dataset, Groups
from mien.data.fer_votes import MODES, VOTE_NAMES, vote_labels
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import Row, csv_rows

__all__ = ["DATASET", "VOTE_NAMES", "check", "read", "scan"]

_LIST, _PIXELS = "fer2013new.csv", "fer2013.csv"
_PARTS = {"train": ("Training", "FER2013Train"), "val": ("PublicTest", "FER2013Valid"),
          "test": ("PrivateTest", "FER2013Test")}  # fmt: skip
_RATERS = 10


def _groups(root: Path) -> Groups:
    return (("train", "val", "test") if (root / _LIST).exists() else ("train", "val"),)


def scan(split: str, root: Path, votes: str = "clean") -> Iterator[Found]:
    """Samples and problems of one split; the module's text explains the option."""
    require_known(votes, MODES, "votes")
    return (_scan_csv if (root / _LIST).exists() else _scan_pack)(split, root, votes)


def _scan_pack(split: str, root: Path, mode: str) -> Iterator[Found]:
    name = f"ferplus/{split}.npz" if (root / "ferplus").is_dir() else f"{split}.npz"
    path = root / name
    try:
        pictures = _picture_count(path)
        with np.load(path, allow_pickle=False) as pack:
            table, names = pack["votes"], pack["names"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        yield Problem(
            name, 0, f"no pack with votes and names ({error}); set MIEN_DATA to the folder of the packs"
        )
        return
    if table.ndim != 2 or table.shape[1] != len(VOTE_NAMES) or not len(table) == len(names) == pictures:
        shapes = f"votes of shape {table.shape} for {len(names)} names and {pictures} images"
        yield Problem(name, 0, f"{shapes}, expected (N, 10), N and N")
        return
    for index, (file, counts) in enumerate(zip(names.tolist(), table.tolist(), strict=True)):
        if sum(counts) > _RATERS:
            yield Problem(name, index + 1, f"{sum(counts)} votes, expected at most {_RATERS}")
            continue
        labels = vote_labels(counts, mode)
        yield Entry(Sample(file, "ferplus", split, f"{path}!{index}", labels, cropped=True), name, index + 1)


def _picture_count(path: Path) -> int:
    """Rows of the array ``images``, from its header: the pixels stay packed."""
    with zipfile.ZipFile(path) as archive, archive.open("images.npy") as member:
        if np.lib.format.read_magic(member)[0] == 1:
            return int(np.lib.format.read_array_header_1_0(member)[0][0])
        return int(np.lib.format.read_array_header_2_0(member)[0][0])


def _scan_csv(split: str, root: Path, mode: str) -> Iterator[Found]:
    usage, folder = _PARTS[split]
    written = (root / folder).is_dir()
    columns = ("Usage", "Image name", *VOTE_NAMES)
    pixels: Iterator[Row | Problem] = iter(())
    if not written:
        pixels = csv_rows(root, _PIXELS, ("emotion", "pixels", "Usage"))
    for index, (row, picture) in enumerate(zip_longest(csv_rows(root, _LIST, columns), pixels)):
        faults = [one for one in (row, picture) if isinstance(one, Problem)]
        if faults or not isinstance(row, Row):
            yield from faults or [Problem(_PIXELS, index + 2, f"more rows than {_LIST}")]
            continue
        if row.cells["Usage"] != usage:
            if split == "train" and row.cells["Usage"] not in {known for known, _ in _PARTS.values()}:
                yield Problem(
                    _LIST, row.line, f"usage {row.cells['Usage']!r}, expected Training or a test part"
                )
            continue
        fault = None if written else _pixel_fault(row, picture)
        counts = [int(text) if text.isdecimal() else -1 for text in list(row.cells.values())[2:]]
        if fault is None and (min(counts) < 0 or sum(counts) > _RATERS):
            fault = Problem(_LIST, row.line, f"votes {counts}, expected ten counts that sum up to {_RATERS}")
        name = row.cells["Image name"]
        if fault is not None:
            yield fault
        elif name:
            media = str(root / folder / name) if written else f"{root / _PIXELS}!{index}"
            yield Entry(
                Sample(name, "ferplus", split, media, vote_labels(counts, mode), cropped=True),
                _LIST,
                row.line,
            )


def _pixel_fault(row: Row, picture: Row | Problem | None) -> Problem | None:
    if not isinstance(picture, Row):
        return Problem(_PIXELS, 0, f"fewer rows than {_LIST}")
    if picture.cells["Usage"] != row.cells["Usage"]:
        return Problem(_PIXELS, picture.line, f"usage differs from {_LIST}:{row.line}; the rows do not match")
    count = picture.cells["pixels"].count(" ") + 1
    return None if count == 48 * 48 else Problem(_PIXELS, picture.line, f"{count} grey values, expected 2304")


DATASET = Dataset(
    "ferplus", "grey 48x48 web faces, ten votes over 8 expressions", scan, _groups, packed=True,
    published={"train": 28_709, "val": 3_589, "test": 3_589},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
