"""The face renderer: rasteriser, Action Unit truth, determinism, shards and the example clip."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from renderer import clip, shards
from renderer.faces import AU_NAMES, AU_SHAPES, FaceModel, au_truth, data_folder
from renderer.finish import develop, wear
from renderer.persona import Persona, make_persona
from renderer.raster import rasterise, smooth_noise
from renderer.sampling import PROTOTYPES, Expression, Pose, draw_expression, draw_pose, shapes_from_aus
from renderer.scene import Camera, Picture, Renderer
from renderer.shading import Light, MeshShade

DATA = data_folder()
needs_face = pytest.mark.skipif(
    not (DATA / "ict_facekit" / "ict_light.npz").exists(),
    reason="the ICT face is not there; set MIEN_DATA to the data folder",
)
FRONT = Pose(0.0, 0.0, 0.0)
CAMERA = Camera(90.0, 0.62, (0.0, 0.0))
LIGHT = Light(
    np.array([0.0, 0.37, 0.93], np.float32), np.full(3, 0.8, np.float32), np.full(3, 0.4, np.float32), 0.1
)


@pytest.fixture(scope="module")
def studio() -> Renderer:
    return Renderer(FaceModel(DATA))


@pytest.fixture(scope="module")
def person(studio: Renderer) -> Persona:
    drawn = make_persona(np.random.default_rng([3, 7]), studio.model, studio.shade, studio.maps, damp=0.3)
    return replace(drawn, curtain=None)


def picture_of(studio: Renderer, person: Persona, aus: dict[str, float], pose: Pose = FRONT) -> Picture:
    expression = Expression(shapes_from_aus(studio.model, aus), (0.0, 0.0), -1)
    background = np.full((160, 160, 3), 0.5, np.float32)
    return studio.draw(person, expression, pose, CAMERA, LIGHT, background)


def truth_of(model: FaceModel, shapes: np.ndarray) -> dict[str, float]:
    mesh = model.identity_mesh(np.zeros(model.identity_modes, np.float32))
    values = au_truth(model, shapes, model.express(mesh, shapes), mesh)
    return dict(zip(AU_NAMES, values.tolist(), strict=True))


def test_a_triangle_covers_the_pixel_centres_inside_it() -> None:
    points = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 0.0]], np.float32)
    found = rasterise(points, np.zeros(3, np.float32), np.array([[0, 1, 2]], np.int32), (4, 5))
    covered = np.zeros(20, dtype=bool)
    covered[found.pixel] = True
    y, x = np.mgrid[0:4, 0:5] + 0.5
    np.testing.assert_array_equal(covered.reshape(4, 5), x + y <= 4.0)
    back = found.interpolate(points, np.array([[0, 1, 2]], np.int32))
    np.testing.assert_allclose(back[:, 0], found.pixel % 5 + 0.5, atol=1e-5)
    np.testing.assert_allclose(back[:, 1], found.pixel // 5 + 0.5, atol=1e-5)


def test_the_nearer_triangle_wins_and_back_faces_are_dropped() -> None:
    points = np.array([[0, 0], [0, 9], [9, 0]] * 2, np.float32)
    depth = np.array([1, 1, 1, 2, 2, 2], np.float32)
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        triangles = np.array(order, np.int32)
        found = rasterise(points, depth, triangles, (9, 9))
        assert set(triangles[found.triangle, 0].tolist()) == {3}
    turned = np.array([[0, 2, 1]], np.int32)
    assert len(rasterise(points, depth, turned, (9, 9)).pixel) == 0
    assert len(rasterise(points, depth, turned, (9, 9), np.array([True])).pixel) > 30


def test_triangles_beyond_the_picture_are_clipped() -> None:
    points = np.array([[-500, -500], [-500, 600], [700, -500]], np.float32)
    found = rasterise(points, np.zeros(3, np.float32), np.array([[0, 1, 2]], np.int32), (7, 6))
    assert sorted(found.pixel.tolist()) == list(range(42))
    away = rasterise(points - 3000, np.zeros(3, np.float32), np.array([[0, 1, 2]], np.int32), (7, 6))
    assert len(away.pixel) == 0


def test_normals_of_a_flat_square_point_up_and_a_dent_is_a_fold() -> None:
    grid = np.stack(np.meshgrid(np.arange(7.0), np.arange(7.0), indexing="xy"), axis=-1).reshape(-1, 2)
    flat = np.column_stack([grid, np.zeros(49)]).astype(np.float32)
    corner = np.array([r * 7 + c for r in range(6) for c in range(6)])
    triangles = np.concatenate(
        [np.stack([corner, corner + 1, corner + 8], 1), np.stack([corner, corner + 8, corner + 7], 1)]
    ).astype(np.int32)
    shade = MeshShade(triangles, 49)
    normals = shade.normals(flat)
    np.testing.assert_allclose(normals, np.tile([0.0, 0.0, 1.0], (49, 1)), atol=1e-6)
    dented = flat.copy()
    dented[24, 2] = -0.5
    folds = shade.folds(dented, normals)
    assert folds.argmax() == 24
    assert folds[24] > 0.2
    np.testing.assert_allclose(shade.folds(flat, normals), 0.0, atol=1e-6)


def test_develop_averages_and_wear_keeps_the_shape_and_repeats() -> None:
    drawing = np.zeros((8, 12, 3), np.float32)
    drawing[::2] = 0.5
    developed = develop(drawing, (4, 6))
    assert developed.shape == (4, 6, 3)
    assert abs(int(developed[0, 0, 0]) - round(255 * 0.25 ** (1 / 2.2))) <= 1
    with pytest.raises(ValueError, match="whole multiple"):
        develop(drawing, (3, 6))
    picture = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    for seed in range(12):
        first, second = (wear(np.random.default_rng(seed), picture) for _ in range(2))
        assert first.shape == picture.shape
        np.testing.assert_array_equal(first, second)


def test_smooth_noise_stays_in_range_and_is_smooth() -> None:
    noise = smooth_noise(np.random.default_rng(0), 60, 80, 4)
    assert noise.shape == (60, 80)
    assert np.abs(noise).max() <= 1.0
    assert np.abs(np.diff(noise, axis=1)).max() < 0.25


@needs_face
@pytest.mark.parametrize("name", sorted(AU_SHAPES))
def test_each_au_is_its_own_coefficient(studio: Renderer, name: str) -> None:
    truth = truth_of(studio.model, shapes_from_aus(studio.model, {name: 0.6}))
    assert truth[name] == pytest.approx(0.6, abs=1e-5)
    others = {key: value for key, value in truth.items() if key not in (name, "AU25")}
    assert max(others.values()) == 0.0


@needs_face
def test_jaw_and_lip_truth(studio: Renderer) -> None:
    model = studio.model
    assert max(truth_of(model, shapes_from_aus(model, {})).values()) == 0.0
    levels = [truth_of(model, shapes_from_aus(model, {"AU25": value})) for value in (0.2, 0.5, 1.0)]
    assert 0.05 < levels[0]["AU25"] < levels[1]["AU25"] < levels[2]["AU25"] < 0.9
    assert all(level["AU26"] == pytest.approx(0.0, abs=1e-6) for level in levels)
    dropped = truth_of(model, shapes_from_aus(model, {"AU26": 0.5}))
    assert dropped["AU26"] == pytest.approx(0.5, abs=1e-5)
    assert dropped["AU27"] == 0.0
    assert dropped["AU25"] > 0.4
    wide = truth_of(model, shapes_from_aus(model, {"AU27": 0.5}))
    assert (wide["AU25"], wide["AU26"]) == (1.0, 1.0)
    assert wide["AU27"] == pytest.approx(0.5, abs=1e-5)
    for lifting in ("AU09", "AU10", "AU16"):
        assert truth_of(model, shapes_from_aus(model, {lifting: 1.0}))["AU25"] > 0.2
    shut = shapes_from_aus(model, {"AU26": 0.4})
    shut[model.shape_index["mouthClose"]] = shut[model.shape_index["jawOpen"]]
    assert truth_of(model, shut)["AU25"] == 0.0
    assert truth_of(model, shapes_from_aus(model, {"AU28": 0.7}))["AU28"] == pytest.approx(0.7, abs=1e-5)


@needs_face
def test_one_sided_actions_count_by_their_stronger_side(studio: Renderer) -> None:
    model = studio.model
    rng = np.random.default_rng(0)
    right = shapes_from_aus(model, {"AU14": 0.8}, rng, {"AU14": 0.1})
    left = shapes_from_aus(model, {"AU14": 0.8}, rng, {"AU14": -0.1})
    dimples = [model.shape_index[f"mouthDimple_{side}"] for side in "LR"]
    np.testing.assert_allclose(right[dimples], [0.8, 0.08], atol=1e-6)
    np.testing.assert_allclose(left[dimples], [0.08, 0.8], atol=1e-6)
    assert truth_of(model, right)["AU14"] == pytest.approx(0.8, abs=1e-5)


@needs_face
def test_drawn_expressions_hold_their_ranges(studio: Renderer) -> None:
    model = studio.model
    rng = np.random.default_rng(1)
    drawn = [draw_expression(rng, model) for _ in range(600)]
    shapes = np.stack([expression.shapes for expression in drawn])
    columns = np.arange(shapes.shape[1]) != model.shape_index["mouthClose"]
    assert shapes[:, columns].min() >= 0.0
    assert shapes.max() <= 1.0
    blink, wide = model.shape_index["eyeBlink_L"], model.shape_index["eyeWide_L"]
    assert not ((shapes[:, blink] > 0) & (shapes[:, wide] > 0)).any()
    prototypes = [expression.prototype for expression in drawn]
    assert 0.28 < np.mean(np.array(prototypes) >= 0) < 0.48
    assert set(prototypes) == {-1, *range(len(PROTOTYPES))}
    poses = [draw_pose(rng) for _ in range(500)]
    assert max(abs(pose.yaw) for pose in poses) <= 35
    assert np.median([abs(pose.yaw) for pose in poses]) < 12


@needs_face
def test_pose_signs(studio: Renderer, person: Persona) -> None:
    def nose(pose: Pose) -> np.ndarray:
        marks = picture_of(studio, person, {}, pose).landmarks
        return np.asarray(marks[30] - (marks[36] + marks[45]) / 2)

    straight = nose(FRONT)
    assert nose(Pose(20.0, 0.0, 0.0))[0] > straight[0] + 3
    assert nose(Pose(0.0, 15.0, 0.0))[1] < straight[1] - 2
    marks = picture_of(studio, person, {}, Pose(0.0, 0.0, 15.0)).landmarks
    slope = np.degrees(np.arctan2(*(marks[45] - marks[36])[::-1]))
    assert slope == pytest.approx(15.0, abs=3.0)


@needs_face
def test_the_picture_shows_the_face(studio: Renderer, person: Persona) -> None:
    """Lips redder than cheeks, pupils darker than sclera, an open mouth is dark, shut eyes have no white."""
    rest = picture_of(studio, person, {})
    marks = rest.landmarks

    def patch(image: np.ndarray, place: np.ndarray, reach: int = 1) -> np.ndarray:
        x, y = (round(float(value)) for value in place)
        return np.asarray(image[y - reach : y + reach + 1, x - reach : x + reach + 1].mean(axis=(0, 1)))

    cheek = patch(rest.image, (marks[31] + marks[2]) / 2)
    lower_lip = patch(rest.image, (marks[57] + marks[66]) / 2)
    assert lower_lip[0] / lower_lip[1] > 1.1 * cheek[0] / cheek[1]
    open_mouth = picture_of(studio, person, {"AU27": 0.6})
    middle = (open_mouth.landmarks[62] + open_mouth.landmarks[66]) / 2
    assert patch(open_mouth.image, middle)[1] < 0.5 * cheek[1]
    eye = np.mean(marks[42:48], axis=0)
    window = rest.image[round(eye[1]) - 2 : round(eye[1]) + 3, round(eye[0]) - 9 : round(eye[0]) + 10].mean(
        axis=2
    )
    assert window.min() < 0.35 * window.max()
    shut = picture_of(studio, person, {"AU43": 1.0})
    changed = np.abs(shut.image - rest.image).mean(axis=2)
    assert changed[round(eye[1]), round(eye[0])] > 10 * changed[round(marks[8][1]), round(marks[8][0])]


@needs_face
def test_samples_depend_only_on_seed_and_index() -> None:
    first = shards.draw_sample(DATA, 64, 5, 11)
    shards.draw_sample(DATA, 64, 5, 40)
    again, other = shards.draw_sample(DATA, 64, 5, 11), shards.draw_sample(DATA, 64, 6, 11)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.au, again.au)
    assert (first.image != other.image).any()
    assert first.identity == 1
    assert first.landmarks.min() > -6
    assert first.landmarks.max() < 70


@needs_face
def test_shards_resume_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD", 8)
    job = shards.Job(DATA, tmp_path / "out", 12, 48, 0)
    lines: list[str] = []
    assert shards.write_shards(job, 1, lines.append) == 12
    assert len(lines) == 2
    files = sorted(job.folder.iterdir())
    assert [file.name for file in files] == ["shard_0000.npz", "shard_0001.npz"]
    before = [file.read_bytes() for file in files]
    assert shards.write_shards(job, 1, lines.append) == 0
    files[1].unlink()
    assert shards.write_shards(job, 1, lines.append) == 4
    with np.load(files[1], allow_pickle=False) as new:
        assert new["images"].shape == (4, 48, 48, 3)
        assert new["au"].shape == (4, len(AU_NAMES))
        assert new["au_names"].tolist() == list(AU_NAMES)
        assert new["index"].tolist() == [8, 9, 10, 11]
        assert new["identity"].tolist() == [1] * 4
    assert [file.read_bytes() for file in files] == before


@needs_face
def test_the_command_line_writes_shards(tmp_path: Path) -> None:
    script = Path(clip.__file__).parents[1] / "render_faces.py"
    command = [
        sys.executable,
        str(script),
        "--count",
        "2",
        "--size",
        "48",
        "--out",
        str(tmp_path),
        "--data",
        str(DATA),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert "2 pictures drawn" in done.stdout
    assert (tmp_path / "shard_0000.npz").exists()


@needs_face
def test_clip_frames_carry_the_smile_and_the_surprise() -> None:
    neutral, smile, surprise = clip.clip_frames(DATA, count=71, step=35)
    au = {name: AU_NAMES.index(name) for name in AU_NAMES}
    assert neutral.au.max() == 0.0
    assert smile.au[au["AU12"]] > 0.9
    assert smile.au[au["AU25"]] > 0.2
    assert smile.au[au["AU01"]] == 0.0
    assert surprise.au[au["AU01"]] > 0.9
    assert surprise.au[au["AU26"]] > 0.7
    assert surprise.au[au["AU12"]] == 0.0
    assert smile.image.shape == (360, 480, 3)
    assert neutral.time == 0.0


@needs_face
def test_the_landmark_net_finds_and_follows_the_faces() -> None:
    pytest.importorskip("onnxruntime")
    mesh_room = pytest.importorskip("mien.face.mesh")
    net = mesh_room.FaceMesh(threads=1)
    presence, drawn, read = [], [], []
    for index in range(0, 64, 5):
        sample = shards.draw_sample(DATA, 144, 0, index)
        low, high = sample.landmarks.min(axis=0), sample.landmarks.max(axis=0)
        centre, side = (low + high) / 2, float((high - low).max())
        roi = mesh_room.Roi(float(centre[0]), float(centre[1]), size=1.5 * side, angle=0.0)
        result = net.landmarks(sample.image, [roi])[0]
        presence.append(result.presence)
        drawn.append((sample.landmarks[66] - sample.landmarks[62])[1] / side)
        read.append((result.landmarks[14] - result.landmarks[13])[1] / side)
    assert np.mean(np.array(presence) > 0.9) >= 0.9
    assert np.corrcoef(drawn, read)[0, 1] > 0.85
