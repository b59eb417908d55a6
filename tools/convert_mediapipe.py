"""Convert the face nets of MediaPipe 0.10.21 to ONNX.

    python tools/convert_mediapipe.py                      # downloads the official wheel with pip
    python tools/convert_mediapipe.py --wheel FILE.whl     # or uses one that is already there

The wheel is checked against its SHA-256, opened as a zip archive and never installed or imported. Needed: the
packages ``onnx`` and ``flatbuffers``. Written to ``src/mien/face/weights/``: one ``.onnx`` file per net,
``LICENSE``, ``NOTICE`` and ``manifest.json``; a second run writes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnx_writer import GraphWriter
from tflite_reader import Model, read_model

__all__ = ["main"]

VERSION = "0.10.21"
PLATFORM = "manylinux_2_28_x86_64"
WHEEL = f"mediapipe-{VERSION}-cp311-cp311-{PLATFORM}.whl"
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
WEIGHTS = Path(__file__).resolve().parents[1] / "src" / "mien" / "face" / "weights"
IRIS_POINTS = 5
NOTICE = f"""The .onnx files in this folder are neural networks of MediaPipe
(https://github.com/google-ai-edge/mediapipe), Copyright The MediaPipe Authors,
licensed under the Apache License, Version 2.0; see LICENSE.

Origin: {WHEEL}
SHA-256 of the wheel: {WHEEL_SHA256}

What was changed, by tools/convert_mediapipe.py:
* The format: TensorFlow Lite to ONNX (images NCHW inside, free batch, uint8 RGB pixels as input).
  The weights are the same numbers; sparse ones are stored in full, float16 stays float16.
* PReLU is written as two depthwise convolutions, and the three custom operators of the attention mesh
  (Landmarks2TransformMatrix, TransformTensorBilinear, TransformLandmarks) as ordinary ONNX operators.
* The mesh: the refinement step of MediaPipe's graph (which point of the lips, eyes and irises replaces
  which point of the mesh) and the sigmoid of the face flag became part of the network.

Which file comes from which, with checksums: manifest.json.

mean_face.npz is mien's own (tools/build_mean_face.py), but for its array "edges": the edges of the face
mesh, from mediapipe/python/solutions/face_mesh_connections.py, Copyright The MediaPipe Authors, Apache-2.0.
"""
EYE_CONTOUR = 16  # the first 16 points of an eye's list run along its lids


@dataclass(frozen=True, slots=True)
class Net:
    """One net: file to write, file in the wheel, range of its input, what it is."""

    name: str
    source: str
    value_range: tuple[float, float]
    title: str


NETS = (
    Net(
        "detector_short.onnx",
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        (-1.0, 1.0),
        "BlazeFace, short range: large faces, 128 x 128 px",
    ),
    Net(
        "detector_full.onnx",
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        (-1.0, 1.0),
        "BlazeFace, full range: smaller faces, 192 x 192 px",
    ),
    Net(
        "face_mesh.onnx",
        "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
        (0.0, 1.0),
        "Attention mesh: 478 points, 192 x 192 px",
    ),
)


def fetch_wheel(folder: Path) -> Path:
    """Download the official wheel with pip into ``folder``."""
    command = [sys.executable, "-m", "pip", "download", f"mediapipe=={VERSION}", "--no-deps", "--quiet"]
    command += [
        "--python-version",
        "3.11",
        "--only-binary=:all:",
        "--platform",
        PLATFORM,
        "--dest",
        str(folder),
    ]
    subprocess.run(command, check=True)
    return folder / WHEEL


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checked_wheel(path: Path) -> zipfile.ZipFile:
    """Open the wheel after comparing its checksum; SystemExit when it differs."""
    found = sha256(path.read_bytes())
    if found != WHEEL_SHA256:
        raise SystemExit(
            f"{path} has the SHA-256 {found}; the official file has {WHEEL_SHA256}. Download it again."
        )
    return zipfile.ZipFile(path)


def convert_detector(model: Model, net: Net, notes: dict[str, str]) -> onnx.ModelProto:
    """Detector: ``scores`` (N, anchors) logits and ``boxes`` (N, anchors, 16) in px of the input, undecoded."""
    writer = GraphWriter(model, net.value_range)
    by_width = {model.tensors[number].shape[2]: number for number in model.outputs}
    anchors = model.tensors[by_width[1]].shape[1]
    scores = writer.add("Reshape", [writer.names[by_width[1]], writer.constant([0, anchors], "int64")])
    outputs = {
        "scores": (scores, ["batch", anchors]),
        "boxes": (writer.names[by_width[16]], ["batch", anchors, 16]),
    }
    return writer.finish(outputs, net.title, notes)


def convert_mesh(model: Model, net: Net, notes: dict[str, str]) -> onnx.ModelProto:
    """Mesh: ``landmarks`` (N, 478, 3) in px of the input and ``presence`` (N,) 0..1.

    The refinement of MediaPipe's graph is part of the net here: lips and eyes replace the x and y of the mesh
    points they refine and keep the mesh's z; the irises are points 468..477 and take the mean z of their lids.
    Which points a branch refines is read from the model (``subset_idxs``).
    """
    writer = GraphWriter(model, net.value_range)
    named = {model.tensors[number].name.removeprefix("output_"): number for number in model.outputs}
    subsets = {
        operator.options["left_rotation_idx"]: operator.options["subset_idxs"]
        for operator in model.operators
        if operator.kind == "Landmarks2TransformMatrix"
    }
    refined = {"lips": subsets[61], "left_eye": subsets[33], "right_eye": subsets[362]}
    mesh_number = named["mesh_identity"]
    count = model.tensors[mesh_number].shape[-1] // 3

    def points(number: int, width: int) -> str:
        rows = model.tensors[number].shape[-1] // width
        return str(writer.add("Reshape", [writer.names[number], writer.constant([0, rows, width], "int64")]))

    mesh = points(mesh_number, 3)
    plane = writer.add("Gather", [mesh, writer.constant([0, 1], "int64")], axis=2)
    depth = writer.add("Gather", [mesh, writer.constant([2], "int64")], axis=2)
    order, parts, depths = np.arange(count + 2 * IRIS_POINTS), [plane], [depth]
    start = count
    for region, indices in refined.items():
        order[indices] = np.arange(start, start + len(indices))
        parts.append(points(named[region], 2))
        start += len(indices)
    for side, first in (("left", count), ("right", count + IRIS_POINTS)):
        order[first : first + IRIS_POINTS] = np.arange(start, start + IRIS_POINTS)
        parts.append(points(named[f"{side}_iris"], 2))
        start += IRIS_POINTS
        lids = writer.constant(refined[f"{side}_eye"][:EYE_CONTOUR], "int64")
        mean = writer.add("ReduceMean", [writer.add("Gather", [depth, lids], axis=1)], axes=[1], keepdims=1)
        depths += [mean] * IRIS_POINTS
    flat = writer.add(
        "Gather", [writer.add("Concat", parts, axis=1), writer.constant(order, "int64")], axis=1
    )
    landmarks = writer.add("Concat", [flat, writer.add("Concat", depths, axis=1)], axis=2)
    flag = writer.add("Reshape", [writer.names[named["conv_faceflag"]], writer.constant([-1], "int64")])
    presence = writer.add("Sigmoid", [flag])
    outputs: dict[str, tuple[str, list[Any]]] = {
        "landmarks": (landmarks, ["batch", len(order), 3]),
        "presence": (presence, ["batch"]),
    }
    return writer.finish(outputs, net.title, notes)


def convert(net: Net, source: bytes) -> bytes:
    """The ONNX file of one net."""
    notes = {
        "source": f"{net.source} of mediapipe {VERSION}",
        "source_sha256": sha256(source),
        "license": "Apache-2.0",
    }
    build = convert_mesh if "landmark" in net.source else convert_detector
    return bytes(build(read_model(source), net, notes).SerializeToString(deterministic=True))


def main() -> None:
    """Convert all nets; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Convert the face nets of MediaPipe to ONNX.")
    parser.add_argument("--wheel", type=Path, help="the mediapipe wheel, if already downloaded")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = checked_wheel(arguments.wheel or fetch_wheel(Path(folder)))
        files = {}
        for net in NETS:
            source = wheel.read(net.source)
            data = convert(net, source)
            (arguments.out / net.name).write_bytes(data)
            files[net.name] = {
                "title": net.title,
                "sha256": sha256(data),
                "bytes": len(data),
                "source": net.source,
                "source_sha256": sha256(source),
            }
            print(f"{net.name}: {len(data):,} bytes")
        (arguments.out / "LICENSE").write_bytes(wheel.read(f"mediapipe-{VERSION}.dist-info/LICENSE"))
    (arguments.out / "NOTICE").write_text(NOTICE, encoding="utf-8")
    path = arguments.out / "manifest.json"
    before = json.loads(path.read_text(encoding="utf-8"))["files"] if path.is_file() else {}
    # Files of other tools (the mean face) keep their lines.
    files |= {name: entry for name, entry in before.items() if name not in files}
    manifest = {"wheel": WHEEL, "wheel_sha256": WHEEL_SHA256, "license": "Apache-2.0", "files": files}
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
