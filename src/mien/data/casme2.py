"""CASME II (Yan et al. 2014): micro-expressions of 26 people at 200 frames per second.

On disk: ``CASME2-coding-20190701.xlsx``, ``-2019217.xlsx`` or ``-20140508.xlsx`` (or a ``.csv`` of one; the first that
is there) with the columns Subject, Filename, OnsetFrame, ApexFrame, OffsetFrame, Action Units, Estimated Emotion, among
them two without a name: ``1 | EP02_01f | | 46 | 59 | 86 | | 12 | happiness``; the frames are
``CASME2_RAW_selected/sub01/EP02_01f/img46.jpg`` (also ``CASME2-RAW``, ``CASME2_RAW``; or ``Cropped/…/reg_img46.jpg``),
perhaps one folder of that name deeper. Held against six public loaders of the three codings.

Labels: ``emotion`` happiness, disgust, surprise, sadness, fear, and the set's own repression and others;
``au_presence`` from codes such as ``4+L10`` or ``R14+ 17?`` (a side letter, an intensity letter and a question mark are
dropped; only coded AUs are listed, all as present; ``/`` and an empty cell are no coding).
Media: the folder of the clip, or with ``media="apex"`` the picture of the apex (``/`` in the table
means that there is none; such clips are then left out).
Splits: ``all``; papers leave one subject out in turn.
Licence: research agreement with the Chinese Academy of Sciences; only some subjects may be printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mien.core.aus import au_key
from mien.core.emotions import canonical
from mien.core.errors import require_known
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.frames import Frames, first_folder
from mien.data.label_words import expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import Row, csv_rows, xlsx_rows

__all__ = ["DATASET", "check", "read", "scan"]

_LISTS = tuple(
    f"CASME2-coding-{date}{suffix}"
    for date in ("20190701", "2019217", "20140508")
    for suffix in (".csv", ".xlsx")
)
_FRAMES = ("CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW", "Cropped", "cropped")
_COLUMNS = (
    "Subject",
    "Filename",
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    "Action Units",
    "Estimated Emotion",
)
_WORDS = ("happiness", "disgust", "repression", "surprise", "sadness", "fear", "others")
_UNIT = re.compile(r"(?:AU)?[LR]?(\d+)(?:\.0)?[A-E]?\??", re.IGNORECASE)
_NO_CODE = ("", "/", "?")


def scan(split: str, root: Path, media: str = "clip") -> Iterator[Found]:
    """Samples and problems of ``all``; the module's text explains the option."""
    require_known(media, ("clip", "apex"), "media")
    name = next((name for name in _LISTS if (root / name).exists()), _LISTS[-1])
    folder = first_folder(root, *(place for one in _FRAMES for place in (f"{one}/{one}", one)))
    folder = folder if folder.is_dir() else root / _FRAMES[0]
    for row in (csv_rows if name.endswith(".csv") else xlsx_rows)(root, name):
        if isinstance(row, Problem):
            yield row
            continue
        missing = [column for column in _COLUMNS if column not in row.cells]
        if missing:
            yield Problem(name, 1, f"no column {', '.join(missing)} in the header")
            return
        fault = _fault(row)
        if fault:
            yield Problem(name, row.line, fault)
            continue
        subject = f"sub{int(row.cells['Subject']):02d}"
        clip = folder / subject / row.cells["Filename"].strip()
        apex = row.cells["ApexFrame"]
        if media == "apex" and not apex.isdecimal():
            continue
        path = Frames(clip).path(int(apex)) if media == "apex" else str(clip)
        sample = Sample(f"{subject}/{clip.name}", "casme2", split, path, _labels(row), subject,
                        cropped=folder.name.lower() == "cropped")  # fmt: skip
        yield Entry(sample, name, row.line)


def _fault(row: Row) -> str | None:
    word = row.cells["Estimated Emotion"].strip().lower()
    if not row.cells["Subject"].isdecimal():
        return f"subject {row.cells['Subject']!r} is no number"
    if word not in _WORDS:
        return expected(word, _WORDS)
    if any(_UNIT.fullmatch(unit) is None for unit in _units(row)):
        return f"Action Units {row.cells['Action Units']!r}, expected numbers joined by +"
    onset, offset = row.cells["OnsetFrame"], row.cells["OffsetFrame"]
    if onset.isdecimal() and offset.isdecimal() and int(onset) > int(offset):
        return f"onset {onset} after offset {offset}"
    return None


def _units(row: Row) -> list[str]:
    """The codes of a row: ``"R14+ 17?"`` -> ``["R14", "17?"]``."""
    text = "".join(row.cells["Action Units"].split())
    return [] if text in _NO_CODE else text.split("+")


def _labels(row: Row) -> Labels:
    word = row.cells["Estimated Emotion"].strip().lower()
    units = (match.group(1) for match in map(_UNIT.fullmatch, _units(row)) if match)
    return Labels(emotion=canonical(word) or word, au_presence={au_key(unit): True for unit in units} or None)


DATASET = Dataset("casme2", "micro-expressions of 26 people, 7 labels, AUs", scan, fixed(("all",)))
read, check = DATASET.read, DATASET.check
