"""Normals, folds and light for the deformed face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderer.raster import rasterise

__all__ = ["Light", "MeshShade", "ambient_occlusion", "light_pixels", "shadow_mask"]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class Light:
    """One key light over a soft sky.

    direction: unit vector towards the light; colour and sky: linear RGB strength [3]; gloss: strength
    of the highlight on the skin, 0-1.
    """

    direction: FloatArray
    colour: FloatArray
    sky: FloatArray
    gloss: float


class MeshShade:
    """Fast vertex normals and fold depth for one fixed triangle table."""

    def __init__(self, triangles: IntArray, count: int) -> None:
        """triangles: int32 [T, 3]; count: number of vertices."""
        self._triangles = triangles
        self._count = count
        order = np.argsort(triangles.ravel(), kind="stable")
        self._incident = (order // 3).astype(np.int64)
        owner = triangles.ravel()[order]
        self._used, self._start = np.unique(owner, return_index=True)
        self._degree = np.diff(np.append(self._start, len(owner))).astype(np.float32)[:, None]

    def normals(self, mesh: FloatArray) -> FloatArray:
        """Area-weighted unit vertex normals, float32 [V, 3]."""
        a, b, c = (mesh[self._triangles[:, k]] for k in range(3))
        u, v = b - a, c - a
        face = np.empty_like(u)
        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            face[:, k] = u[:, i] * v[:, j] - u[:, j] * v[:, i]
        out = np.zeros((self._count, 3), np.float32)
        out[self._used] = np.add.reduceat(face[self._incident], self._start, axis=0)
        out /= np.sqrt(np.einsum("ij,ij->i", out, out))[:, None] + np.float32(1e-9)
        return out

    def smoothed(self, values: FloatArray, turns: int) -> FloatArray:
        """Values [V, C] averaged over the triangles around each vertex, `turns` times."""
        out = values
        for _ in range(turns):
            a, b, c = (out[self._triangles[:, k]] for k in range(3))
            centre = (a + b + c) * np.float32(1 / 3)
            out = out.copy()
            out[self._used] = np.add.reduceat(centre[self._incident], self._start, axis=0) / self._degree
        return out

    def folds(self, mesh: FloatArray, normals: FloatArray) -> FloatArray:
        """Depth of each vertex below the smoothed surface, float32 [V]; positive in folds and grooves."""
        depth: FloatArray = ((self.smoothed(mesh, 3) - mesh) * normals).sum(axis=1)
        return depth


def ambient_occlusion(
    mesh: FloatArray, normals: FloatArray, triangles: IntArray, views: int = 36
) -> FloatArray:
    """Share of the sky each vertex sees, float32 [V] 0-1, from depth pictures out of many directions."""
    total = np.zeros(len(mesh), np.float32)
    seen = np.zeros(len(mesh), np.float32)
    for k in range(views):
        height = 1.0 - (k + 0.5) * 1.6 / views
        angle = k * 2.399963
        ring = np.sqrt(max(1.0 - height * height, 0.0))
        direction = np.array([ring * np.cos(angle), height, ring * np.sin(angle)], np.float32)
        weight = np.clip(normals @ direction, 0.0, None)
        total += weight
        seen += weight * shadow_mask(mesh, triangles, direction, 192, 0.35)
    return (seen / (total + 1e-6)).astype(np.float32)


def shadow_mask(
    mesh: FloatArray, triangles: IntArray, direction: FloatArray, size: int, bias: float | FloatArray
) -> FloatArray:
    """1 where the light along `direction` reaches a vertex, 0 where the mesh is in its way, float32 [V].

    size: side of the depth picture in pixels; bias: depth difference (model units) that is not a shadow.
    """
    right = np.cross(np.array([0.0, 1.0, 0.02], np.float32), direction)
    right /= np.linalg.norm(right)
    up = np.cross(direction, right)
    basis = np.stack([right, up, direction], axis=1).astype(np.float32)
    local = mesh @ basis
    low, high = local[:, :2].min(axis=0), local[:, :2].max(axis=0)
    scale = (size - 2) / float((high - low).max())
    points = (local[:, :2] - low) * np.float32(scale) + 1.0
    points[:, 1] = size - points[:, 1]
    found = rasterise(points, local[:, 2], triangles, (size, size))
    picture = np.full(size * size, -np.inf, np.float32)
    picture[found.pixel] = found.depth
    total = np.zeros(len(mesh), np.float32)
    for dx, dy in ((-0.7, -0.7), (0.7, -0.7), (-0.7, 0.7), (0.7, 0.7)):
        column = np.clip(points[:, 0] + dx, 0, size - 1).astype(np.int64)
        row = np.clip(points[:, 1] + dy, 0, size - 1).astype(np.int64)
        total += picture[row * size + column] <= local[:, 2] + bias
    return total / 4.0


def light_pixels(
    albedo: FloatArray,
    normal: FloatArray,
    open_sky: FloatArray,
    lit: FloatArray,
    shine: FloatArray,
    light: Light,
) -> FloatArray:
    """Linear RGB of every covered pixel, float32 [P, 3].

    albedo: linear RGB [P, 3]; normal: [P, 3], any length; open_sky and lit: ambient occlusion and
    shadow [P, 1]; shine: strength of the highlight [P, 1].  The light wraps round the edge a little,
    most in red, which is how skin scatters it.
    """
    normal = normal / (np.sqrt(np.einsum("ij,ij->i", normal, normal))[:, None] + np.float32(1e-6))
    facing = (normal @ light.direction)[:, None]
    wrap = np.array([0.32, 0.2, 0.14], np.float32)
    diffuse = np.maximum((facing + wrap) / (1.0 + wrap), np.float32(0.0))
    diffuse *= lit + (1.0 - lit) * np.array([0.12, 0.05, 0.03], np.float32)
    sky = (0.62 + 0.38 * normal[:, 1:2]) * open_sky
    halfway = light.direction + np.array([0.0, 0.0, 1.0], np.float32)
    halfway = (halfway / np.linalg.norm(halfway)).astype(np.float32)
    glint = np.maximum(normal @ halfway, 0.0)[:, None]
    broad = np.square(np.square(np.square(np.square(glint))))
    highlight = (broad * np.float32(0.35) + broad * broad * broad) * lit * shine * np.float32(light.gloss)
    away = 1.0 - np.clip(normal[:, 2:3], 0.0, 1.0)
    edge = away * away * away * np.float32(0.12) * open_sky
    out: FloatArray = albedo * (diffuse * light.colour + sky * light.sky) + (highlight * light.colour)
    out += edge * light.sky * 0.5
    return out.astype(np.float32)
