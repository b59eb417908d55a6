"""Tables in the columns of OpenFace 2 and py-feat, for scripts that were written for those tools.

Names, order, separators and units are theirs; what mien does not measure is left out or empty, and
``schema.json`` says so. Sources: OpenFace 2.2 RecorderCSV.cpp and wiki *Output format*; py-feat 2 ``Fex``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mien.analyze.columns import (
    Cell,
    Column,
    ColumnGroup,
    Contents,
    Layout,
    emotion_labels,
    emotion_values,
    mesh_columns,
    mien_layout,
    of_face,
)
from mien.core.aus import AU_SETS, AUS, rounded_intensity
from mien.core.errors import require_known
from mien.core.nouns import AuReading, FaceResult, FrameResult
from mien.face.topology import DLIB68

__all__ = ["LAYOUTS", "layout_of", "openface_layout", "pyfeat_layout"]

_DLIB = list(DLIB68)


def layout_of(name: str, contents: Contents) -> Layout:
    """The layout ``name`` (``mien``, ``openface`` or ``pyfeat``) of a run.

    Raises:
        BadConfig: an unknown layout or label order.
    """
    require_known(name, LAYOUTS, "columns")
    return LAYOUTS[name](contents)


def _landmarks68(source: str, decimals: int) -> ColumnGroup:
    columns = [
        Column(f"{axis}_{point}", "number", f"{axis} of dlib-68 landmark {point}", "px", "px of the upright image",
               source, decimals)
        for axis in "xy" for point in range(68)
    ]  # fmt: skip

    def cells(face: FaceResult) -> Sequence[Cell]:
        if face.landmarks is None:
            return [None] * len(columns)
        values: list[float] = face.landmarks[_DLIB, :2].T.astype(np.float64).ravel().tolist()
        return values

    return of_face(columns, cells)


def _reading(face: FaceResult, key: str, stand_in: Mapping[str, str]) -> AuReading | None:
    """The measured reading of ``key``, or of the AU that stands in for it."""
    for candidate in (key, stand_in.get(key, "")):
        reading = face.aus.get(candidate)
        if reading is not None and reading.measured:
            return reading
    return None


def _radians(angle: float, sign: int) -> float:
    return sign * math.radians(angle) + 0.0


# -- OpenFace ------------------------------------------------------------------------------------------

_BLINK = {"AU45": "AU43"}
_OPENFACE_OMITTED = {
    "gaze_*, eye_lmk_*": "mien does not measure gaze",
    "pose_Tx, pose_Ty, pose_Tz": "the distance in mm needs the camera's focal length",
    "X_*, Y_*, Z_*": "3-D landmarks in mm need the camera's focal length",
    "p_scale, p_rx … p_33": "parameters of OpenFace's own point distribution model",
}
_OPENFACE_NOTES = (
    "Rows without a face hold NaN where OpenFace writes 0, so that a forgotten filter cannot bias a mean.",
    "x_*, y_* are the nearest points of the 478-point mesh, not CLNF landmarks.",
    "AUxx_c = 1 exactly when the FACS level reaches the cut-off, and AUxx_r = 5 * intensity: they never disagree.",
    "AU45 (blink) is read from AU43 (eyes closed) of the same frame when the model has no AU45.",
    "input is added as the last column; OpenFace writes one file per input.",
)


def _openface_frame(contents: Contents) -> ColumnGroup:
    sequence = not contents.photos_only
    confidence = Column(
        "confidence", "number", "the mesh's belief that a face is there", "", "0..1", "mesh", 2
    )
    columns = [Column("face", "integer", "number of the face in its photo", scale="0, 1, …"), confidence]
    if sequence:
        columns = [
            Column("frame", "integer", "number of the frame", scale="1, 2, …"),
            Column("face_id", "integer", "track id", scale="0, 1, …"),
            Column("timestamp", "number", "presentation time", "s", ">= 0", "container", 3),
            confidence,
            Column(
                "success", "integer", "whether the face was found with its landmarks", scale="0 no, 1 yes"
            ),
        ]

    def cells(frame: FrameResult, face: FaceResult | None, number: int) -> list[Cell]:
        if face is None:
            return [frame.frame + 1, None, frame.time, 0.0, 0] if sequence else [None, 0.0]
        belief = face.score if math.isnan(face.face.presence) else face.face.presence
        if not sequence:
            return [number, belief]
        identity = number if face.track is None else face.track
        return [frame.frame + 1, identity, frame.time, belief, int(face.landmarks is not None)]

    return ColumnGroup(tuple(columns), cells)


def _openface_pose() -> ColumnGroup:
    scale = (
        "rad; left-handed sign around camera axes x right, y down, z away; from mien's angles axis by axis"
    )
    meanings = (
        "pitch: + head lowered",
        "yaw: + turned to the subject's right",
        "roll: + clockwise in the image",
    )
    columns = [
        Column(f"pose_R{axis}", "number", meaning, "rad", scale, "attention mesh", 3)
        for axis, meaning in zip("xyz", meanings, strict=True)
    ]

    def cells(face: FaceResult) -> list[Cell]:
        if face.pose is None:
            return [None, None, None]
        return [_radians(face.pose.pitch, -1), _radians(face.pose.yaw, -1), _radians(face.pose.roll, 1)]

    return of_face(columns, cells)


def _openface_aus(contents: Contents) -> ColumnGroup:
    intensity, presence = AU_SETS["openface_r"], AU_SETS["openface_c"]
    columns = [
        *(Column(f"{key}_r", "number", f"intensity of {AUS[key].prose} {AUS[key].name}", "FACS level",
                 "0..5: 0 absent, 1=A … 5=E", contents.model, 2) for key in intensity),
        *(Column(f"{key}_c", "number", f"presence of {AUS[key].prose} {AUS[key].name}", "",
                 f"0 absent, 1 present: level >= {contents.cut_off}", contents.model, 1) for key in presence),
    ]  # fmt: skip

    def cells(face: FaceResult) -> list[Cell]:
        row: list[Cell] = []
        for key in intensity:
            reading = _reading(face, key, _BLINK)
            row.append(None if reading is None else rounded_intensity(reading.intensity, 5.0, 2))
        for key in presence:
            reading = _reading(face, key, _BLINK)
            row.append(None if reading is None else float(reading.presence))
        return row

    return of_face(columns, cells)


def openface_layout(contents: Contents) -> Layout:
    """Columns of OpenFace 2.2's CSV; the image header when all inputs are photos, else the sequence header."""
    source = ColumnGroup(
        (Column("input", "text", "the file as it was given"),), lambda frame, face, number: [frame.source]
    )
    groups = (
        _openface_frame(contents),
        _openface_pose(),
        _landmarks68("attention mesh, nearest points", 1),
        _openface_aus(contents),
        source,
    )
    return Layout("openface", groups, ", ", _OPENFACE_OMITTED, _OPENFACE_NOTES)


# -- py-feat -------------------------------------------------------------------------------------------

_PYFEAT_OMITTED = {
    "X, Y, Z": "the head's position needs the camera's focal length",
    "gaze_pitch, gaze_yaw, gaze_angle": "mien does not measure gaze",
    "valence, arousal": "mien does not measure them",
    "Identity, Identity_*": "mien does not recognise people; `track` follows a face through a video",
    "blendshapes": "mien measures Action Units, not ARKit shapes",
}
_PYFEAT_NOTES = (
    "AU columns hold probabilities of presence, as py-feat's detectors give them; intensities are in the mien layout.",
    "Emotion columns are py-feat 1 spellings; contempt has no column, the seven are given that it is none of it.",
    "track is added as the last column.",
)


def _pyfeat_face() -> ColumnGroup:
    meanings = {"X": "left edge", "Y": "top edge", "Width": "width", "Height": "height"}
    columns = [
        *(Column(f"FaceRect{part}", "number", f"{meaning} of the face box", "px", "px of the upright image",
                 "detector", 2) for part, meaning in meanings.items()),
        Column("FaceScore", "number", "the detector's belief that this is a face", "", "0..1", "detector", 6),
        Column("Pitch", "number", "+ head raised", "rad", "rad", "attention mesh", 6),
        Column("Roll", "number", "+ tilted to the subject's right", "rad", "rad", "attention mesh", 6),
        Column("Yaw", "number", "+ turned to the subject's right", "rad", "rad", "attention mesh", 6),
    ]  # fmt: skip

    def cells(face: FaceResult) -> list[Cell]:
        left, top, right, bottom = (float(edge) for edge in face.box)
        pose = face.pose
        angles: Sequence[Cell] = (None, None, None)
        if pose is not None:
            angles = (_radians(pose.pitch, 1), _radians(pose.roll, -1), _radians(pose.yaw, -1))
        return [left, top, right - left, bottom - top, face.score, *angles]

    return of_face(columns, cells)


def _pyfeat_aus(contents: Contents) -> ColumnGroup:
    keys = AU_SETS["pyfeat20"]
    columns = [
        Column(key, "number", f"probability that {AUS[key].prose} {AUS[key].name} is present", "probability",
               "0..1", contents.model if key in contents.aus else "not measured by this model", 6)
        for key in keys
    ]  # fmt: skip

    def cells(face: FaceResult) -> list[Cell]:
        readings = [_reading(face, key, {}) for key in keys]
        return [None if reading is None else reading.probability for reading in readings]

    return of_face(columns, cells)


def _pyfeat_emotions(contents: Contents) -> ColumnGroup:
    pairs = emotion_labels(contents.labels or "pyfeat1")
    columns = [
        Column(word, "number", f"probability that the face looks like {name}", "probability",
               "0..1; the emotion columns of a row sum to 1", contents.model, 6)
        for word, name in pairs
    ]  # fmt: skip
    return of_face(columns, lambda face: emotion_values(face, [name for _, name in pairs]))


def _minutes(time: float) -> str:
    return f"{int(time // 60):02d}:{int(time % 60):02d}"


def _pyfeat_source() -> tuple[ColumnGroup, ColumnGroup]:
    source = (
        Column("input", "text", "the file as it was given"),
        Column("frame", "integer", "index of the frame", scale="0, 1, …"),
        Column("FrameHeight", "integer", "height of the upright image", "px"),
        Column("FrameWidth", "integer", "width of the upright image", "px"),
        Column("approx_time", "text", "presentation time", "MM:SS"),
    )
    track = (Column("track", "integer", "id that stays with one person through a video", scale="0, 1, …"),)
    return (
        ColumnGroup(
            source,
            lambda frame, face, number: [
                frame.source, frame.frame, frame.height, frame.width, _minutes(frame.time)
            ],
        ),
        of_face(track, lambda face: [face.track]),
    )  # fmt: skip


def pyfeat_layout(contents: Contents) -> Layout:
    """Columns of py-feat's ``Fex`` table; ``NaN`` for AUs that the model does not measure."""
    source, track = _pyfeat_source()
    groups = [
        _pyfeat_face(),
        _landmarks68("attention mesh, nearest points", 2),
        _pyfeat_aus(contents),
        _pyfeat_emotions(contents),
        source,
    ]
    if contents.landmarks:
        groups.append(mesh_columns())
    return Layout("pyfeat", (*groups, track), ",", _PYFEAT_OMITTED, _PYFEAT_NOTES)


LAYOUTS: Mapping[str, Callable[[Contents], Layout]] = {
    "mien": mien_layout,
    "openface": openface_layout,
    "pyfeat": pyfeat_layout,
}
"""Layouts by the name that ``--columns`` takes."""
