"""The zip packs of the data folder: ``<name>/<name>.zip`` with a ``manifest.csv`` and the pictures."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.data.problems import Problem
from mien.data.tables import Row

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
    try:
        with zipfile.ZipFile(root / file) as archive, archive.open(_MANIFEST) as handle:
            reader = csv.reader(io.TextIOWrapper(handle, encoding="utf-8-sig", newline=""))
            names = next(reader, [])
            missing = [column for column in columns if column not in names]
            if missing:
                yield Problem(file, 1, f"no column {', '.join(missing)} in {_MANIFEST}")
                return
            for cells in reader:
                if len(cells) == len(names):
                    yield Row(reader.line_num, dict(zip(names, cells, strict=True)))
                elif cells:
                    yield Problem(
                        file, reader.line_num, f"{len(cells)} cells in {_MANIFEST}, expected {len(names)}"
                    )
    except FileNotFoundError:
        yield Problem(file, 0, "no such pack; set MIEN_DATA to the folder that holds the data packs")
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        yield Problem(file, 0, f"no zip archive with {_MANIFEST}: {error}")
    except UnicodeDecodeError as error:
        yield Problem(file, 0, f"{_MANIFEST} is not UTF-8: {error.reason}")
