"""Box, landmarks and head pose of a training face: measured from its mesh, and placed in the square a model sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mien.core.nouns import CropTransform, FaceFacts, FloatArray, Sample, Turn
from mien.dialogue.say.face_tasks import read_facts
from mien.face.pose import head_pose
from mien.face.topology import DLIB68
from mien.train.data.faces import Faces

__all__ = ["measured_facts", "placed_sample", "seen_facts", "tells_places", "with_facts"]

_EYES = ((36, 39), (42, 45))
_NOSE, _MOUTH = 30, (48, 54)
_PLACED = ("bbox", "landmark", "headpose")


def measured_facts(landmarks: FloatArray) -> FaceFacts:
    """Facts in px from (478, 3) landmarks.

    The box is that of the mesh; eyes lie halfway between their corners, as the released code derives them for 300W-LP;
    the pose has 300W-LP's signs, which turn yaw to the other side than `Pose`'s.
    """
    pose = head_pose(landmarks)
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    marks = landmarks[list(DLIB68), :2].astype(np.float64)
    points = [(marks[outer] + marks[inner]) / 2 for outer, inner in _EYES]
    points += [marks[place] for place in (_NOSE, *_MOUTH)]
    return FaceFacts(
        box=(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])),
        points=tuple((float(x), float(y)) for x, y in points),
        pose=(-pose.yaw, pose.pitch, pose.roll),
    )


def seen_facts(facts: FaceFacts, matrix: npt.NDArray[np.float64], size: int) -> FaceFacts:
    """Facts in px of a picture as shares of the square crop that a model sees.

    Args:
        facts: of the whole picture; what is in shares already stays.
        matrix: (2, 3) from the picture to the crop.
        size: side of the crop in px.
    """
    if facts.unit == "share":
        return facts

    def placed(points: Sequence[tuple[float, float]]) -> npt.NDArray[np.float64]:
        return CropTransform(matrix, size).place(points) / size

    box, points, pose = facts.box, facts.points, facts.pose
    if box is not None:
        left, top, width, height = box
        corners = placed([(x, y) for x in (left, left + width) for y in (top, top + height)])
        low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        box = (low[0], low[1], high[0] - low[0], high[1] - low[1])
    if points is not None:
        points = tuple((x, y) for x, y in placed(points).tolist())
    if pose is not None:
        turned = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
        pose = (pose[0], pose[1], pose[2] + turned)
    return replace(facts, box=box, points=points, pose=pose, unit="share")


def with_facts(faces: Faces) -> Faces:
    """Samples without facts get those of their mesh, in px of the picture; where the mesh found no face, none."""
    samples = []
    for row, sample in enumerate(faces.samples):
        landmarks = faces.landmarks[faces.centre(row)]
        if sample.labels.facts is None and np.isfinite(landmarks).all():
            labels = replace(sample.labels, facts=measured_facts(landmarks))
            sample = replace(sample, labels=labels)
        samples.append(sample)
    return replace(faces, samples=tuple(samples))


def placed_sample(faces: Faces, row: int) -> Sample:
    """A sample whose facts, where it has some, are those of the crop that is shown of it (a clip's middle frame)."""
    sample = faces.samples[row]
    facts = sample.labels.facts
    if facts is None:
        return sample
    seen = seen_facts(facts, faces.transforms[faces.centre(row)], faces.crops.shape[1])
    return replace(sample, labels=replace(sample.labels, facts=seen))


def tells_places(turns: Sequence[Turn]) -> bool:
    """Whether an answer says where in the picture something is, or how the head is turned: a warp makes it wrong."""
    # Three whole numbers are no angles but codes of age, gender and race.
    said = [turn.text for turn in turns if turn.role == "assistant" and "." in turn.text]
    return any(not isinstance(read_facts(text, task), str) for text in said for task in _PLACED)
