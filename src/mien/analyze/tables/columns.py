"""The columns of the result table: mien's own, OpenFace 2's and py-feat's, each with its scale and source.

A layout is a list of column groups; the same group gives the cells of a row and their description for
``schema.json``, so the two cannot drift apart. One row per face; a frame without a face is one row whose
face columns are empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from mien.core.aus import AUS, rounded_intensity
from mien.core.emotions import EMOTIONS, ORDERS, canonical, order
from mien.core.errors import require_known
from mien.core.nouns import LANDMARKS, FaceResult, FrameResult

__all__ = [
    "FILLS",
    "Cell",
    "Column",
    "ColumnGroup",
    "Contents",
    "Layout",
    "emotion_labels",
    "emotion_values",
    "label_orders",
    "mien_layout",
]

Cell = str | int | float | None
"""None is a missing value: NaN in number columns, nothing in text columns."""
Kind = Literal["text", "integer", "number"]
FaceCells = Callable[[FaceResult], Sequence[Cell]]
FrameCells = Callable[[FrameResult, FaceResult | None, int], Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Column:
    """One column and everything ``schema.json`` says about it."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    scale: str = ""
    source: str = ""
    """What the value comes from."""
    decimals: int | None = None
    """Digits after the point that are kept (number columns)."""


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns that are filled together."""

    columns: tuple[Column, ...]
    cells: FrameCells


@dataclass(frozen=True, slots=True)
class Contents:
    """What a run measured, hence what its table can hold."""

    aus: tuple[str, ...]
    """AU keys of the model."""
    model: str
    """Its name."""
    labels: str | None = None
    """Spelling and order of the emotions: a key of `mien.core.emotions.ORDERS`; None is the layout's own."""
    explain: bool = False
    landmarks: bool = False
    photos_only: bool = False
    cut_off: int = 1
    sides: tuple[str, ...] = ()
    """Keys of the AUs whose sides the model tells apart."""


FILLS: Mapping[str, str] = {"empty": "", "nan": "NaN", "0": "0"}
"""What stands in number columns for what is missing, by the word that ``--fill`` takes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A table's columns, separator and what it leaves out."""

    name: str
    groups: tuple[ColumnGroup, ...]
    separator: str = ","
    omitted: Mapping[str, str] = field(default_factory=dict)
    """Columns of the model tool that are left out or empty -> why."""
    notes: tuple[str, ...] = ()
    missing: str = "NaN"
    """One of the values of `FILLS`."""
    per_input: bool = False
    """Each input has a table of its own, as the model tool writes them."""
    running: bool = False
    """Frames are numbered on through all inputs, so that the number alone tells a frame."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns in order."""
        return tuple(column for group in self.groups for column in group.columns)

    def table(self, frames: Iterable[FrameResult]) -> Iterator[list[Cell]]:
        """Rows of all frames, in order: one per face, or one for a frame without face."""
        source, first, following = None, 0, 0
        for frame in frames:
            if self.running and frame.source != source:
                source, first = frame.source, following
            following = first + frame.frame + 1
            yield from self.rows(replace(frame, frame=first + frame.frame) if self.running else frame)

    def rows(self, frame: FrameResult) -> Iterator[list[Cell]]:
        """Rows of one frame."""
        faces: tuple[FaceResult | None, ...] = frame.faces or (None,)
        for number, face in enumerate(faces):
            row: list[Cell] = []
            for group in self.groups:
                row += map(self._cell, group.columns, group.cells(frame, face, number))
            yield row

    def _cell(self, column: Column, value: Cell) -> Cell:
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return 0 if self.missing == "0" and column.kind != "text" else None
        return (
            round(value, column.decimals)
            if isinstance(value, float) and column.decimals is not None
            else value
        )


def unmeasured(names: Iterable[str], why: str, decimals: int = 1, kind: Kind = "number") -> ColumnGroup:
    """Columns that another tool has and mien does not measure: always empty."""
    columns = tuple(Column(name, kind, "always empty", scale=why, source="not measured", decimals=decimals)
                    for name in names)  # fmt: skip
    blank: tuple[Cell, ...] = (None,) * len(columns)
    return ColumnGroup(columns, lambda frame, face, number: blank)


def of_face(columns: Sequence[Column], cells: FaceCells) -> ColumnGroup:
    """A group that is empty in rows without a face."""
    blank: tuple[Cell, ...] = (None,) * len(columns)
    return ColumnGroup(tuple(columns), lambda frame, face, number: blank if face is None else cells(face))


# -- emotions ------------------------------------------------------------------------------------------


def label_orders() -> tuple[str, ...]:
    """Names accepted by ``--labels``: the orders whose every word is one of the eight emotions."""
    return tuple(name for name, words in ORDERS.items() if all(canonical(word) for word in words))


def emotion_labels(labels: str) -> tuple[tuple[str, str], ...]:
    """(foreign word, mien's name) in the order of the tool ``labels``."""
    require_known(labels, label_orders(), "labels")
    return tuple((word, canonical(word) or word) for word in order(labels))


def emotion_values(face: FaceResult, names: Sequence[str]) -> list[float]:
    """Probabilities of ``names``; renormalised to sum 1 when a name of the eight is not among them."""
    values = [float(face.emotions[name]) for name in names]
    if len(names) == len(EMOTIONS):
        return values
    total = sum(values)
    return [value / total if total > 0 else math.nan for value in values]


def _emotions(contents: Contents) -> ColumnGroup:
    pairs = emotion_labels(contents.labels or "mien")
    words, names = [word for word, _ in pairs], [name for _, name in pairs]
    partial = len(names) < len(EMOTIONS)
    scale = "0..1; the emotion columns of a row sum to 1"
    if partial:
        missing = ", ".join(name for name in EMOTIONS if name not in names)
        scale += f" (given that it is none of: {missing})"
    columns = [
        Column("emotion", "text", "most probable apparent emotion", scale=" | ".join(words), source=contents.model),
        *(
            Column(word, "number", f"probability that the face looks like {name}", "probability", scale,
                   contents.model, 6)
            for word, name in pairs
        ),
    ]  # fmt: skip

    def cells(face: FaceResult) -> list[Cell]:
        values = emotion_values(face, names)
        if any(math.isnan(value) for value in values):
            return [None] * len(columns)
        return [words[int(np.argmax(values))], *values]

    return of_face(columns, cells)


# -- Action Units --------------------------------------------------------------------------------------


def _aus(contents: Contents) -> ColumnGroup:
    columns: list[Column] = []
    for key in contents.aus:
        info = AUS[key]
        what, source = f"{info.prose} {info.name}", contents.model
        present = f"0 absent, 1 present: level >= {contents.cut_off}"
        columns += [
            Column(f"{key}_p", "number", f"probability that {what} is present", "probability",
                   "0..1; > 0.5 exactly when present", source, 6),
            Column(f"{key}_i", "number", f"intensity of {what}", "share of the maximum",
                   "0..1: 0 absent, 1 maximum", source, 6),
            Column(f"{key}_l", "integer", f"FACS level of {what}", "FACS level",
                   "0 absent, 1=A trace, 2=B slight, 3=C pronounced, 4=D severe, 5=E maximum;"
                   " level = floor(5 * intensity + 0.5)", source),
            Column(f"{key}_c", "integer", f"presence of {what}", "", present, source),
            *(Column(f"{key}_{side[0].upper()}", "number", f"intensity of {what} on the person's {side} side",
                     "share of the maximum", "0..1: 0 absent, 1 maximum", source, 6)
              for side in ("left", "right") if key in contents.sides),
        ]  # fmt: skip

    def cells(face: FaceResult) -> list[Cell]:
        row: list[Cell] = []
        for key in contents.aus:
            reading = face.aus.get(key)
            if reading is None or not reading.measured:
                row += (None, None, None, None)
            else:
                row += (
                    reading.probability,
                    rounded_intensity(reading.intensity),
                    reading.level,
                    int(reading.presence),
                )
            if key in contents.sides:
                row += (None, None) if reading is None else (reading.left, reading.right)
        return row

    return of_face(columns, cells)


# -- mien's own layout ---------------------------------------------------------------------------------

_PX = "px of the upright image"
_MESH = "attention mesh (478 points)"


def _frame_columns() -> ColumnGroup:
    columns = (
        Column("input", "text", "the file as it was given"),
        Column(
            "frame",
            "integer",
            "index of the frame in its video or landmark file",
            scale="0, 1, …; 0 for photos",
        ),
        Column("time", "number", "presentation time of the frame", "s", ">= 0; 0 for photos", "container", 6),
        Column("width", "integer", "width of the upright image", "px", "0 when it could not be read"),
        Column("height", "integer", "height of the upright image", "px", "0 when it could not be read"),
        Column("face", "integer", "number of the face in its frame", scale="0, 1, …"),
        Column(
            "track",
            "integer",
            "id that stays with one person through a video",
            scale="0, 1, …; empty for photos",
        ),
        Column("success", "integer", "whether a face was found", scale="1 found, 0 not found or error"),
        Column("error", "text", "why the item could not be analysed; empty when it could"),
    )

    def cells(frame: FrameResult, face: FaceResult | None, number: int) -> list[Cell]:
        where: list[Cell] = [frame.source, frame.frame, frame.time, frame.width, frame.height]
        if face is None:
            return [*where, None, None, 0, frame.error]
        return [*where, number, face.track, 1, frame.error]

    return ColumnGroup(columns, cells)


_TURNS = {
    "pitch": "head raised (+, chin up) or lowered (-)",
    "yaw": "head turned to the subject's left (+, image right) or right (-)",
    "roll": "head tilted to the subject's left (+, clockwise in the image) or right (-)",
}


def _face_columns() -> ColumnGroup:
    columns = (
        *(Column(f"box_{side}", "number", f"{side} edge of the face box", "px", _PX, "detector", 2)
          for side in ("left", "top", "right", "bottom")),
        Column("score", "number", "the detector's belief that this is a face", "", "0..1; 1 for given crops",
               "detector", 6),
        Column("presence", "number", "the mesh's belief that a face is there", "", "0..1", _MESH, 6),
        *(Column(name, "number", meaning, "degree", "0 faces the camera", _MESH, 3)
          for name, meaning in _TURNS.items()),
    )  # fmt: skip

    def cells(face: FaceResult) -> list[Cell]:
        pose = face.pose
        angles = (pose.pitch, pose.yaw, pose.roll) if pose is not None else (None, None, None)
        return [*(float(edge) for edge in face.box), face.score, face.face.presence, *angles]

    return of_face(columns, cells)


def _quality_columns() -> ColumnGroup:
    source = "front-end and model"
    numbers = (
        Column("eye_distance", "number", "distance between the centres of the eyes", "px", _PX, source, 1),
        Column("blur", "number", "how blurred the face is", "", "0 sharp … 1 nothing but blur", source, 3),
        Column("light", "number", "mean brightness of the face", "", "0 black … 1 white", source, 3),
        Column("turned", "number", "how far the head turns or nods away", "degree", "0 faces the camera", source, 1),
        Column("turned_in_plane", "number", "how far the face is turned in the plane of the picture", "degree",
               "-180..180, + clockwise as seen", source, 1),
    )  # fmt: skip
    texts = (
        Column(
            "hidden",
            "text",
            "regions that something covers; their AUs are missing",
            scale="brow | eyes | mouth",
        ),
        Column(
            "quality", "text", "what limits the reading, each limit with its reason; empty when nothing does"
        ),
    )

    def cells(face: FaceResult) -> list[Cell]:
        one = face.face.quality
        if one is None:
            return [None] * (len(numbers) + len(texts))
        said = " | ".join(f"{flag}: {reason}" for flag, reason in one.flags.items())
        return [
            one.eyes,
            one.blur,
            one.light,
            one.turned,
            one.in_plane,
            " ".join(one.hidden) or None,
            said or None,
        ]

    return of_face((*numbers, *texts), cells)


def mesh_columns() -> ColumnGroup:
    """``mesh_x_0 … mesh_x_477, mesh_y_…, mesh_z_…``: the whole mesh, in py-feat's names."""
    columns = [
        Column(f"mesh_{axis}_{point}", "number", f"{axis} of mesh point {point}", "px",
               _PX if axis != "z" else "px, smaller is nearer to the camera", _MESH, 3)
        for axis in "xyz" for point in range(LANDMARKS)
    ]  # fmt: skip

    def cells(face: FaceResult) -> Sequence[Cell]:
        if face.landmarks is None:
            return [None] * len(columns)
        values: list[float] = face.landmarks.T.astype(np.float64).ravel().tolist()
        return values

    return of_face(columns, cells)


def _explanations(contents: Contents) -> ColumnGroup:
    source = f"{contents.model}, audited against the AU columns"
    columns = (
        Column("explanation", "text", "observations, interpretation, conclusion; statements that the measurement"
               " contradicts are left out", source=source),
        Column("claims_supported", "integer", "AU statements that the measurement bears out", "count", ">= 0", source),
        Column("claims_unmeasured", "integer", "AU statements about AUs that were not measured", "count",
               ">= 0", source),
        Column("sentences_withheld", "integer", "sentences taken out: the measurement contradicts them, or they speak"
               " of what is hidden", "count", ">= 0", source),
        Column("withheld", "text", "the sentences that were taken out, joined by ' | '", source=source),
    )  # fmt: skip

    def cells(face: FaceResult) -> list[Cell]:
        explanation = face.explanation
        if explanation is None:
            return [None] * len(columns)
        counts = [
            sum(claim.verdict == verdict for claim in explanation.claims)
            for verdict in ("supported", "unmeasured")
        ]
        return [explanation.text, *counts, len(explanation.withheld), " | ".join(explanation.withheld)]

    return of_face(columns, cells)


def _overlay(overlays: Mapping[str, str]) -> ColumnGroup:
    column = Column("overlay", "text", "the copy of the input with everything drawn on it, beside the table")
    return ColumnGroup((column,), lambda frame, face, number: [overlays.get(frame.source)])


def mien_layout(contents: Contents, overlays: Mapping[str, str] | None = None) -> Layout:
    """mien's own columns: everything that was measured, one scale per column.

    Args:
        contents: what was measured.
        overlays: source -> file of its overlay, of a run that draws; looked up as rows are made.
    """
    groups = [_frame_columns(), _face_columns(), _quality_columns(), _emotions(contents), _aus(contents)]
    if contents.explain:
        groups.append(_explanations(contents))
    if contents.landmarks:
        groups.append(mesh_columns())
    if overlays is not None:
        groups.append(_overlay(overlays))
    return Layout("mien", tuple(groups))
