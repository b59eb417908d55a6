"""Landmarks of a dataset, computed once by the face front-end and kept beside it: one safetensors file.

FacePhi's AffectLandmarkNet is AffectNet with such a file: `with_landmarks` joins the two. The tensor ``landmarks``
is float32 (N, 478, 3) in px of each picture; the metadata hold the sample ids and a hash of both.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.core.errors import BadData, require_known
from mien.core.nouns import LANDMARKS, FloatArray, Sample
from mien.core.paths import written_whole

__all__ = [
    "SCALES",
    "LandmarkTable",
    "read_landmarks",
    "scaled",
    "with_landmarks",
    "write_landmark_rows",
    "write_landmarks",
]

_FLOAT = 4
SCALES = ("px", "minmax_axis", "minmax_global", "unit_sphere")
"""How coordinates are scaled: not at all; each axis to -1..1; the longest axis to -1..1; the farthest point to 1."""


def write_landmarks(path: Path, landmarks: Mapping[str, FloatArray]) -> Path:
    """Write id -> (478, 3) px as one file, ids sorted; equal content gives equal bytes."""
    ids = sorted(landmarks)
    return write_landmark_rows(path, ids, lambda: (landmarks[one] for one in ids))


def write_landmark_rows(path: Path, ids: Sequence[str], rows: Callable[[], Iterable[FloatArray]]) -> Path:
    """The same for more rows than memory holds.

    Args:
        path: the file; written in full or not at all.
        ids: of the rows, each once.
        rows: gives the rows (478, 3) in the order of ``ids``; called twice, first for the hash.

    Raises:
        BadData: an id twice, another number of rows than ids, or a row of another shape.
    """
    known = list(ids)
    digest, count = hashlib.sha256(json.dumps(known).encode()), 0
    for row in rows():
        if row.shape != (LANDMARKS, 3):
            raise BadData(
                got=f"landmarks of shape {row.shape}", expected=f"({LANDMARKS}, 3)", fix="Pass all 478 points"
            )
        digest.update(np.ascontiguousarray(row, "<f4").data)
        count += 1
    if count != len(known) or len(set(known)) != count:
        raise BadData(
            got=f"{count:,} rows for {len(known):,} ids, {len(set(known)):,} of them different",
            expected="one row per id, every id once",
            fix="Run `mien data check` on the dataset; it names repeated ids",
        )
    about = json.dumps({"ids": known, "hash": digest.hexdigest()})
    shape = [count, LANDMARKS, 3]
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, math.prod(shape) * _FLOAT]}
    head = json.dumps({"__metadata__": {"mien": about}, "landmarks": tensor}).encode()
    head += b" " * (-len(head) % 8)
    with written_whole(path) as partial, partial.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for row in rows():
            file.write(np.ascontiguousarray(row, "<f4").tobytes())
    return path


def read_landmarks(path: Path) -> LandmarkTable:
    """Read what `write_landmarks` wrote; rows stay on disk until they are asked for.

    Raises:
        BadData: the file is absent, damaged or altered.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {})["mien"])
            shape = tuple(file.get_slice("landmarks").get_shape())
        ids, stored = list(about["ids"]), about["hash"]
        table = _mapped(path, shape)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadData(
            got=f"{path}: {error}", expected="a landmark file", fix="Compute the landmarks again"
        ) from error
    digest = hashlib.sha256(json.dumps(ids).encode())
    for row in table:
        digest.update(row)
    if stored != digest.hexdigest() or len(ids) != len(table):
        raise BadData(
            got=f"{path}, whose content does not fit its hash",
            expected="an unaltered landmark file",
            fix="Compute the landmarks again",
        )
    return LandmarkTable(ids, table)


def _mapped(path: Path, shape: tuple[int, ...]) -> FloatArray:
    if 0 in shape:
        return np.empty(shape, np.float32)
    with path.open("rb") as file:
        # safetensors: 8 bytes that hold the length of a JSON head, the head, the values.
        start = 8 + int.from_bytes(file.read(8), "little")
    return np.memmap(path, np.dtype("<f4"), "r", start, shape)


class LandmarkTable(Mapping[str, FloatArray]):
    """Id -> (478, 3) float32 px, mapped from a file."""

    def __init__(self, ids: Sequence[str], table: FloatArray) -> None:
        self._rows = {one: row for row, one in enumerate(ids)}
        self._table = table

    def __getitem__(self, sample_id: str) -> FloatArray:
        return np.array(self._table[self._rows[sample_id]], np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def scaled(landmarks: FloatArray, scale: str) -> FloatArray:
    """(478, 3) px -> the same points under one of `SCALES`, centred unless ``px``."""
    require_known(scale, SCALES, "scale")
    if scale == "px":
        return landmarks
    if scale == "unit_sphere":
        centred = landmarks - landmarks.mean(axis=0)
        extent = np.linalg.norm(centred, axis=1).max()
    else:
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        centred = landmarks - (low + high) / 2
        extent = (high - low) / 2 if scale == "minmax_axis" else ((high - low) / 2).max()
    return np.asarray(centred / np.maximum(extent, 1e-6), np.float32)


def with_landmarks(
    samples: Iterable[Sample], landmarks: Mapping[str, FloatArray], scale: str = "minmax_axis"
) -> Iterator[Sample]:
    """The samples whose landmarks are known, with them; the others (no mesh was found) are left out."""
    for sample in samples:
        points = landmarks.get(sample.id)
        if points is not None:
            yield replace(sample, landmarks=scaled(points, scale))
