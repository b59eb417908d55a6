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

from mien.core.nouns import Labels
from mien.data.dataset import Dataset, fixed
from mien.data.packs import labelled_crops
from mien.data.problems import Found

__all__ = ["DATASET", "check", "read", "scan"]

_LABELS = {"smile": Labels(smile=True), "non_smile": Labels(smile=False)}


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of ``train`` or ``val``."""
    yield from labelled_crops("genki4k", split, root, _LABELS)


DATASET = Dataset(
    "genki4k", "64x64 web faces, smile or not, head pose", scan, fixed(("train", "val")), packed=True,
    published={"train": 2_668, "val": 620},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
