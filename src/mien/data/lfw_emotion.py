"""LFW emotion labels (muxspace/facial_expressions): grey 112x112 news faces, mostly machine-labelled.

On disk: ``lfw_emotion/lfw_emotion.zip`` with ``manifest.csv`` (file, label, split, source, person, group,
labeler, second_look) and ``img/<hash>.jpg``.

Labels: by eye happiness about 85 % and neutral 80-85 % convincing; the rare classes are small. Split by person.
Licence: the repository is Apache-2.0 and silent on the news photographs. Training and evaluation only.
"""

from __future__ import annotations

from pathlib import Path

from mien.core.nouns import Labels, Sample
from mien.data.packs import manifest_rows, pack_path

__all__ = ["read"]


def read(split: str, root: Path | None = None) -> list[Sample]:
    """All samples of ``train`` or ``val``.

    Raises:
        BadData: the pack is missing or damaged.
    """
    path = pack_path(root, "lfw_emotion", "lfw_emotion.zip")
    return [
        Sample(
            id=row["file"],
            dataset="lfw_emotion",
            split=split,
            subject=row["person"],
            media=f"{path}!{_member(row['file'])}",
            labels=Labels(emotion=row["label"]),
            cropped=True,
        )
        for row in manifest_rows(path)
        if row["split"] == split
    ]


def _member(name: str) -> str:
    return name if name.startswith("img/") else f"img/{name}"
