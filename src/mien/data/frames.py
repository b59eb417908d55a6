"""Pictures of a clip by frame number, whatever their prefix and zero padding; the first of several folders."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mien.core.suffixes import PICTURE_SUFFIXES

__all__ = ["Frames", "first_folder"]

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
            if match and suffix.lower() in PICTURE_SUFFIXES:
                self._names.setdefault(int(match.group(1)), name)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def span(self) -> tuple[int, int] | None:
        """The lowest and the highest number, None without a picture."""
        return (min(self._names), max(self._names)) if self._names else None

    def path(self, number: int) -> str:
        """The picture of frame ``number``; a name that would be natural when it is absent."""
        return str(self._folder / self._names.get(number, f"{number}.jpg"))


def first_folder(root: Path, *names: str) -> Path:
    """The first of ``names`` that is a folder below ``root``, else the first name."""
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])
