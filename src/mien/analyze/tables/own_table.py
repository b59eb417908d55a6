"""Tables that mien wrote, as input again: of which picture, frame and person each row speaks."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from mien.core.errors import BadInput
from mien.core.formulas import unguarded
from mien.core.nouns import Evidence, FloatArray, FrameResult
from mien.face.finder import FaceFinder

__all__ = ["frames_of_own_table"]

_NAMES = ("input", "frame", "time", "width", "height", "face", "track")


@dataclass(frozen=True, slots=True)
class _Row:
    """What a row of the table says beside its numbers."""

    input: str
    frame: int
    time: float
    width: int
    height: int
    track: int | None


def _read(path: Path) -> list[_Row] | None:
    """The rows of a ``.csv`` table with mien's columns, in order."""
    if path.suffix.lower() != ".csv":
        return None
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        if not set(_NAMES) <= set(header):
            return None
        places = [header.index(name) for name in _NAMES]
        try:
            return [_made([row[place] for place in places]) for row in rows if row]
        except (ValueError, IndexError) as error:
            raise BadInput(
                got=f"{path} with a cell that is no number ({error})", expected="a table as mien wrote it",
                fix="Analyse the pictures again, or drop these columns",
            ) from error  # fmt: skip


def frames_of_own_table(
    path: Path, points: FloatArray, size: tuple[int, int], finder: FaceFinder
) -> Iterator[tuple[FrameResult, tuple[Evidence, ...]]] | None:
    """The frames of a table that mien wrote: who, when and where stay those of the table; None for any other file.

    Args:
        path: the file.
        points: (N, 478, 3) the landmarks of its rows.
        size: of a picture that the table does not tell.
        finder: makes faces of landmarks.
    """
    own = _read(path)
    return None if own is None or len(own) != len(points) else _frames(own, points, size, finder)


def _frames(
    own: Sequence[_Row], points: FloatArray, size: tuple[int, int], finder: FaceFinder
) -> Iterator[tuple[FrameResult, tuple[Evidence, ...]]]:
    films = {one.input for one in own if one.track is not None or one.frame}
    for (name, frame), rows in groupby(enumerate(own), lambda pair: (pair[1].input, pair[1].frame)):
        faces, width, height, time = [], *size, 0.0
        for number, row in rows:
            width, height, time = row.width or size[0], row.height or size[1], row.time
            if not math.isnan(points[number, 0, 0]):
                face = finder.from_landmarks(points[number], (width, height))
                faces.append(Evidence(replace(face, frame=frame, time=time, track=row.track)))
        yield FrameResult(name, frame, time, (), width, height, video=name in films), tuple(faces)


def _made(cells: Sequence[str]) -> _Row:
    name, frame, time, width, height, _, track = cells
    known = track.strip().lower() not in ("", "nan")
    return _Row(
        unguarded(name),
        int(frame),
        float(time),
        int(width or 0),
        int(height or 0),
        int(float(track)) if known else None,
    )
