"""The converted face nets against MediaPipe 0.10.21, picture by picture, and how long each net takes.

    python benchmarks/front_end.py [--limit N]

The reference landmarks were recorded by ``tools/record_reference.py``. Error is the mean 2-D distance of the 478
points in per cent of the face's width.
"""

from __future__ import annotations

import io
import json
import statistics
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from _record import ROOT, Record, needed_data, parser, run, spread
from PIL import Image as pillow

from mien.core.nouns import FloatArray, Image
from mien.face.detect import FaceDetector
from mien.face.mesh import FaceMesh, roi_from_detection
from mien.face.nets import open_net, run_net

REFERENCE = ROOT / "tests" / "face" / "reference" / "mediapipe_0_10_21.json"
ERROR_BAR, DEPTH_BAR = 1.1, 0.995
TIMED = 30


def measure(record: Record) -> None:
    needed_data()
    rows = json.loads(REFERENCE.read_text(encoding="utf-8"))["images"]
    detector, mesh = FaceDetector(record.options.threads), FaceMesh(record.options.threads)
    errors, depths = [], []
    for row in (rows[index] for index in spread(len(rows), record.options.limit)):
        reference = np.asarray(row["faces"][0], np.float32)
        ours = _nearest(detector, mesh, _picture(row), reference)
        error, depth = agreement(ours, reference)
        errors.append(error)
        depths.append(depth)
        name = Path(row["image"]).name + ("" if row["part"] is None else f" from x {row['part'][0]}")
        record.add(f"{name}: mean error", error, "%", bar=ERROR_BAR, at_most=True, n=len(reference))
        record.add(f"{name}: z correlation", depth, bar=DEPTH_BAR, n=len(reference))
    worst = f"worst {max(errors):.2f}", f"worst {min(depths):.4f}"
    record.add("all pictures: mean error", statistics.fmean(errors), "%", n=len(errors), note=worst[0])
    record.add("all pictures: z correlation", statistics.fmean(depths), n=len(depths), note=worst[1])
    timings(record)


def agreement(ours: FloatArray, reference: FloatArray) -> tuple[float, float]:
    """Mean 2-D error in per cent of the reference's width, and correlation of the depths."""
    distance = np.linalg.norm((ours - reference)[:, :2], axis=1)
    depth = float(np.corrcoef(ours[:, 2], reference[:, 2])[0, 1])
    return float(100.0 * distance.mean() / np.ptp(reference[:, 0])), depth


def timings(record: Record) -> None:
    """Each net on one picture and on a batch."""
    nets = {"face_mesh.onnx": 192} | _detectors()
    for name, side in nets.items():
        session = open_net(name, record.options.threads)
        for batch in (1, 8):
            images = np.zeros((batch, side, side, 3), np.uint8)
            run_net(session, images)
            taken = []
            for _ in range(TIMED):
                start = time.perf_counter()
                run_net(session, images)
                taken.append((time.perf_counter() - start) / batch)
            together = "" if batch == 1 else f", {batch} together"
            record.add(f"{name}: one picture{together}", 1000.0 * statistics.median(taken), "ms", n=TIMED)


def _detectors() -> dict[str, int]:
    """The other nets of the front-end with the side of their pictures."""
    from mien.face.nets import read_manifest

    sides = {}
    for name in sorted(read_manifest()["files"]):
        if name.endswith(".onnx") and name != "face_mesh.onnx":
            sides[name] = int(open_net(name).get_inputs()[0].shape[1])
    return sides


def _nearest(detector: FaceDetector, mesh: FaceMesh, image: Image, reference: FloatArray) -> FloatArray:
    """The mesh whose middle is nearest to the reference's."""
    rois = [roi_from_detection(found) for found in detector.detect(image)]
    found = [result.landmarks for result in mesh.landmarks(image, rois)]
    return min(found, key=lambda points: float(np.linalg.norm((points - reference)[:, :2].mean(axis=0))))


def _picture(row: dict[str, Any]) -> Image:
    path, _, member = row["image"].partition(":")
    full = ROOT / path if path.startswith("examples/") else needed_data(*path.split("/"))
    if member:
        with zipfile.ZipFile(full) as archive:
            data = archive.read(member)
    else:
        data = full.read_bytes()
    opened = pillow.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(opened.crop(row["part"]) if row["part"] else opened)


if __name__ == "__main__":
    run("front_end", parser(__doc__.splitlines()[0]), measure)
