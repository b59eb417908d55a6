"""A newcomer's five changes: each is made in a copy of the house, in at most three files, and works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MOST_FILES = 3


@dataclass(frozen=True)
class Change:
    """What is written, by file of `src/mien`, and what then holds."""

    room: str
    probe: str
    edits: Mapping[str, tuple[tuple[str, str], ...]]
    """File -> (what stands there, what stands there then), each found once."""
    files: Mapping[str, str] = field(default_factory=dict)
    """New file -> the example whose text it gets."""


DATASET = Change(
    "data",
    "from mien.data import open_dataset; print(open_dataset('portraits').name)",
    {"data/__init__.py": (('    "rafdb",\n', '    "portraits",\n    "rafdb",\n'),)},
    {"data/portraits.py": "new_dataset.py"},
)
ENCODER = Change(
    "layers",
    "from mien.models.composite.encoders import encoder_class; print(encoder_class('colour-grid').__name__)",
    {
        "models/composite/encoders.py": (
            (
                '    "cached": ',
                '    "colour-grid": "mien.layers.colour_grid:ColourGrid",\n    "cached": ',
            ),
        )
    },
    {"layers/colour_grid.py": "new_encoder.py"},
)
COLUMN = Change(
    "analyze",
    """
import numpy as np
from mien.analyze.tables.columns import Contents, mien_layout
from mien.core.emotions import EMOTIONS
from mien.core.nouns import AuReading, Face, FaceResult, FrameResult
emotions, aus = dict.fromkeys(EMOTIONS, 0.125), {"AU12": AuReading.of(0.5)}
face = FaceResult(Face(np.array([5.0, 5.0, 35.0, 40.0]), 1.0), emotions, aus)
layout = mien_layout(Contents(("AU12",), "pocket"))
(row,) = layout.rows(FrameResult("a.jpg", 0, 0.0, (face,), 64, 48))
named = {column.name: (column, cell) for column, cell in zip(layout.columns, row, strict=True)}
print(named["box_width"][1], named["box_width"][0].unit)
""",
    {
        "analyze/tables/columns.py": (
            (
                '        Column("score", "number", "the detector',
                '        Column("box_width", "number", "width of the face box", "px", _PX, "detector", 2),\n'
                '        Column("score", "number", "the detector',
            ),
            (
                "return [*(float(edge) for edge in face.box), face.score",
                "return [*(float(edge) for edge in face.box), float(face.box[2] - face.box[0]), face.score",
            ),
        )
    },
)
# Level E from .8 on, and everything that follows from levels with it.
THRESHOLD = Change(
    "core",
    """
from mien.core.aus import level_edge
from mien.core.nouns import AuReading
weak, strong = AuReading.of(.79, cut_off=5), AuReading.of(.81, cut_off=5)
sure = weak.probability < .5 < strong.probability
print(weak.letter, weak.presence, strong.letter, strong.presence, sure, level_edge(5))
""",
    {
        "core/aus.py": (
            (
                "    return 5.0 * intensity + 0.5\n",
                "    return 5.0 * intensity + 0.5 + 0.5 * (intensity >= 0.8)\n",
            ),
            ("    return (level - 0.5) / 5.0\n", "    return 0.8 if level == 5 else (level - 0.5) / 5.0\n"),
        )
    },
)
METRIC = Change(
    "metrics",
    """
from mien.evaluate.figures import score_rows
from mien.evaluate.suite import open_suite
row = {"id": "a", "status": "answered", "answer": "happiness", "truth": {"emotion": "happiness"}, "scores": None}
rows = [row, {**row, "id": "b", "truth": {"emotion": "fear"}}]
print([figures["worst_recall"]["value"] for figures in score_rows(open_suite("ferplus-val"), rows, False).values()][0])
""",
    {
        "metrics/classification.py": (
            ('__all__ = ["accuracy", ', '__all__ = ["worst_recall", "accuracy", '),
            (
                "def class_f1(",
                "def worst_recall(truth, predicted, labels):\n"
                '    """Recall of the class that is recalled least."""\n'
                "    recalls = [one for one in uar(truth, predicted, labels).parts.values() if one == one]\n"
                '    return Result("worst recall", min(recalls), len(recalls))\n\n\n'
                "def class_f1(",
            ),
        ),
        "evaluate/figures.py": (
            ("confusion, macro_f1, uar\n", "confusion, macro_f1, uar, worst_recall\n"),
            (
                '        "macro_f1": _figure(macro_f1(true, named',
                '        "worst_recall": _figure(worst_recall(true, said, labels)),\n'
                '        "macro_f1": _figure(macro_f1(true, named',
            ),
        ),
    },
)
CHANGES = {
    "dataset": (DATASET, "portraits"),
    "encoder": (ENCODER, "ColourGrid"),
    "column": (COLUMN, "30.0 px"),
    "threshold": (THRESHOLD, "D False E True True 0.8"),
    "metric": (METRIC, "0.0"),
}


def linked(house: Path, copy: Path, changed: set[Path]) -> None:
    """The house again under ``copy``: real folders on the way to what changes, links to all else."""
    copy.mkdir()
    for path in house.iterdir():
        if any(path in one.parents for one in changed):
            linked(path, copy / path.name, changed)
        elif path not in changed and path.name != "__pycache__":
            (copy / path.name).symlink_to(path)


def made(change: Change, repository: Path, folder: Path) -> Path:
    """A folder for PYTHONPATH with the changed house."""
    house = repository / "src" / "mien"
    linked(house, folder / "mien", {house / name for name in (*change.edits, *change.files)})
    for name, edits in change.edits.items():
        text = (house / name).read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, f"{name} holds {text.count(old)} times {old!r}"
            text = text.replace(old, new)
        (folder / "mien" / name).write_text(text, encoding="utf-8")
    for name, example in change.files.items():
        (folder / "mien" / name).write_text((repository / "examples" / example).read_text(encoding="utf-8"))
    return folder


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_made_in_few_files(name: str, repository: Path, tmp_path: Path) -> None:
    if name == "encoder":
        pytest.importorskip("torch")
    change, said = CHANGES[name]
    assert len({*change.edits, *change.files}) <= MOST_FILES
    environment = {**os.environ, "PYTHONPATH": str(made(change, repository, tmp_path))}
    command = [sys.executable, "-c", change.probe]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == said


def test_the_page_names_the_room_of_each(repository: Path) -> None:
    page = (repository / "docs" / "design" / "rooms.md").read_text(encoding="utf-8")
    table = page.partition("## A newcomer's changes")[2].partition("\n## ")[0]
    for name, (change, _) in CHANGES.items():
        (row,) = [line for line in table.splitlines() if line.startswith(f"| {name} ")]
        assert f"`{change.room}`" in row
        assert all(f"`{file}`" in row for file in change.edits), row
