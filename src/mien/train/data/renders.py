"""Rendered faces with AU truth, as ``tools/render_faces.py`` writes them: shards of npz."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.core.aus import AU_SETS
from mien.core.errors import BadData, require_known
from mien.core.nouns import FloatArray, Image

__all__ = ["Renders", "read_renders"]


class Pictures:
    """Rows of the arrays ``images`` of several files, in order."""

    def __init__(self, files: Sequence[tuple[Path, npt.NDArray[np.int64]]]) -> None:
        self._rows = [(path, int(row)) for path, rows in files for row in rows]
        self._open: tuple[Path, npt.NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Image:
        path, row = self._rows[number]
        if self._open is None or self._open[0] != path:
            with np.load(path, allow_pickle=False) as shard:
                self._open = path, shard["images"]
        picture: Image = self._open[1][row]
        return picture

    def __iter__(self) -> Iterator[Image]:
        return (self[number] for number in range(len(self)))


@dataclass(frozen=True, slots=True)
class Renders:
    """N rendered faces."""

    images: Pictures
    """(S, S, 3) uint8 RGB each; a shard of them is in memory at a time."""
    aus: FloatArray
    """(N, 22) intensity 0..1 in the order of ``AU_SETS["pocket"]``."""
    identity: npt.NDArray[np.int32]
    """(N,)."""
    points: FloatArray
    """(N, 68, 2) true places in px, in iBUG's order."""
    rows: tuple[int, ...]
    """Their numbers among all of the split."""

    def __len__(self) -> int:
        return len(self.images)


def read_renders(folder: Path, split: str, choose: Callable[[int], Sequence[int]] | None = None) -> Renders:
    """Rendered faces of ``train`` or ``val``; a tenth of the identities is held back for validation.

    Args:
        folder: of the shards.
        split: ``"train"`` or ``"val"``.
        choose: number of faces -> ascending numbers of those that are wanted; all without it. Others are not read.

    Raises:
        BadConfig: no such split.
        BadData: no shard, or other AUs than the pocket model measures.
    """
    require_known(split, ("train", "val"), "split", of="renders")
    shards = sorted(folder.glob("shard_*.npz"))
    if not shards:
        raise BadData(
            got=f"no shard in {folder}",
            expected="shard_0000.npz and so on",
            fix="Run: python tools/render_faces.py --count 27136 --size 144 --out FOLDER",
        )
    identities = [_identity(path) for path in shards]
    held = [np.flatnonzero((one % 10 == 0) == (split == "val")) for one in identities]
    count = sum(map(len, held))
    rows = np.arange(count) if choose is None else np.asarray(choose(count), np.int64)
    images, aus, identity, points, start = [], [], [], [], 0
    for path, found in zip(shards, held, strict=True):
        chosen = found[rows[(rows >= start) & (rows < start + len(found))] - start]
        start += len(found)
        if not len(chosen):
            continue
        with np.load(path, allow_pickle=False) as shard:
            if tuple(str(name) for name in shard["au_names"]) != AU_SETS["pocket"]:
                raise BadData(
                    got=f"{path.name} with AUs {list(shard['au_names'])}",
                    expected=" ".join(AU_SETS["pocket"]),
                    fix="Render again with this version",
                )
            images.append((path, chosen))
            aus.append(shard["au"][chosen])
            identity.append(shard["identity"][chosen])
            points.append(shard["landmarks68"][chosen])
    if not images:
        raise BadData(
            got=f"no face of split {split} in {folder}",
            expected="at least one",
            fix="Render more: a tenth of the identities is held back for val",
        )
    return Renders(
        images=Pictures(images),
        aus=np.concatenate(aus),
        identity=np.concatenate(identity),
        points=np.concatenate(points),
        rows=tuple(rows.tolist()),
    )


def _identity(path: Path) -> npt.NDArray[np.int32]:
    with np.load(path, allow_pickle=False) as shard:
        return np.asarray(shard["identity"])
