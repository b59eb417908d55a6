"""Face Research Lab London Set (DeBruine & Jones 2017): neutral and smiling portraits of 79 adults.

On disk: ``london/london.zip`` with ``manifest.csv`` (file, label, split, source, subject, age, gender,
ethnicity, …, au25, au12), ``face336/`` and ``face112/``.

AU12 and AU25 are one visual annotator's marks, not a certified FACS coder's; blank means unsure. Split by
subject. Licence: CC BY 4.0, doi 10.6084/m9.figshare.5047666.v5; square face crops were made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mien.core.nouns import Labels, Sample
from mien.data.packs import manifest_rows, pack_path

__all__ = ["read"]


def read(split: str, root: Path | None = None) -> list[Sample]:
    """All samples of ``train`` or ``val``, the 336-px files.

    Raises:
        BadData: the pack is missing or damaged.
    """
    path = pack_path(root, "london", "london.zip")
    return [
        Sample(
            id=row["file"],
            dataset="london",
            split=split,
            subject=row["subject"],
            media=f"{path}!{row['file']}",
            labels=Labels(
                emotion=row["label"],
                au_presence=_marks(row),
                group={key: row[key] for key in ("age", "gender", "ethnicity")},
            ),
        )
        for row in manifest_rows(path)
        if row["split"] == split
    ]


def _marks(row: Mapping[str, str]) -> dict[str, bool]:
    return {
        key: row[column] == "1"
        for key, column in (("AU12", "au12"), ("AU25", "au25"))
        if row[column] in ("0", "1")
    }
