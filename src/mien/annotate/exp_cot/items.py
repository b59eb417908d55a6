"""Img2AU: items of the Exp-CoT engine, and the sources of FEAFA's 24 values for a face.

The paper's AU model is not public. Sources here: mien's own readers through the face front-end (`ReaderAus`), values
that a dataset brings as labels (`LabelAus`), and tables or ``.auw`` files made by other tools (`TableAus`).

FACS units -> FEAFA's values (`from_facs`): each value takes the nearest unit of `mien.core.aus.FEAFA_24`, both sides
the same one since FACS readings of mien have no sides; *brow raise* takes the stronger of AU1 and AU2, and *jaw drop*
the stronger of AU26 and AU27. Jaw slides, jaw thrust and cheek puff have no unit: they are 0 and listed as unmeasured.
AU6, 7, 14, 15, 22 to 25 have no value in FEAFA and are lost. An AU that its reading calls absent gives 0.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mien.annotate.engine import Item
from mien.backends.base import Reader
from mien.core.aus import FEAFA_24, level_intensity
from mien.core.errors import BadConfig, BadData, BadInput
from mien.core.nouns import AuReading, Evidence, Sample
from mien.data.label_words import number
from mien.data.problems import Problem
from mien.data.tables import csv_rows, json_lines
from mien.face.crop import canonical_crop
from mien.face.decode.media import MediaReader
from mien.face.finder import FaceFinder
from mien.work.faces import face_of

__all__ = [
    "AuSource",
    "FeafaReading",
    "LabelAus",
    "ReaderAus",
    "TableAus",
    "file_name",
    "from_dataset",
    "from_facs",
    "open_aus",
]  # fmt: skip

NAMES = tuple(value.name for value in FEAFA_24)
_STRONGER = {"AU02": ("AU01", "AU02"), "AU26": ("AU26", "AU27")}
_ID_COLUMNS = ("id", "file_name", "file", "image", "name", "path", "input", "source")


@dataclass(frozen=True, slots=True)
class FeafaReading:
    """The 24 values of one face."""

    values: Mapping[str, float]
    """All of FEAFA's names -> 0..1."""
    unmeasured: tuple[str, ...] = ()
    """Names that the source does not measure; their value is 0."""

    @classmethod
    def of(cls, known: Mapping[str, float]) -> FeafaReading:
        """Known values, clipped to 0..1; names left out or NaN are unmeasured."""
        given = {name: value for name, value in known.items() if not math.isnan(value)}
        values = {name: min(max(float(given.get(name, 0.0)), 0.0), 1.0) for name in NAMES}
        return cls(values, tuple(name for name in NAMES if name not in given))


class AuSource(Protocol):
    """Where the values come from. Called from many threads at once, and always the same for one sample."""

    @property
    def name(self) -> str:
        """Goes into settings and provenance; names the reader or the content of the file."""

    def read(self, sample: Sample) -> FeafaReading:
        """The values of the face that ``sample`` means.

        Raises:
            BadInput: nothing is known of this face.
        """


def from_dataset(samples: Iterable[Sample]) -> Iterator[Item]:
    """One item per sample, by the sample's id; nothing is read from the pictures."""
    for sample in samples:
        yield Item(sample.id, sample)


def file_name(sample: Sample, root: str | None = None) -> str:
    """The sample's media relative to ``root`` with forward slashes; its last part without or outside of it."""
    path, mark, member = sample.media.partition("!")
    inside = root is not None and Path(path).is_relative_to(root)
    name = Path(path).relative_to(str(root)).as_posix() if inside else Path(path).name
    return f"{name}{mark}{member}"


def from_facs(aus: Mapping[str, AuReading]) -> FeafaReading:
    """Readings by AU key -> FEAFA's values; the module's text gives the rules."""
    known: dict[str, float] = {}
    for value in FEAFA_24:
        nearest = value.facs or ""
        readings = [aus[key] for key in _STRONGER.get(nearest, (nearest,)) if key in aus]
        measured = [reading for reading in readings if reading.measured]
        if measured:
            known[value.name] = max(reading.intensity if reading.presence else 0.0 for reading in measured)
    return FeafaReading.of(known)


class ReaderAus:
    """mien's own reader, one face at a time.

    Args:
        reader: from `mien.backends.base.open_reader`.
        threads: threads of the face front-end.
    """

    def __init__(self, reader: Reader, threads: int | None = None) -> None:
        self._reader, self._finder = reader, FaceFinder(threads=threads)
        self._media = MediaReader()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The reader's name."""
        return self._reader.name

    def read(self, sample: Sample) -> FeafaReading:
        """Values of the sample's face.

        Raises:
            BadInput: the picture cannot be opened, shows no face, or no AU of it could be measured.
        """
        with self._lock:
            image = self._media.open(sample.media)
            face = face_of(sample, image, self._finder)
            if face.landmarks is None and not sample.cropped:
                raise BadInput(
                    got=f"{sample.id}, in whose box no face was found",
                    expected="the face of the sample",
                    fix="Leave it out, or bring its values in a table",
                )
            crop, _ = canonical_crop(image, face, self._reader.crop_size)
            result = self._reader.measure([Evidence(face, crop)])[0]
        if not any(reading.measured for reading in result.aus.values()):
            raise BadInput(
                got=f"{sample.id}, a face none of whose AUs could be measured",
                expected="a face with landmarks or a readable crop",
                fix="Leave it out, or bring its values in a table",
            )
        return from_facs(result.aus)


class LabelAus:
    """Values that came with the dataset: ``au_intensity`` by FEAFA's names or AU keys, or ``au_level``."""

    name = "labels"

    def read(self, sample: Sample) -> FeafaReading:
        """Values of the sample's labels.

        Raises:
            BadInput: it has neither.
        """
        labels = sample.labels
        if labels.au_intensity and set(labels.au_intensity) & set(NAMES):
            return FeafaReading.of(labels.au_intensity)
        facs = {key: AuReading.of(value) for key, value in (labels.au_intensity or {}).items()}
        facs |= {
            key: AuReading.of(level_intensity(level))
            for key, level in (labels.au_level or {}).items()
            if key not in facs
        }
        if not facs:
            raise BadInput(
                got=f"{sample.id} without AU intensities or levels in its labels",
                expected="FEAFA's values, intensities by AU key, or FACS levels",
                fix="Use a reader or a table as the source of AUs",
            )
        return from_facs(facs)


class TableAus:
    """Values from a file or a folder.

    Args:
        path: a CSV or JSON lines file with a row per face: one of the columns ``id``, ``file_name``, ``file``,
            ``image``, ``name``, ``path``, ``input``, ``source``, and FEAFA's 24 names, or ``au`` (a list of 24, JSON
            only), or ``AU12_i`` (mien's tables, 0..1), ``AU12_r`` (OpenFace, 0..5) or ``AU12`` (0..1);
            or a folder of ``.auw`` files (FEAFA: 24 numbers) or of such CSV files of one row each.

    Raises:
        BadData: no such file, or a row that cannot be read; names file and line.
    """

    def __init__(self, path: Path) -> None:
        self._rows = dict(_folder_rows(path) if path.is_dir() else _file_rows(path))
        if not self._rows:
            raise _bad(f"{path} without a single face", "rows with AU values")
        content = repr([(key, sorted(reading.values.items())) for key, reading in self._rows.items()])
        self.name = f"table {hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def read(self, sample: Sample) -> FeafaReading:
        """The row of the sample: by its id, else by the name of its file, with or without ending.

        Raises:
            BadInput: no such row.
        """
        file = file_name(sample)
        for key in (sample.id, sample.media, file, Path(file).stem):
            if key in self._rows:
                return self._rows[key]
        raise BadInput(
            got=f"{sample.id}, which has no row in the table of AUs",
            expected=f"a row with its id or its file's name {file}",
            fix="Add the row or leave the face out",
        )


def _file_rows(path: Path) -> Iterator[tuple[str, FeafaReading]]:
    rows = json_lines if path.suffix in {".jsonl", ".ndjson"} else csv_rows
    for row in rows(path.parent, path.name):
        if isinstance(row, Problem):
            raise _bad(f"{row} (in {path.parent})", "a table of AU values")
        cells: Mapping[str, Any] = row[1]
        key = next((str(cells[column]) for column in _ID_COLUMNS if cells.get(column)), None)
        reading = _reading(cells)
        if reading is None:
            raise _bad(f"{path}:{row.line} without AU columns", "FEAFA's names, AU12_i, AU12_r or AU12")
        yield key or path.stem, reading


def _folder_rows(folder: Path) -> Iterator[tuple[str, FeafaReading]]:
    for path in sorted(folder.rglob("*.auw")):
        values = [number(text, 0, 1) for text in path.read_text(encoding="utf-8").replace(",", " ").split()]
        if len(values) != len(NAMES) or None in values:
            raise _bad(f"{path} with {len(values)} values", "24 numbers in 0..1")
        known = {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}
        name = path.relative_to(folder).with_suffix("")
        yield name.as_posix(), FeafaReading.of(known)
    for path in sorted(folder.rglob("*.csv")):
        rows = list(_file_rows(path))
        if len(rows) != 1:
            raise _bad(f"{path} with {len(rows)} faces", "one face per file in a folder of tables")
        yield path.stem, rows[0][1]


def _reading(cells: Mapping[str, Any]) -> FeafaReading | None:
    """Values of one row, by the first layout that fits."""
    listed = cells.get("au")
    if isinstance(listed, list) and len(listed) == len(NAMES):
        return FeafaReading.of(dict(zip(NAMES, map(_float, listed), strict=True)))
    named = {name: _float(cells[name]) for name in NAMES if name in cells}
    if named:
        return FeafaReading.of(named)
    keys = {value.facs for value in FEAFA_24 if value.facs} | {"AU01", "AU27"}
    for ending, scale in (("_i", 1.0), ("_r", 5.0), ("", 1.0)):
        columns = {key: f"{key}{ending}" for key in sorted(keys) if f"{key}{ending}" in cells}
        if columns:
            return from_facs(
                {key: AuReading.of(_float(cells[column]) / scale) for key, column in columns.items()}
            )
    return None


def _float(cell: object) -> float:
    """A number, NaN for an empty cell."""
    if isinstance(cell, int | float):
        return float(cell)
    found = number(str(cell), 0, 5)
    return math.nan if found is None else found


def _bad(got: str, expected: str) -> BadData:
    return BadData(got=got, expected=expected, fix="Correct the file, or choose another source of AUs")


def open_aus(source: str, threads: int | None = None) -> AuSource:
    """A source by name: ``labels``, a reader's name or model folder (``pocket``), or the path of a table or folder.

    Raises:
        BadConfig: no such source.
        BadData: the table cannot be read.
        MissingWeights: the reader's weights are absent or damaged.
    """
    from mien.backends.base import FOLDER_FILES, READERS, open_reader

    if source == "labels":
        return LabelAus()
    path = Path(source)
    model = any((path / file).is_file() for file in FOLDER_FILES)
    if source in READERS or model:
        return ReaderAus(open_reader(source, threads), threads=threads)
    if path.exists():
        return TableAus(path)
    raise BadConfig(
        got=f"AU source {source!r}",
        expected=f"labels, one of {', '.join(READERS)}, a model folder, or a file or folder of AU values",
        fix="Correct the name or path",
    )
