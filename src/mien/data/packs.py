"""The zip packs of the data folder: ``<name>/<name>.zip`` with a ``manifest.csv`` and the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.data.problems import Problem
from mien.data.tables import Row, csv_rows

__all__ = ["pack_member", "pack_name", "pack_rows"]

_MANIFEST = "manifest.csv"


def pack_name(root: Path, name: str) -> str:
    """Path of the pack below ``root``, which may be the data folder or the pack's own."""
    return f"{name}/{name}.zip" if not (root / f"{name}.zip").is_file() else f"{name}.zip"


def pack_member(name: str) -> str:
    """Member of a picture whose manifest may leave its folder out."""
    return name if "/" in name else f"img/{name}"


def pack_rows(root: Path, name: str, columns: Sequence[str]) -> Iterator[Row | Problem]:
    """Rows of the manifest in pack ``name``; ``columns`` must be among its names."""
    file = pack_name(root, name)
    if (root / file).is_file():
        yield from csv_rows(root, file, columns, member=_MANIFEST)
    else:
        yield Problem(file, 0, "no such pack; set MIEN_DATA to the folder that holds the data packs")
