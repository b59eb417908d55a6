"""One invented person: face shape, skin, lips, brows, beard and hair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderer.faces import FaceModel
from renderer.raster import smooth_noise
from renderer.regions import FACE_TILE, HEAD_TILE, RegionMaps, hair_field
from renderer.shading import MeshShade

__all__ = ["Appearance", "Curtain", "Persona", "draw_appearance", "make_persona"]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

# sRGB skin colours from light to dark; people are drawn between neighbours.
_SKIN = np.array([
    (251, 224, 208), (242, 206, 182), (230, 188, 156), (214, 168, 132), (190, 140, 104),
    (160, 112, 80), (126, 84, 60), (94, 62, 46), (66, 44, 36),
], dtype=np.float32) / 255.0  # fmt: skip
_HAIR = np.array([
    (18, 15, 14), (34, 25, 20), (58, 40, 28), (92, 62, 38), (150, 110, 68), (196, 164, 112),
    (120, 52, 26), (140, 138, 136), (205, 203, 200),
], dtype=np.float32) / 255.0  # fmt: skip
_HAIR_SHARE = np.array([0.24, 0.22, 0.17, 0.11, 0.07, 0.05, 0.03, 0.07, 0.04])
_IRIS = np.array([
    (62, 38, 22), (88, 58, 32), (104, 88, 50), (86, 106, 84), (88, 120, 150),
], dtype=np.float32) / 255.0  # fmt: skip
_GAMMA = 2.2


@dataclass(frozen=True)
class Appearance:
    """Random looks; colours are sRGB 0-1 float32 [3], strengths 0-1, lengths in model units."""

    skin: FloatArray
    lips: FloatArray
    lip_strength: float
    hair: FloatArray
    brow: FloatArray
    brow_strength: float
    brow_width: float
    brow_shift: tuple[float, float]
    iris: FloatArray
    iris_radius: float
    cloth: FloatArray
    beard: float
    moustache: float
    freckles: float
    blush: float
    eye_shade: float
    liner: float
    wrinkles: float
    gloss: float
    hair_volume: float
    recede: float
    fringe: float
    curtain: float


@dataclass(frozen=True)
class Curtain:
    """Long hair as a sheet behind the face: vertices [N, 3], normals [N, 3], triangles [M, 3], shade [N]."""

    vertices: FloatArray
    normals: FloatArray
    triangles: IntArray
    shade: FloatArray


@dataclass(frozen=True)
class Persona:
    """mesh: neutral mesh with hair volume float32 [V, 3]; bare: the same without hair;
    face_albedo and head_albedo: linear RGB rows [FACE_TILE**2, 3] and [HEAD_TILE**2, 3]."""

    looks: Appearance
    bare: FloatArray
    mesh: FloatArray
    face_albedo: FloatArray
    head_albedo: FloatArray
    curtain: Curtain | None


def draw_appearance(rng: np.random.Generator) -> Appearance:
    """Draw the looks of one person; light and dark skin are equally likely along the palette."""
    tone = rng.uniform(0.0, len(_SKIN) - 1.001)
    skin = _between(_SKIN, tone) * rng.normal(1.0, 0.03, 3)
    dark = tone / (len(_SKIN) - 1)
    share = _HAIR_SHARE.copy()
    share[3:7] *= max(1.0 - 1.6 * dark, 0.03)
    hair = _HAIR[rng.choice(len(_HAIR), p=share / share.sum())] * rng.uniform(0.8, 1.2)
    brow = hair * rng.uniform(0.55, 0.9) if hair.mean() > 0.3 else hair
    made_up = rng.random() < 0.3
    lips = skin * np.array([0.88, 0.62, 0.62]) * rng.uniform(0.85, 1.05)
    if made_up:
        lips = 0.45 * lips + 0.55 * rng.uniform((0.5, 0.06, 0.12), (0.8, 0.3, 0.35))
    bearded = not made_up and rng.random() < 0.4
    iris_share = (0.4, 0.25, 0.15, 0.08, 0.12) if dark < 0.55 else (0.8, 0.2, 0, 0, 0)
    iris_row = int(rng.choice(len(_IRIS), p=iris_share))
    long_hair = rng.random() < (0.85 if made_up else 0.15 if bearded else 0.4)
    volumes = [0.5 if long_hair else 0.05, 0.5, 1.0, 1.7]
    return Appearance(
        skin=np.clip(skin, 0.03, 0.99).astype(np.float32),
        lips=np.clip(lips, 0.02, 0.98).astype(np.float32),
        lip_strength=float(rng.uniform(0.85, 1.0) if made_up else rng.uniform(0.45, 0.95)),
        hair=np.clip(hair, 0.02, 0.95).astype(np.float32),
        brow=np.clip(brow, 0.02, 0.8).astype(np.float32),
        brow_strength=float(rng.uniform(0.5, 0.95)),
        brow_width=float(rng.uniform(0.3, 0.62)),
        brow_shift=(float(rng.normal(-0.1, 0.14)), float(rng.normal(0.0, 0.12))),
        iris=(_IRIS[iris_row] * rng.uniform(0.8, 1.2)).astype(np.float32),
        iris_radius=float(rng.uniform(0.53, 0.6)),
        cloth=rng.uniform(0.03, 0.85, 3).astype(np.float32),
        beard=float(rng.uniform(0.15, 0.95) * (rng.random() < 0.8)) if bearded else 0.0,
        moustache=float(rng.uniform(0.3, 0.95)) if bearded else 0.0,
        freckles=float(rng.uniform(0.0, 1.0) ** 3),
        blush=float(rng.uniform(0.0, 1.0)),
        eye_shade=float(rng.uniform(0.0, 1.0)),
        liner=float(rng.uniform(0.6, 1.0) if made_up else rng.uniform(0.1, 0.6)),
        wrinkles=float(rng.uniform(0.15, 1.0)),
        gloss=float(rng.uniform(0.05, 0.5)),
        hair_volume=float(rng.choice(volumes, p=[0.12, 0.38, 0.35, 0.15]) * rng.uniform(0.8, 1.2)),
        recede=float(rng.uniform(0.0, 1.0) if rng.random() < 0.4 else 0.0),
        fringe=float(rng.uniform(-0.8, 1.4)),
        curtain=float(rng.uniform(0.25, 1.0)) if long_hair else 0.0,
    )


def make_persona(
    rng: np.random.Generator, model: FaceModel, shade: MeshShade, maps: RegionMaps, damp: float = 0.8
) -> Persona:
    """Draw one person and paint both textures (about 0.1 s); damp scales the N(0, 1) shape weights."""
    weights = damp * np.clip(rng.normal(0.0, 1.0, model.identity_modes), -2.2, 2.2).astype(np.float32)
    looks = draw_appearance(rng)
    bare = model.identity_mesh(weights)
    growth = np.clip(hair_field(model.neutral, looks.recede, looks.fringe) / 1.6, 0.0, 1.0)
    growth[model.part("head").vertices[1] :] = 0.0
    growth = shade.smoothed(growth[:, None], 4)[:, 0]
    lumps = 1.0 + 0.25 * np.sin(model.neutral @ rng.normal(0.0, 0.6, (3, 2)).astype(np.float32)).sum(axis=1)
    mesh = bare + shade.normals(bare) * (growth * lumps * np.float32(looks.hair_volume))[:, None]
    return Persona(
        looks=looks,
        bare=bare,
        mesh=mesh.astype(np.float32),
        face_albedo=_paint_face(rng, looks, maps),
        head_albedo=_paint_head(rng, looks, maps),
        curtain=_grow_curtain(rng, looks, mesh) if looks.curtain > 0 else None,
    )


def _between(table: FloatArray, place: float) -> FloatArray:
    row = int(place)
    share = np.float32(place - row)
    out: FloatArray = table[row] * (1 - share) + table[row + 1] * share
    return out


def _paint_face(rng: np.random.Generator, looks: Appearance, maps: RegionMaps) -> FloatArray:
    fine, coarse = _pores(rng), smooth_noise(rng, FACE_TILE, FACE_TILE, 14)
    mottled = 1.0 + 0.035 * coarse + 0.05 * fine
    colour = looks.skin * mottled[..., None]
    red = np.array([1.03, 0.84, 0.84], np.float32)
    flush = (maps.cheeks * 0.9 + maps.nose * 0.6 + maps.ear * 0.5) * looks.blush
    colour *= 1.0 + flush[..., None] * (red - 1.0)
    shade = np.array([0.84, 0.79, 0.82], np.float32)
    colour *= 1.0 + (maps.under_eye * looks.eye_shade)[..., None] * (shade - 1.0)
    spots = np.clip((smooth_noise(rng, FACE_TILE, FACE_TILE, 170) - 0.62) * 4.0, 0, 1) * looks.freckles
    colour *= 1.0 - (spots * maps.cheeks)[..., None] * np.array([0.2, 0.32, 0.38], np.float32)
    lips = maps.lips * looks.lip_strength * (1.0 + 0.1 * fine)
    colour += (looks.lips - colour) * np.clip(lips, 0, 1)[..., None]
    inner = np.clip((maps.lips > 0.5) * (9.9 - maps.position[..., 2]) / 0.9, 0, 0.6)
    colour *= 1.0 - inner[..., None]
    colour *= 1.0 - (maps.lid * looks.liner * 0.75)[..., None]
    stubble = _beard_cover(looks, maps) * (0.75 + 0.35 * fine)
    colour += (looks.brow - colour) * np.clip(stubble, 0, 0.97)[..., None]
    brow = _brow_cover(rng, looks, maps)
    colour += (looks.brow * (1.0 + 0.2 * fine[..., None]) - colour) * brow[..., None]
    return _finish(rng, colour, maps.position, looks)


def _paint_head(rng: np.random.Generator, looks: Appearance, maps: RegionMaps) -> FloatArray:
    colour = np.broadcast_to(looks.skin, (HEAD_TILE, HEAD_TILE, 3)).copy()
    return _finish(rng, colour, maps.head_position, looks)


def _finish(
    rng: np.random.Generator, colour: FloatArray, position: FloatArray, looks: Appearance
) -> FloatArray:
    """Lay hair and clothes over the skin and turn sRGB into linear light."""
    size = position.shape[0]
    field = hair_field(position, looks.recede, looks.fringe) + 0.35 * smooth_noise(rng, size, size, 60)
    cover = np.clip(field / 0.9 + 0.3, 0.0, 1.0)
    if looks.hair_volume < 0.1:
        cover *= 0.45
    strands = _strands(rng, position)
    hair = looks.hair * (1.0 + 0.45 * strands[..., None])
    colour = (colour + (hair - colour) * cover[..., None]).astype(np.float32)
    neckline = -13.6 - 0.25 * np.clip(position[..., 2], -6, 8) + 0.12 * np.abs(position[..., 0])
    cloth = np.clip((neckline - position[..., 1]) / 0.25, 0, 1)[..., None]
    colour += ((looks.cloth - colour) * cloth).astype(np.float32)
    linear: FloatArray = np.power(np.clip(colour, 0.004, 1.0), np.float32(_GAMMA)).reshape(-1, 3)
    return linear


def _pores(rng: np.random.Generator) -> FloatArray:
    """Fine skin grain, about N(0, 0.5)."""
    grain = rng.standard_normal((FACE_TILE, FACE_TILE), dtype=np.float32)
    return 0.25 * (grain + np.roll(grain, 1, 0) + np.roll(grain, 1, 1) + np.roll(grain, (1, 1), (0, 1)))


def _strands(rng: np.random.Generator, position: FloatArray) -> FloatArray:
    """Streaks that run down from the crown, about [-1, 1]."""
    turn = np.arctan2(position[..., 0], position[..., 2] + 1.0) / (2 * np.pi) + 0.5
    wave = rng.uniform(-1.0, 1.0, 4096).astype(np.float32)
    wobble = 0.01 * np.sin(position[..., 1] * rng.uniform(0.4, 1.2) + rng.uniform(0, 6))
    place = (turn + wobble) % 1.0
    fine, broad = wave[(place * 700).astype(np.int32)], wave[2000 + (place * 130).astype(np.int32)]
    return np.asarray(0.6 * fine + 0.6 * broad, dtype=np.float32)


def _brow_cover(rng: np.random.Generator, looks: Appearance, maps: RegionMaps) -> FloatArray:
    """Opacity of the eyebrow hair: a tapered band along landmarks 22-26 with slanted strokes."""
    x, y, z = np.abs(maps.position[..., 0]), maps.position[..., 1], maps.position[..., 2]
    marks = maps.landmarks[22:27]
    along = np.clip((x - 1.0) / 4.9, 0.0, 1.0)
    arch = looks.brow_shift[1] * np.sin(np.pi * along) * 2.0
    centre = np.interp(x, marks[:, 0], marks[:, 1]) + looks.brow_shift[0] + arch
    half = looks.brow_width * np.interp(along, (0.0, 0.15, 0.55, 1.0), (0.75, 1.0, 0.85, 0.25))
    across = (y - centre) / half
    body = np.clip(1.35 - np.abs(across) ** 1.5, 0.0, 1.0)
    ends = np.clip((x - 0.85) / 0.5, 0, 1) * np.clip((6.15 - x) / 0.8, 0, 1)
    hairs = rng.uniform(0.0, 1.0, 512).astype(np.float32)
    stroke = hairs[((x * 9.0 - across * half * 6.0) % 64 * 8).astype(np.int32)]
    cover = body * ends * (0.65 + 0.5 * stroke) * looks.brow_strength * (z > 3.0)
    return np.clip(cover, 0.0, 0.97).astype(np.float32)


def _beard_cover(looks: Appearance, maps: RegionMaps) -> FloatArray:
    x, y = np.abs(maps.position[..., 0]), maps.position[..., 1]
    above_mouth = (y > -3.6) & (x < 3.2)
    strength = np.where(above_mouth, looks.moustache, looks.beard)
    return (maps.beard * strength * (1.0 - maps.lips)).astype(np.float32)


def _grow_curtain(rng: np.random.Generator, looks: Appearance, mesh: FloatArray) -> Curtain:
    """Hair that hangs from the crown round the back, from ear to ear or further to the front."""
    rows, columns = 14, 40
    opening = np.radians(rng.uniform(42.0, 75.0))
    turn = np.linspace(opening, 2 * np.pi - opening, columns)
    head = mesh[:11248]
    wide = float(np.abs(head[:, 0][(head[:, 1] > 5) & (head[:, 1] < 9)]).max()) + 0.45
    top, bottom = 10.0, 10.0 - 6.0 - 18.0 * looks.curtain
    down = np.linspace(0.0, 1.0, rows)
    height = top + (bottom - top) * down
    flare = wide * np.interp(height, (-20, -6, 2, 8, 10.2), (1.25, 1.1, 1.14, 1.02, 0.8))
    wave = 0.25 * np.sin(turn[None, :] * rng.uniform(4, 9) + down[:, None] * rng.uniform(0, 9))
    radius = flare[:, None] + wave
    x = np.sin(turn)[None, :] * radius
    z = np.cos(turn)[None, :] * radius * 0.95 - 1.4
    y = np.broadcast_to(height[:, None], x.shape) + wave
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    normals = np.stack([x, np.zeros_like(x), z + 1.4], axis=-1).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None, :]).ravel()
    corners = np.stack([a, a + columns, a + 1, a + 1, a + columns, a + columns + 1], axis=1).reshape(-1, 3)
    streak = (rng.uniform(0.55, 1.3, (1, columns)) * np.linspace(1.0, 0.8, rows)[:, None]).ravel()
    return Curtain(vertices, normals.astype(np.float32), corners.astype(np.int32), streak.astype(np.float32))
