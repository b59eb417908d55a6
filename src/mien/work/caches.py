"""What training and the data commands keep on disk to save time: how large, how old, and gone when told so."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.core.errors import BadConfig
from mien.core.paths import output_errors

__all__ = ["Cached", "clear", "list_caches"]

_KINDS = {
    "faces": ("faces/*/faces.json",),
    "clips": ("clips/*.safetensors", "clips/*.npz"),
    "landmarks": ("landmarks/*.npy", "landmarks-renders-*/*.npy"),
    "renders": ("renders/*.npy",),
    "grey crops": ("crops-*.npy",),
}
"""Kind -> the files that tell one; of faces the folder around it."""
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Cached:
    """All that a cache folder keeps of one kind; of faces, of one list of samples."""

    kind: str
    paths: tuple[Path, ...]
    bytes: int
    days: float
    """Since it was last written or, where the file system keeps that, read."""


def list_caches(folder: Path) -> list[Cached]:
    """What a cache folder (``cache`` beside the runs) keeps, the largest first; other files are not looked at.

    Raises:
        BadConfig: no such folder.
    """
    if not folder.is_dir():
        raise BadConfig(
            got=f"{folder}, which is no folder", expected="a cache: the folder `cache` beside runs"
        )
    found = []
    for kind, patterns in _KINDS.items():
        paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
        groups = [(path.parent,) for path in paths] if kind == "faces" else [tuple(paths)] if paths else []
        found += [_measured(kind, group) for group in groups]
    return sorted(found, key=lambda one: (-one.bytes, one.paths))


def clear(caches: Iterable[Cached]) -> int:
    """Remove them, and give the bytes that they held; whoever needs one makes it anew."""
    freed = 0
    for one in caches:
        for path in one.paths:
            with output_errors(path):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        freed += one.bytes
    return freed


def _measured(kind: str, paths: tuple[Path, ...]) -> Cached:
    files = [file for path in paths for file in (path.iterdir() if path.is_dir() else (path,))]
    about = [file.stat() for file in files]
    last = max((max(one.st_mtime, one.st_atime) for one in about), default=0.0)
    return Cached(kind, paths, sum(one.st_size for one in about), max(time.time() - last, 0.0) / _DAY)
