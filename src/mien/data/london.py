"""Face Research Lab London Set (DeBruine & Jones 2017): neutral and smiling portraits of 79 adults.

On disk: ``london/london.zip`` with ``manifest.csv``, ``face336/`` and ``face112/``. Sample line (file, label, split,
source, subject, age, gender, ethnicity, crop_x, crop_y, crop_size, orig_w, orig_h, au25, au12):
``face336/001_happiness.jpg,happiness,train,london,001,24,female,white,310,280,690,1350,1350,1,1``

AU12 and AU25 are one visual annotator's marks, not a certified FACS coder's; blank means unsure.
Splits: ``train`` 120 pictures of 60 adults, ``val`` 38 of 19, no subject in both.
Licence: CC BY 4.0, doi 10.6084/m9.figshare.5047666.v5; square face crops were made from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import expected
from mien.data.packs import pack_name, pack_rows
from mien.data.problems import Entry, Found, Problem

__all__ = ["DATASET", "check", "read", "scan"]

_GROUP = ("age", "gender", "ethnicity")
_UNITS = {"AU12": "au12", "AU25": "au25"}
_WORDS = ("neutral", "happiness")


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of ``train`` or ``val``, the 336-px files."""
    pack = pack_name(root, "london")
    for row in pack_rows(root, "london", ("file", "label", "split", "subject", *_GROUP, *_UNITS.values())):
        if isinstance(row, Problem):
            yield row
        elif row.cells["split"] != split:
            continue
        elif row.cells["label"] not in _WORDS:
            yield Problem(pack, row.line, expected(row.cells["label"], _WORDS))
        elif any(row.cells[column] not in ("", "0", "1") for column in _UNITS.values()):
            yield Problem(pack, row.line, "AU marks other than 1, 0 or blank")
        else:
            yield Entry(_sample(row.cells, split, f"{root / pack}"), pack, row.line)


def _sample(cells: Mapping[str, str], split: str, pack: str) -> Sample:
    labels = Labels(
        emotion=cells["label"],
        au_presence={key: cells[column] == "1" for key, column in _UNITS.items() if cells[column]},
        group={key: cells[key] for key in _GROUP},
    )
    return Sample(cells["file"], "london", split, f"{pack}!{cells['file']}", labels, cells["subject"])


DATASET = Dataset(
    "london", "neutral and smiling portraits, AU12 and AU25 marks", scan, fixed(("train", "val")),
    subjects_apart=True, packed=True, published={"train": 120, "val": 38},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
