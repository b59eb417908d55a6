"""Splits as files: a JSON file names the members of each part, and its hash goes into every run record.

    {"name": "disfa-3fold", "key": "subject", "source": "…", "parts": {"fold1": ["SN001", …], …}}

``key`` says what the members are: ``subject`` (no subject can then be in two parts) or ``id``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mien.core.errors import BadConfig, BadData
from mien.core.objects import read_json
from mien.core.paths import write_whole

__all__ = ["Split", "chosen", "protocol"]

_PROTOCOLS = Path(__file__).with_name("protocols")


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint parts of a dataset."""

    name: str
    key: str
    """``subject`` or ``id``."""
    parts: Mapping[str, tuple[str, ...]]
    source: str = ""
    """Who fixed it: a paper, or the command that drew it."""

    def __post_init__(self) -> None:
        if self.key not in ("subject", "id"):
            raise BadConfig(
                got=f"split key {self.key!r}", expected="subject or id", fix="Correct the split file"
            )
        seen: dict[str, str] = {}
        for part, members in self.parts.items():
            for member in members:
                if member in seen:
                    raise BadData(
                        got=f"{self.key} {member} in {seen[member]} and in {part} of {self.name}",
                        expected="every member in one part",
                        fix="Correct the split file",
                    )
                seen[member] = part

    @property
    def hash(self) -> str:
        """SHA-256 over key and members; name, source and the order of members do not count."""
        content = {part: sorted(members) for part, members in self.parts.items()}
        text = json.dumps([self.key, content], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def write(self, path: Path) -> Path:
        """Write as JSON, with the hash beside the parts."""
        content = {
            "name": self.name,
            "key": self.key,
            "source": self.source,
            "hash": self.hash,
            "parts": {part: list(members) for part, members in self.parts.items()},
        }
        write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> Split:
        """Read a split file; a stored hash must fit its parts.

        Raises:
            BadData: no split file, overlapping parts, or an altered one.
        """
        try:
            content = read_json(path.read_text(encoding="utf-8"))
            parts = {str(part): tuple(map(str, members)) for part, members in content["parts"].items()}
            split = cls(str(content["name"]), str(content["key"]), parts, str(content.get("source", "")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadData(
                got=f"{path}: {type(error).__name__} {error}",
                expected="a split file with name, key and parts",
                fix="Write it with mien.data.splits.Split.write",
            ) from error
        if content.get("hash", split.hash) != split.hash:
            raise BadData(
                got=f"{path} with parts that do not fit its hash",
                expected="an unaltered split file",
                fix="Restore it, or delete its hash if the change is meant",
            )
        return split


def protocol(name: str) -> Split:
    """A split that the literature fixed and mien ships: ``bp4d-3fold``, ``disfa-3fold``.

    Raises:
        BadConfig: no such protocol.
    """
    path = _PROTOCOLS / f"{name}.json"
    if not path.is_file():
        known = sorted(file.stem for file in _PROTOCOLS.glob("*.json"))
        raise BadConfig(
            got=f"protocol {name!r}", expected=f"one of {', '.join(known)}", fix="Choose one of these"
        )
    return Split.read(path)


def chosen(members: Iterable[str], count: int, seed: int = 0) -> frozenset[str]:
    """``count`` of ``members``, the same ones on every machine: those with the smallest seeded hash."""
    ranked = sorted(set(members), key=lambda member: hashlib.sha256(f"{seed}:{member}".encode()).digest())
    return frozenset(ranked[:count])
