"""FABA-Instruct's flat test items: one picture, its label, and the reference text that answers are compared with.

    emotion  {"image": "a.jpg", "label": "Happiness", "gpt4": "The face …", "landmark": "a.npy"}
    au       {"image": "a.jpg", "label": "1, 4, 7", "gpt4": "AU1 …", "landmark": "a.npy"}

The fixed question is not part of the file. ``label`` may also be an index 0..6 for an emotion; ``gpt4`` is missing in
the test files of category datasets, ``landmark`` (the path of a 212-number prior) where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.core.aus import AU_SETS
from mien.core.emotions import canonical, order
from mien.core.errors import BadInput, require_known
from mien.core.nouns import Labels
from mien.dialogue.files.exchange_files import write_array

__all__ = ["TASKS", "FabaItem", "can_tell", "write_faba"]

TASKS: tuple[str, ...] = ("emotion", "au")
_WORDS = order("faba")
_BY_EMOTION = {canonical(word): word for word in _WORDS}
_UNITS = AU_SETS["faba20"]


@dataclass(frozen=True, slots=True)
class FabaItem:
    """One test item. Its labels hold the emotion, or presence for all AUs of FABA's index, and the description."""

    image: str
    labels: Labels
    landmark: str | None = None
    """Path of the landmark prior."""


def _task(task: str) -> str:
    require_known(task, TASKS, "task")
    return task


def can_tell(labels: Labels, task: str) -> bool:
    """Whether a file of this task has words for these labels: contempt has none, nor has a face without any AU."""
    if _task(task) == "emotion":
        return labels.emotion in _BY_EMOTION
    present = _present(labels)
    return bool(present) and all(key in _UNITS for key in present)


def _present(labels: Labels) -> list[str]:
    return [key for key, there in (labels.au_presence or {}).items() if there]


def _label(item: FabaItem, task: str) -> str:
    present = _present(item.labels)
    if not can_tell(item.labels, task):
        told = (
            f"emotion {item.labels.emotion!r}" if task == "emotion" else f"AUs {', '.join(present) or 'none'}"
        )
        raise BadInput(
            got=f"{told} of {item.image}",
            expected=f"one of {', '.join(_WORDS)}"
            if task == "emotion"
            else "at least one AU, all of FABA's index",
            fix="Leave the item out: the file has no word for it",
        )
    if task == "emotion":
        return _BY_EMOTION[item.labels.emotion]
    return ", ".join(str(int(key.removeprefix("AU"))) for key in _UNITS if key in present)


def write_faba(items: Iterable[FabaItem], path: Path, task: str) -> int:
    """Write a test file, item by item; returns the number of items."""
    _task(task)

    def record(item: FabaItem) -> dict[str, str]:
        texts = {"gpt4": item.labels.description, "landmark": item.landmark}
        given = {name: text for name, text in texts.items() if text is not None}
        return {"image": item.image, "label": _label(item, task)} | given

    return write_array(map(record, items), path)
