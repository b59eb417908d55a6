"""What the results of a run add up to: the one count behind the terminal, the run record and the report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mien.core.nouns import FrameResult

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """Counts over frames and their faces."""

    frames: int = 0
    """Photos and frames of videos, failed ones included."""
    faces: int = 0
    without_face: int = 0
    """Frames that were read and show no face."""
    cut_off: int = 1
    """The level from which the readings count an AU as present."""
    emotions: Counter[str] = field(default_factory=Counter)
    """Faces by most probable apparent emotion."""
    au_present: Counter[str] = field(default_factory=Counter)
    """Faces in which each AU is present."""
    au_measured: Counter[str] = field(default_factory=Counter)
    """Faces in which each AU was measured."""
    claims: Counter[str] = field(default_factory=Counter)
    """Statements of the explanations by verdict."""
    withheld: int = 0
    """Sentences that were taken out of the explanations."""

    def count(self, frame: FrameResult) -> None:
        """Add one frame."""
        self.frames += 1
        self.faces += len(frame.faces)
        self.without_face += frame.error is None and not frame.faces
        for face in frame.faces:
            if face.emotion:
                self.emotions[face.emotion] += 1
            for key, reading in face.aus.items():
                self.cut_off = reading.cut_off
                self.au_present[key] += reading.presence
                self.au_measured[key] += reading.measured
            if face.explanation is not None:
                self.claims.update(claim.verdict for claim in face.explanation.claims)
                self.withheld += len(face.explanation.withheld)

    def commonest_aus(self) -> list[tuple[str, float]]:
        """AU keys with the share 0..1 of the faces where they were measured that show them, the most frequent first."""
        shares = {key: count / self.au_measured[key] for key, count in self.au_present.items() if count}
        return sorted(shares.items(), key=lambda item: (-item[1], item[0]))
