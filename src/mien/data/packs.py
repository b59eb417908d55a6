"""Reading members of packed datasets: ``archive.zip!member`` and ``array.npz!index`` media names."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mien.core.errors import BadData
from mien.core.paths import data_root

__all__ = ["manifest_rows", "pack_path"]


def pack_path(root: Path | None, *parts: str) -> Path:
    """Path of a pack under ``root`` (default: the data root).

    Raises:
        BadData: the file is not there.
    """
    path = (root or data_root()).joinpath(*parts)
    if not path.is_file():
        raise BadData(
            got=f"no file {path}",
            expected=f"the pack {parts[-1]}",
            fix="Set MIEN_DATA to the folder that holds the data packs",
        )
    return path


def manifest_rows(path: Path) -> Iterator[Mapping[str, str]]:
    """Rows of the ``manifest.csv`` inside the zip at ``path``.

    Raises:
        BadData: the archive is damaged or has no manifest.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("manifest.csv") as handle:
            yield from csv.DictReader(io.TextIOWrapper(handle, encoding="utf-8"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise BadData(
            got=f"{path.name}: {error}", expected="a zip archive with manifest.csv", fix="Copy the pack again"
        ) from error
