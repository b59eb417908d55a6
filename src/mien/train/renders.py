"""Rendered faces with AU truth, as ``tools/render_faces.py`` writes them: shards of npz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.core.aus import AU_SETS
from mien.core.errors import BadData
from mien.core.nouns import FloatArray

__all__ = ["Renders", "read_renders"]


@dataclass(frozen=True, slots=True)
class Renders:
    """N rendered faces."""

    images: npt.NDArray[np.uint8]
    """(N, S, S, 3) RGB."""
    aus: FloatArray
    """(N, 22) intensity 0..1 in the order of ``AU_SETS["pocket"]``."""
    identity: npt.NDArray[np.int32]
    """(N,)."""
    points: FloatArray
    """(N, 68, 2) true places in px, in iBUG's order."""

    def __len__(self) -> int:
        return len(self.images)


def read_renders(folder: Path, split: str) -> Renders:
    """Rendered faces of ``train`` or ``val``; a tenth of the identities is held back for validation.

    Raises:
        BadData: no shard, or other AUs than the pocket model measures.
    """
    shards = sorted(folder.glob("shard_*.npz"))
    if not shards:
        raise BadData(
            got=f"no shard in {folder}",
            expected="shard_0000.npz and so on",
            fix="Run: python tools/render_faces.py --count 27136 --size 144 --out FOLDER",
        )
    images, aus, identity, points = [], [], [], []
    for path in shards:
        with np.load(path, allow_pickle=False) as shard:
            if tuple(str(name) for name in shard["au_names"]) != AU_SETS["pocket"]:
                raise BadData(
                    got=f"{path.name} with AUs {list(shard['au_names'])}",
                    expected=" ".join(AU_SETS["pocket"]),
                    fix="Render again with this version",
                )
            chosen = (shard["identity"] % 10 == 0) == (split == "val")
            images.append(shard["images"][chosen])
            aus.append(shard["au"][chosen])
            identity.append(shard["identity"][chosen])
            points.append(shard["landmarks68"][chosen])
    return Renders(*(np.concatenate(column) for column in (images, aus, identity, points)))
