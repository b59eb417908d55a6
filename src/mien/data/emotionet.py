"""EmotioNet (Fabian Benitez-Quiroz et al. 2016): web faces, the 24,600 whose AUs were coded by hand.

On disk: ``EmotioNet_FACS_aws_2020_24600.csv`` (or ``.xlsx``, as released; or ``EmotioNet_FACS.csv``) with the columns
``URL, URL orig, 'AU 1', … 'AU 60'`` (quotes and blanks are part of the names in some copies); 1 present, 0 absent, 999
not coded: ``'https://…/N_0000000001_00001/N_0000000001_00018.jpg',http://…,0,0,999,0,1,…``. Pictures are fetched by
the user and lie in ``images/<last folder of the URL>/<name>`` or ``images/<name>`` (also ``imgs/``).

Labels: ``au_presence`` of 12 AUs (1 2 4 5 6 9 12 17 20 25 26 43) or any with ``units="1 2 4"``.
Splits: ``all``; the challenge's test set was not released. Many URLs are dead by now: `check` counts what is missing.
Leakage: no person key. Licence: research agreement with Ohio State University; rights with the owners of the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mien.core.aus import AU_SETS, au_key
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import csv_rows, xlsx_rows

__all__ = ["DATASET", "check", "read", "scan"]

_LISTS = ("EmotioNet_FACS_aws_2020_24600.csv", "EmotioNet_FACS_aws_2020_24600.xlsx", "EmotioNet_FACS.csv")
_NOT_CODED = "999"


def scan(split: str, root: Path, units: str = "") -> Iterator[Found]:
    """Samples and problems of ``all``; the module's text explains the option."""
    keys = tuple(map(au_key, units.split())) if units else AU_SETS["emotionet12"]
    name = next((name for name in _LISTS if (root / name).exists()), _LISTS[0])
    folder = root / "imgs" if (root / "imgs").is_dir() else root / "images"
    columns: Mapping[str, str] | None = None
    for row in (xlsx_rows if name.endswith(".xlsx") else csv_rows)(root, name):
        if isinstance(row, Problem):
            yield row
            continue
        if columns is None:
            columns = {_plain(title): title for title in row.cells}
            missing = [
                wanted for wanted in ("URL", *(f"AU{int(key[2:])}" for key in keys)) if wanted not in columns
            ]
            if missing:
                yield Problem(name, 1, f"no column {', '.join(missing)} in the header")
                return
        codes = {key: _plain(row.cells[columns[f"AU{int(key[2:])}"]]).removesuffix(".0") for key in keys}
        wrong = [f"{key}={code}" for key, code in codes.items() if code not in ("0", "1", _NOT_CODED)]
        if wrong:
            yield Problem(name, row.line, f"{' '.join(wrong)}, expected 0, 1 or 999")
            continue
        *_, parent, file = ("", *row.cells[columns["URL"]].strip(" '\"").split("/"))
        media = folder / parent / file if (folder / parent / file).exists() else folder / file
        present = {key: code == "1" for key, code in codes.items() if code != _NOT_CODED}
        sample = Sample(f"{parent}/{file}", "emotionet", split, str(media), Labels(au_presence=present))
        yield Entry(sample, name, row.line)


def _plain(text: str) -> str:
    return text.translate(str.maketrans("", "", " '\""))


DATASET = Dataset(
    "emotionet", "web faces, 12 AUs present or not", scan, fixed(("all",)), published={"all": 24_600}
)
read, check = DATASET.read, DATASET.check
