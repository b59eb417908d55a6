"""From a person and an expression to a finished picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from renderer.faces import AU_SHAPES, LANDMARKS68, FaceModel, au_truth, lip_parting
from renderer.persona import Appearance, Curtain, Persona
from renderer.raster import Fragments, rasterise, smooth_noise
from renderer.regions import FACE_TILE, HEAD_TILE, WRINKLE_AUS, RegionMaps, region_maps
from renderer.sampling import Expression, Pose
from renderer.shading import Light, MeshShade, ambient_occlusion, light_pixels, shadow_mask

__all__ = [
    "Camera",
    "Frame",
    "Picture",
    "Renderer",
    "draw_background",
    "draw_camera",
    "draw_light",
    "frame_for",
    "rotation",
]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

_LUMINANCE = np.array([0.3, 0.6, 0.1], np.float32)
_TEETH = np.array([0.66, 0.61, 0.52], np.float32)
_MOUTH = np.array([0.36, 0.10, 0.09], np.float32)
_SOCKET = np.array([0.22, 0.05, 0.045], np.float32)
_SCLERA = np.array([0.50, 0.46, 0.44], np.float32)


@dataclass(frozen=True)
class Camera:
    """distance: eye to head centre in model units; fill: landmark box over picture height; shift: offset of
    the landmark box from the picture's middle, share of the picture."""

    distance: float
    fill: float
    shift: tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """Pixels per model unit at the head centre, and the pixel place of that centre (x, y)."""

    scale: float
    offset: tuple[float, float]


@dataclass(frozen=True)
class Picture:
    """image: linear RGB float32 [H, W, 3] at drawing size; au: float32 [22]; landmarks: float32 [68, 2] in
    pixels of the drawing."""

    image: FloatArray
    au: FloatArray
    landmarks: FloatArray


@dataclass(frozen=True)
class _Canvas:
    """The drawing so far: linear RGB [H * W, 3], nearest depth [H * W], (height, width)."""

    image: FloatArray
    depth: FloatArray
    size: tuple[int, int]

    @classmethod
    def over(cls, background: FloatArray) -> _Canvas:
        height, width = background.shape[:2]
        empty = np.full(height * width, -np.inf, np.float32)
        return cls(background.reshape(-1, 3).copy(), empty, (height, width))


def draw_camera(rng: np.random.Generator) -> Camera:
    """Near to far lens and a loosely centred face."""
    shift = rng.normal(0.0, 0.025, 2)
    distance, fill = rng.uniform(48, 150), rng.uniform(0.47, 0.72)
    return Camera(float(distance), float(fill), (float(shift[0]), float(shift[1])))


def draw_light(rng: np.random.Generator, gloss: float) -> Light:
    """A key light from the front half, warm to cool, with more or less sky."""
    angle = np.clip(rng.normal(0, 0.8), -1.7, 1.7)
    height = rng.uniform(-0.15, 1.1)
    direction = np.array([np.sin(angle), np.tan(height) * 0.8, np.cos(angle) * 0.9 + 0.15], np.float32)
    direction /= np.linalg.norm(direction)
    warmth = rng.normal(0.0, 0.1)
    tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth], np.float32)
    ambient = rng.uniform(0.15, 0.75)
    sky_tint = np.array([1.0, 1.0, 1.0], np.float32) + rng.normal(0, 0.06, 3).astype(np.float32)
    return Light(direction, tint * np.float32(1.25 - ambient), sky_tint * np.float32(ambient), gloss)


def draw_background(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """Gradients, soft noise and a few blurred blocks, linear RGB float32 [height, width, 3]."""
    ramp = rng.uniform(-1, 1) * np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    ramp = ramp + rng.uniform(-1, 1) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    grey = rng.uniform(0.0, 0.8, (2, 1)) ** 1.6
    base, other = (grey * (1.0 + rng.normal(0.0, 0.25, (2, 3))).clip(0.2, 2.0)).astype(np.float32)
    mix = 0.5 + 0.35 * ramp + 0.3 * smooth_noise(rng, height, width, int(rng.integers(2, 9)))
    for _ in range(int(rng.integers(0, 6))):
        left, right = np.sort(rng.integers(0, width + 1, 2))
        top, bottom = np.sort(rng.integers(0, height + 1, 2))
        mix[top:bottom, left:right] += rng.uniform(-0.5, 0.5)
    mix += rng.uniform(0, 0.12) * smooth_noise(rng, height, width, 60)
    image: FloatArray = base + (other - base) * np.clip(mix, 0, 1).astype(np.float32)[..., None]
    return image


class Renderer:
    """Holds what all pictures share: the model, its texture regions and ambient occlusion."""

    def __init__(self, model: FaceModel) -> None:
        """Prepare the maps (about two seconds)."""
        self.model = model
        self.maps: RegionMaps = region_maps(model)
        skin = model.in_parts("face", "head")
        smooth = model.in_parts("face", "head", "eyes", "teeth", "gums")
        self.shade = MeshShade(model.triangles[smooth], len(model.neutral))
        self._fold = MeshShade(model.triangles[model.in_parts("face")], model.part("face").vertices[1])
        solid = model.triangles[~model.in_parts("lashes")]
        openness = ambient_occlusion(model.neutral, self.shade.normals(model.neutral), solid)
        self._sky = np.clip(openness * 1.12, 0.06, 1.0).astype(np.float32)
        # The neutral mouth is shut, which says nothing about open mouths: there light fades with depth.
        for name in ("socket", "gums", "teeth"):
            inside = slice(*model.part(name).vertices)
            self._sky[inside] = np.clip((model.neutral[inside, 2] - 5.0) / 5.5, 0.1, 1.0) ** 1.5
        self._opaque = ~model.in_parts("lashes")
        self._outside = model.in_parts("face", "head", "orbit", "eyes")
        self._lash_rows = np.nonzero(model.in_parts("lashes"))[0]
        self._skin_triangles = model.triangles[skin]
        eyes = np.arange(*model.part("eyes").vertices)
        left = model.neutral[eyes, 0] > 0
        self._eye_rows = (eyes[left], eyes[~left])
        self._eye_axis = _eye_coordinates(model.neutral, self._eye_rows)

    def draw(
        self,
        person: Persona,
        expression: Expression,
        pose: Pose,
        camera: Camera,
        light: Light,
        background: FloatArray,
        exposure: float = 0.25,
        frame: Frame | None = None,
    ) -> Picture:
        """Draw one picture over `background` [H, W, 3]; drawing is not antialiased, so draw large and shrink.

        exposure: mean luminance the head is scaled to, 0-1 in linear light; frame: a fixed scale and
        place (for clips), by default the one `frame_for` finds.
        """
        model = self.model
        rest = person.bare
        mesh = model.express(person.mesh, expression.shapes, expression.gaze)
        truth = au_truth(model, expression.shapes, mesh, rest)
        turned = mesh @ rotation(pose).T
        size = background.shape[:2]
        frame = frame or frame_for(turned, camera, size)
        points, depth = _project(turned, camera, frame)
        parting = lip_parting(mesh, rest)
        parted = parting > 0.0 or expression.shapes[model.shape_index["jawOpen"]] > 0.02
        rows = np.nonzero(self._opaque if parted else self._outside)[0]
        normals = self.shade.normals(turned)
        surface = self._surface(turned, normals, light)
        surface[:, 5:7] -= self._eye_offset(rest)
        found = rasterise(points, depth, model.triangles[rows], size)
        colour = self._colour(person, found, rows, surface, expression, parting, light)
        gain = exposure / max(float((colour @ _LUMINANCE).mean()), 1e-3)
        colour *= np.float32(gain)
        light = replace(light, colour=light.colour * np.float32(gain), sky=light.sky * np.float32(gain))
        canvas = _Canvas.over(background)
        canvas.image[found.pixel] = colour
        canvas.depth[found.pixel] = found.depth
        if person.curtain is not None:
            turn = rotation(pose)
            hung = _project(person.curtain.vertices @ turn.T, camera, frame)
            _draw_curtain(person.looks, person.curtain, hung, turn, light, canvas)
        self._draw_lashes(person.looks, (points, depth), canvas)
        return Picture(canvas.image.reshape(*size, 3), truth, points[LANDMARKS68])

    def _eye_offset(self, rest: FloatArray) -> FloatArray:
        """Shift of the iris towards the middle of the lid opening, float32 [V, 2].

        The identity modes move lids and eyeballs apart; uncorrected, many people would squint.
        """
        out = np.zeros((len(rest), 2), np.float32)
        for rows, marks in zip(self._eye_rows, (slice(42, 48), slice(36, 42)), strict=True):
            centre = (rest[rows].min(axis=0) + rest[rows].max(axis=0)) / 2
            opening = rest[LANDMARKS68[marks]].mean(axis=0)
            out[rows] = (opening - centre)[:2] * np.array([0.8, 0.5], np.float32)
        return out

    def _surface(self, turned: FloatArray, normals: FloatArray, light: Light) -> FloatArray:
        """Per-vertex table: normal (3), open sky, lit share, eye axis (2), float32 [V, 7]."""
        folds = np.zeros(len(turned), np.float32)
        stop = self.model.part("face").vertices[1]
        folds[:stop] = np.clip(self._fold.folds(turned[:stop], normals[:stop]), -0.12, 0.12)
        sky = self._sky * np.clip(1.0 - 3.0 * folds, 0.5, 1.25)
        # Grazing light needs more room, or the coarse shadow picture speckles the skin.
        slack = 0.5 + 0.9 * (1.0 - np.clip(normals @ light.direction, 0.0, 1.0))
        lit = shadow_mask(turned, self._skin_triangles, light.direction, 160, slack)
        lit *= np.clip(1.0 - 2.5 * folds, 0.55, 1.2) * np.clip(self._sky * 2.0, 0.0, 1.0)
        return np.column_stack([normals, sky, lit, self._eye_axis]).astype(np.float32)

    def _colour(
        self,
        person: Persona,
        found: Fragments,
        rows: NDArray[np.int64],
        surface: FloatArray,
        expression: Expression,
        parting: float,
        light: Light,
    ) -> FloatArray:
        """Linear RGB of the covered pixels, float32 [P, 3]."""
        model = self.model
        triangles = model.triangles[rows]
        openness = 0.35 + 0.45 * min(1.0, 1.6 * float(parting))
        table = found.interpolate(surface, triangles)
        kind = model.part_of[rows][found.triangle]
        albedo = np.empty((len(kind), 3), np.float32)
        gloss = np.full((len(kind), 1), 0.25, np.float32)
        sky, lit = table[:, 3:4], table[:, 4:5]
        names = {part.name: row for row, part in enumerate(model.parts)}
        uv = found.interpolate(model.uv, model.uv_triangles[rows])
        textures = (("face", FACE_TILE, person.face_albedo), ("head", HEAD_TILE, person.head_albedo))
        for name, size, texture in textures:
            here = np.nonzero(kind == names[name])[0]
            texel = _texel(uv[here], size)
            albedo[here] = texture[texel]
            if name == "face":
                albedo[here] *= self._wrinkles(texel, person, expression)
        for name, colour in (("teeth", _TEETH), ("gums", _MOUTH), ("socket", _SOCKET), ("orbit", _SOCKET)):
            here = kind == names[name]
            albedo[here] = colour
            sky[here] *= openness
            lit[here] = np.maximum(lit[here], 0.7 * sky[here])
        eye = np.nonzero(kind == names["eyes"])[0]
        albedo[eye] = _eye_albedo(table[eye, 5:7], person)
        sky[eye] = 0.1 + 0.8 * sky[eye]
        lit[eye] *= 0.75
        gloss[eye] = 1.6
        return light_pixels(albedo, table[:, 0:3], sky, lit, gloss, light)

    def _wrinkles(self, texel: NDArray[np.int64], person: Persona, expression: Expression) -> FloatArray:
        """Darkening of the skin by the folds of the acting AUs, float32 [P, 1]."""
        weight = _wrinkle_weights(self.model, expression.shapes) * person.looks.wrinkles * 0.42 / 127.0
        active = np.nonzero(weight > 0.0005)[0]
        if not len(active):
            return np.ones((len(texel), 1), np.float32)
        lines = self.maps.wrinkles.reshape(-1, len(WRINKLE_AUS))[texel][:, active].astype(np.float32)
        return np.exp(lines @ weight[active].astype(np.float32))[:, None].astype(np.float32)

    def _draw_lashes(self, looks: Appearance, placed: tuple[FloatArray, FloatArray], canvas: _Canvas) -> None:
        """Blend the lash cards over the picture; the cards are half clear, in stripes."""
        model, rows = self.model, self._lash_rows
        every = np.ones(len(rows), dtype=np.bool_)
        found = rasterise(*placed, model.triangles[rows], canvas.size, every)
        ahead = found.depth > canvas.depth[found.pixel] - 0.02
        uv = found.interpolate(model.uv, model.uv_triangles[rows])[ahead]
        stripe = 0.7 + 0.3 * np.sin(uv[:, 0] * 260.0)
        opacity = (0.25 + 0.6 * looks.liner * stripe)[:, None].astype(np.float32)
        pixel = found.pixel[ahead]
        canvas.image[pixel] *= 1.0 - opacity * 0.9


def rotation(pose: Pose) -> FloatArray:
    """Matrix [3, 3] that turns the head (columns are points: turned = mesh @ rotation.T)."""
    yaw, pitch, roll = np.radians(pose.yaw), np.radians(-pose.pitch), np.radians(-pose.roll)
    turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    turn_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(turn_z @ turn_x @ turn_y, dtype=np.float32)


def frame_for(turned: FloatArray, camera: Camera, size: tuple[int, int]) -> Frame:
    """Scale and place the head so that its landmark box fills and sits in the picture as `camera` says."""
    marks = _perspective(turned[LANDMARKS68], camera)[0]
    low, high = marks.min(axis=0), marks.max(axis=0)
    height, width = size
    scale = camera.fill * height / float((high - low).max())
    middle = (low + high) / 2 * scale
    return Frame(
        scale,
        (
            width * (0.5 + camera.shift[0]) - float(middle[0]),
            height * (0.53 + camera.shift[1]) - float(middle[1]),
        ),
    )


def _perspective(turned: FloatArray, camera: Camera) -> tuple[FloatArray, FloatArray]:
    """Picture plane coordinates [V, 2], y down, model units at the head centre; and depth [V]."""
    near = (camera.distance / (camera.distance - turned[:, 2])).astype(np.float32)
    flat = np.stack([turned[:, 0] * near, -turned[:, 1] * near], axis=1)
    return flat, near * np.float32(10.0)


def _project(turned: FloatArray, camera: Camera, frame: Frame) -> tuple[FloatArray, FloatArray]:
    """Pixel coordinates [V, 2] and depth [V] (larger is nearer)."""
    flat, depth = _perspective(turned, camera)
    return flat * np.float32(frame.scale) + np.array(frame.offset, np.float32), depth


def _texel(uv: FloatArray, size: int) -> NDArray[np.int64]:
    column = np.clip((uv[:, 0] % 1.0) * size, 0, size - 1).astype(np.int64)
    row = np.clip((1.0 - uv[:, 1] % 1.0) * size, 0, size - 1).astype(np.int64)
    texel: NDArray[np.int64] = row * size + column
    return texel


def _eye_coordinates(neutral: FloatArray, eyes: tuple[NDArray[np.int64], NDArray[np.int64]]) -> FloatArray:
    """Place of every eyeball vertex across the optical axis, model units, float32 [V, 2]."""
    out = np.zeros((len(neutral), 2), np.float32)
    for rows in eyes:
        centre = (neutral[rows].min(axis=0) + neutral[rows].max(axis=0)) / 2
        out[rows] = (neutral[rows] - centre)[:, :2]
    return out


def _eye_albedo(axis: FloatArray, person: Persona) -> FloatArray:
    """Sclera, iris with a dark rim, pupil; linear RGB [P, 3]."""
    looks = person.looks
    radius = np.hypot(axis[:, 0], axis[:, 1])[:, None] / looks.iris_radius
    colour = _SCLERA * (1.0 - 0.1 * np.clip(radius - 1.4, 0, 1) * np.array([0.2, 1.0, 1.0], np.float32))
    rim = 1.0 - 0.6 * np.clip((radius - 0.75) * 4, 0, 1)
    iris = np.power(looks.iris, 2.2) * (0.75 + 0.5 * np.clip(1.0 - radius, 0, 1)) * rim
    inside = np.clip((1.05 - radius) * 8.0, 0.0, 1.0)
    colour = colour + (iris - colour) * inside
    pupil = np.clip((0.42 - radius) * 10.0, 0.0, 1.0)
    out: FloatArray = (colour * (1.0 - 0.97 * pupil)).astype(np.float32)
    return out


def _wrinkle_weights(model: FaceModel, shapes: FloatArray) -> FloatArray:
    """Strength of every AU of `WRINKLE_AUS`, mean of both sides, float32 [len(WRINKLE_AUS)]."""
    out = np.zeros(len(WRINKLE_AUS), np.float32)
    for column, name in enumerate(WRINKLE_AUS):
        shape = AU_SHAPES[name]
        rows = [
            model.shape_index[key] for key in (shape, f"{shape}_L", f"{shape}_R") if key in model.shape_index
        ]
        out[column] = shapes[rows].mean()
    return out


def _draw_curtain(
    looks: Appearance,
    curtain: Curtain,
    placed: tuple[FloatArray, FloatArray],
    turn: FloatArray,
    light: Light,
    canvas: _Canvas,
) -> None:
    """Long hair behind the face, depth-tested against the head; placed: its pixels [N, 2] and depth [N]."""
    points, depth = placed
    found = rasterise(
        points, depth, curtain.triangles, canvas.size, np.ones(len(curtain.triangles), dtype=np.bool_)
    )
    values = np.column_stack([curtain.normals @ turn.T, curtain.shade]).astype(np.float32)
    ahead = found.depth > canvas.depth[found.pixel]
    table, pixel = found.interpolate(values, curtain.triangles)[ahead], found.pixel[ahead]
    front = table[:, 2:3] >= 0
    # The inside of the far half is in the shade of the head.
    lit = np.where(front, 1.0, 0.3).astype(np.float32)
    normal = table[:, 0:3] * np.where(front, 1.0, -1.0).astype(np.float32)
    albedo = np.power(np.clip(looks.hair * table[:, 3:4], 0.01, 1), 2.2).astype(np.float32)
    canvas.image[pixel] = light_pixels(albedo, normal, lit * 0.7, lit, np.full_like(lit, 0.1), light)
    canvas.depth[pixel] = found.depth[ahead]
