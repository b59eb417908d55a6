"""Read which of FEAFA's movements a free description states, on which side and to which degree.

The same statements as `mien.read_claims`, under the names of FEAFA's values: a description made from these 24 values
speaks of sides, names values ("left lip corner pull: 0.42") and moves the jaw sideways.
"""

from __future__ import annotations

from dataclasses import dataclass

from mien.dialogue.read.statements import find_statements

__all__ = ["OPEN_MOUTH", "OTHER_MOVEMENTS", "MovementClaim", "read_movements"]

OPEN_MOUTH = "mouth open"
"""Parted lips or an open mouth: no value of FEAFA's, but what a dropped jaw or moved lips show."""
OTHER_MOVEMENTS: tuple[str, ...] = ("lip corner depress", "lip press", "cheek raise")
"""Movements that FEAFA has no value for; a description made from its values has no grounds for them."""


@dataclass(frozen=True, slots=True)
class MovementClaim:
    """One statement."""

    movement: str
    """A key of `mien.dialogue.read.feafa_words.MOVEMENTS_24`, `OPEN_MOUTH`, or one of `OTHER_MOVEMENTS`."""
    side: str
    """``left``, ``right``; ``both`` when both or no side is named."""
    present: bool
    """False for a denial."""
    level: tuple[int, int] | None = None
    """Range of FACS levels that degree words or numbers claim; None without."""


_UNSIDED = frozenset(
    ("jaw drop", "jaw slide left", "jaw slide right", "upper lip suck", "lower lip suck", "jaw thrust",
     "upper lip raise", "lower lip depress", "chin raise", "lip pucker", "cheek puff", "nose wrinkle", OPEN_MOUTH,
     *OTHER_MOVEMENTS)
)  # fmt: skip


def read_movements(text: str) -> tuple[MovementClaim, ...]:
    """Every movement that ``text`` states or denies, in text order; hedges and denials of a high degree are none."""
    return tuple(
        MovementClaim(
            name,
            "both" if name in _UNSIDED or one.side is None else one.side,
            not one.denied,
            None if one.denied else one.level,
        )
        for one in find_statements(text)
        if not one.hedged
        for name in one.move.feafa
    )
