"""Faces with something drawn over them: masks, scarves, hands, sunglasses, hair, cut pictures; and what that hides.

Harmless things are drawn too (clear glasses, beards, patches on cheek or forehead), so that a detector learns what a
hidden region is and not that anything drawn is one. Some shapes are held back from training, to test with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFilter

from mien.core.nouns import FloatArray

__all__ = ["HARMLESS", "HELD_BACK", "TRAINING", "occlude"]

_POINTS = (slice(48, 68), slice(36, 48), slice(17, 27))
"""Mouth, eyes and brow among iBUG's points, as in `HIDDEN_REGIONS`."""
_SCALE = 4
"""Shapes are drawn this many times larger and averaged down."""
_COVERED, _OPEN = 0.7, 0.1
"""A region counts as hidden when this share of its points is covered, as open below the other; unknown between."""
_DROP = ((-0.42, -0.22), (0.44, -0.28), (0.5, 0.1), (0.3, 0.42), (0.0, 0.5), (-0.3, 0.28))
"""Outline of a pilot's lens, in eye distances from the eye's centre."""
Rng = np.random.Generator
Shape = Callable[[Any, FloatArray, Rng], None]
Grey = npt.NDArray[np.float32]


class _Frame:
    """A face's own axes: right, down and size in px, so that shapes follow its turn."""

    def __init__(self, points: FloatArray) -> None:
        eyes = (points[36:42].mean(axis=0), points[42:48].mean(axis=0))
        self.middle = (eyes[0] + eyes[1]) / 2
        self.nose, self.chin = points[30], points[8]
        right = eyes[1] - eyes[0]
        across, along = float(np.linalg.norm(right)), float(np.linalg.norm(self.chin - self.middle))
        self.size = max(across, 0.35 * along, 1e-3)
        self.right = right / max(float(np.linalg.norm(right)), 1e-3)
        down = self.chin - self.middle
        self.down = down / max(float(np.linalg.norm(down)), 1e-3)

    def at(self, origin: FloatArray, x: float, y: float) -> tuple[float, float]:
        """A point `x` eye distances to the right of `origin` and `y` down."""
        place = origin + self.size * (x * self.right + y * self.down)
        return float(place[0]), float(place[1])

    def ring(
        self,
        origin: FloatArray,
        x: float,
        y: float,
        wide: float,
        high: float,
        power: float = 2.0,
        turn: float = 0.0,
    ) -> list[tuple[float, float]]:
        """A superellipse around a place: `power` 2 is an ellipse, more a rounded box."""
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        across = np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** (2 / power) * wide
        along = np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** (2 / power) * high
        c, s = np.cos(turn), np.sin(turn)
        return [
            self.at(origin, x + c * a - s * b, y + s * a + c * b) for a, b in zip(across, along, strict=True)
        ]


def _jaw(points: FloatArray, rng: Rng, out: float) -> list[tuple[float, float]]:
    """The jaw from ear to ear, pushed outwards."""
    centre = points[30]
    first = int(rng.integers(1, 4))
    return [tuple(centre + (points[i] - centre) * out) for i in range(first, 17 - first)]


def _mask(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Surgical: from the bridge or the tip of the nose over the cheeks to the jaw."""
    frame, out = _Frame(points), rng.uniform(0.95, 1.15)
    top = points[int(rng.integers(28, 31))] - frame.down * frame.size * rng.uniform(0, 0.12)
    jaw = _jaw(points, rng, out)
    draw.polygon([tuple(top), *reversed(jaw)], fill=255)
    draw.polygon([tuple(top), frame.at(top, -0.55, 0.12), *jaw, frame.at(top, 0.55, 0.12)], fill=255)
    if rng.random() < 0.5:
        for side, end in ((jaw[0], points[0]), (jaw[-1], points[16])):
            draw.line([side, tuple(end)], fill=255, width=max(1, int(frame.size * 0.06)))


def _box_mask(draw: Any, points: FloatArray, rng: Rng) -> None:
    """A rounded box from the nose to the chin."""
    frame = _Frame(points)
    middle = (points[30] + points[8]) / 2
    draw.polygon(frame.ring(middle, rng.uniform(-0.1, 0.1), 0, rng.uniform(0.7, 1.1), rng.uniform(0.55, 0.85),
                            rng.uniform(2.5, 6)), fill=255)  # fmt: skip


def _scarf(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Everything below the nose or the upper lip."""
    frame = _Frame(points)
    top = points[33] - frame.down * frame.size * rng.uniform(-0.1, 0.45)
    dip = rng.uniform(-0.15, 0.25)
    draw.polygon([frame.at(top, -3, dip), tuple(top), frame.at(top, 3, dip), frame.at(top, 3, 4),
                  frame.at(top, -3, 4)], fill=255)  # fmt: skip


def _hand(draw: Any, points: FloatArray, rng: Rng) -> None:
    """A palm or four fingers over mouth, one or both eyes, or brow."""
    frame = _Frame(points)
    goal = (points[48:68], points[36:48], points[17:27])[int(rng.integers(0, 3))].mean(axis=0)
    if rng.random() < 0.4:
        draw.polygon(frame.ring(goal, rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.3), rng.uniform(0.5, 0.95),
                                rng.uniform(0.4, 0.8), 2.5, rng.uniform(-0.8, 0.8)), fill=255)  # fmt: skip
        return
    turn, width = rng.uniform(-0.5, 0.5) + rng.choice((0.0, np.pi)), rng.uniform(0.2, 0.3)
    along = np.asarray([np.cos(turn), np.sin(turn)])
    across = np.asarray([-along[1], along[0]])
    for finger in range(4):
        place = (finger - 1.5) * width * 1.02
        reach = rng.uniform(0.55, 0.95)
        near, far = across * place - along * 2.2, across * place + along * reach
        ends = [frame.at(goal, *near), frame.at(goal, *far)]
        thick = max(2, int(width * frame.size))
        draw.line(ends, fill=255, width=thick)
        x, y = ends[1]
        draw.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], fill=255)


def _sunglasses(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Two round or square lenses with a bridge."""
    frame = _Frame(points)
    wide, high, power = rng.uniform(0.36, 0.52), rng.uniform(0.24, 0.42), rng.uniform(2, 6)
    drop = rng.uniform(-0.05, 0.15)
    for eye in (points[36:42].mean(axis=0), points[42:48].mean(axis=0)):
        draw.polygon(frame.ring(eye, 0, drop, wide, high, power), fill=255)
    line = [frame.at(points[36:42].mean(axis=0), -1.0, 0), frame.at(points[42:48].mean(axis=0), 1.0, 0)]
    draw.line(line, fill=255, width=max(1, int(frame.size * 0.08)))


def _band(draw: Any, points: FloatArray, rng: Rng) -> None:
    """A straight bar over eyes, brow or mouth, as pictures are made unrecognisable with."""
    frame = _Frame(points)
    part = points[_POINTS[int(rng.integers(0, 3))]]
    draw.polygon(
        frame.ring(part.mean(axis=0), 0, 0, rng.uniform(1.0, 2.0), rng.uniform(0.25, 0.45), 20), fill=255
    )


def _fringe(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Hair or a cap from the top of the picture to below the brow."""
    frame = _Frame(points)
    brow = points[17:27].mean(axis=0)
    reach, cap = rng.uniform(0.05, 0.2), rng.random() < 0.35
    if cap:
        draw.polygon(
            [
                frame.at(brow, -3, reach),
                frame.at(brow, 3, reach),
                frame.at(brow, 3, -4),
                frame.at(brow, -3, -4),
            ],
            fill=255,
        )
        return
    for _ in range(45):
        x = rng.uniform(-1.4, 1.4)
        ends = [
            frame.at(brow, x + rng.uniform(-0.4, 0.4), -2.5),
            frame.at(brow, x, reach + rng.uniform(-0.12, 0.2)),
        ]
        draw.line(ends, fill=255, width=max(1, int(frame.size * rng.uniform(0.06, 0.2))))


def _cut(draw: Any, points: FloatArray, rng: Rng) -> None:
    """The picture ends above the brow's lower edge, or below the nose."""
    frame, side = _Frame(points), max(draw.im.size) * 2.0
    low = rng.random() < 0.6
    line = (
        points[33] + frame.down * frame.size * 0.05
        if low
        else points[36:48].mean(axis=0) - frame.down * 0.15 * frame.size
    )
    y = float(line[1]) - (rng.uniform(0, 0.3) if low else -rng.uniform(0, 0.3)) * frame.size
    draw.rectangle([0, y, side, side] if low else [0, 0, side, y], fill=255)


def _cup(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Held back: a moulded respirator, round at the chin and peaked at the nose, with a valve's straps."""
    frame = _Frame(points)
    middle = points[29] * 0.5 + points[8] * 0.5
    draw.polygon(frame.ring(middle, 0, 0.08, rng.uniform(0.72, 0.9), rng.uniform(0.66, 0.78), 2.2), fill=255)
    peak = points[28]
    draw.polygon([tuple(peak), frame.at(middle, -0.6, -0.1), frame.at(middle, 0.6, -0.1)], fill=255)
    for end, y in ((points[0], -0.2), (points[16], -0.2), (points[3], 0.3), (points[13], 0.3)):
        draw.line(
            [frame.at(middle, 0, y), tuple(middle + (end - middle) * 1.3)],
            fill=255,
            width=max(1, int(frame.size * 0.07)),
        )


def _bandana(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Held back: a cloth tied behind the head, hanging to a point below the chin."""
    frame = _Frame(points)
    top = points[int(rng.integers(28, 30))]
    draw.polygon([frame.at(points[1], -0.3, 0), tuple(top), frame.at(points[15], 0.3, 0),
                  frame.at(points[12], 0.2, 0.2), frame.at(points[8], 0, rng.uniform(0.5, 1.2)),
                  frame.at(points[4], -0.2, 0.2)], fill=255)  # fmt: skip


def _aviators(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Held back: drop-shaped dark lenses."""
    frame = _Frame(points)
    for eye, side in ((points[36:42].mean(axis=0), -1), (points[42:48].mean(axis=0), 1)):
        draw.polygon([frame.at(eye, x * side, y) for x, y in _DROP], fill=255)
    draw.line(
        [frame.at(points[27], -0.4, -0.1), frame.at(points[27], 0.4, -0.1)],
        fill=255,
        width=max(1, int(frame.size * 0.06)),
    )


def _glasses(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Harmless: frames without dark lenses."""
    frame = _Frame(points)
    wide, high, power = rng.uniform(0.36, 0.5), rng.uniform(0.26, 0.4), rng.uniform(2, 6)
    for eye in (points[36:42].mean(axis=0), points[42:48].mean(axis=0)):
        ring = frame.ring(eye, 0, 0.05, wide, high, power)
        draw.line([*ring, ring[0]], fill=255, width=max(1, int(frame.size * rng.uniform(0.04, 0.1))))


def _patch(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Harmless: something on cheek, nose, forehead or beside the face."""
    frame = _Frame(points)
    goal = points[int(rng.choice((2, 14, 30, 0, 16, 8)))]
    draw.polygon(frame.ring(goal, rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.3),
                            rng.uniform(0.1, 0.3), rng.uniform(2, 8), rng.uniform(0, 3)), fill=255)  # fmt: skip


def _beard(draw: Any, points: FloatArray, rng: Rng) -> None:
    """Harmless: hair on jaw and lip, the lips free."""
    frame = _Frame(points)
    jaw = _jaw(points, rng, rng.uniform(1.0, 1.2))
    draw.polygon(
        [*jaw, frame.at(points[54], 0.25, -0.15), tuple(points[33]), frame.at(points[48], -0.25, -0.15)],
        fill=255,
    )
    lips = points[48:60]
    grown = lips.mean(axis=0) + (lips - lips.mean(axis=0)) * rng.uniform(1.05, 1.3)
    draw.polygon([tuple(point) for point in grown], fill=0)


TRAINING: dict[str, Shape] = {
    "mask": _mask, "box mask": _box_mask, "scarf": _scarf, "hand": _hand, "sunglasses": _sunglasses, "band": _band,
    "fringe": _fringe, "cut": _cut,
}  # fmt: skip
HARMLESS: dict[str, Shape] = {"glasses": _glasses, "patch": _patch, "beard": _beard}
HELD_BACK: dict[str, Shape] = {"cup": _cup, "bandana": _bandana, "aviators": _aviators}
"""Shapes that no training face wears."""
_DARK = ("sunglasses", "aviators")


def occlude(
    crop: npt.NDArray[np.uint8], points: FloatArray, kind: str, rng: Rng
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """(S, S) grey crop with one thing drawn over it, and (3,) hidden regions: 1 hidden, 0 open, NaN partly.

    Args:
        crop: the face.
        points: (68, 2) iBUG points in px of the crop.
        kind: a key of `TRAINING`, `HARMLESS` or `HELD_BACK`.
        rng: source of every random number.
    """
    size = crop.shape[0]
    shape = {**TRAINING, **HARMLESS, **HELD_BACK}[kind]
    large = Pictures.new("L", (size * _SCALE, size * _SCALE), 0)
    shape(ImageDraw.Draw(large), points.astype(np.float32) * _SCALE, rng)
    alpha = large.resize((size, size), Pictures.Resampling.BOX).filter(
        ImageFilter.GaussianBlur(rng.uniform(0, 0.6))
    )
    cover = np.asarray(alpha, np.float32) / 255.0
    face = crop.astype(np.float32)
    out = face * (1 - cover) + _cloth(face, cover, kind, rng) * cover
    return np.clip(np.round(out), 0, 255).astype(np.uint8), _hidden(cover, points, kind)


def _hidden(cover: Grey, points: FloatArray, kind: str) -> FloatArray:
    size = cover.shape[0]
    places = np.round(points).astype(int)
    inside = ((places >= 0) & (places < size)).all(axis=1)
    spots = np.clip(places, 0, size - 1)
    under = np.where(inside, cover[spots[:, 1], spots[:, 0]], 1.0) > 0.5
    shares = np.asarray([under[part].mean() for part in _POINTS], np.float32)
    if kind in HARMLESS:
        return np.zeros(3, np.float32)
    return np.where(shares >= _COVERED, 1.0, np.where(shares <= _OPEN, 0.0, np.nan)).astype(np.float32)


def _cloth(face: Grey, cover: Grey, kind: str, rng: Rng) -> Grey:
    """(S, S) what the covering looks like: a tone, light from a side, and stripes, dots, noise or folds."""
    size = face.shape[0]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    if kind in _DARK:
        base = rng.uniform(0, 60)
    elif kind in ("hand", "patch"):
        base = float(np.median(face)) + rng.uniform(-30, 30)
    elif kind in ("fringe", "beard"):
        base = rng.uniform(10, 110)
    else:
        base = rng.uniform(5, 250)
    turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 60)
    cloth = base + slope * ((x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn))
    pattern = rng.random()
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * rng.uniform(20, 90))
    if pattern < 0.3:
        cloth = cloth + rng.uniform(5, 50) * wave
    elif pattern < 0.45:
        cloth = cloth + rng.uniform(10, 60) * wave * np.sin(
            (x * np.sin(turn) - y * np.cos(turn)) * rng.uniform(20, 90)
        )
    if kind in ("fringe", "beard", "scarf"):
        cloth = cloth + rng.normal(0, rng.uniform(5, 30), face.shape)
    # A covering is not flat: its rim is darker or lighter than its middle.
    rim = np.asarray(
        Pictures.fromarray((cover * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(size / 16)),
        np.float32,
    )
    cloth = cloth + rng.uniform(-0.3, 0.3) * (rim - 200)
    return np.asarray(cloth + rng.normal(0, rng.uniform(0, 6), face.shape), np.float32)
