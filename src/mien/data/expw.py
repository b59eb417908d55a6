"""ExpW, Expression in-the-Wild (Zhang et al. 2016): 91,793 faces in web pictures, 7 expressions.

On disk: ``label/label.lst`` (or ``label.lst``) and ``image/origin/<name>`` (or ``origin/``). A line per face:
image name, face id in the image, box top, left, right, bottom, box confidence, label:
``amused_american_305.jpg 0 68 150 268 186 53.2 3``. One picture may hold several faces, so samples carry a ``box``.

Labels: 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral.
Splits: there is no official one. ``all``; ``test`` is ExpLLM's cross test, 3,000 random faces with confidence > 60.
ExpLLM does not say which: here they are drawn by a seeded hash of the ids, the same on every machine
(``count=3000``, ``seed=0``). Faces at 60 or below stay in ``all``.
Leakage: no person key. Licence: for research; pictures from a web search, rights with their owners.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.emotions import order
from mien.core.nouns import Sample
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import by_code, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.splits import chosen
from mien.data.tables import text_rows

__all__ = ["DATASET", "check", "read", "scan"]

COLUMNS = ("name", "face", "top", "left", "right", "bottom", "confidence", "label")
MIN_CONFIDENCE = 60.0
_LABELS = by_code(order("expw"))


def scan(split: str, root: Path, count: int = 3000, seed: int = 0) -> Iterator[Found]:
    """Samples and problems of one split; the module's text explains the options."""
    if split == "all":
        yield from (found for found, _ in _faces(split, root))
        return
    faces = list(_faces(split, root))
    sure = [found.sample.id for found, confidence in faces
            if isinstance(found, Entry) and confidence > MIN_CONFIDENCE]  # fmt: skip
    drawn = chosen(sure, count, seed)
    yield from (found for found, _ in faces if isinstance(found, Problem) or found.sample.id in drawn)


def _faces(split: str, root: Path) -> Iterator[tuple[Found, float]]:
    name = "label.lst" if (root / "label.lst").exists() else "label/label.lst"
    folder = root / "origin" if (root / "origin").is_dir() else root / "image" / "origin"
    for row in text_rows(root, name, COLUMNS):
        if isinstance(row, Problem):
            yield row, 0.0
            continue
        file, face, *values, code = row.cells.values()
        if code not in _LABELS:
            yield Problem(name, row.line, expected(code, list(_LABELS))), 0.0
            continue
        try:
            top, left, right, bottom, confidence = map(float, values)
        except ValueError:
            yield (
                Problem(name, row.line, f"box and confidence {' '.join(values)!r} are not five numbers"),
                0.0,
            )
            continue
        if right <= left or bottom <= top:
            yield Problem(name, row.line, f"empty box {left:g} {top:g} {right:g} {bottom:g}"), 0.0
            continue
        box = (left, top, right, bottom)
        sample = Sample(f"{file}#{face}", "expw", split, str(folder / file), _LABELS[code], box=box)
        yield Entry(sample, name, row.line), confidence


DATASET = Dataset(
    "expw", "faces in web pictures, 7 expressions", scan, fixed(("all",), ("test",)),
    published={"all": 91_793, "test": 3_000},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
