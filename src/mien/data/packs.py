"""The zip packs of the data folder: ``<name>/<name>.zip`` with a ``manifest.csv`` and the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mien.core.nouns import Labels, Sample
from mien.data.label_words import expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import Row, csv_rows

__all__ = ["labelled_crops", "pack_member", "pack_name", "pack_rows"]

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


def labelled_crops(
    name: str, split: str, root: Path, words: Mapping[str, Labels], subject: str | None = None
) -> Iterator[Found]:
    """Samples and problems of one split of a pack of face crops with a label word each.

    Args:
        name: of the pack and the dataset.
        split: rows whose ``split`` says so.
        root: as for `pack_name`.
        words: label word -> labels.
        subject: column of the person, where there is one.
    """
    pack = pack_name(root, name)
    for row in pack_rows(root, name, ("file", "label", "split", *([subject] if subject else []))):
        if isinstance(row, Problem):
            yield row
        elif row.cells["split"] != split:
            continue
        elif row.cells["label"] not in words:
            yield Problem(pack, row.line, expected(row.cells["label"], list(words)))
        else:
            file, person = row.cells["file"], row.cells[subject] if subject else None
            media = f"{root / pack}!{pack_member(file)}"
            yield Entry(
                Sample(file, name, split, media, words[row.cells["label"]], person, cropped=True),
                pack,
                row.line,
            )
