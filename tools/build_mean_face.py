"""Write ``src/mien/face/weights/mean_face.npz``: mien's mean face, the fit's weights, mirror pairs, mesh edges.

    python tools/build_mean_face.py --wheel mediapipe-0.10.21-….whl [--data DIR]

* points: generalised Procrustes mean (Gower 1975) of the mesh's landmarks on the neutral frontal portraits of
  the London set's training part, made symmetric at every step; frontal by symmetry (yaw, roll), and by the
  average of the portraits (pitch).
* weights: inverse variance of each point about the fitted mean over FER+ training faces of every expression.
* mirror: the pairing of points under reflection, from the mean itself.
* edges: the mesh topology of MediaPipe (Apache-2.0), read from the wheel's face_mesh_connections.py, not imported.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from mien.core.paths import data_root, face_weights
from mien.face.mesh import FaceMesh, Roi, roi_from_landmarks
from mien.face.pose import MEAN_FACE_FILE, Alignment, fit_similarity

Points = npt.NDArray[np.float64]

FER_FACES = 1500
MIN_PRESENCE = 0.9
RIGHT_OUTER, LEFT_OUTER = 33, 263
CONNECTIONS = "mediapipe/python/solutions/face_mesh_connections.py"


def mesh_of_crop(mesh: FaceMesh, image: npt.NDArray[np.uint8]) -> Points | None:
    """Landmarks of a face crop after a second look, or None when the mesh is not sure."""
    height, width = image.shape[:2]
    first = mesh.landmarks(image, [Roi(width / 2, height / 2, 1.1 * max(width, height), 0.0)])[0]
    if first.presence < MIN_PRESENCE:
        return None
    second = mesh.landmarks(image, [roi_from_landmarks(first.landmarks)])[0]
    return second.landmarks.astype(np.float64) if second.presence >= MIN_PRESENCE else None


def london_neutral(root: Path, mesh: FaceMesh) -> Points:
    """(N, 478, 3) landmarks of the training part's neutral portraits."""
    found = []
    with zipfile.ZipFile(root / "london" / "london.zip") as pack:
        names = {Path(name).name: name for name in pack.namelist() if "face336" in name}
        manifest = next(name for name in pack.namelist() if name.endswith("manifest.csv"))
        rows = csv.DictReader(io.TextIOWrapper(pack.open(manifest), "utf-8"))
        for row in rows:
            if row["split"] == "train" and row["label"] == "neutral":
                with Image.open(pack.open(names[Path(row["file"]).name])) as picture:
                    points = mesh_of_crop(mesh, np.asarray(picture.convert("RGB")))
                if points is not None:
                    found.append(points)
    return np.stack(found)


def fer_faces(root: Path, mesh: FaceMesh, count: int) -> Points:
    """(N, 478, 3) landmarks of the first ``count`` FER+ training faces that the mesh is sure of."""
    with np.load(root / "ferplus" / "train.npz", allow_pickle=False) as pack:
        greys = pack["images"][:count]
    enlarged = (np.asarray(Image.fromarray(grey).convert("RGB").resize((192, 192))) for grey in greys)
    found = [mesh_of_crop(mesh, image) for image in enlarged]
    return np.stack([points for points in found if points is not None])


def undo(alignment: Alignment, points: Points) -> Points:
    """Landmarks in the mean face's frame."""
    return np.asarray((points - alignment.origin) @ alignment.rotation / alignment.scale)


def mirror_pairs(points: Points) -> npt.NDArray[np.int64]:
    """The one-to-one pairing of points with their reflections that costs least."""
    reflected = points * np.array([-1.0, 1.0, 1.0])
    cost = ((reflected[:, None] - points[None]) ** 2).sum(axis=2)
    pairs: npt.NDArray[np.int64] = linear_sum_assignment(cost)[1].astype(np.int64)
    if not np.array_equal(pairs[pairs], np.arange(len(pairs))):
        raise ValueError("the pairing of left and right points is not mutual")
    return pairs


def standard(points: Points, mirror: npt.NDArray[np.int64]) -> Points:
    """Symmetric, centred on the midpoint of the outer eye corners, which are 1 apart."""
    even = (points + points[mirror] * np.array([-1.0, 1.0, 1.0])) / 2.0
    even -= (even[RIGHT_OUTER] + even[LEFT_OUTER]) / 2.0
    return np.asarray(even / np.linalg.norm(even[LEFT_OUTER] - even[RIGHT_OUTER]))


def mean_shape(faces: Points) -> tuple[Points, npt.NDArray[np.int64]]:
    """Generalised Procrustes mean and the mirror pairs; zero pitch is the faces' average pose."""
    frame = faces - (faces[:, RIGHT_OUTER] + faces[:, LEFT_OUTER])[:, None] / 2.0
    frame = frame / np.linalg.norm(frame[:, LEFT_OUTER] - frame[:, RIGHT_OUTER], axis=1)[:, None, None]
    mean = frame.mean(axis=0)
    mirror = mirror_pairs(mean)
    mean = standard(mean, mirror)
    even = np.ones(len(mean))
    for _ in range(20):
        fitted = np.stack([undo(fit_similarity(mean, face, even), face) for face in frame])
        mean = standard(fitted.mean(axis=0), mirror)
    turns = np.sum([fit_similarity(mean, face, even).rotation for face in frame], axis=0)
    u, _, vt = np.linalg.svd(turns)
    tilt = np.arctan2((u @ vt)[2, 1], (u @ vt)[2, 2])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return standard(mean @ about_x.T, mirror), mirror


def stability(mean: Points, faces: Points, mirror: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(478,) weights, sum 1: inverse variance about the fitted mean, re-fitted three times, both sides alike."""
    weights = np.ones(len(mean))
    for _ in range(3):
        rest = np.stack([undo(fit_similarity(mean, face, weights), face) for face in faces]) - mean
        variance = np.median((rest**2).sum(axis=2), axis=0)
        variance = (variance + variance[mirror]) / 2.0
        weights = 1.0 / (variance + np.median(variance) / 4.0)
    return np.asarray(weights / weights.sum())


def wheel_edges(wheel: Path) -> npt.NDArray[np.int64]:
    """(E, 2) unique edges of FACEMESH_TESSELATION, smaller index first."""
    with zipfile.ZipFile(wheel) as pack:
        tree = ast.parse(pack.read(CONNECTIONS))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FACEMESH_TESSELATION":
            if not isinstance(node.value, ast.Call):
                break
            pairs = ast.literal_eval(node.value.args[0])
            return np.array(sorted({(min(pair), max(pair)) for pair in pairs}), dtype=np.int64)
    raise ValueError(f"{wheel} holds no FACEMESH_TESSELATION")


def _list_in_manifest(path: Path) -> None:
    """Give the file its checksum beside the nets', so that ``mien models verify`` checks it too."""
    manifest_path = path.parent / "manifest.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    manifest["files"][path.name] = {
        "title": "Mean face: 478 points, fit weights, mirror pairs, mesh edges",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "source": "tools/build_mean_face.py",
    }
    manifest_path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--wheel", type=Path, required=True, help="the mediapipe 0.10.21 wheel, for the mesh edges"
    )
    parser.add_argument("--data", type=Path, default=data_root(), help="folder of the training data")
    options = parser.parse_args()
    mesh = FaceMesh()
    portraits = london_neutral(options.data, mesh)
    mean, mirror = mean_shape(portraits)
    faces = fer_faces(options.data, mesh, FER_FACES)
    weights = stability(mean, faces, mirror)
    np.savez_compressed(
        face_weights() / MEAN_FACE_FILE,
        points=mean.astype(np.float32),
        weights=weights.astype(np.float32),
        mirror=mirror.astype(np.int16),
        edges=wheel_edges(options.wheel).astype(np.int16),
    )
    _list_in_manifest(face_weights() / MEAN_FACE_FILE)
    print(f"mean of {len(portraits)} portraits, weights from {len(faces)} faces")


if __name__ == "__main__":
    main()
