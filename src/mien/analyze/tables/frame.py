"""Results as a pandas data frame: the rows and columns of the table that a run writes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mien.analyze.tables.columns import Contents
from mien.analyze.tables.peer_columns import layout_of
from mien.core.aus import AUS
from mien.core.errors import BadInput, require
from mien.core.nouns import FaceResult, FrameResult

if TYPE_CHECKING:
    import pandas

__all__ = ["to_frame"]


def to_frame(
    results: FrameResult | Iterable[FrameResult], columns: str = "mien", *, landmarks: bool = False
) -> pandas.DataFrame:
    """One row per face, and one for a photo or frame without a face, as ``faces.csv`` has them.

    Args:
        results: of `Analyzer.analyze`, or one of them.
        columns: ``"mien"``, ``"openface"``, ``"openface-spaced"`` or ``"pyfeat"``. OpenFace's columns do not say of
            which input a row is: there the index does.
        landmarks: with the 478 points of the mesh.

    Returns:
        Numbers as float64 (NaN is missing), whole numbers as Int64 (NA is missing), text as objects. Names are those
        without blanks.
    """
    library = require("pandas", extra="pandas", purpose="data frames")
    frames = list(results) if isinstance(results, Iterable) else [results]
    for one in frames:
        if not isinstance(one, FrameResult):
            raise BadInput(
                got=f"a result of type {type(one).__name__}", expected="results of mien", fix="Pass them"
            )
    layout = layout_of(
        columns, _contents([face for frame in frames for face in frame.faces], frames, landmarks)
    )
    rows = list(layout.table(frames))
    kinds = {"text": "object", "integer": "Int64", "number": "float64"}
    table: pandas.DataFrame = library.DataFrame(
        {
            column.name: library.Series([row[place] for row in rows], dtype=kinds[column.kind])
            for place, column in enumerate(layout.columns)
        }
    )
    if layout.per_input:
        names = [frame.source for frame in frames for _ in frame.faces or (None,)]
        table.index = library.Index(names, name="input")
    return table


def _contents(faces: list[FaceResult], frames: list[FrameResult], landmarks: bool) -> Contents:
    measured = {key for face in faces for key in face.aus}
    return Contents(
        tuple(key for key in AUS if key in measured),
        "the model that was asked",
        explain=any(face.explanation is not None for face in faces),
        landmarks=landmarks,
        photos_only=not any(frame.video for frame in frames),
        cut_off=next((one.cut_off for face in faces for one in face.aus.values()), 1),
        sides=tuple({key for face in faces for key, one in face.aus.items() if not math.isnan(one.left)}),
    )
