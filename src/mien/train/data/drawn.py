"""What each visit of training asks: which face, which task and which words, redrawn every epoch from the seed alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import ceil
from typing import Any, overload

from mien.core.errors import BadConfig
from mien.core.nouns import Dialogue, Turn
from mien.models.composite.systems import System
from mien.train.data.face_facts import placed_sample
from mien.train.data.faces import Faces

__all__ = [
    "CONVERSATION",
    "Drawn",
    "Instruction",
    "PartTasks",
    "dialogue_about",
    "draw_instructions",
    "draw_parts",
]

CONVERSATION = "conversation"
"""The task whose dialogues may come with the data, turn by turn."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One dialogue about one sample: a face, or a clip."""

    face: int
    """Its row in `Faces`."""
    task: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class PartTasks:
    """What the faces of one data part are asked."""

    rows: range
    """Of `Faces`."""
    tasks: Mapping[str, float]
    """Task -> passes over the faces; a fraction is a random part of them, the same in every epoch."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Task -> options of `System.build`."""
    balance: float = 0.0
    """0: as they are; 1: drawn with replacement by 1 / count of their label (torchsampler), between: a power of it."""
    conversations: Mapping[str, Dialogue] | None = None
    """Sample id -> the dialogue of task `CONVERSATION`; None: that task is built of labels like any other."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place of an epoch before its words are drawn."""

    part: int
    face: int
    task: str


class Drawn(Sequence[Instruction]):
    """The dialogues of one epoch; `turn_to` draws those of another.

    A face that lacks what a task needs gives none. Each dialogue depends on the seed, the epoch and its place alone, so
    a run that goes on at any step sees what it would have seen.
    """

    def __init__(
        self, system: System, faces: Faces, parts: Sequence[PartTasks], seed: int, slots: Sequence[_Slot]
    ) -> None:
        self.system, self.faces, self.parts, self.seed = system, faces, tuple(parts), seed
        self._slots = tuple(slots)
        self.turn_to(0)

    def turn_to(self, epoch: int) -> None:
        """Draw another epoch: as many dialogues, balanced parts sampled anew."""
        self.epoch = epoch
        self._order: list[_Slot] = []
        for part, found in groupby(self._slots, key=lambda slot: slot.part):
            self._order += self._sampled(part, list(found))

    def _sampled(self, part: int, slots: list[_Slot]) -> list[_Slot]:
        power = self.parts[part].balance
        places = [place for place, slot in enumerate(slots) if slot.task not in self.system.unbalanced]
        if power == 0.0 or not places:
            return slots
        # Faces without an emotion share one count.
        labels = [self.faces.samples[slots[place].face].labels.emotion for place in places]
        counts = Counter(labels)
        weights = [counts[label] ** -power for label in labels]
        rng = random.Random(f"{self.seed}/{self.epoch}/{part}")
        for place, chosen in zip(
            places, rng.choices([slots[p] for p in places], weights, k=len(places)), strict=True
        ):
            slots[place] = chosen
        return slots

    def only(self, tasks: Sequence[str]) -> Drawn:
        """The dialogues of these tasks."""
        kept = [slot for slot in self._slots if slot.task in tasks]
        return Drawn(self.system, self.faces, self.parts, self.seed, kept)

    def counts(self) -> dict[str, int]:
        """Part and task -> dialogues of an epoch, before any sampling."""
        return dict(Counter(f"{self.parts[slot.part].name} {slot.task}".strip() for slot in self._slots))

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> Instruction: ...
    @overload
    def __getitem__(self, place: slice) -> list[Instruction]: ...
    def __getitem__(self, place: int | slice) -> Instruction | list[Instruction]:
        if isinstance(place, slice):
            return [self[one] for one in range(len(self))[place]]
        slot = self._order[place]
        rng = random.Random(f"{self.seed}/{self.epoch}/{range(len(self))[place]}")
        made = _made(self.system, self.faces, self.parts[slot.part], slot.face, slot.task, rng)
        assert made is not None, "only places that give a dialogue are kept"
        return Instruction(slot.face, slot.task, made.turns)

    def __iter__(self) -> Iterator[Instruction]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def _made(
    system: System, faces: Faces, part: PartTasks, row: int, task: str, rng: random.Random
) -> Dialogue | None:
    if task == CONVERSATION and part.conversations is not None:
        told = part.conversations.get(faces.samples[row].id)
        return None if told is None else system.adapt(told, len(faces.frames(row)), rng)
    return dialogue_about(system, task, faces, row, rng, part.options.get(task, {}))


def dialogue_about(
    system: System, task: str, faces: Faces, row: int, rng: random.Random, options: Mapping[str, Any]
) -> Dialogue | None:
    """The dialogue of a task about one sample, with as many frames as are shown of it; None without the label."""
    shown: dict[str, Any] = {"frames": len(faces.frames(row))} if system.clips else {}
    if faces.attributes is not None:
        shown["attributes"] = faces.attributes[row]
    return system.build(task, placed_sample(faces, row), rng, **{**options, **shown})


def draw_parts(system: System, faces: Faces, parts: Sequence[PartTasks], seed: int) -> Drawn:
    """The dialogues of the data parts, part by part, task by task, pass by pass, in face order.

    Raises:
        BadConfig: a task to which no face of any part gives a dialogue.
    """
    slots: list[_Slot] = []
    asked = list(dict.fromkeys(task for part in parts for task in part.tasks))
    for number, part in enumerate(parts):
        for task, passes in part.tasks.items():
            slots += _kept(system, faces, part, number, task, passes, seed)
    given = {slot.task for slot in slots}
    for task in asked:
        if task not in given:
            rows = [row for part in parts if task in part.tasks for row in part.rows]
            sets = ", ".join(sorted({faces.samples[row].dataset for row in rows}))
            raise BadConfig(
                got=f"task {task!r} for {len(rows)} faces of {sets}",
                expected="labels that this task speaks of",
                fix="Choose a task that the data has labels for, or name a teacher",
            )
    return Drawn(system, faces, parts, seed, slots)


def _kept(
    system: System, faces: Faces, part: PartTasks, number: int, task: str, passes: float, seed: int
) -> Iterator[_Slot]:
    able: Callable[[int], bool] = lambda row: (  # noqa: E731
        _made(system, faces, part, row, task, random.Random(f"{seed}/{row}")) is not None
    )
    rows = [row for row in part.rows if able(row)]
    for turn in range(ceil(passes)):
        share = min(1.0, passes - turn)
        yield from (
            _Slot(number, row, task)
            for row in rows
            if random.Random(f"{seed}/{task}/{turn}/{row}").random() < share
        )


def draw_instructions(
    system: System,
    faces: Faces,
    tasks: Mapping[str, float],
    balance: float,
    seed: int,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Drawn:
    """The dialogues about all faces as one part; see `PartTasks` and `draw_parts`."""
    return draw_parts(system, faces, [PartTasks(range(len(faces)), tasks, options or {}, balance)], seed)
