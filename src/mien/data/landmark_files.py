"""Landmarks of a dataset, computed once by the face front-end and kept beside it: one safetensors file.

FacePhi's AffectLandmarkNet is AffectNet with such a file: `with_landmarks` joins the two. The tensor ``landmarks``
is float32 (N, 478, 3) in px of each picture; the metadata hold the sample ids and a hash of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.core.errors import BadConfig, BadData
from mien.core.nouns import LANDMARKS, FloatArray, Sample

__all__ = ["SCALES", "read_landmarks", "scaled", "with_landmarks", "write_landmarks"]

SCALES = ("px", "minmax_axis", "minmax_global", "unit_sphere")
"""How coordinates are scaled: not at all; each axis to -1..1; the longest axis to -1..1; the farthest point to 1."""


def write_landmarks(path: Path, landmarks: Mapping[str, FloatArray]) -> Path:
    """Write id -> (478, 3) px as one file, ids sorted; equal content gives equal bytes."""
    from safetensors.numpy import save_file

    ids = sorted(landmarks)
    table = np.stack([landmarks[one] for one in ids]) if ids else np.empty((0, LANDMARKS, 3), np.float32)
    table = np.ascontiguousarray(table, np.float32)
    if table.shape[1:] != (LANDMARKS, 3):
        raise BadData(
            got=f"landmarks of shape {table.shape[1:]}",
            expected=f"({LANDMARKS}, 3)",
            fix="Pass all 478 points",
        )
    # One key only: safetensors writes several in any order, and equal content must give equal bytes.
    about = json.dumps({"ids": ids, "hash": _hash(ids, table)})
    save_file({"landmarks": table}, path, metadata={"mien": about})
    return path


def read_landmarks(path: Path) -> dict[str, FloatArray]:
    """Read what `write_landmarks` wrote.

    Raises:
        BadData: the file is absent, damaged or altered.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {})["mien"])
            ids, table = about["ids"], file.get_tensor("landmarks")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadData(
            got=f"{path}: {error}", expected="a landmark file", fix="Compute the landmarks again"
        ) from error
    if about.get("hash") != _hash(ids, table) or len(ids) != len(table):
        raise BadData(
            got=f"{path}, whose content does not fit its hash",
            expected="an unaltered landmark file",
            fix="Compute the landmarks again",
        )
    return {one: row for one, row in zip(ids, table, strict=True)}


def _hash(ids: list[str], table: FloatArray) -> str:
    return hashlib.sha256(json.dumps(ids).encode() + table.tobytes()).hexdigest()


def scaled(landmarks: FloatArray, scale: str) -> FloatArray:
    """(478, 3) px -> the same points under one of `SCALES`, centred unless ``px``.

    Raises:
        BadConfig: no such scale.
    """
    if scale not in SCALES:
        raise BadConfig(
            got=f"scale {scale!r}", expected=f"one of {', '.join(SCALES)}", fix="Choose one of these"
        )
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
