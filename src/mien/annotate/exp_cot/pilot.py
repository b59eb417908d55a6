"""What share of a teacher's texts the checks would keep at first sight, found on texts that exist already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.annotate.exp_cot.gates import PROFILES, fails, refined_faults
from mien.core.aus import FEAFA_24
from mien.core.emotions import canonical
from mien.core.errors import BadData
from mien.core.objects import json_lines, read_json

__all__ = ["Pilot", "pilot", "pilot_rows"]

_NAMES = tuple(value.name for value in FEAFA_24)
_NEAR_ZERO = 0.005


@dataclass(frozen=True, slots=True)
class Pilot:
    """Shares of texts that pass at first sight."""

    texts: int
    kept: Mapping[str, float]
    """Profile -> share 0..1."""
    reasons: Mapping[str, Mapping[str, int]]
    """Profile -> reason of the dearest fault -> texts."""

    def lines(self, profile: str) -> list[str]:
        """For people, the profile of the run first."""
        others = ", ".join(f"{name} {self.kept[name]:.0%}" for name in self.kept if name != profile)
        said = [
            f"Expected keep rate: {self.kept[profile]:.0%} at first sight of {self.texts:,} texts ({others})"
        ]
        ranked = sorted(self.reasons[profile].items(), key=lambda pair: (-pair[1], pair[0]))
        return said + [f"  {number:,} {reason}" for reason, number in ranked]


def pilot(rows: Iterable[Mapping[str, Any]]) -> Pilot:
    """Judge finished texts by every profile.

    Args:
        rows: as the engine writes them: ``emo``, ``au`` (FEAFA's 24 values 0..1), ``description``.
    """
    count = 0
    kept, reasons = Counter[str](), {name: Counter[str]() for name in PROFILES}
    for row in rows:
        count += 1
        values = {
            name: float(value) for name, value in zip(_NAMES, row["au"], strict=True) if value >= _NEAR_ZERO
        }
        for name in PROFILES:
            faults = refined_faults(str(row["description"]), values, str(canonical(str(row["emo"]))), name)
            if fails(faults):
                reasons[name][max(faults, key=lambda fault: fault.cost).reason] += 1
            else:
                kept[name] += 1
    return Pilot(count, {name: kept[name] / max(count, 1) for name in PROFILES}, reasons)


def pilot_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a JSON array or of JSON lines.

    Raises:
        BadData: no such file, or a row without ``emo``, 24 values ``au`` and ``description``.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = [text] if text.lstrip()[:1] == "[" else json_lines(text)
        read = [read_json(line) for line in lines]
    except (OSError, ValueError) as error:
        raise _bad(f"{path}: {error}") from error
    for place, row in enumerate(read[0] if read and isinstance(read[0], list) else read, 1):
        whole = isinstance(row, dict) and all(key in row for key in ("emo", "au", "description"))
        if not whole or not isinstance(row["au"], list) or len(row["au"]) != len(_NAMES):
            raise _bad(f"{path}, row {place}")
        yield row


def _bad(got: str) -> BadData:
    return BadData(
        got=got,
        expected="rows with emo, au (24 values) and description, as JSON lines or one array",
        fix="Take items.jsonl of an earlier run, or a list of ExpLLM's form",
    )
