"""A manifest of your own: one table that names pictures or videos and what is known about them.

On disk: ``manifest.csv``, ``.tsv``, ``.jsonl``, ``.json`` (an array), ``.parquet`` or ``.xlsx`` in the root folder, or
the root is the file itself. A CSV may also be parted by semicolons or tabs.
Sample: ``media,split,subject,emotion,AU06,AU12_level,age`` then ``faces/a.jpg,train,p01,happiness,1,3,34``.

Columns, capital or not: ``media`` (also ``input``, ``image``, ``video``, ``path``, ``file``; relative to the manifest's
folder, else to the working folder, or absolute) is a must; all others may be missing or blank (nothing, ``NaN``,
``NA``, ``None``):
``id`` (default: media), ``split`` (default: ``all``), ``subject``, ``emotion`` (any spelling of the eight, or a word of
your own), ``valence``, ``arousal`` (-1..1), ``description``, ``chain_of_thought``; of Action Units ``AU06``, ``AU6``,
``au06`` or ``AU06_c`` (present: 0 or 1, 1.0, true or false, yes or no), ``AU06_level`` or ``AU06_l`` (0-5 or A-E),
``AU06_intensity`` or ``AU06_i`` (0..1), ``AU06_r`` (OpenFace's 0..5); ``age``, ``gender``, ``ethnicity`` for audits;
``left``, ``top``, ``right``, ``bottom`` (or ``box_left`` …; px) for the face that is meant; ``cropped`` (true, false).
The tables that mien itself writes are manifests: ``frame`` picks the frame of a video (counted from 0, and from 1
beside OpenFace's ``timestamp``), ``face`` or ``face_id`` goes into the id, and rows with ``success`` 0 are left out.
Other columns are not read, and `mien data check` names them, as it names words that are none of the eight emotions and
pictures outside the folder.
Splits: the words of the ``split`` column. A subject in two splits counts as a problem.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.formulas import unguarded
from mien.core.nouns import Sample
from mien.core.suffixes import is_clip
from mien.data.dataset import Dataset, Groups
from mien.data.problems import Entry, Found, Problem
from mien.data.row_labels import RowLabels, as_text, as_truth, known_column
from mien.data.tables import Item, Row, csv_rows, json_items, json_lines, parquet_items, xlsx_rows

__all__ = ["DATASET", "check", "read", "scan"]

_FILES = tuple(f"manifest.{suffix}" for suffix in ("csv", "tsv", "jsonl", "json", "parquet", "xlsx"))
_MEDIA = ("media", "input", "image", "video", "path", "file")
_SIDES = ("left", "top", "right", "bottom")
_OWN = ("id", "split", "subject", "cropped", *_MEDIA, *_SIDES, *(f"box_{side}" for side in _SIDES))
_READ = ("split", "subject", "id", "cropped", "success", "frame", "face")
_SNIFFED, _COLUMNS, _FAR = 1 << 16, 100, 1e9


def _place(root: Path) -> tuple[Path, str]:
    if root.is_file():
        return root.parent, root.name
    return root, next((name for name in _FILES if (root / name).exists()), _FILES[0])


def _records(folder: Path, name: str) -> Iterator[Row | Item | Problem]:
    suffix = os.path.splitext(name)[1].lower()
    kinds: dict[str, Callable[[Path, str], Iterator[Row | Item | Problem]]] = {
        ".jsonl": json_lines,
        ".json": json_items,
        ".parquet": parquet_items,
        ".xlsx": xlsx_rows,
    }
    if suffix in kinds:
        return kinds[suffix](folder, name)
    return csv_rows(folder, name, delimiter="\t" if suffix == ".tsv" else _delimiter(folder / name))


def _delimiter(path: Path) -> str:
    """What parts the cells of the header: Excel writes semicolons where the comma is the decimal sign."""
    try:
        with path.open("rb") as file:
            header = file.readline(_SNIFFED)
    except OSError:
        return ","
    return max((",", ";", "\t"), key=lambda sign: header.count(sign.encode()))


class _Header:
    """Which column holds what, under one set of names."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        low: dict[str, str] = {}
        for column in columns:
            low.setdefault(column.strip().lower(), column)
        self.media = next((low[name] for name in _MEDIA if name in low), None)
        self.unknown = [
            one
            for one in columns
            if one.strip() and one.strip().lower() not in _OWN and not known_column(one)
        ]
        low.setdefault("face", low.get("face_id", ""))
        self._at = {name: low[name] for name in _READ if low.get(name)}
        self.first_frame = int("timestamp" in low and "time" not in low)
        """0, or 1 where OpenFace has counted."""
        sides = [low.get(side, low.get(f"box_{side}")) for side in _SIDES]
        self._sides = [side for side in sides if side is not None]
        self.plain = not self._sides and not any(name in self._at for name in _READ[2:])

    def told(self, name: str, values: Mapping[str, Any]) -> str:
        """The cell of a column as text, ``""`` without the column."""
        column = self._at.get(name)
        if column is None:
            return ""
        value = values[column]
        return as_text(value) if type(value) is str else _text(column, value)

    def split(self, values: Mapping[str, Any]) -> str:
        """The split of a row; one that says nothing readable belongs to ``all``."""
        try:
            return self.told("split", values) or "all"
        except ValueError:
            return "all"

    def box(self, values: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
        """The face's box, if the row has one.

        Raises:
            ValueError: no four finite numbers, or nothing between them.
        """
        told = [_text(side, values[side]) for side in self._sides]
        if not any(told):
            return None
        try:
            left, top, right, bottom = map(float, told)
        except ValueError as error:
            raise ValueError("left, top, right, bottom are not four numbers") from error
        if not (-_FAR < left < right < _FAR and -_FAR < top < bottom < _FAR):
            raise ValueError(f"empty box {left:g} {top:g} {right:g} {bottom:g}")
        return left, top, right, bottom


def _text(column: str, value: object) -> str:
    try:
        return as_text(value)
    except ValueError as error:
        raise ValueError(f"{column} is {error}") from error


def _rows(root: Path) -> Iterator[tuple[_Header, Row | Item] | Problem]:
    header = _Header(())
    for record in _records(*_place(root)):
        if isinstance(record, Problem):
            yield record
            continue
        columns = tuple(record[1])
        if columns != header.columns:
            header = _Header(columns)
        yield header, record


def _groups(root: Path) -> Groups:
    splits = dict.fromkeys(row[0].split(row[1][1]) for row in _rows(root) if not isinstance(row, Problem))
    return (tuple(splits) or ("all",),)


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one split; problems of unreadable rows come with every split."""
    folder, name = _place(root)
    files, known = _Files(f"{folder}/"), RowLabels()
    faceless = 0
    told: set[str] = set()
    reported: _Header | None = None
    for row in _rows(root):
        if isinstance(row, Problem):
            yield row
            continue
        header, (line, values) = row
        for column in header.unknown:
            if column not in told and len(told) < _COLUMNS:
                told.add(column)
                yield Problem(name, 0, f"column {column!r} is not read", note=True)
        if header.media is None:
            if header is not reported:
                reported = header
                place = 1 if isinstance(row[1], Row) else line
                yield Problem(name, place, f"no column media, nor any of {', '.join(_MEDIA[1:])}")
            continue
        if header.split(values) != split:
            continue
        try:
            if not header.plain and as_truth(header.told("success", values)) is False:
                faceless += 1
                continue
            sample = _sample(split, files, header, values, known)
        except ValueError as error:
            yield Problem(name, line, str(error))
            continue
        yield Entry(sample, name, line)
    if faceless:
        yield Problem(name, 0, f"{faceless} rows without a face (success 0) are left out", note=True)
    for word in known.own_words:
        yield Problem(
            name, 0, f"emotion {word!r} is none of the eight and stays a word of your own", note=True
        )


class _Files:
    """Where the files of a table lie: beside it, or where the user stands.

    Folders are asked for once; in one that is not there no file is looked for.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._there: dict[str, bool] = {}

    def path(self, media: str) -> str:
        """The path of a file that a table names; beside the table where there is none."""
        if media[:1] == "/" or (media[1:2] == ":" and os.path.isabs(media)):
            return media
        beside = self._base + media
        if self._has(beside):
            return beside
        if self._has(media):
            return media
        return self.path(media.replace("\\", "/")) if "\\" in media else beside

    def has(self, media: str) -> bool:
        """Whether a file lies beside the table."""
        return self._has(self._base + media)

    def _has(self, path: str) -> bool:
        folder = path[: path.rfind("/") + 1] or "."
        there = self._there.get(folder)
        if there is None:
            there = self._there[folder] = os.path.isdir(folder)
        return there and os.path.lexists(path)


def _sample(
    split: str, files: _Files, header: _Header, values: Mapping[str, Any], known: RowLabels
) -> Sample:
    media = values[str(header.media)]
    if media is None or media == "":
        raise ValueError("no media")
    if not isinstance(media, str) or "\0" in media:
        raise ValueError(f"media is {media!r:.60}, expected the name of a file")
    if media[0] == "'" and not files.has(media):
        media = unguarded(media)  # as mien writes a name that a spreadsheet would run
    path = files.path(media)
    subject, labels = header.told("subject", values) or None, known.of(values)
    if header.plain:
        return Sample(media, "manifest", split, path, labels, subject)
    shown = _frame(header.told("frame", values), media, header.first_frame)
    face = header.told("face", values).removesuffix(".0")
    cropped = header.told("cropped", values)
    truth = as_truth(cropped)
    if cropped and truth is None:
        raise ValueError(f"cropped is {cropped!r}, expected true or false")
    key = header.told("id", values) or media + shown + (f"#{face}" if face not in ("", "0") else "")
    return Sample(key, "manifest", split, path + shown, labels, subject,
                  cropped=truth is True, box=header.box(values))  # fmt: skip


def _frame(frame: str, media: str, first: int) -> str:
    """``!12`` for frame 12 of a video, counted from 0 whatever the table counts from; pictures have none."""
    if not frame or not is_clip(media):
        return ""
    number = frame.removesuffix(".0")
    if not number.isdecimal() or int(number) < first:
        raise ValueError(f"frame is {frame!r}, expected a whole number from {first}")
    return f"!{int(number) - first}"


DATASET = Dataset(
    "manifest", "your own table of pictures or videos", scan, _groups, subjects_apart=True, free_splits=True,
    file_root=True,
)  # fmt: skip
read, check = DATASET.read, DATASET.check
