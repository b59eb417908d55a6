"""The nets of the face front-end: what they find, and how they fail."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.core.errors import BadConfig, BadInput, MissingWeights
from mien.face.detect import Detection, FaceDetector
from mien.face.mesh import FaceMesh, Roi, crop_roi, roi_from_detection, roi_from_landmarks
from mien.face.nets import WEIGHTS, open_net, read_manifest, run_net

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("MIEN_DATA", ROOT.parent / "shared" / "data"))
SAMPLES = DATA / "samples"
needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the shared sample pictures are not on this machine"
)

Pixels = NDArray[np.uint8]


def read(path: Path) -> Pixels:
    return np.asarray(Image.open(path).convert("RGB"))


def frames(path: Path) -> Iterator[Pixels]:
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(threads=1)


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return FaceMesh(threads=1)


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    return read(ROOT / "examples" / "eileen_collins.jpg")


# --- weights --------------------------------------------------------------------------------------------------


def test_weights_are_the_files_of_the_manifest() -> None:
    sizes = {name: entry["bytes"] for name, entry in read_manifest()["files"].items()}
    assert sizes == {
        path.name: path.stat().st_size for path in WEIGHTS.iterdir() if path.suffix in (".onnx", ".npz")
    }
    assert sum(sizes.values()) < 4_000_000
    nets = [entry for name, entry in read_manifest()["files"].items() if name.endswith(".onnx")]
    assert len(nets) == 3 and all(len(entry["source_sha256"]) == 64 for entry in nets)
    assert "Apache License" in (WEIGHTS / "LICENSE").read_text(encoding="utf-8")
    assert read_manifest()["wheel_sha256"] in (WEIGHTS / "NOTICE").read_text(encoding="utf-8")


def test_changed_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS, folder)
    data = bytearray((folder / "detector_short.onnx").read_bytes())
    data[1000] ^= 1
    (folder / "detector_short.onnx").write_bytes(bytes(data))
    with pytest.raises(MissingWeights, match="SHA-256"):
        open_net("detector_short.onnx", 1, folder)
    assert open_net("detector_full.onnx", 1, folder) is not None


def test_absent_file_manifest_and_name(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"a.onnx": {"sha256": "", "bytes": 0}}}))
    with pytest.raises(MissingWeights, match=r"no readable file .*a\.onnx"):
        open_net("a.onnx", 1, tmp_path)
    with pytest.raises(MissingWeights, match="face_mesh"):
        open_net("nose.onnx")
    with pytest.raises(BadConfig, match="threads=0"):
        open_net("face_mesh.onnx", 0)


def test_converter_refuses_other_files() -> None:
    reader = pytest.importorskip("tflite_reader")
    with pytest.raises(ValueError, match="TFL3"):
        reader.read_model(b"PK\x03\x04 this is a zip archive, not a model")


def test_session_is_shared() -> None:
    assert open_net("face_mesh.onnx", 1) is open_net("face_mesh.onnx", 1)


@pytest.mark.parametrize("name", sorted(path.name for path in WEIGHTS.glob("*.onnx")))
def test_batch_equals_single(name: str) -> None:
    session = open_net(name, 1)
    side = session.get_inputs()[0].shape[1]
    images = np.random.default_rng(7).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    together = run_net(session, images)
    for number in range(len(images)):
        alone = run_net(session, images[number : number + 1])
        for one, many in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], many[number], rtol=1e-3, atol=1e-3)


# --- mesh -----------------------------------------------------------------------------------------------------


def test_mesh_of_a_portrait(detector: FaceDetector, mesh: FaceMesh, portrait: Pixels) -> None:
    (found,) = detector.detect(portrait)
    (result,) = mesh.landmarks(portrait, [roi_from_detection(found)])
    assert result.presence > 0.99
    assert result.landmarks.shape == (478, 3) and result.landmarks.dtype == np.float32
    points = result.landmarks
    # forehead above eyes above nose above mouth above chin; the nose tip is nearest to the camera
    assert points[10, 1] < points[468, 1] < points[1, 1] < points[13, 1] < points[152, 1]
    assert points[33, 0] < points[468, 0] < points[133, 0] < points[362, 0] < points[473, 0] < points[263, 0]
    assert points[1, 2] < points[234, 2] and points[1, 2] < points[454, 2]
    # the person's right eye is the first key point of the detector and the first iris
    assert np.linalg.norm(points[468, :2] - found.keypoints[0]) < 0.1 * (found.box[2] - found.box[0])


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_has_no_face(detector: FaceDetector, mesh: FaceMesh, value: int) -> None:
    image = np.full((240, 320, 3), value, dtype=np.uint8)
    assert detector.detect(image) == []
    assert mesh.landmarks(image, [Roi(160, 120, 150, 0.0)])[0].presence < 0.1


def test_same_input_same_bytes(detector: FaceDetector, mesh: FaceMesh, portrait: Pixels) -> None:
    first, second = detector.detect(portrait), detector.detect(portrait)
    assert [found.box.tobytes() for found in first] == [found.box.tobytes() for found in second]
    rois = [roi_from_detection(first[0])]
    one, two = mesh.landmarks(portrait, rois)[0], mesh.landmarks(portrait, rois)[0]
    assert one.landmarks.tobytes() == two.landmarks.tobytes() and one.presence == two.presence


@pytest.mark.parametrize("degrees", [-60, -20, 35, 90, 180])
def test_mesh_turns_with_the_square(
    detector: FaceDetector, mesh: FaceMesh, portrait: Pixels, degrees: int
) -> None:
    roi = roi_from_detection(detector.detect(portrait)[0])
    upright = mesh.landmarks(portrait, [roi])[0].landmarks
    height, width = portrait.shape[:2]
    turned = np.asarray(Image.fromarray(portrait).rotate(-degrees, Image.Resampling.BICUBIC))
    angle = math.radians(degrees)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = np.array([width / 2, height / 2])
    centre = rotation @ (np.array([roi.cx, roi.cy]) - middle) + middle
    result = mesh.landmarks(turned, [Roi(float(centre[0]), float(centre[1]), roi.size, roi.angle + angle)])[0]
    expected = (upright[:, :2] - middle) @ rotation.T + middle
    error = np.linalg.norm(result.landmarks[:, :2] - expected, axis=1).mean()
    assert result.presence > 0.9
    assert error < 0.025 * np.ptp(upright[:, 0])


def test_mesh_scales_with_the_picture(mesh: FaceMesh, detector: FaceDetector, portrait: Pixels) -> None:
    roi = roi_from_detection(detector.detect(portrait)[0])
    small = mesh.landmarks(portrait, [roi])[0].landmarks
    large_picture = np.asarray(Image.fromarray(portrait).resize((3072, 3072), Image.Resampling.BICUBIC))
    large = mesh.landmarks(large_picture, [Roi(roi.cx * 6, roi.cy * 6, roi.size * 6, roi.angle)])[0].landmarks
    assert np.linalg.norm(large[:, :2] / 6 - small[:, :2], axis=1).mean() < 0.01 * np.ptp(small[:, 0])


def test_tracking_square_stays_on_the_face(mesh: FaceMesh, detector: FaceDetector, portrait: Pixels) -> None:
    roi = roi_from_detection(detector.detect(portrait)[0])
    for _ in range(5):
        result = mesh.landmarks(portrait, [roi])[0]
        roi = roi_from_landmarks(result.landmarks)
        assert result.presence > 0.99
    assert (
        np.hypot(roi.cx - result.landmarks[:, 0].mean(), roi.cy - result.landmarks[:, 1].mean())
        < 0.2 * roi.size
    )


def test_crop_repeats_the_border() -> None:
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[:, :, 0] = 200
    crop = crop_roi(image, Roi(2.0, 20.0, 80.0, 0.3))
    assert crop.shape == (192, 192, 3) and crop[:, :, 0].min() == 200 and crop[:, :, 1:].max() == 0


def test_crop_reads_where_mediapipe_reads() -> None:
    # a ramp of one grey level per px: pixel u of the crop shows the px cx - size / 2 + u size / 192
    image = np.tile(np.arange(250, dtype=np.uint8)[None, :, None], (250, 1, 3))
    crop = crop_roi(image, Roi(120.0, 125.0, 192.0, 0.0))
    np.testing.assert_array_equal(crop[50, :, 0], np.arange(24, 216))
    turned = crop_roi(image, Roi(120.0, 125.0, 192.0, math.pi / 2))
    np.testing.assert_allclose(turned[:, 50, 0].astype(int), np.arange(216, 24, -1), atol=1)


@pytest.mark.parametrize(
    "roi",
    [Roi(math.nan, 5, 10, 0), Roi(5, 5, 0, 0), Roi(5, 5, -3, 0), Roi(500, 5, 10, 0), Roi(5, 5, math.inf, 0)],
)
def test_crop_refuses_impossible_squares(roi: Roi) -> None:
    with pytest.raises(BadInput):
        crop_roi(np.zeros((20, 20, 3), dtype=np.uint8), roi)


# --- detector -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 500, 3), (700, 3, 3)])
def test_odd_shapes_hold_no_face(detector: FaceDetector, shape: tuple[int, ...]) -> None:
    assert detector.detect(np.zeros(shape, dtype=np.uint8)) == []


@pytest.mark.parametrize(
    "image", [np.zeros((5, 5), np.uint8), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 3), np.float32)]
)
def test_other_arrays_are_refused(detector: FaceDetector, image: Pixels) -> None:
    with pytest.raises(BadInput, match="uint8"):
        detector.detect(image)


def test_options_are_checked() -> None:
    with pytest.raises(BadConfig, match="min_score"):
        FaceDetector(min_score=1.5)
    with pytest.raises(BadConfig, match="min_face"):
        FaceDetector(min_face=0)


def count_faces(found: list[Detection], mesh: FaceMesh, image: Pixels) -> int:
    results = mesh.landmarks(image, [roi_from_detection(detection) for detection in found])
    return sum(result.presence > 0.5 for result in results)


@pytest.mark.parametrize("name", ["eileen_collins.jpg", "grace_hopper.jpg"])
def test_examples_show_one_face(detector: FaceDetector, mesh: FaceMesh, name: str) -> None:
    image = read(ROOT / "examples" / name)
    for tiles in (False, True):
        found = detector.detect(image, tiles=tiles)
        assert len(found) == 1 and count_faces(found, mesh, image) == 1


@pytest.mark.parametrize("columns", [2, 4])
def test_grid_of_faces(detector: FaceDetector, mesh: FaceMesh, portrait: Pixels, columns: int) -> None:
    face = Image.fromarray(portrait).crop((100, 0, 356, 256)).resize((960 // columns, 960 // columns))
    image = np.tile(np.asarray(face), (columns, columns, 1))
    found = detector.detect(image)
    assert len(found) == columns**2 == count_faces(found, mesh, image)


def test_small_face_in_a_large_picture(detector: FaceDetector, mesh: FaceMesh, portrait: Pixels) -> None:
    image = np.full((1400, 2000, 3), 90, dtype=np.uint8)
    face = np.asarray(Image.fromarray(portrait).crop((100, 0, 356, 256)).resize((128, 128)))
    image[900:1028, 1500:1628] = face
    assert detector.detect(image, tiles=False) == []
    (found,) = detector.detect(image)
    middle = (found.box[:2] + found.box[2:]) / 2
    assert np.abs(middle - (1564, 964)).max() < 20 and found.box[2] - found.box[0] < 60
    assert count_faces([found], mesh, image) == 1


@needs_samples
@pytest.mark.parametrize(
    ("name", "faces"),
    [
        ("single_face.jpg", 1),
        ("multi_face.jpg", 5),
        ("faceapi_sample1.jpg", 3),
        ("faceapi_sample2.jpg", 3),
        ("faceapi_sample3.jpg", 3),
    ],
)
def test_faces_of_the_samples(detector: FaceDetector, mesh: FaceMesh, name: str, faces: int) -> None:
    image = read(SAMPLES / name)
    found = detector.detect(image)
    assert len(found) == faces == count_faces(found, mesh, image)


@needs_samples
def test_small_copies_keep_their_faces(detector: FaceDetector, mesh: FaceMesh) -> None:
    image = np.asarray(Image.open(SAMPLES / "multi_face.jpg").convert("RGB").resize((320, 213)))
    found = detector.detect(image)
    assert len(found) == 5 == count_faces(found, mesh, image)


@needs_samples
def test_no_face_in_the_cartoon(detector: FaceDetector, mesh: FaceMesh) -> None:
    for number, image in enumerate(frames(SAMPLES / "no_face.mp4")):
        assert count_faces(detector.detect(image), mesh, image) == 0, f"frame {number}"


@needs_samples
def test_video_path_follows_the_face(detector: FaceDetector, mesh: FaceMesh) -> None:
    for number, image in enumerate(frames(SAMPLES / "single_face.mp4")):
        if number % 6 == 0:
            found = detector.detect(image, tiles=False)
            assert len(found) == 1 == count_faces(found, mesh, image), f"frame {number}"
