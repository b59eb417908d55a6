"""Pictures and landmark files of FABA-Instruct's tree, as the rows of a run name them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mien.annotate.faba.rows import Rows, prior_name, tree_name
from mien.app.data.exchange_media import Priors, cut, jpeg, write_file
from mien.core.errors import BadInput
from mien.core.nouns import Labels, Sample
from mien.face.decode.media import MediaReader

__all__ = ["fill_tree"]


def fill_tree(folder: Path, parts: Mapping[str, Rows], media: Callable[[str], str]) -> dict[str, str]:
    """Bring the picture and the landmark prior of every row into the tree; what is there already is kept.

    Args:
        folder: what holds the tree.
        parts: ``train`` and ``eval`` -> rows.
        media: a row's ``image`` -> the media that it is.

    Returns:
        Id of each row whose picture cannot be read, or holds no face -> why.
    """
    absent: dict[str, str] = {}
    done: dict[str, str | None] = {}
    with MediaReader() as reader:
        priors = Priors(reader)
        for part, rows in parts.items():
            for row in rows:
                name = tree_name(row, part)
                if name not in done:
                    done[name] = _bring(folder, name, row, media(str(row["image"])), reader, priors)
                fault = done[name]
                if fault is not None:
                    absent[str(row["id"])] = fault
    return absent


def _bring(
    folder: Path, name: str, row: Mapping[str, Any], media: str, reader: MediaReader, priors: Priors
) -> str | None:
    """Write one picture and its prior; why it cannot be done, or None."""
    box = None if row["box"] is None else (row["box"][0], row["box"][1], row["box"][2], row["box"][3])
    picture, prior = folder / name, folder / prior_name(name)
    try:
        if box is None and picture.suffix == os.path.splitext(media)[1] and os.path.isfile(media):
            data = Path(media).read_bytes()
        else:
            data = jpeg(cut(reader.open(media), box))
        if picture.is_file() and prior.is_file() and picture.read_bytes() == data:
            return None
        made = priors.prior_file(Sample(str(row["id"]), "faba", "", media, Labels(), box=box))
    except (BadInput, OSError) as error:
        return f"{row['id']}: {error}"
    write_file(picture, data)
    write_file(prior, made)
    return None
