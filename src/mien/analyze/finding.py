"""From sources to frames with their faces, before a model reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mien.analyze.packed import Packed
from mien.analyze.sources import Source, on_disk
from mien.analyze.tables.own_table import frames_of_own_table
from mien.core.errors import MienError, require_range
from mien.core.nouns import Evidence, Face, FrameResult, Image
from mien.face.crop import canonical_crop
from mien.face.decode.images import load_image
from mien.face.decode.moving import VideoFrame, moving_kind
from mien.face.decode.part import WHOLE, Part
from mien.face.decode.video import read_frames
from mien.face.finder import FaceFinder, is_evident
from mien.face.landmark_files import read_landmarks
from mien.face.smooth import LandmarkSmoother
from mien.face.tracks import FaceTracker
from mien.work.loop import attempt

__all__ = ["FaceSource", "Film", "Found", "How", "grouped"]

_MAX_GROUP_FRAMES = 64
_MAX_GROUP_BYTES = 64_000_000
_MAX_BATCH = 1024


@dataclass(frozen=True, slots=True)
class How:
    """How sources are read."""

    cropped: bool
    explain: bool
    landmarks_only: bool
    batch_size: int
    smooth: bool
    keep_images: bool = False
    part: Part = WHOLE

    def __post_init__(self) -> None:
        require_range(self.batch_size, "batch_size", 1, _MAX_BATCH, whole=True, fix="Try 16, the default")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One frame with its faces, before reading."""

    frame: FrameResult
    evidence: tuple[Evidence, ...]
    image: Image | None
    last: bool = False
    closes: bool = False
    """Nothing after it is read together with it."""
    item: str = ""
    """Name of its `Source`."""


class FaceSource:
    """Finds the faces of sources.

    Args:
        faces: detector and mesh.
        crop_size: side of the crops that the model reads, in px.
    """

    def __init__(self, faces: FaceFinder, crop_size: int) -> None:
        self.faces, self._crop_size = faces, crop_size

    def find(self, source: Source, how: How) -> Iterator[Found]:
        """Frames of one source with their faces; the last one is marked; errors become a frame."""
        held: Found | None = None
        frames = self.frames(source, how)
        while (found := attempt(partial(next, frames, None), source.name)) is not None:
            if held is not None:
                yield held
            if isinstance(found, MienError):
                last = FrameResult(source.name, -1, 0.0, ()) if held is None else held.frame
                failed = replace(last, frame=last.frame + 1, faces=(), width=0, height=0, error=str(found))
                held = Found(replace(failed, video=last.video or source.kind == "video"), (), None)
                break
            held = replace(found, item=source.name)
        if held is not None:
            yield replace(held, last=True, closes=source.closes, item=source.name)

    def frames(self, source: Source, how: How) -> Iterator[Found]:
        """Frames of one source with their faces; errors are raised."""
        with on_disk(source) as readable:
            if readable.kind == "landmarks":
                yield from self._frames_of_landmarks(readable)
            elif readable.kind == "video":
                yield from self._frames_of_video(readable, how)
            else:
                yield self._frame_of_image(readable, how)

    def _frame_of_image(self, source: Source, how: How) -> Found:
        assert not isinstance(source.payload, Packed)  # `on_disk` has read it
        image = load_image(source.payload, name=source.name)
        faces = self.evident(image, how) if how.cropped else self.faces.find(image)
        return self.found(FrameResult(source.name, 0, 0.0, ()), image, faces, how)

    def evident(self, image: Image, how: How) -> list[Face]:
        """The face of a given crop, unless nothing of it is seen."""
        crop = self.faces.find_cropped(image)
        return [crop] if crop.landmarks is not None or (is_evident(crop) and not how.landmarks_only) else []

    def _frames_of_video(self, source: Source, how: How) -> Iterator[Found]:
        path = Path(str(source.payload))
        film = Film(self, how, source.name, paged=moving_kind(path) == "pages")
        for frame in read_frames(path, part=how.part):
            yield film.take(frame)

    def _frames_of_landmarks(self, source: Source) -> Iterator[Found]:
        path = Path(str(source.payload))
        frames = read_landmarks(path)
        own = frames_of_own_table(path, frames.points, frames.size, self.faces)
        if own is not None:
            yield from (Found(frame, faces, None) for frame, faces in own)
            return
        video = len(frames.points) > 1
        for index, points in enumerate(frames.points):
            faces: tuple[Evidence, ...] = ()
            if not math.isnan(points[0, 0]):
                face = self.faces.from_landmarks(points, frames.size)
                faces = (Evidence(replace(face, frame=index, track=0 if video else None)),)
            blank = FrameResult(source.name, index, 0.0, (), *frames.size, video=video)
            yield Found(blank, faces, None)

    def found(self, blank: FrameResult, image: Image, faces: Sequence[Face], how: How) -> Found:
        """A frame with the faces in it, each as the model shall see it."""
        height, width = image.shape[:2]
        evidence = []
        for face in faces:
            if how.landmarks_only:
                evidence.append(Evidence(face))
            else:
                crop, transform = canonical_crop(image, face, self._crop_size)
                evidence.append(Evidence(replace(face, crop=transform), crop))
        frame = replace(blank, width=width, height=height)
        return Found(frame, tuple(evidence), image if how.keep_images else None)


class Film:
    """The frames of one film, in order: who is followed from one to the next.

    Args:
        source: finds and cuts out faces.
        how: options; `How.part` was met already.
        name: of the film.
        paged: pages that have nothing to do with each other.
    """

    def __init__(self, source: FaceSource, how: How, name: str, paged: bool = False) -> None:
        self._source, self._how, self._name, self._paged = source, how, name, paged
        self._tracker = FaceTracker(source.faces)
        self._smoother = LandmarkSmoother() if how.smooth and not paged else None

    def take(self, frame: VideoFrame) -> Found:
        """The next frame with its faces."""
        if self._how.cropped:
            crops = self._source.evident(frame.image, self._how)
            faces = [replace(crop, frame=frame.index, time=frame.time, track=0) for crop in crops]
        elif self._paged:
            faces = self._source.faces.find(frame.image, frame.index)
        else:
            faces = self._tracker.update(frame)
        if self._smoother is not None:
            faces = self._smoother.smooth(faces)
        blank = FrameResult(self._name, frame.index, frame.time, (), video=True)
        return self._source.found(blank, frame.image, faces, self._how)


def grouped(found: Iterator[Found], batch_size: int) -> Iterator[list[Found]]:
    """Collect frames until they fill a batch, without crossing the border of a video or too much memory."""
    group: list[Found] = []
    for item in found:
        if group and group[-1].last and (item.frame.video or group[-1].frame.video):
            yield group
            group = []
        group.append(item)
        faces = sum(len(one.evidence) for one in group)
        size = sum(one.image.nbytes for one in group if one.image is not None)
        if item.closes or faces >= batch_size or len(group) >= _MAX_GROUP_FRAMES or size >= _MAX_GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group
