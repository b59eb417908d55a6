"""Results as a run's journal keeps them: numbers rounded as the table shows them, only the landmarks it needs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from mien.core.aus import rounded_intensity
from mien.core.codec import decode, encode
from mien.core.nouns import LANDMARKS, AuReading, FaceResult, FloatArray, FrameResult, Pose
from mien.face.topology import DLIB68
from mien.work.journal import Journal, Row

__all__ = ["CARD", "FAULT", "FRAME", "Points", "frame_row", "frames_of", "items_of", "rounded"]

Points = Literal["none", "dlib68", "all"]
"""Which landmarks are kept: none, the 68 that other tools' columns need, or all 478."""
FRAME, CARD, FAULT = "frame", "card", "fault"
"""Kinds of the journal's rows: a `FrameResult`, what the report shows of one, and the error of one that was read, in
drawing it."""
_KEPT: Mapping[str, npt.NDArray[np.int64]] = {
    "dlib68": np.asarray(DLIB68, dtype=np.int64),
    "all": np.arange(LANDMARKS),
}


def rounded(frame: FrameResult) -> FrameResult:
    """``frame`` with the numbers that the journal keeps; landmarks and crops stay as they are."""
    faces = tuple(_rounded_face(result, round(frame.time, 6)) for result in frame.faces)
    return replace(frame, time=round(frame.time, 6), faces=faces)


def frame_row(frame: FrameResult, points: Points) -> Row:
    """A rounded frame as a row; of the landmarks only ``points`` are kept, the others become NaN."""
    faces = tuple(
        replace(one, face=replace(one.face, landmarks=_kept(one.face.landmarks, points)))
        for one in frame.faces
    )
    content = encode(replace(frame, faces=faces))
    return Row(
        frame.source, FRAME, frame.frame, json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    )


def frames_of(journal: Journal, sources: Iterable[str], kind: str = FRAME) -> Iterator[FrameResult]:
    """Stored frames of ``sources``, in that order, streamed."""
    return (frame for _, frame in items_of(journal, sources, kind))


def items_of(
    journal: Journal, sources: Iterable[str], kind: str = FRAME
) -> Iterator[tuple[str, FrameResult]]:
    """The same, each with its item."""
    for item, body in journal.bodies(sources, kind):
        yield item, decode(FrameResult, json.loads(body))


def _kept(landmarks: FloatArray | None, points: Points) -> FloatArray | None:
    if landmarks is None or points == "none":
        return None
    kept = np.full((LANDMARKS, 3), np.nan, dtype=np.float32)
    kept[_KEPT[points]] = landmarks[_KEPT[points]]
    return kept


def _rounded_face(result: FaceResult, time: float) -> FaceResult:
    face, pose = result.face, result.face.pose
    box = np.asarray([round(float(edge), 2) for edge in face.box], dtype=np.float32)
    turned = (
        None if pose is None else Pose(*(round(float(one), 3) for one in (pose.pitch, pose.yaw, pose.roll)))
    )
    score, presence = round(float(face.score), 6), round(float(face.presence), 6)
    return replace(
        result,
        face=replace(face, box=box, score=score, presence=presence, pose=turned, time=time),
        emotions={name: round(float(value), 6) for name, value in result.emotions.items()},
        aus={key: _rounded_reading(reading) for key, reading in result.aus.items()},
    )


def _rounded_reading(reading: AuReading) -> AuReading:
    return replace(
        reading,
        probability=round(float(reading.probability), 6),
        intensity=rounded_intensity(reading.intensity) if reading.measured else math.nan,
        left=round(float(reading.left), 6),
        right=round(float(reading.right), 6),
    )
