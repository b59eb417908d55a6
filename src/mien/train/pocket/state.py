"""What a stage keeps so that it can be killed: the state of its parts, and how far it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mien.core.paths import written_whole

__all__ = ["StageState"]


class StageState:
    """The last state in a file; where there is one, the parts go on from it.

    Args:
        path: of the file.
        unit: ``"step"`` or ``"epoch"``: what is counted.
        parts: by name, each with ``state_dict`` and ``load_state_dict``.
    """

    def __init__(self, path: Path, unit: str, **parts: Any) -> None:
        self._path, self._unit, self._parts = path, unit, parts
        self.done = 0
        """Steps or epochs that are behind us."""
        if path.is_file():
            saved = torch.load(path, weights_only=True)
            self.done = int(saved.pop(unit))
            for name, part in parts.items():
                part.load_state_dict(saved[name])

    def save(self, done: int) -> None:
        """Keep the parts as they are after ``done`` steps or epochs."""
        with written_whole(self._path) as partial:
            torch.save(
                {self._unit: done, **{name: part.state_dict() for name, part in self._parts.items()}}, partial
            )
