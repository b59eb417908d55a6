"""FABA-Instruct's flat test items: one picture, its label, and the reference text that answers are compared with.

    emotion  {"image": "a.jpg", "label": "Happiness", "gpt4": "The face …", "landmark": "a.npy"}
    au       {"image": "a.jpg", "label": "1, 4, 7", "gpt4": "AU1 …", "landmark": "a.npy"}

The fixed question is not part of the file. ``label`` may also be an index 0..6 for an emotion; ``gpt4`` is missing in
the test files of category datasets, ``landmark`` (the path of a 212-number prior) where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.core.aus import AU_SETS, au_key
from mien.core.emotions import canonical, order
from mien.core.errors import BadData, BadInput, require_known
from mien.core.nouns import Labels
from mien.dialogue.files.exchange_files import json_array, write_array

__all__ = ["TASKS", "FabaItem", "can_tell", "read_faba", "write_faba"]

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
    """Whether a file of this task has words for these labels: contempt has none, nor has a face without any AU.

    Raises:
        BadConfig: the task is none of `TASKS`.
    """
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
    """Write a test file, item by item; returns the number of items.

    Raises:
        BadConfig: the task is none of `TASKS`.
        BadInput: an item without the label of the task, or with one that FABA has no word for.
        OutputFailed: the file cannot be written.
    """
    _task(task)

    def record(item: FabaItem) -> dict[str, str]:
        texts = {"gpt4": item.labels.description, "landmark": item.landmark}
        given = {name: text for name, text in texts.items() if text is not None}
        return {"image": item.image, "label": _label(item, task)} | given

    return write_array(map(record, items), path)


def read_faba(path: Path, task: str) -> Iterator[FabaItem]:
    """Read a test file, item by item.

    Raises:
        BadConfig: the task is none of `TASKS`.
        BadData: something is not in the format; file and line are named.
    """
    _task(task)
    for place, values in json_array(path):
        image, label = values.get("image"), values.get("label")
        labels = _emotion(label) if task == "emotion" else _presence(label)
        texts = {name: values.get(name) for name in ("gpt4", "landmark")}
        if not isinstance(image, str) or labels is None or not _are_texts(texts):
            shown = {name: values.get(name) for name in ("image", "label")}
            raise BadData(
                got=f"{path}, {place}: {shown}",
                expected=f"image, gpt4 and landmark as texts, and as label {_EXPECTED[task]}",
                fix="Correct that item",
            )
        yield FabaItem(image, Labels(**labels, description=texts["gpt4"]), texts["landmark"])


_EXPECTED = {"emotion": f"0..6 or one of {', '.join(_WORDS)}", "au": "AU numbers joined by commas"}


def _are_texts(values: Mapping[str, Any]) -> bool:
    return all(value is None or isinstance(value, str) for value in values.values())


def _emotion(label: object) -> dict[str, Any] | None:
    said = str(label).strip()
    if said.isdecimal() and int(said) < len(_WORDS):
        said = _WORDS[int(said)]
    return {"emotion": canonical(said)} if said in _WORDS else None


def _presence(label: object) -> dict[str, Any] | None:
    units = [unit.strip() for unit in str(label).split(",") if unit.strip()]
    if not units or not all(unit.isascii() and unit.isdecimal() for unit in units):
        return None
    present = {au_key(unit) for unit in units}
    # Numbers outside the index are ignored, as in the released evaluation.
    return {"au_presence": {key: key in present for key in _UNITS}}
