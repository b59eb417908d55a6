"""CASME II (Yan et al. 2014): micro-expressions of 26 people at 200 frames per second.

On disk: ``CASME2-coding-20140508.xlsx`` (or a ``.csv`` of it) with the columns Subject, Filename, OnsetFrame,
ApexFrame, OffsetFrame, Action Units, Estimated Emotion: ``1 | EP02_01f | 46 | 59 | 86 | 12 | happiness``; the frames
are ``CASME2_RAW_selected/sub01/EP02_01f/img46.jpg`` (or ``Cropped/…/reg_img46.jpg``).

Labels: ``emotion`` happiness, disgust, surprise, sadness, fear, and the set's own repression and others;
``au_presence`` from codes such as ``4+L10`` (a side letter and a question mark are dropped; only coded AUs are listed,
all as present). Media: the folder of the clip, or with ``media="apex"`` the picture of the apex (``/`` in the table
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
from mien.core.errors import BadConfig
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.frames import Frames
from mien.data.label_words import expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import Row, csv_rows, xlsx_rows

__all__ = ["DATASET", "check", "read", "scan"]

_LIST = "CASME2-coding-20140508"
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
_UNIT = re.compile(r"(?:AU)?[LR]?(\d+)\??", re.IGNORECASE)


def scan(split: str, root: Path, media: str = "clip") -> Iterator[Found]:
    """Samples and problems of ``all``; the module's text explains the option."""
    if media not in ("clip", "apex"):
        raise BadConfig(got=f"media={media!r}", expected="clip or apex", fix="Correct the option")
    name = f"{_LIST}.csv" if (root / f"{_LIST}.csv").exists() else f"{_LIST}.xlsx"
    folder = "CASME2_RAW_selected" if (root / "CASME2_RAW_selected").is_dir() else "Cropped"
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
        clip = root / folder / subject / row.cells["Filename"]
        apex = row.cells["ApexFrame"]
        if media == "apex" and not apex.isdecimal():
            continue
        path = Frames(clip).path(int(apex)) if media == "apex" else str(clip)
        sample = Sample(f"{subject}/{clip.name}", "casme2", split, path, _labels(row), subject,
                        cropped=folder == "Cropped")  # fmt: skip
        yield Entry(sample, name, row.line)


def _fault(row: Row) -> str | None:
    word, units = row.cells["Estimated Emotion"], row.cells["Action Units"]
    if not row.cells["Subject"].isdecimal():
        return f"subject {row.cells['Subject']!r} is no number"
    if word not in _WORDS:
        return expected(word, _WORDS)
    if any(_UNIT.fullmatch(unit.strip()) is None for unit in units.split("+")):
        return f"Action Units {units!r}, expected numbers joined by +"
    onset, offset = row.cells["OnsetFrame"], row.cells["OffsetFrame"]
    if onset.isdecimal() and offset.isdecimal() and int(onset) > int(offset):
        return f"onset {onset} after offset {offset}"
    return None


def _labels(row: Row) -> Labels:
    word = row.cells["Estimated Emotion"]
    units = (match.group(1) for match in map(_UNIT.fullmatch, row.cells["Action Units"].replace(" ", "").split("+"))
             if match)  # fmt: skip
    return Labels(emotion=canonical(word) or word, au_presence={au_key(unit): True for unit in units})


DATASET = Dataset("casme2", "micro-expressions of 26 people, 7 labels, AUs", scan, fixed(("all",)))
read, check = DATASET.read, DATASET.check
