"""GENKI-4K (MPLab, UC San Diego): colour 64x64 web faces with smile labels and head pose.

On disk: ``genki4k/genki4k.zip`` with ``manifest.csv`` and ``img/file0001.jpg``. Sample line
(file, label smile|non_smile, split, source, yaw, pitch, roll in radians):
``img/file0001.jpg,smile,train,genki4k,0.03,-0.05,0.01``

Splits: ``train`` 2,668, ``val`` 620. ``labels.smile`` is close to AU12 at any level.
Leakage: no person key; near-duplicates do not cross the parts.
Terms: "The images are available for public use." Cite "http://mplab.ucsd.edu, The MPLab GENKI-4K Dataset."
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import expected
from mien.data.packs import pack_member, pack_name, pack_rows
from mien.data.problems import Entry, Found, Problem

__all__ = ["DATASET", "check", "read", "scan"]

_LABELS = {"smile": Labels(smile=True), "non_smile": Labels(smile=False)}


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of ``train`` or ``val``."""
    pack = pack_name(root, "genki4k")
    for row in pack_rows(root, "genki4k", ("file", "label", "split")):
        if isinstance(row, Problem):
            yield row
        elif row.cells["split"] != split:
            continue
        elif row.cells["label"] not in _LABELS:
            yield Problem(pack, row.line, expected(row.cells["label"], list(_LABELS)))
        else:
            file, labels = row.cells["file"], _LABELS[row.cells["label"]]
            media = f"{root / pack}!{pack_member(file)}"
            yield Entry(Sample(file, "genki4k", split, media, labels, cropped=True), pack, row.line)


DATASET = Dataset(
    "genki4k", "64x64 web faces, smile or not, head pose", scan, fixed(("train", "val")), packed=True,
    published={"train": 2_668, "val": 620},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
