"""FEAFA and FEAFA+ (Yan et al. 2019, Gan et al. 2021): 24 action values 0-1 per frame, coded by hand.

On disk: one text file of 24 numbers beside each picture, ``<person>/<clip>/0001.auw`` and ``0001.jpg`` (one level
of folders is enough): ``0.00 0.00 0.00 0.00 0.31 0.28 0.00 …``. FEAFA+ adds 27 DISFA clips (sub-set B).
The layout follows descriptions of the release; it was never run on a copy, so check first.

Labels: ``au_intensity`` by FEAFA's own names (`mien.core.aus.FEAFA_24`, ``left eye close`` first). FEAFA's AU1 is
**not** FACS AU1.
Splits: ``train`` and ``test``, 4:1 at random, as the baseline and AU-LLaVA say. Nobody says whether by frame or by
person: ``by="frame"`` (default, as is customary; both sides then share people and near-equal frames, so state it
beside any error) or ``by="person"``. Drawn by a seeded hash, the same on every machine (``seed=0``).
Licence: research agreement with the University of Chinese Academy of Sciences.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.aus import FEAFA_24
from mien.core.errors import require_known
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import number
from mien.data.problems import Entry, Found, Problem
from mien.data.splits import chosen

__all__ = ["DATASET", "check", "read", "scan"]

NAMES = tuple(value.name for value in FEAFA_24)
_SHARE = 5
_PICTURES = (".jpg", ".png", ".jpeg", ".bmp")


def scan(split: str, root: Path, by: str = "frame", seed: int = 0) -> Iterator[Found]:
    """Samples and problems of one part; the module's text explains the options."""
    require_known(by, ("frame", "person"), "by")
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.auw"))
    if not names:
        yield Problem("", 0, "no .auw file anywhere")
    units = names if by == "frame" else sorted({_person(name) for name in names})
    held_out = chosen(units, len(units) // _SHARE, seed)
    for name in names:
        unit = name if by == "frame" else _person(name)
        if (unit in held_out) == (split == "test"):
            yield _frame(split, root, name)


def _person(name: str) -> str:
    return name.partition("/")[0]


def _frame(split: str, root: Path, name: str) -> Found:
    try:
        texts = (root / name).read_text(encoding="utf-8").replace(",", " ").split()
    except (OSError, UnicodeDecodeError) as error:
        return Problem(name, 0, f"cannot be read: {error}")
    values = [value for value in (number(text, 0, 1) for text in texts) if value is not None]
    if len(texts) != len(NAMES) or len(values) != len(texts):
        return Problem(
            name, 1, f"{len(values)} numbers in 0..1 among {len(texts)} words, expected {len(NAMES)}"
        )
    path = (root / name).with_suffix("")
    picture = next(
        (path.with_suffix(s) for s in _PICTURES if path.with_suffix(s).exists()), path.with_suffix(".jpg")
    )
    labels = Labels(au_intensity=dict(zip(NAMES, values, strict=True)))
    return Entry(
        Sample(name.removesuffix(".auw"), "feafa", split, str(picture), labels, _person(name)), name, 1
    )


DATASET = Dataset(
    "feafa", "frames of posed clips, 24 action values 0-1", scan, fixed(("train", "test"))
)  # fmt: skip
read, check = DATASET.read, DATASET.check
