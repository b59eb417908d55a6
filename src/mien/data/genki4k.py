"""GENKI-4K (MPLab, UC San Diego): colour 64x64 web faces with smile labels and head pose.

On disk: ``genki4k/genki4k.zip`` with ``manifest.csv`` (file, label smile|non_smile, split, source, yaw, pitch,
roll in radians) and ``img/file0001.jpg``.

No person key; near-duplicates do not cross the parts.
Terms: "The images are available for public use." Cite "http://mplab.ucsd.edu, The MPLab GENKI-4K Dataset."
"""

from __future__ import annotations

from pathlib import Path

from mien.core.nouns import Labels, Sample
from mien.data.packs import manifest_rows, pack_path

__all__ = ["read"]


def read(split: str, root: Path | None = None) -> list[Sample]:
    """All samples of ``train`` or ``val``; ``labels.smile`` is close to AU12 at any level.

    Raises:
        BadData: the pack is missing or damaged.
    """
    path = pack_path(root, "genki4k", "genki4k.zip")
    return [
        Sample(
            id=row["file"],
            dataset="genki4k",
            split=split,
            media=f"{path}!{row['file'] if row['file'].startswith('img/') else 'img/' + row['file']}",
            labels=Labels(smile=row["label"] == "smile"),
            cropped=True,
        )
        for row in manifest_rows(path)
        if row["split"] == split
    ]
