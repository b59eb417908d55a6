"""Find every face of a picture: detection, mesh, rejection by presence, a second look, head pose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import CropTransform, Face, FloatArray, Image
from mien.face.crop import whole_image
from mien.face.detect import LOOKS, Detection, FaceDetector
from mien.face.mesh import MARGIN, FaceMesh, MeshResult, Roi, crop_roi, roi_from_detection, roi_from_landmarks
from mien.face.pose import align, checked_landmarks, head_pose

__all__ = ["FaceFinder", "box_overlap", "is_evident", "landmark_box"]

_SAME_FACE = 0.4
"""Boxes of landmarks that overlap more than this (intersection over union) show one face."""
_TURNED_PRESENCE = 0.8
"""A face found only in a turned picture must be surer, since three more tries invite false ones."""
_UPRIGHT_SCORE = 0.86
"""Detection score from which a face stands upright: of 480 pictures turned by any angle the wrong ones reach 0.82."""
_NO_FACE = 0.5
"""Misfit of given landmarks: 664 FER+ faces reach 0.09, without z 0.26, mirrored 0.40; a line has 0.95."""
_LIKELY = 0.72
"""Score below which the only faces of a picture may be parts of one that is turned."""
_KNOWN = 0.5
"""Overlap of a detection's box with the landmarks' from which it is that face; true ones reach 0.59 to 0.91."""
_INSIDE = 0.6
"""Share of a box within another above which both show one face."""
_CROP_ZOOMS = (1.0, 1.3)
"""Squares tried on a face crop, in sides of the picture; above 1 the border is repeated around it."""
_MORE_ZOOMS, _MORE_TURNS = (1.0, 1.5), (0.0, math.pi / 4, -math.pi / 4, math.pi / 2, -math.pi / 2)
"""Squares tried on a crop in which none of these holds a face."""
_CROP_FILL = 0.87
"""Share of a crop's side that its face fills, for the detectors."""
_SEEN = 0.45
"""Mean score from which the detectors see a face in a crop: 84 of noise reach 0.37."""
_SURE = 0.95
"""Presence from which the next square is not tried."""
_ASKEW = math.radians(8.0)
"""Turn between a square and the eyes found in it, from which the face is looked at again."""
_MORE_LOOKS = 2
"""How often at most."""


def is_evident(face: Face) -> bool:
    """Whether anything may be read from a face: false for a given crop in which neither net sees one."""
    return face.landmarks is not None or face.score > 0.0


def landmark_box(landmarks: FloatArray, width: int, height: int) -> FloatArray:
    """(4,) left, top, right, bottom of landmarks (478, 3), cut to the picture, px."""
    plane = landmarks[:, :2]
    edges = np.concatenate([plane.min(axis=0), plane.max(axis=0)])
    return np.asarray(np.clip(edges, 0, np.array([width, height, width, height])), dtype=np.float32)


def box_overlap(a: FloatArray, b: FloatArray) -> float:
    """Intersection over union of two boxes, 0..1; 0 for boxes without area."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    areas = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]))
    return shared / (areas - shared) if areas > shared else 0.0


class FaceFinder:
    """Faces of photos, face crops and given landmarks.

    Args:
        threads: CPU threads of the nets; None takes half of the cores, at most 4.
        device: of the nets, see `mien.face.onnx_sessions.providers_for`.
        max_faces: at most this many faces per picture, the largest ones.
        min_presence: 0..1; the mesh's belief below which a candidate is no face.
    """

    def __init__(
        self, threads: int | None = None, max_faces: int = 100, min_presence: float = 0.5, device: str = "cpu"
    ) -> None:
        if max_faces < 1 or not 0.0 < min_presence <= 1.0:
            raise BadConfig(
                got=f"max_faces={max_faces}, min_presence={min_presence}",
                expected="max_faces >= 1 and min_presence in (0, 1]",
            )
        self.detector = FaceDetector(threads, device=device)
        self.mesh = FaceMesh(threads, device)
        self.max_faces = max_faces
        self.min_presence = min_presence

    def find(self, image: Image, frame: int = 0, time: float = 0.0) -> list[Face]:
        """All faces of one picture, the largest first.

        Faces may be turned in the plane by any angle. When there is none, the picture is tried upside down and on
        its sides.

        Args:
            image: (H, W, 3) uint8 RGB, upright.
            frame: frame index to write into the faces.
            time: seconds to write into the faces.
        """
        faces = self._faces(image, self.detector.detect(image), self.min_presence)
        if all(face.score < _LIKELY for face in faces):
            faces = _outermost([*faces, *self._turned_faces(image)])
        return [replace(face, frame=frame, time=time) for face in faces]

    def _turned_faces(self, image: Image) -> list[Face]:
        """Faces that the detectors see in the picture upside down or on its sides only."""
        seen = [one for quarters in (1, 2, 3) for one in self._detect_turned(image, quarters)]
        seen.sort(key=lambda one: -one.score)
        kept: list[Detection] = []
        for one in seen:
            if all(_nested(one.box, other.box) < _INSIDE for other in kept):
                kept.append(one)
        return self._faces(image, kept, max(_TURNED_PRESENCE, self.min_presence))

    def detect(self, image: Image, tiles: bool = False, known: Sequence[Face] = ()) -> list[Face]:
        """Faces of a video frame: as `find`, but small-face tiles and turned tries only when asked for ``tiles``.

        Detections of the faces that are ``known`` to be in this frame are passed over: their meshes are there.
        """
        seen = self.detector.detect(image, tiles=tiles)
        new = [one for one in seen if all(box_overlap(one.box, face.box) <= _KNOWN for face in known)]
        faces = self._faces(image, new, self.min_presence)
        if not tiles or len(new) < len(seen) or any(face.score >= _LIKELY for face in faces):
            return faces
        return _outermost([*faces, *self._turned_faces(image)])

    def follow(self, image: Image, faces: Sequence[Face]) -> list[Face | None]:
        """Look for known faces in the next frame, each around its landmarks, without detection.

        Args:
            image: (H, W, 3) uint8 RGB.
            faces: faces with landmarks, from the frame before.

        Returns:
            One entry per face: the face in this frame (score and track kept), or None where it is gone.
        """
        rois = [roi_from_landmarks(face.landmarks) for face in faces if face.landmarks is not None]
        if len(rois) < len(faces):
            raise BadInput(
                got="a face without landmarks",
                expected="faces with landmarks",
                fix="Follow only faces with landmarks",
            )
        found: list[Face | None] = []
        for face, mesh in zip(faces, self._meshes(image, rois), strict=True):
            kept = mesh is not None and mesh.presence >= self.min_presence
            found.append(
                self._face(image, mesh, face.score, face.track) if mesh is not None and kept else None
            )
        return found

    def find_cropped(self, image: Image) -> Face:
        """The face of a picture that is a face crop already; see `find_cropped_batch`."""
        return self.find_cropped_batch([image])[0]

    def find_cropped_batch(self, images: Sequence[Image]) -> list[Face]:
        """Faces of pictures that are face crops already (FER+, aligned RAF-DB …), without detection.

        Args:
            images: (H, W, 3) uint8 RGB each, of any sizes; 48 px are enough.

        Returns:
            One face per picture: the box is the whole picture, and `Face.crop` shows the whole picture in the
            canonical crop. Where the presence stays below `min_presence`, landmarks and pose are None, and the score,
            otherwise 1, says how much of a face the detectors see: 0 where they see none, and nothing may be read
            (`is_evident`).
        """
        best: list[MeshResult | None] = [None] * len(images)
        for zoom in _CROP_ZOOMS:
            unsure = [i for i, mesh in enumerate(best) if mesh is None or mesh.presence < _SURE]
            tried = self._run([images[i] for i in unsure], [_central(images[i], zoom) for i in unsure])
            for i, other in zip(unsure, tried, strict=True):
                known = best[i]
                if other is not None and (known is None or other.presence > known.presence):
                    best[i] = other
        for i, mesh in enumerate(best):
            if mesh is None or mesh.presence < self.min_presence:
                best[i] = self._askew_crop(images[i]) or mesh
        sure = [i for i, mesh in enumerate(best) if mesh is not None and mesh.presence >= self.min_presence]
        rois = [
            roi_from_landmarks(mesh.landmarks) for mesh in best if mesh and mesh.presence >= self.min_presence
        ]
        again = self._run([images[i] for i in sure], rois)
        for i, mesh in zip(sure, again, strict=True):
            if mesh is not None and mesh.presence >= self.min_presence:
                best[i] = mesh
        return [self._cropped_face(image, mesh) for image, mesh in zip(images, best, strict=True)]

    def from_landmarks(self, landmarks: npt.ArrayLike, image_size: tuple[int, int]) -> Face:
        """A face from landmarks that the user brings.

        Args:
            landmarks: (478, 3) x, y, z in px, MediaPipe's order and signs.
            image_size: width and height of their picture in px.

        Raises:
            BadInput: landmarks of another shape, NaN or infinite, or far from any face's; a picture size below 1 px.
        """
        points = checked_landmarks(landmarks)
        width, height = image_size
        if width < 1 or height < 1:
            raise BadInput(
                got=f"a picture of {width} x {height} px",
                expected="width and height in px",
                fix="Pass the real size",
            )
        fitted = align(points)
        if not fitted.misfit(points) < _NO_FACE:
            raise BadInput(
                got=f"landmarks that lie {fitted.misfit(points):.2f} eye distances from the mean face's",
                expected=f"MediaPipe's 478 points of a face (people stay below 0.09, {_NO_FACE} is refused)",
                fix="Check the order of the points and of x, y, z",
            )
        return Face(landmark_box(points, width, height), 1.0, points.copy(), pose=fitted.pose)

    def _faces(self, image: Image, detections: Sequence[Detection], min_presence: float) -> list[Face]:
        """Mesh on each detection, a second look at those that hold a face, one face per place."""
        found: list[tuple[float, MeshResult]] = []
        first = self._meshes(image, [roi_from_detection(detection) for detection in detections])
        for detection, mesh in zip(detections, first, strict=True):
            if mesh is not None and mesh.presence >= min_presence:
                found.append((detection.score, mesh))
        faces = []
        for (score, _), mesh in zip(found, self._settled(image, [mesh for _, mesh in found]), strict=True):
            # A true face is still one when looked at squarely; most false ones are not.
            if mesh is not None and mesh.presence >= min_presence:
                mesh, score = self._upright(image, mesh, score)
                faces.append(self._face(image, mesh, score, None))
        return _distinct(faces)[: self.max_faces]

    def _upright(self, image: Image, mesh: MeshResult, score: float) -> tuple[MeshResult, float]:
        """The mesh of the same face the right way up, and the detectors' mean score of that look.

        The mesh draws an upright face, and is sure of it, on one that stands on its head or lies on its side. The
        detectors are not deceived: both are asked about the face turned by quarters, unless they were sure before.
        """
        if score >= _UPRIGHT_SCORE:
            return mesh, score
        roi = roi_from_landmarks(mesh.landmarks)
        if not _meets(roi, image):
            return mesh, score
        turned = [replace(roi, angle=roi.angle + quarters * math.pi / 2.0) for quarters in range(4)]
        total = np.zeros(4, dtype=np.float32)
        for net, zoom in LOOKS:
            squares = [replace(one, size=one.size * zoom / MARGIN) for one in turned]
            total += self.detector.score(
                np.stack([crop_roi(image, one, net.side) for one in squares]), net, zoom
            )
        best = int(total.argmax())
        look = float(total[best]) / len(LOOKS)
        if not best:
            return mesh, look
        first = self._meshes(image, [turned[best]])[0]
        again = self._settled(image, [first])[0] if first is not None else None
        return (again, look) if again is not None and again.presence >= self.min_presence else (mesh, score)

    def _settled(self, image: Image, meshes: Sequence[MeshResult]) -> list[MeshResult | None]:
        """Look again around the landmarks, and once more at faces that the detector saw askew (lying ones)."""
        rois = [roi_from_landmarks(mesh.landmarks) for mesh in meshes]
        results = self._meshes(image, rois)
        for _ in range(_MORE_LOOKS):
            better = [
                roi if mesh is None else roi_from_landmarks(mesh.landmarks)
                for roi, mesh in zip(rois, results, strict=True)
            ]
            askew = [i for i, roi in enumerate(rois) if _turn(roi, better[i]) > _ASKEW]
            for i, mesh in zip(askew, self._meshes(image, [better[i] for i in askew]), strict=True):
                rois[i], results[i] = better[i], mesh
        return results

    def _detect_turned(self, image: Image, quarters: int) -> list[Detection]:
        """Detections in the picture turned counter-clockwise by quarter turns, in px of the unturned picture."""
        turned = np.ascontiguousarray(np.rot90(image, quarters))
        height, width = image.shape[:2]
        back = []
        for detection in self.detector.detect(turned, tiles=False):
            corners = _unturn(detection.box.reshape(2, 2), quarters, width, height)
            box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
            keypoints = _unturn(detection.keypoints, quarters, width, height)
            back.append(Detection(box, detection.score, keypoints))
        return back

    def _meshes(self, image: Image, rois: Sequence[Roi]) -> list[MeshResult | None]:
        return self._run([image] * len(rois), rois)

    def _run(self, images: Sequence[Image], rois: Sequence[Roi]) -> list[MeshResult | None]:
        """The mesh of each square; None where a square has left its picture."""
        inside = [i for i, roi in enumerate(rois) if _meets(roi, images[i])]
        crops = [crop_roi(images[i], rois[i]) for i in inside]
        results: list[MeshResult | None] = [None] * len(rois)
        for i, mesh in zip(inside, self.mesh.run(crops, [rois[i] for i in inside]), strict=True):
            results[i] = mesh
        return results

    def _askew_crop(self, image: Image) -> MeshResult | None:
        """The mesh of a crop whose face lies, hangs or fills it otherwise than usual; None where none is sure."""
        rois = [roi_from_detection(one) for one in self.detector.detect(image, tiles=False)]
        rois += [replace(_central(image, zoom), angle=turn) for zoom in _MORE_ZOOMS for turn in _MORE_TURNS]
        found = [mesh for mesh in self._meshes(image, rois) if mesh is not None and mesh.presence >= _SURE]
        return max(found, key=lambda mesh: mesh.presence, default=None)

    def _crop_look(self, image: Image) -> float:
        """How much of a face both detectors see in a crop, turned by eighths; 0 where that is as little as in noise."""
        total = np.zeros(8, dtype=np.float32)
        for net, zoom in LOOKS:
            square = _central(image, zoom * _CROP_FILL)
            turned = [replace(square, angle=eighths * math.pi / 4.0) for eighths in range(8)]
            total += self.detector.score(
                np.stack([crop_roi(image, one, net.side) for one in turned]), net, zoom
            )
        look = float(total.max()) / len(LOOKS)
        return look if look >= _SEEN else 0.0

    @staticmethod
    def _face(image: Image, mesh: MeshResult, score: float, track: int | None) -> Face:
        height, width = image.shape[:2]
        return Face(
            landmark_box(mesh.landmarks, width, height),
            score,
            mesh.landmarks,
            mesh.presence,
            head_pose(mesh.landmarks),
            track=track,
        )

    def _cropped_face(self, image: Image, mesh: MeshResult | None) -> Face:
        height, width = image.shape[:2]
        box = np.array([0, 0, width, height], dtype=np.float32)
        crop: CropTransform = whole_image(width, height, max(width, height))
        if mesh is None or mesh.presence < self.min_presence:
            score = self._crop_look(image)
            return Face(box, score, presence=mesh.presence if mesh else 0.0, crop=crop)
        return Face(box, 1.0, mesh.landmarks, mesh.presence, head_pose(mesh.landmarks), crop)


def _central(image: Image, zoom: float) -> Roi:
    height, width = image.shape[:2]
    return Roi(width / 2.0, height / 2.0, zoom * max(width, height), 0.0)


def _turn(a: Roi, b: Roi) -> float:
    """Radians 0..pi between two squares."""
    return abs(math.remainder(a.angle - b.angle, 2.0 * math.pi))


def _meets(roi: Roi, image: Image) -> bool:
    """Whether the centre of a square is near enough to the picture to show a good part of a face."""
    height, width = image.shape[:2]
    slack = roi.size / 4.0
    return -slack < roi.cx < width + slack and -slack < roi.cy < height + slack and roi.size > 1.0


def _unturn(points: FloatArray, quarters: int, width: int, height: int) -> FloatArray:
    """Points (N, 2) of ``np.rot90(image, quarters)`` -> px of the image of ``width`` x ``height``."""
    x, y = points[:, 0], points[:, 1]
    if quarters == 1:
        return np.stack([width - y, x], axis=1)
    if quarters == 2:
        return np.stack([width - x, height - y], axis=1)
    return np.stack([y, height - x], axis=1)


def _nested(a: FloatArray, b: FloatArray) -> float:
    """Share of the smaller of two boxes that lies within the other, 0..1."""
    shared = float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)))
    return shared / max(min(float(np.prod(box[2:] - box[:2])) for box in (a, b)), 1e-6)


def _outermost(faces: Sequence[Face]) -> list[Face]:
    """The faces without those that lie within a surer one, the largest first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_nested(face.box, other.box) < _INSIDE for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -float(np.prod(face.box[2:] - face.box[:2])))


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """One face per place, the surer one; sorted by area, largest first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.presence, -face.score)):
        if all(box_overlap(face.box, other.box) < _SAME_FACE for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -float(np.prod(face.box[2:] - face.box[:2])))
