"""What AU-LLaVA is asked and answers: descriptions of its three tasks, arrays, and which array answers a question."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from mien.core.aus import AUS, FEAFA_24, au_key, au_set
from mien.core.errors import require_known
from mien.core.nouns import Answer, Dialogue, Sample
from mien.dialogue.read.au_arrays import read_array
from mien.dialogue.say import builders
from mien.models.composite.systems import Builder

__all__ = [
    "BUILDERS",
    "DISFA_PRESENT_ABOVE",
    "TASKS",
    "ask",
    "asked",
    "describe",
    "pick",
    "read",
    "units",
    "wrap",
]

TASKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"bp4d": ("binary", "bp4d12"), "disfa": ("level", "disfa8"), "feafa": ("intensity", "feafa24")}
)
"""Task -> array format and AU set."""
DISFA_PRESENT_ABOVE = 2
"""Levels above this count as present when DISFA is scored; EmoLA counts from 2 on, so the two do not compare."""

_MENTIONED = re.compile(r"\bAU\s?0?(\d{1,2})\b", re.IGNORECASE)

_PURPOSE = {
    "binary": "The task is to decide for each Action Unit whether it is present on the face, whatever its strength.",
    "level": "The task is to grade how strongly each Action Unit acts on the face, in whole levels.",
    "intensity": "The task is to estimate how strongly each facial movement acts, on a continuous scale.",
}
_FORM = {
    "binary": "The output is an array of {count} integers in this order: 1 if the unit is present, else 0.",
    "level": "The output is an array of {count} integers from 0 (absent) to 5 (maximum) in this order.",
    "intensity": "The output is an array of {count} decimals from 0 (absent) to 1 (maximum) in this order.",
}
_QUESTION = {
    "binary": "Which Action Units are present on this face?",
    "level": "What is the level of each Action Unit on this face?",
    "intensity": "What is the intensity of each movement of this face?",
}
_WHERE = {
    "brow": "look at the brows and the forehead between them",
    "eye": "look at the eyelids",
    "nose": "look at the bridge and the wings of the nose",
    "cheek": "look at the cheeks below the eyes",
    "mouth": "look at the lips and their corners",
    "chin": "look at the chin",
    "jaw": "look at the distance between the teeth and at the chin",
}
# Places of the FEAFA movements that have no FACS unit.
_PLAIN_WHERE = {"jaw slide left": "jaw", "jaw slide right": "jaw", "jaw thrust": "jaw", "cheek puff": "cheek"}


def _task(task: str) -> tuple[str, str]:
    require_known(task, TASKS, "task", of="au-llava")
    return TASKS[task]


def units(task: str) -> tuple[str, ...]:
    """Names of the array's values: AU keys, or FEAFA's own names."""
    name = _task(task)[1]
    return tuple(value.name for value in FEAFA_24) if name == "feafa24" else au_set(name)


def _introduce(keys: Sequence[str]) -> str:
    facs = {value.name: value.facs for value in FEAFA_24}
    lines = []
    for place, key in enumerate(keys, 1):
        unit = AUS.get(facs.get(key, key) or "")
        region = _PLAIN_WHERE[key] if unit is None else unit.region
        if key in facs:
            said = key
        else:
            assert unit is not None
            said = f"{unit.prose}, {unit.name}: {unit.movement} ({unit.muscle})"
        lines.append(f"{place}. {said}; {_WHERE[region]}.")
    return " ".join(lines)


def describe(task: str) -> str:
    """The description of a task: its purpose, its AUs with where to look, the form of the answer."""
    format, keys = _task(task)[0], units(task)
    intro = "An Action Unit is the visible action of one facial muscle or muscle group."
    return f"{_PURPOSE[format]} {intro} {_introduce(keys)} {_FORM[format].format(count=len(keys))}"


def ask(task: str = "bp4d") -> str:
    """The user's turn: description and question."""
    return f"{describe(task)}\nQuestion: {_QUESTION[_task(task)[0]]}"


def read(text: str, task: str = "bp4d") -> Answer:
    """The array of an answer; a wrong count or a value out of range is unparsed."""
    keys = units(task)
    return read_array(text, _task(task)[0], len(keys), keys)


def asked(
    kind: str, question: str, trained: Sequence[str] = tuple(TASKS)
) -> tuple[str, tuple[str, ...]] | Answer:
    """Which array answers a question: the task of the form that it asks for, and the values that it names.

    Args:
        kind: of the question, one of `mien.dialogue.say.questions.TASKS`; ``"au-list"`` names no form and takes
        presence
            where the model was trained on it.
        question: the AUs that it mentions are picked out; none stands for all.
        trained: tasks of the model.

    Returns:
        The task and the names of the values, or what can be said in their place.
    """
    form = {"au-list": "binary"}.get(kind, kind.removeprefix("au-"))
    known = [task for task in trained if task in TASKS]
    fitting = [task for task in known if TASKS[task][0] == form] or (known if kind == "au-list" else [])
    forms = " or ".join(f"{TASKS[task][0]} values ({task})" for task in known)
    if not fitting:
        text = f"This model says which Action Units a face shows, as an array of {forms}."
        what = "no question on Action Units" if kind == "conversation" else f"no task with {form} values"
        return Answer(text, "unparsed", f"{what} that it was trained on")
    task, facs = fitting[0], {value.name: value.facs for value in FEAFA_24}
    mentioned = tuple(dict.fromkeys(au_key(number) for number in _MENTIONED.findall(question)))
    chosen = tuple(name for name in units(task) if not mentioned or facs.get(name, name) in mentioned)
    missing = [key for key in mentioned if key not in {facs.get(name, name) for name in chosen}]
    if missing:
        told = ", ".join(missing)
        return Answer(f"{told} is not among the Action Units of {task}.", "unparsed", f"no value for {told}")
    return task, chosen


def pick(text: str, task: str, names: Sequence[str]) -> Answer:
    """The values of an array that were asked for, as an array of their own."""
    keys = units(task)
    values = dict(zip(keys, text.strip("[]").split(", "), strict=True))
    return read_array(f"[{', '.join(values[name] for name in names)}]", _task(task)[0], len(names), names)


def wrap(question: str, options: Mapping[str, Any]) -> str:
    """A user's own question as a turn."""
    return f"{_PURPOSE['binary']}\nQuestion: {question}"


def _array(task: str, sample: Sample, rng: random.Random, cut_off: int | None = None) -> Dialogue | None:
    return builders.au_array(sample, ask(task), TASKS[task][0], units(task), cut_off)


BUILDERS: Mapping[str, Builder] = MappingProxyType({task: partial(_array, task) for task in TASKS})
"""Task -> its training item. Option ``cut_off``: makes presence of levels."""
