"""Pictures of a clip by frame number, whatever their prefix and zero padding."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["Frames"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
_NUMBER = re.compile(r"(\d+)$")


class Frames:
    """The numbered pictures of one folder: ``0007.jpg``, ``img7.jpg`` and ``frame_00007.png`` are frame 7."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[int, str] = {}
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            names = []
        for name in names:
            stem, suffix = os.path.splitext(name)
            match = _NUMBER.search(stem)
            if match and suffix.lower() in _SUFFIXES:
                self._names.setdefault(int(match.group(1)), name)

    def __len__(self) -> int:
        return len(self._names)

    def path(self, number: int) -> str:
        """The picture of frame ``number``; a name that would be natural when it is absent."""
        return str(self._folder / self._names.get(number, f"{number}.jpg"))
