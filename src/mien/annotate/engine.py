"""What a data engine is: items in, requests to a teacher, a kept row or a rejection with its reason out."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from mien.backends.chat import ChatRequest, Reply, canonical
from mien.core.nouns import Sample

__all__ = ["Engine", "Item", "Kept", "Outcome", "Rejected", "Steps"]


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One thing to annotate. Listing items is cheap: pixels are read in `Engine.process`."""

    id: str
    """Unique within the run."""
    sample: Sample | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON-able inputs: an instruction, AU intensities, a path."""

    def digest(self) -> str:
        """SHA-256 of all that the item holds: a decision is used again only for the same item."""
        content: dict[str, Any] = {"id": self.id, "inputs": dict(self.inputs)}
        seal = hashlib.sha256()
        if self.sample is not None:
            points = self.sample.landmarks
            seal.update(b"" if points is None else points.tobytes())
            content["sample"] = asdict(replace(self.sample, landmarks=None))
        seal.update(canonical(content).encode())
        return seal.hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """The item became data."""

    row: Mapping[str, Any]
    """JSON-able; written as one line of ``items.jsonl``, after the item's ``id``."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The item became no data."""

    reason: str
    """A short stable group of words, counted in the statistics: ``"label not mentioned"``."""
    detail: str = ""


Outcome = Kept | Rejected
Steps = Generator[ChatRequest, Reply, Outcome]


class Engine(Protocol):
    """The recipe of one kind of data.

    The runner refuses to hand over replies that the server itself marks as refused or filtered: it rejects the
    item. Replies cut at their length are handed over with ``finish == "length"``. A `mien.core.errors.MienError`
    raised by `process` rejects that item with the reason ``"error"``.
    """

    @property
    def name(self) -> str:
        """``"exp-cot"``, ``"faba"`` …"""

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON-able options that change what is asked or kept, defaults included; a resumed run must have the same."""

    def items(self) -> Iterable[Item]:
        """All items: the same, in the same order, on every call."""

    def process(self, item: Item) -> Steps:
        """Yield requests, get replies, return the outcome.

        Pure: the same item and the same replies give the same requests and the same outcome. Many run at once.
        """
