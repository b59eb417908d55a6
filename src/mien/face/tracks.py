"""Faces followed through a video with stable ids.

Known faces are looked for around their last landmarks, which costs one run of the mesh each; the detector runs
now and then for new faces, and at once when a face is lost. Ids count up from 0 and are never used again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadConfig
from mien.core.nouns import Face, Image
from mien.face.decode.video import VideoFrame
from mien.face.finder import FaceFinder, box_overlap

__all__ = ["FaceTracker"]

_SAME_PLACE = 0.4
"""Overlap of boxes (intersection over union) above which two faces are one."""
_LARGEST_JUMP = 0.6
"""Way of a followed face between two frames, in face sizes, beyond which it is taken for another one."""
_REACH = 1.2
"""How far from its predicted place, in face sizes, a lost face may come back."""
_SIZE_CHANGE = 1.8
"""Ratio of sizes beyond which two faces are not the same."""
_SLOWING = 0.3
"""Seconds over which the motion of a lost face is carried on."""
_QUICK = 0.2
"""Cuts are looked for only between frames that follow within this many seconds."""
_ALIKE = 0.3
"""Correlation of two thumbnails below which a cut lies between them."""
_GLANCE = 24
"""Samples of a thumbnail along each side."""


@dataclass(slots=True)
class _Track:
    id: int
    face: Face
    velocity: npt.NDArray[np.float64]
    """(2,) px per second."""
    lost: bool = False

    def predicted(self, time: float) -> npt.NDArray[np.float64]:
        """(2,) centre expected at ``time``."""
        return _centre(self.face) + self.velocity * min(time - self.face.time, _SLOWING)

    def update(self, face: Face) -> None:
        step = face.time - self.face.time
        moved = (_centre(face) - _centre(self.face)) / step if step > 0 else np.zeros(2)
        self.velocity = moved if self.lost else 0.5 * self.velocity + 0.5 * moved
        self.face, self.lost = face, False


def _centre(face: Face) -> npt.NDArray[np.float64]:
    return np.asarray((face.box[:2] + face.box[2:]) / 2.0, dtype=np.float64)


def _size(face: Face) -> float:
    return max(float(np.sqrt(np.prod((face.box[2:] - face.box[:2]).astype(np.float64)))), 1.0)


def _differs(a: Face, b: Face, reach: float, place: npt.NDArray[np.float64]) -> float | None:
    """How far face ``b`` lies from ``place`` in sizes of ``a``; None when it is too far or of another size."""
    ratio = _size(b) / _size(a)
    distance = float(np.linalg.norm(_centre(b) - place)) / _size(a)
    return distance if distance <= reach and 1.0 / _SIZE_CHANGE < ratio < _SIZE_CHANGE else None


def _glance(image: Image) -> npt.NDArray[np.float64]:
    """A tiny grey picture with mean 0 and deviation 1 (0 throughout for a plain picture)."""
    rows, columns = (np.linspace(0, side - 1, _GLANCE).astype(np.int64) for side in image.shape[:2])
    grey = image[rows[:, None], columns[None]].mean(axis=2)
    spread = float(grey.std())
    return np.asarray((grey - grey.mean()) / spread) if spread > 0 else np.zeros_like(grey)


class FaceTracker:
    """Follow the faces of one video; make a new tracker for each video.

    Args:
        finder: detector and mesh.
        search_every: seconds between whole-picture searches while every known face is in sight.
        tiles_every: seconds between searches for small faces.
        remember: seconds for which a face that is out of sight keeps its id.
    """

    def __init__(
        self, finder: FaceFinder, search_every: float = 0.4, tiles_every: float = 1.0, remember: float = 1.0
    ) -> None:
        if min(search_every, tiles_every, remember) < 0:
            raise BadConfig(
                got=f"search_every={search_every}, tiles_every={tiles_every}, remember={remember}",
                expected="seconds >= 0",
            )
        self.finder = finder
        self.search_every, self.tiles_every, self.remember = search_every, tiles_every, remember
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._searched = self._tiled = -math.inf
        self._glance: npt.NDArray[np.float64] | None = None
        self._glance_time = -math.inf

    def update(self, frame: VideoFrame) -> list[Face]:
        """The faces of the next frame, the largest first, each with its track id.

        Frames must come in order of time.
        """
        if self._is_cut(frame):
            self._tracks = []
        self._tracks = [track for track in self._tracks if frame.time - track.face.time <= self.remember]
        self._follow(frame)
        in_sight = [track for track in self._tracks if not track.lost]
        missing = len(in_sight) < len(self._tracks) or not in_sight
        if missing or frame.time - self._searched >= self.search_every:
            self._search(frame)
        seen = [track.face for track in self._tracks if not track.lost]
        seen.sort(key=_size, reverse=True)
        return seen[: self.finder.max_faces]

    def _is_cut(self, frame: VideoFrame) -> bool:
        """Whether the picture has nothing in common with the one just before; a flash of light is no cut."""
        glance = _glance(frame.image)
        before, step = self._glance, frame.time - self._glance_time
        self._glance, self._glance_time = glance, frame.time
        if before is None or before.shape != glance.shape or step > _QUICK:
            return False
        return float((before * glance).mean()) < _ALIKE

    def _stamp(self, face: Face, frame: VideoFrame, track: int) -> Face:
        return replace(face, frame=frame.index, time=frame.time, track=track)

    def _follow(self, frame: VideoFrame) -> None:
        """Look for the faces of the frame before around their places; mark those not found as lost."""
        tracks = [track for track in self._tracks if not track.lost]
        found = self.finder.follow(frame.image, [track.face for track in tracks])
        near: list[tuple[float, int]] = []
        for number, (track, face) in enumerate(zip(tracks, found, strict=True)):
            track.lost = True
            if (
                face is not None
                and _differs(track.face, face, _LARGEST_JUMP, _centre(track.face)) is not None
            ):
                drift = float(np.linalg.norm(_centre(face) - track.predicted(frame.time)))
                near.append((drift, number))
        taken: list[Face] = []
        # Where two tracks have run onto one face, it is the one's whose way leads there.
        for _, number in sorted(near):
            track, face = tracks[number], found[number]
            if face is not None and all(box_overlap(face.box, other.box) <= _SAME_PLACE for other in taken):
                taken.append(face)
                track.lost = False
                track.update(self._stamp(face, frame, track.id))

    def _search(self, frame: VideoFrame) -> None:
        """Detect; give faces that come back their ids, and new faces new ones."""
        tiles = frame.time - self._tiled >= self.tiles_every
        self._searched = frame.time
        if tiles:
            self._tiled = frame.time
        seen = [track.face for track in self._tracks if not track.lost]
        new = [
            face
            for face in self.finder.detect(frame.image, tiles, seen)
            if all(box_overlap(face.box, other.box) <= _SAME_PLACE for other in seen)
        ]
        for face in self._come_back(new, frame):
            self._tracks.append(_Track(self._next_id, self._stamp(face, frame, self._next_id), np.zeros(2)))
            self._next_id += 1

    def _come_back(self, faces: Sequence[Face], frame: VideoFrame) -> list[Face]:
        """Hand faces to the lost tracks that fit best; returns the faces that fit none."""
        pairs = []
        for track in self._tracks:
            for number, face in enumerate(faces):
                if track.lost:
                    distance = _differs(track.face, face, _REACH, track.predicted(frame.time))
                    if distance is not None:
                        pairs.append((distance, number, track))
        left = dict(enumerate(faces))
        for _, number, track in sorted(pairs, key=lambda pair: pair[:2]):
            if track.lost and number in left:
                track.update(self._stamp(left.pop(number), frame, track.id))
        return list(left.values())
