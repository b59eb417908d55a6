"""Which frames of a video a model reads, and the evidence of the main face in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mien.core.errors import BadInput
from mien.core.nouns import Evidence, Face
from mien.face.crop import canonical_crop
from mien.face.decode.clips import FOLDER_RATE, clip_length, middle, read_clip
from mien.face.decode.video import VideoFrame
from mien.face.finder import FaceFinder
from mien.face.tracks import FaceTracker

__all__ = ["central_evidence", "clip_evidence", "frame_indices"]

_LOOKS = 6.0
"""Looks per second, or a few more, by which a face is followed: near enough for the tracker to notice cuts."""


def frame_indices(frames: int, rate: float, limit: int | None = None) -> list[int]:
    """Frames that are read of a video: about one per second, as LLaMA-VID does it.

    Args:
        frames: how many the video has.
        rate: its frames per second. Below 0.5 the released code fails; here every frame is taken.
        limit: at most so many, spread evenly; None for all, which a long video's prompt may not hold.

    Raises:
        BadInput: no frames, or no positive rate.
    """
    if frames < 1 or not rate > 0.0:
        raise BadInput(
            got=f"{frames} frames at {rate} per second", expected="both above 0", fix="Check the video"
        )
    chosen = list(range(0, frames, max(1, round(rate))))
    if limit is not None and len(chosen) > limit:
        chosen = [chosen[place * len(chosen) // limit] for place in range(limit)]
    return chosen


def clip_evidence(
    clip: Path,
    finder: FaceFinder,
    crop_size: int | None,
    *,
    limit: int | None = None,
    cropped: bool = False,
    rate: float = FOLDER_RATE,
) -> list[Evidence]:
    """The main face of a clip, at about one frame per second (`frame_indices`).

    Faces are followed by `FaceTracker`, with six looks per second or a few more. The main face is the track with the
    largest area summed over the frames that are read: it is large, and it is there for long.

    Args:
        clip: a video file or a folder of frames.
        finder: detector and mesh.
        crop_size: side of the crops in px; None leaves the pixels out.
        limit: at most so many frames, spread evenly.
        cropped: the frames are crops of one face already; nothing is detected.
        rate: frames per second of a folder.

    Returns:
        In order of time, with `Face.frame` and `Face.time`. Frames in which the face is not seen are left out; where
        crops show no landmarks at all, they come without. Empty: no face.
    """
    length = clip_length(clip, rate)
    chosen = frame_indices(length.frames, length.rate, limit)
    if cropped:
        shown = [
            _cut(frame, _given(finder, frame), crop_size) for frame in read_clip(clip, rate, set(chosen))
        ]
        return [one for one in shown if one.face.landmarks is not None] or shown
    step = max(1, int(length.rate // _LOOKS))
    looks = {*chosen, *range(0, chosen[-1], step)}
    tracker = FaceTracker(finder)
    tracks: dict[int, list[Evidence]] = {}
    for frame in read_clip(clip, rate, looks):
        faces = tracker.update(frame)
        if frame.index in chosen:
            for face in faces:
                tracks.setdefault(face.track or 0, []).append(_cut(frame, face, crop_size))
    return max(tracks.values(), key=lambda shown: sum(_area(one.face) for one in shown), default=[])


def central_evidence(
    clip: Path, finder: FaceFinder, crop_size: int | None, *, cropped: bool = False, rate: float = FOLDER_RATE
) -> Evidence | None:
    """The largest face of a clip's middle frame, for a model that reads one picture.

    Where that frame shows none, the first that does in steps of a second after it, else the last before it.

    Args:
        clip: a video file or a folder of frames.
        finder: detector and mesh.
        crop_size: side of the crop in px; None leaves the pixels out.
        cropped: the frames are crops of one face already.
        rate: frames per second of a folder.

    Returns:
        None: no face.
    """
    length = clip_length(clip, rate)
    centre, step = middle(length.frames), max(1, round(length.rate))
    after = set(range(centre, length.frames, step))
    for frame in read_clip(clip, rate, after):
        if cropped:
            return _cut(frame, _given(finder, frame), crop_size)
        if faces := finder.find(frame.image, frame.index, frame.time):
            return _cut(frame, faces[0], crop_size)
    found = None
    for frame in read_clip(clip, rate, set(range(centre % step, centre, step))):
        if faces := finder.find(frame.image, frame.index, frame.time):
            found = _cut(frame, faces[0], crop_size)
    return found


def _given(finder: FaceFinder, frame: VideoFrame) -> Face:
    return replace(finder.find_cropped(frame.image), frame=frame.index, time=frame.time, track=0)


def _cut(frame: VideoFrame, face: Face, crop_size: int | None) -> Evidence:
    if crop_size is None:
        return Evidence(face)
    crop, transform = canonical_crop(frame.image, face, crop_size)
    return Evidence(replace(face, crop=transform), crop)


def _area(face: Face) -> float:
    width, height = face.box[2:] - face.box[:2]
    return float(width * height)
