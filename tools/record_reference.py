"""Record the landmarks of MediaPipe 0.10.21 that the parity test compares with.

    pip install mediapipe==0.10.21        # Python 3.9 to 3.12, in an environment of its own
    python tools/record_reference.py --data ../shared/data

Written: ``tests/face/reference/mediapipe_0_10_21.json``: coordinates and the SHA-256 of each picture, no pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "tests" / "face" / "reference" / "mediapipe_0_10_21.json"
EXAMPLES = ("examples/eileen_collins.jpg", "examples/grace_hopper.jpg")
Box = tuple[int, int, int, int]
# Whole pictures, or squares of about three times the face, x0 y0 x1 y1 in px: on the whole of a group photo
# MediaPipe's detector reads the picture at a tenth of its size without smoothing, and its squares are off.
SAMPLES: tuple[tuple[str, Box | None], ...] = (
    ("samples/single_face.jpg", None),
    ("samples/multi_face.jpg", (110, 0, 420, 310)),
    ("samples/multi_face.jpg", (420, 220, 735, 535)),
    ("samples/multi_face.jpg", (575, 200, 900, 525)),
    ("samples/faceapi_sample1.jpg", (175, 190, 780, 795)),
    ("samples/faceapi_sample2.jpg", (1210, 0, 1855, 645)),
    ("samples/faceapi_sample3.jpg", (810, 0, 1530, 720)),
)
LONDON = "london/london.zip"
LONDON_PICTURES = 6
MOST_FACES = 1


def pictures(data: Path) -> list[tuple[str, Box | None, bytes]]:
    """(name, part or None, bytes) of every reference picture; a name is a path, or archive:member."""
    found: list[tuple[str, Box | None, bytes]] = [
        (name, None, (ROOT / name).read_bytes()) for name in EXAMPLES
    ]
    found += [(name, box, (data / name).read_bytes()) for name, box in SAMPLES]
    with zipfile.ZipFile(data / LONDON) as archive:
        members = sorted(name for name in archive.namelist() if "face336/" in name and name.endswith(".jpg"))
        step = len(members) // LONDON_PICTURES
        # an odd step in pairs of neutral and happiness takes both
        chosen = members[:: step | 1][:LONDON_PICTURES]
        found += [(f"{LONDON}:{name}", None, archive.read(name)) for name in chosen]
    return found


def landmarks_of(mesh: Any, data: bytes, part: Box | None) -> list[list[list[float]]]:
    """Faces (n, 478, 3) of one picture, in px of the part."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    image = np.asarray(picture.crop(part) if part else picture)
    height, width = image.shape[:2]
    result = mesh.process(image)
    scale = np.array([width, height, width])
    faces = []
    for face in result.multi_face_landmarks or []:
        points = np.array([[point.x, point.y, point.z] for point in face.landmark]) * scale
        faces.append(np.round(points, 2).tolist())
    return faces


def main() -> None:
    """Record all pictures; see the module's docstring."""
    import mediapipe  # type: ignore[import-not-found]

    parser = argparse.ArgumentParser(description="Record MediaPipe's landmarks.")
    parser.add_argument("--data", type=Path, required=True, help="folder with samples/ and london/")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    lines = []
    for name, part, data in pictures(arguments.data):
        # A fresh mesh per picture: nothing may be carried over.
        with mediapipe.solutions.face_mesh.FaceMesh(
            static_image_mode=True, refine_landmarks=True, max_num_faces=MOST_FACES
        ) as mesh:
            faces = landmarks_of(mesh, data, part)
        row = {"image": name, "part": part, "sha256": hashlib.sha256(data).hexdigest(), "faces": faces}
        lines.append(json.dumps(row, separators=(",", ":")))
        print(f"{name} {part or ''}: {len(faces)} faces")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    head = f'{{"mediapipe":"{mediapipe.__version__}","images":[\n'
    arguments.out.write_text(head + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
