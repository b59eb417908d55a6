"""Pictures and videos with what was read drawn on them: mesh, box, label, AU bars; redacted on request.

Drawing only; the readings come from elsewhere. Everything is drawn at twice its size and reduced, so that
edges and letters are smooth.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageDraw

from mien.analyze import overlay_layout as layout
from mien.analyze.overlay_layout import FaceLayout, OverlayLayout, Panel, Rect, font
from mien.analyze.palette import ACCENT, EMOTION_COLOURS, ink_on, rgb
from mien.core.errors import BadInput, require
from mien.core.nouns import FaceResult, FrameResult, Image
from mien.core.paths import output_errors, written_whole
from mien.face import topology

__all__ = ["Outline", "OverlayVideo", "draw_mesh", "draw_overlay", "face_outline", "redact_outlines"]

Outline = npt.NDArray[np.float64]
"""(N, 2) corner points in px of the region that redaction fills."""
_PANEL_GROUND, _TRACK_INK = (15, 19, 26, 208), (70, 77, 88, 235)
_PANEL_INK = (244, 247, 250, 255)
_PANEL_FAINT = (190, 199, 210, 255)
_MAX_LAYER_PIXELS = 6_000_000
# Contours as ordered runs of landmark indices, with the name of their colour.
_CONTOURS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("oval", (*topology.FACE_OVAL, topology.FACE_OVAL[0])),
    ("nose", topology.NOSE_RIDGE),
    ("nose", topology.DLIB68[31:36]),
    *(("brow", (*brow, brow[0])) for brow in (topology.LEFT_BROW, topology.RIGHT_BROW)),
    *(("eye", (*eye, eye[0])) for eye in (topology.LEFT_EYE, topology.RIGHT_EYE)),
    *(("lips", (*lip, lip[0])) for lip in (topology.LIPS_OUTER, topology.LIPS_INNER)),
)
_IRISES = (topology.LEFT_IRIS, topology.RIGHT_IRIS)
_MESH_INK: Mapping[str, tuple[int, int, int, int]] = {
    "oval": (255, 255, 255, 120),
    "nose": (255, 255, 255, 120),
    "brow": (255, 255, 255, 215),
    "eye": (126, 231, 255, 235),
    "iris": (126, 231, 255, 150),
    "lips": (255, 170, 196, 235),
}


class _Layer:
    """A transparent patch of the canvas, drawn enlarged and reduced when pasted."""

    def __init__(self, region: Rect, canvas: PilImage.Image) -> None:
        self.left, self.top = max(math.floor(region.left), 0), max(math.floor(region.top), 0)
        width = max(min(math.ceil(region.right), canvas.width) - self.left, 1)
        height = max(min(math.ceil(region.bottom), canvas.height) - self.top, 1)
        self.factor = 2 if width * height <= _MAX_LAYER_PIXELS else 1
        self.canvas = canvas
        self.image = PilImage.new("RGBA", (width * self.factor, height * self.factor), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)

    def at(self, points: npt.NDArray[np.floating]) -> list[tuple[float, float]]:
        """Canvas px (N, 2) -> patch px."""
        moved = (points[:, :2] - (self.left, self.top)) * self.factor
        return [(float(x), float(y)) for x, y in moved]

    def rounded(
        self, rect: Rect, radius: float, fill: tuple[int, ...] | None = None,
        outline: tuple[int, ...] | None = None, width: float = 1.0,
    ) -> None:  # fmt: skip
        """A rectangle with round corners, in canvas px."""
        corners = self.at(np.array([[rect.left, rect.top], [rect.right, rect.bottom]]))
        (left, top), (right, bottom) = corners
        if right - left < 2 or bottom - top < 2:
            return
        radius = min(radius * self.factor, (right - left) / 2, (bottom - top) / 2)
        stroke = max(round(width * self.factor), 1)
        self.draw.rounded_rectangle((left, top, right - 1, bottom - 1), radius, fill, outline, stroke)

    def text(
        self, x: float, y: float, text: str, ink: str | tuple[int, ...], size: float, anchor: str
    ) -> None:
        """One line of text; drawn enlarged too, since hinting spoils the spacing of small letters."""
        at = (x - self.left) * self.factor, (y - self.top) * self.factor
        self.draw.text(at, text, ink, font(size * self.factor), anchor=anchor)

    def paste(self) -> None:
        """Blend the patch into the canvas."""
        patch = self.image.reduce(self.factor) if self.factor > 1 else self.image
        self.canvas.paste(patch, (self.left, self.top), patch)


def draw_overlay(
    image: Image,
    result: FrameResult,
    redact: bool = False,
    min_width: int = layout.MIN_WIDTH,
    hidden: Sequence[Outline] = (),
    panels: bool = True,
) -> Image:
    """Draw every face of ``result``: mesh, box, label chip, AU panel.

    Args:
        image: (H, W, 3) uint8 RGB upright; not changed.
        result: the readings; boxes and landmarks in px of ``image``.
        redact: fill every face's area with one flat colour before drawing, so that no pixel of it is left.
            Only what was found can be hidden: check pictures before you publish them.
        min_width: width in px to which narrower pictures are enlarged; 0 keeps every size.
        hidden: further regions to fill when redacting, in px of ``image`` (see `face_outline`).
        panels: draw the AU panels too.

    Returns:
        (H', W', 3) uint8 RGB, with H' = H and W' = W unless the picture was enlarged.

    Raises:
        BadInput: ``image`` is not (H, W, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise BadInput(
            got=f"an array of shape {image.shape} and type {image.dtype}",
            expected="(H, W, 3) uint8 RGB",
            fix="Read it with mien.face.decode.images.load_image",
        )
    return _render(image, result, layout.plan(_size(image), result, min_width, panels=panels), redact, hidden)


def _render(
    image: Image, result: FrameResult, places: OverlayLayout, redact: bool, hidden: Sequence[Outline]
) -> Image:
    """Draw a planned overlay; see `draw_overlay`."""
    canvas = PilImage.fromarray(image)
    if canvas.size != (places.width, places.height):
        canvas = canvas.resize((places.width, places.height), PilImage.Resampling.BILINEAR)
    if redact:
        outlines = [*(face_outline(face) for face in result.faces), *hidden]
        _fill_outlines(canvas, [outline * places.scale for outline in outlines])
    for face in places.faces:
        draw_mesh(canvas, face.face, places.scale)
    for face in places.faces:
        _draw_box(canvas, face, places.unit)
    for face in places.faces:
        if face.panel is not None:
            _draw_panel(canvas, face.panel, _colour(face), places.unit)
        _draw_chip(canvas, face)
    return np.asarray(canvas, dtype=np.uint8)


def face_outline(face: FaceResult) -> Outline:
    """The region that redaction fills, a tenth larger all round than the face that was found.

    It is the convex hull of the mesh (a profile's nose reaches beyond its oval), or the ellipse through the
    corners of the box.
    """
    if face.landmarks is not None and np.isfinite(face.landmarks).all():
        hull = _convex_hull(face.landmarks[:, :2].astype(np.float64))
        centre = (hull.min(axis=0) + hull.max(axis=0)) / 2
        return np.asarray(centre + 1.1 * (hull - centre), dtype=np.float64)
    left, top, right, bottom = (float(value) for value in face.box)
    angle = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    x = (left + right) / 2 + 0.55 * math.sqrt(2) * (right - left) * np.cos(angle)
    y = (top + bottom) / 2 + 0.55 * math.sqrt(2) * (bottom - top) * np.sin(angle)
    return np.stack([x, y], axis=1)


def _convex_hull(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Corners of the convex hull of (N, 2) points, in order (Andrew's monotone chain)."""
    ordered = sorted({(float(x), float(y)) for x, y in points})
    corners: list[tuple[float, float]] = []
    for chain in (ordered, ordered[::-1]):
        half: list[tuple[float, float]] = []
        for x, y in chain:
            while len(half) >= 2:
                (x1, y1), (x2, y2) = half[-2:]
                if (x2 - x1) * (y - y1) > (y2 - y1) * (x - x1):
                    break
                half.pop()
            half.append((x, y))
        corners += half[:-1]
    return np.array(corners or ordered, dtype=np.float64)


def redact_outlines(image: Image, outlines: Sequence[Outline]) -> Image:
    """A copy of ``image`` (H, W, 3) with each region filled by the mean colour of its pixels."""
    canvas = PilImage.fromarray(image)
    _fill_outlines(canvas, outlines)
    return np.asarray(canvas, dtype=np.uint8)


def _fill_outlines(canvas: PilImage.Image, outlines: Sequence[Outline]) -> None:
    for outline in outlines:
        left, top = np.floor(outline.min(axis=0)).astype(int)
        right, bottom = np.ceil(outline.max(axis=0)).astype(int) + 1
        left, top = max(int(left), 0), max(int(top), 0)
        right, bottom = min(int(right), canvas.width), min(int(bottom), canvas.height)
        if right <= left or bottom <= top:
            continue
        mask = PilImage.new("1", (right - left, bottom - top))
        ImageDraw.Draw(mask).polygon([(float(x) - left, float(y) - top) for x, y in outline], fill=1)
        inside = np.asarray(mask, dtype=bool)
        if inside.any():
            pixels = np.asarray(canvas.crop((left, top, right, bottom)))[inside]
            red, green, blue = (int(value) for value in pixels.mean(axis=0).round())
            canvas.paste((red, green, blue), (left, top, right, bottom), mask)


def draw_mesh(
    canvas: PilImage.Image, face: FaceResult, scale: tuple[float, float] = (1.0, 1.0), weight: float = 1.0
) -> None:
    """Draw the mesh's contours and points of one face on an RGB picture, in place.

    Args:
        canvas: RGB picture.
        face: its landmarks in px of the unscaled picture; a face without landmarks draws nothing.
        scale: canvas px per landmark px.
        weight: factor on the width of lines and points.
    """
    if face.landmarks is None or not np.isfinite(face.landmarks).all():
        return
    points = face.landmarks[:, :2].astype(np.float64) * scale
    low, high = points.min(axis=0), points.max(axis=0)
    span = float(max(high - low))
    stroke = weight * min(max(span / 220.0, 0.8), 6.0)
    layer = _Layer(Rect(low[0] - 9, low[1] - 9, high[0] + 9, high[1] + 9), canvas)
    if span > 150:
        dot = 0.42 * stroke * layer.factor
        for x, y in layer.at(points):
            layer.draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=(255, 255, 255, 105))
    width = max(round(stroke * layer.factor), 1)
    for name, indices in _CONTOURS:
        line = layer.at(points[list(indices)])
        layer.draw.line(line, fill=_MESH_INK[name], width=width, joint="curve")
    for indices in _IRISES:
        iris = points[list(indices)]
        centre, radius = iris.mean(axis=0), float(np.linalg.norm(iris - iris.mean(axis=0), axis=1).mean())
        corners = layer.at(np.stack([centre - radius, centre + radius]))
        if radius > 3 * stroke:
            layer.draw.ellipse([*corners[0], *corners[1]], outline=_MESH_INK["iris"], width=width)
    layer.paste()


def _colour(face: FaceLayout) -> str:
    return EMOTION_COLOURS.get(face.face.emotion, ACCENT)


def _draw_box(canvas: PilImage.Image, face: FaceLayout, unit: float) -> None:
    stroke = min(max(face.box.width / 110.0, 1.2), 2.4 * unit)
    layer = _Layer(face.box, canvas)
    layer.rounded(face.box, 0.06 * face.box.width, outline=(*rgb(_colour(face)), 255), width=stroke)
    layer.paste()


def _draw_chip(canvas: PilImage.Image, face: FaceLayout) -> None:
    colour = _colour(face)
    layer = _Layer(face.chip, canvas)
    layer.rounded(face.chip, 0.3 * face.chip.height, fill=(*rgb(colour), 255))
    x, y = (face.chip.left + face.chip.right) / 2, (face.chip.top + face.chip.bottom) / 2
    layer.text(x, y, face.label, ink_on(colour), face.font_size, "mm")
    layer.paste()


def _draw_panel(canvas: PilImage.Image, panel: Panel, colour: str, unit: float) -> None:
    rect, pad = panel.rect, layout.PADDING * unit
    row = (layout.DETAILED_ROW if panel.detailed else layout.COMPACT_ROW) * unit
    layer = _Layer(rect, canvas)
    layer.rounded(rect, 7 * unit, fill=_PANEL_GROUND)
    for index, (_, reading) in enumerate(panel.rows):
        track = _bar_track(panel, index, unit)
        layer.rounded(track, track.height / 2, fill=_TRACK_INK)
        right = track.left + max(reading.intensity * track.width, track.height)
        layer.rounded(
            Rect(track.left, track.top, right, track.bottom), track.height / 2, fill=(*rgb(colour), 255)
        )
    left, right, size = rect.left + pad, rect.right - pad, layout.text_size(unit)
    if not panel.rows:
        text = "no Action Unit present" if panel.detailed else "no AU present"
        layer.text(left, rect.top + pad + row / 2, text, _PANEL_FAINT, size, "lm")
    for index, (key, reading) in enumerate(panel.rows):
        y = rect.top + pad + index * row + (0.36 if panel.detailed else 0.5) * row
        layer.text(left, y, key, _PANEL_INK, size, "lm")
        layer.text(right, y, reading.letter, _PANEL_INK, size, "rm")
        if panel.detailed:
            layer.text(left + layout.KEY_WIDTH * unit, y, layout.name_of(key), _PANEL_FAINT, size, "lm")
    layer.paste()


def _bar_track(panel: Panel, index: int, unit: float) -> Rect:
    """Where the bar of row ``index`` can extend to, in px."""
    rect, pad = panel.rect, layout.PADDING * unit
    if panel.detailed:
        top = rect.top + pad + (index * layout.DETAILED_ROW + 18.0) * unit
        return Rect(rect.left + pad, top, rect.right - pad, top + 4.0 * unit)
    middle = rect.top + pad + (index + 0.5) * layout.COMPACT_ROW * unit
    left, right = rect.left + pad + layout.KEY_WIDTH * unit, rect.right - pad - 14.0 * unit
    return Rect(left, middle - 3.0 * unit, right, middle + 3.0 * unit)


def _size(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


class OverlayVideo:
    """Write overlay frames to an H.264 MP4 as they come, with their true times, in flat memory.

    The file appears under its name only when it is complete. When redacting, a face that is lost stays
    covered at its last place for `HOLD_SECONDS`; before its first detection it cannot be covered.

        with OverlayVideo("clip.overlay.mp4", fps=30, redact=True) as video:
            for frame, result in ...:
                video.add(frame, result)
    """

    HOLD_SECONDS = 1.0
    _CLOCK = 90_000

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float,
        redact: bool = False,
        min_width: int = layout.MIN_WIDTH,
    ) -> None:
        """Prepare writing.

        Args:
            path: the MP4 file.
            fps: nominal rate in frames/s, for players; times come from the results.
            redact: as in `draw_overlay`.
            min_width: as in `draw_overlay`.
        """
        self._av = require("av", extra="video", purpose="overlay videos")
        self.path, self.redact, self.min_width = Path(path), redact, min_width
        self._rate = Fraction(min(max(fps, 1.0), 240.0)).limit_denominator(1001)
        self._whole = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._last_tick = -1
        self._seen: dict[tuple[int | None, int], tuple[float, Outline]] = {}

    def add(self, image: Image, result: FrameResult) -> None:
        """Draw and encode one frame; `result.time` is its presentation time in seconds.

        Args:
            image: (H, W, 3) uint8 RGB; every frame is shown at the first one's size.
            result: its readings.
        """
        places = layout.plan(_size(image), result, self.min_width, even=True)
        picture = _render(image, result, places, self.redact, self._held(result))
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._last_tick = max(round(result.time * self._CLOCK), self._last_tick + 1)
        frame.pts, frame.time_base = self._last_tick, Fraction(1, self._CLOCK)
        if self._stream is None:
            self._stream = self._open_stream(places.width, places.height)
        with output_errors(self.path):
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file and give it its name; without any frame no file is left."""
        with self._whole, output_errors(self.path):
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
                self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        with suppress(OSError):  # a full disk fails again here
            if self._container is not None:
                self._container.close()
        self._whole.__exit__(kind, error, trace)

    def _open_stream(self, width: int, height: int) -> Any:
        part = self._whole.enter_context(written_whole(self.path))
        with output_errors(self.path):
            self._container = self._av.open(str(part), "w", format="mp4")
        codec = "libx264" if "libx264" in self._av.codecs_available else "mpeg4"
        stream = self._container.add_stream(codec, rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, self._CLOCK)
        if codec == "libx264":
            stream.options = {"crf": "21", "preset": "veryfast"}
        return stream

    def _held(self, result: FrameResult) -> list[Outline]:
        """Last places of faces that are lost since less than `HOLD_SECONDS`."""
        if not self.redact:
            return []
        now = {(face.track, 0 if face.track is not None else i): face for i, face in enumerate(result.faces)}
        kept = {
            key: (time, outline)
            for key, (time, outline) in self._seen.items()
            if key not in now and 0 <= result.time - time < self.HOLD_SECONDS
        }
        self._seen = kept | {key: (result.time, face_outline(face)) for key, face in now.items()}
        return [outline for _, outline in kept.values()]
