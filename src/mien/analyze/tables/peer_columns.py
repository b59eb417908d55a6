"""Tables in the columns of OpenFace 2 and py-feat, for scripts that were written for those tools.

Names, order, separators and units are theirs; what mien does not measure stands as empty columns or is left out, and
``schema.json`` says so. Sources: OpenFace 2.2 RecorderCSV.cpp and wiki *Output format*; the tables that py-feat 2
publishes as samples (``docs/data/news_sample`` of its repository).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mien.analyze.tables.columns import (
    FILLS,
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
    unmeasured,
)
from mien.core.aus import AU_SETS, AUS, rounded_intensity
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import AuReading, FaceResult, FrameResult
from mien.face.topology import DLIB68

__all__ = ["LAYOUTS", "layout_of", "openface_layout", "pyfeat_layout"]

_DLIB = list(DLIB68)


def layout_of(
    name: str, contents: Contents, fill: str | None = None, overlays: Mapping[str, str] | None = None
) -> Layout:
    """The layout ``name`` (a key of `LAYOUTS`) of a run.

    Args:
        name: of the layout.
        contents: what was measured.
        fill: what stands for missing numbers, a key of `FILLS`; None for what the layout has: ``nan`` in mien's own,
            ``empty`` in the others.
        overlays: see `mien_layout`.

    Raises:
        BadConfig: an unknown layout, filling or label order, or zeros in mien's own layout.
    """
    require_known(name, LAYOUTS, "columns")
    layout = mien_layout(contents, overlays) if name == "mien" else LAYOUTS[name](contents)
    if fill is None:
        return layout
    require_known(fill, FILLS, "fill")
    if (name, fill) == ("mien", "0"):
        raise BadConfig(
            got="fill 0 in mien's own columns, in which 0 is a measurement",
            expected="nan or empty",
            fix="Leave --fill out, or choose the columns of a tool that writes zeros",
        )
    return replace(layout, missing=FILLS[fill])


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
_GAZE, _CAMERA = "mien does not measure gaze", "needs the camera's focal length"
_MODEL = "parameter of OpenFace's own point distribution model"
_OPENFACE_EMPTY = {
    "gaze_*, eye_lmk_*": _GAZE,
    "pose_Tx, pose_Ty, pose_Tz": f"the distance in mm {_CAMERA}",
    "X_*, Y_*, Z_*": f"3-D landmarks in mm: {_CAMERA}",
    "p_scale, p_rx … p_33": _MODEL,
}
_OPENFACE_NOTES = (
    "Each input has a table of its own, named after it; a photo's begins with face, confidence.",
    "Columns under `omitted` are there and empty. Rows without a face are empty where OpenFace writes 0, so that a"
    " forgotten filter cannot bias a mean.",
    "x_*, y_* are the nearest points of the 478-point mesh, not CLNF landmarks.",
    "AUxx_c = 1 exactly when the FACS level reaches the cut-off, and AUxx_r = 5 * intensity: they never disagree.",
    "AU45 (blink) is read from AU43 (eyes closed) of the same frame when the model has no AU45.",
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
                 f"0 absent, 1 present: level >= {contents.cut_off}", contents.model, 2) for key in presence),
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


def _series(*names: str, count: int) -> Iterator[str]:
    return (f"{name}_{number}" for name in names for number in range(count))


def openface_layout(contents: Contents) -> Layout:
    """All columns of OpenFace 2.2's CSV; the image header when all inputs are photos, else the sequence header."""
    groups = (
        _openface_frame(contents),
        unmeasured((f"gaze_{eye}_{axis}" for eye in "01" for axis in "xyz"), _GAZE, 6),
        unmeasured(("gaze_angle_x", "gaze_angle_y"), _GAZE, 3),
        unmeasured(_series(*(f"eye_lmk_{axis}" for axis in "xyXYZ"), count=56), _GAZE),
        unmeasured((f"pose_T{axis}" for axis in "xyz"), f"mm; {_CAMERA}"),
        _openface_pose(),
        _landmarks68("attention mesh, nearest points", 1),
        unmeasured(_series("X", "Y", "Z", count=68), f"mm; {_CAMERA}"),
        unmeasured(("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", *_series("p", count=34)), _MODEL, 3),
        _openface_aus(contents),
    )
    return Layout("openface", groups, ",", _OPENFACE_EMPTY, _OPENFACE_NOTES, "", per_input=True)


def _openface_spaced(contents: Contents) -> Layout:
    """The same as OpenFace before 2.2 wrote it: a blank before each name and number but the first of a line."""
    return replace(openface_layout(contents), name="openface-spaced", separator=", ")


# -- py-feat -------------------------------------------------------------------------------------------

_PYFEAT_OMITTED = {
    "X, Y, Z": f"empty: the head's position {_CAMERA}",
    "gaze_pitch, gaze_yaw, gaze_angle": f"empty: {_GAZE}",
    "valence, arousal": "empty, and only with the mesh, as in py-feat 2: mien does not measure them",
    "Identity": "empty: mien does not recognise people; `track` follows a face through a video",
    "Identity_1 … Identity_512, blendshapes": "left out: mien does not measure them",
}
_PYFEAT_NOTES = (
    "AU columns hold probabilities of presence, as py-feat's detectors give them; intensities are in the mien layout.",
    "Emotions are spelled as py-feat 1 does, with the mesh as py-feat 2 does; contempt has no column, the seven are"
    " given that it is none of it.",
    "frame goes on through all inputs, so that no two pictures share a number; a single video keeps its own.",
    "track is added as the last column.",
)


def _pyfeat_face() -> ColumnGroup:
    meanings = {"X": "left edge", "Y": "top edge", "Width": "width", "Height": "height"}
    columns = [
        *(Column(f"FaceRect{part}", "number", f"{meaning} of the face box", "px", "px of the upright image",
                 "detector", 2) for part, meaning in meanings.items()),
        Column("FaceScore", "number", "the detector's belief that this is a face", "", "0..1", "detector", 6),
    ]  # fmt: skip

    def cells(face: FaceResult) -> list[Cell]:
        left, top, right, bottom = (float(edge) for edge in face.box)
        return [left, top, right - left, bottom - top, face.score]

    return of_face(columns, cells)


def _pyfeat_pose() -> ColumnGroup:
    meanings = {
        "Pitch": "head raised",
        "Roll": "tilted to the subject's right",
        "Yaw": "turned to the subject's right",
    }
    columns = [
        Column(name, "number", f"+ {meaning}", "rad", "rad", "attention mesh", 6)
        for name, meaning in meanings.items()
    ]

    def cells(face: FaceResult) -> Sequence[Cell]:
        if face.pose is None:
            return (None, None, None)
        return (_radians(face.pose.pitch, 1), _radians(face.pose.roll, -1), _radians(face.pose.yaw, -1))

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
    pairs = emotion_labels(contents.labels or ("pyfeat" if contents.landmarks else "pyfeat1"))
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
        Column("FrameHeight", "integer", "height of the upright image", "px"),
        Column("FrameWidth", "integer", "width of the upright image", "px"),
        Column("input", "text", "the file as it was given"),
        Column("frame", "integer", "number of the frame, through all inputs", scale="0, 1, …"),
        Column("approx_time", "text", "presentation time", "MM:SS"),
    )
    track = (Column("track", "integer", "id that stays with one person through a video", scale="0, 1, …"),)
    return (
        ColumnGroup(
            source,
            lambda frame, face, number: [
                frame.height, frame.width, frame.source, frame.frame, _minutes(frame.time)
            ],
        ),
        of_face(track, lambda face: [face.track]),
    )  # fmt: skip


def pyfeat_layout(contents: Contents) -> Layout:
    """Columns of py-feat's ``Fex`` table, those of its second detector when the mesh is written."""
    source, track = _pyfeat_source()
    affect = ("valence", "arousal") if contents.landmarks else ()
    groups = (
        _pyfeat_face(),
        _landmarks68("attention mesh, nearest points", 2),
        _pyfeat_pose(),
        unmeasured("XYZ", _CAMERA, 6),
        _pyfeat_aus(contents),
        _pyfeat_emotions(contents),
        unmeasured(
            (*affect, "gaze_pitch", "gaze_yaw", "gaze_angle"), "mien measures neither affect nor gaze", 6
        ),
        *((mesh_columns(),) if contents.landmarks else ()),
        source,
        unmeasured(("Identity",), "mien does not recognise people", kind="text"),
        track,
    )
    return Layout("pyfeat", groups, ",", _PYFEAT_OMITTED, _PYFEAT_NOTES, "", running=True)


LAYOUTS: Mapping[str, Callable[[Contents], Layout]] = {
    "mien": mien_layout,
    "openface": openface_layout,
    "openface-spaced": _openface_spaced,
    "pyfeat": pyfeat_layout,
}
"""Layouts by the name that ``--columns`` takes."""
