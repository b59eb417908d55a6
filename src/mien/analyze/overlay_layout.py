"""Where the parts of an overlay go: box, label chip and AU panel of every face, in px of the output picture.

Pure geometry. Panels stand beside their face, never on another face, chip or panel; a face for which no
such place exists goes without a panel (its values are in the tables).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageFont

from mien.core.aus import AUS
from mien.core.nouns import AuReading, FaceResult, FrameResult

__all__ = [
    "COMPACT_ROW",
    "DETAILED_ROW",
    "KEY_WIDTH",
    "MIN_WIDTH",
    "PADDING",
    "FaceLayout",
    "OverlayLayout",
    "Panel",
    "Rect",
    "font",
    "name_of",
    "plan",
    "strongest_aus",
    "text_size",
]

MIN_WIDTH = 900
"""Narrower pictures are enlarged to about this width in px, so that the text can be read."""
_MAX_ENLARGED_HEIGHT = 1600
_PANEL_ROWS = 6
# In drawing units: row heights, the short panel's width, the column of AU keys, padding, distance from the box.
DETAILED_ROW, COMPACT_ROW = 27.0, 17.0
_COMPACT_WIDTH = 116.0
KEY_WIDTH, PADDING, _GAP = 38.0, 8.0, 6.0
_SMALLEST_TEXT = 11.0


@dataclass(frozen=True, slots=True)
class Rect:
    """Rectangle in px, right and bottom excluded."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Width in px."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in px."""
        return self.bottom - self.top

    def overlap(self, other: Rect) -> float:
        """Common area in square px."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def inside(self, width: float, height: float) -> bool:
        """True when it lies wholly in a picture of this size."""
        return self.left >= 0 and self.top >= 0 and self.right <= width and self.bottom <= height

    def moved_inside(self, width: float, height: float) -> Rect:
        """Shifted, not shrunk, so that it lies in the picture as far as it fits."""
        left = min(max(self.left, 0.0), max(width - self.width, 0.0))
        top = min(max(self.top, 0.0), max(height - self.height, 0.0))
        return Rect(left, top, left + self.width, top + self.height)


@dataclass(frozen=True, slots=True)
class Panel:
    """The AU bars of one face."""

    rect: Rect
    rows: tuple[tuple[str, AuReading], ...]
    """AU keys and readings, strongest first; empty when no AU is present."""
    detailed: bool
    """With FACS names, two lines per AU; else one short line."""


@dataclass(frozen=True, slots=True)
class FaceLayout:
    """Everything drawn around one face."""

    face: FaceResult
    box: Rect
    chip: Rect
    label: str
    font_size: float
    panel: Panel | None


@dataclass(frozen=True, slots=True)
class OverlayLayout:
    """Layout of a whole picture."""

    width: int
    height: int
    """Size of the output picture in px."""
    scale: tuple[float, float]
    """Output px per input px, horizontally and vertically (they differ by rounding only)."""
    unit: float
    """Drawing unit in px: 1 in a picture of about 900x540."""
    faces: tuple[FaceLayout, ...]


@lru_cache(maxsize=64)
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own TrueType face at ``size`` px."""
    return ImageFont.load_default(size)


def strongest_aus(face: FaceResult, count: int) -> tuple[tuple[str, AuReading], ...]:
    """The ``count`` AUs of highest intensity among those present, strongest first."""
    present = [(key, reading) for key, reading in face.aus.items() if reading.presence]
    present.sort(key=lambda item: (-item[1].intensity, item[0]))
    return tuple(present[:count])


def plan(
    size: tuple[int, int],
    result: FrameResult,
    min_width: int = MIN_WIDTH,
    even: bool = False,
    panels: bool = True,
) -> OverlayLayout:
    """Lay out the overlay of ``result`` on a picture.

    Args:
        size: width and height of the input picture in px.
        result: its faces; boxes in px of the input picture.
        min_width: width in px to which narrower pictures are enlarged.
        even: make both output sides even, as video encoders ask.
        panels: place AU panels too.
    """
    width, height, scale = _output_size(size, min_width, even)
    unit = min(max(math.sqrt(width * height) / 700.0, 0.6), 8.0)
    boxes = [_scaled_box(face, scale, (width, height)) for face in result.faces]
    numbered = len(boxes) > 1
    largest_first = sorted(range(len(boxes)), key=lambda i: (-boxes[i].width * boxes[i].height, i))
    chips = _place_chips(result.faces, boxes, largest_first, (width, height), unit, numbered)
    taken = [chip for chip, _, _ in chips.values()]
    placed: dict[int, Panel] = {}
    for i in largest_first if panels else ():
        others = [box for j, box in enumerate(boxes) if j != i]
        panel = _place_panel(result.faces[i], (boxes[i], chips[i][0]), others, taken, (width, height), unit)
        if panel is not None:
            placed[i] = panel
            taken.append(panel.rect)
    faces = tuple(FaceLayout(face, boxes[i], *chips[i], placed.get(i)) for i, face in enumerate(result.faces))
    return OverlayLayout(width, height, scale, unit, faces)


def _output_size(size: tuple[int, int], min_width: int, even: bool) -> tuple[int, int, tuple[float, float]]:
    width, height = size
    factor = max(1.0, min(min_width / width, max(_MAX_ENLARGED_HEIGHT / height, 1.0)))
    out_width, out_height = max(round(width * factor), 1), max(round(height * factor), 1)
    if even:
        out_width, out_height = out_width + out_width % 2, out_height + out_height % 2
    return out_width, out_height, (out_width / width, out_height / height)


def _scaled_box(face: FaceResult, scale: tuple[float, float], size: tuple[int, int]) -> Rect:
    """The box in output px, cut at the picture's edges."""
    left, right = (min(max(float(x) * scale[0], 0.0), float(size[0])) for x in face.box[0::2])
    top, bottom = (min(max(float(y) * scale[1], 0.0), float(size[1])) for y in face.box[1::2])
    return Rect(left, top, max(left, right), max(top, bottom))


def _labels(face: FaceResult, number: int | None) -> tuple[str, ...]:
    """Label texts from the fullest to the shortest."""
    share = f"{round(100 * face.emotions[face.emotion])} %"
    mark = f"#{face.track}" if face.track is not None else str(number) if number is not None else ""
    full, plain = f"{mark} {face.emotion} {share}".strip(), f"{mark} {face.emotion}".strip()
    return (full, plain, mark) if mark else (full, plain)


def _place_chips(
    faces: Sequence[FaceResult],
    boxes: Sequence[Rect],
    order: Sequence[int],
    size: tuple[int, int],
    unit: float,
    numbered: bool,
) -> dict[int, tuple[Rect, str, float]]:
    """Chip rectangle, text and font size of each face, larger faces first."""
    chips: dict[int, tuple[Rect, str, float]] = {}
    for i in order:
        box = boxes[i]
        size_px = round(max(min(max(0.1 * box.width, 11.0 * unit), 15.0 * unit), _SMALLEST_TEXT))
        options = list(_chip_options(box, _labels(faces[i], i if numbered else None), size_px, size))
        others = [chip for chip, _, _ in chips.values()] + [b for j, b in enumerate(boxes) if j != i]
        free = (option for option in options if not any(option[0].overlap(other) > 0 for other in others))
        chips[i] = next(free, options[-1])
    return chips


def _chip_options(
    box: Rect, labels: Sequence[str], font_size: float, size: tuple[int, int]
) -> Iterator[tuple[Rect, str, float]]:
    for label in labels:
        width, height = font(font_size).getlength(label) + 1.1 * font_size, 1.6 * font_size
        gap = 0.3 * font_size
        for top in (box.top - height - gap, box.bottom + gap, box.top + gap):
            chip = Rect(box.left, top, box.left + width, top + height)
            if chip.top >= 0 and chip.bottom <= size[1]:
                yield chip.moved_inside(*size), label, font_size
    label = labels[-1]
    width, height = font(font_size).getlength(label) + 1.1 * font_size, 1.6 * font_size
    yield Rect(box.left, box.top, box.left + width, box.top + height).moved_inside(*size), label, font_size


def _place_panel(
    face: FaceResult,
    own: tuple[Rect, Rect],
    others: Sequence[Rect],
    taken: Sequence[Rect],
    size: tuple[int, int],
    unit: float,
) -> Panel | None:
    """The panel of a face whose box and chip are ``own``, or None where there is no room."""
    rows, box = strongest_aus(face, _PANEL_ROWS), own[0]
    if not face.aus or (others and box.width < 48 * unit):
        return None
    blocked = [*others, *taken]
    for detailed in (True, False):
        for rect in _panel_places(own, _panel_size(rows, detailed, unit), unit):
            if rect.inside(*size) and not any(rect.overlap(other) > 0 for other in blocked):
                return Panel(rect, rows, detailed)
    if others:
        return None
    return _panel_in_corner(box, rows, taken, size, unit)


def _panel_size(rows: tuple[tuple[str, AuReading], ...], detailed: bool, unit: float) -> tuple[float, float]:
    """Width and height in px; the long form is as wide as its longest name asks."""
    height = (max(len(rows), 1) * (DETAILED_ROW if detailed else COMPACT_ROW) + 2 * PADDING) * unit
    if not detailed:
        return _COMPACT_WIDTH * unit, height
    names = max((font(text_size(unit)).getlength(name_of(key)) for key, _ in rows), default=110 * unit)
    return names + (KEY_WIDTH + 20.0 + 2 * PADDING) * unit, height


def _panel_places(own: tuple[Rect, Rect], size: tuple[float, float], unit: float) -> Iterator[Rect]:
    """Places beside the box, then below and above box and chip; the best first."""
    (width, height), (box, chip) = size, own
    gap = _GAP * unit
    tops = (box.top, (box.top + box.bottom - height) / 2, box.bottom - height)
    for left in (box.right + gap, box.left - gap - width):
        for top in tops:
            yield Rect(left, top, left + width, top + height)
    for top in (max(box.bottom, chip.bottom) + gap, min(box.top, chip.top) - gap - height):
        for left in (box.left, box.right - width):
            yield Rect(left, top, left + width, top + height)


def _panel_in_corner(
    box: Rect,
    rows: tuple[tuple[str, AuReading], ...],
    taken: Sequence[Rect],
    size: tuple[int, int],
    unit: float,
) -> Panel | None:
    """The only face fills the picture: the corner that hides least of it, if that is little."""
    width, height = _panel_size(rows, False, unit)
    edge = _GAP * unit
    corners = [
        Rect(left, top, left + width, top + height)
        for left in (size[0] - edge - width, edge)
        for top in (size[1] - edge - height, edge)
    ]
    core = Rect(
        box.left + 0.15 * box.width, box.top + 0.1 * box.height,
        box.right - 0.15 * box.width, box.bottom - 0.1 * box.height,
    )  # fmt: skip
    fitting = [c for c in corners if c.inside(*size) and not any(c.overlap(other) > 0 for other in taken)]
    if not fitting:
        return None
    best = min(fitting, key=lambda corner: corner.overlap(core))
    return Panel(best, rows, False) if best.overlap(core) < 0.35 * best.width * best.height else None


def text_size(unit: float) -> int:
    """Font size of panel text in px."""
    return round(12.0 * unit)


def name_of(au: str) -> str:
    """FACS name of an AU key, or the key itself when mien does not know it."""
    return AUS[au].name if au in AUS else au
