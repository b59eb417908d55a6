"""Landmarks against MediaPipe 0.10.21 (``tools/record_reference.py`` recorded them)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.face.detect import FaceDetector
from mien.face.mesh import FaceMesh, roi_from_detection

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("MIEN_DATA", ROOT.parent / "shared" / "data"))
REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "reference" / "mediapipe_0_10_21.json").read_text(encoding="utf-8")
)


def picture_bytes(name: str) -> bytes:
    """The file, or a skip when it belongs to the shared data and these are absent."""
    path, _, member = name.partition(":")
    full = (ROOT if path.startswith("examples/") else DATA) / path
    if not full.exists() and not path.startswith("examples/"):
        pytest.skip(f"the shared data file {path} is not on this machine")
    if member:
        with zipfile.ZipFile(full) as archive:
            return archive.read(member)
    return full.read_bytes()


def test_reference_is_broad_enough() -> None:
    assert REFERENCE["mediapipe"] == "0.10.21"
    assert len(REFERENCE["images"]) >= 8
    assert all(np.shape(row["faces"]) == (1, 478, 3) for row in REFERENCE["images"])


@pytest.mark.parametrize(
    "row", REFERENCE["images"], ids=lambda row: f"{Path(row['image']).stem}-{row['part']}"
)
def test_landmarks_agree_with_mediapipe(row: dict[str, Any]) -> None:
    data = picture_bytes(row["image"])
    assert hashlib.sha256(data).hexdigest() == row["sha256"], "another picture than the recorded one"
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    image = np.asarray(picture.crop(row["part"]) if row["part"] else picture)
    reference = np.array(row["faces"][0])
    rois = [roi_from_detection(found) for found in FaceDetector(threads=1).detect(image)]
    meshes = [result.landmarks for result in FaceMesh(threads=1).landmarks(image, rois)]
    ours = min(meshes, key=lambda mesh: float(np.linalg.norm((mesh - reference)[:, :2].mean(axis=0))))
    errors = np.linalg.norm((ours - reference)[:, :2], axis=1) / np.ptp(reference[:, 0])
    assert errors.mean() <= 0.011
    assert errors[468:].mean() <= 0.02, "irises"  # one of the faces wears sunglasses
    assert np.corrcoef(ours[:, 2], reference[:, 2])[0, 1] >= 0.995
    # the depth has MediaPipe's scale, not only its direction
    assert 0.95 < np.ptp(ours[:, 2]) / np.ptp(reference[:, 2]) < 1.05
