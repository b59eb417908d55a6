"""Charts of the report as inline SVG: shares as bars, a track over time as small multiples.

Text is escaped; colours that follow the page's light or dark theme come from its style sheet by class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from mien.analyze.overlay_layout import name_of
from mien.analyze.palette import ACCENT, EMOTION_COLOURS
from mien.analyze.report_cards import say_level
from mien.core.aus import au_level
from mien.core.emotions import EMOTIONS
from mien.core.nouns import FaceResult
from mien.study.events import movements

__all__ = ["Bar", "Told", "Track", "bar_chart", "clock", "drawing", "moments", "text_at", "timeline"]

MAX_BUCKETS = 600
"""Points of one curve; more would not be seen in a figure of this width."""
_WIDTH, _LEFT, _RIGHT = 1000.0, 186.0, 34.0
_PLOT = _WIDTH - _LEFT - _RIGHT
_STRIPE, _ROW, _ROW_GAP, _AXIS = 24.0, 34.0, 7.0, 22.0
_CURVES = 6
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a bar chart."""

    label: str
    share: float
    """0..1 of the chart's width."""
    note: str
    """Text at its right end."""
    colour: str = ACCENT
    pieces: Sequence[tuple[float, str, str]] = ()
    """Where a bar is several, side by side: the share of each, its class, and what it says."""


def bar_chart(bars: Sequence[Bar], title: str, note_room: float = 62.0) -> Markup:
    """Horizontal bars on a common 0..1 scale, labels at the left, notes in ``note_room`` px at the right."""
    row, width = 24.0, 480.0
    left = min(7.2 * max(len(bar.label) for bar in bars) + 12.0, 210.0)
    plot = width - left - note_room
    parts = []
    for index, bar in enumerate(bars):
        middle = row * (index + 0.5)
        at, x = f'y="{middle - 7:g}" height="14"', left
        label = bar.label if len(bar.label) <= 29 else f"{bar.label[:28]}…"
        parts.append(text_at(left - 10, middle, label, "end", "label"))
        parts.append(f'<rect class="track" x="{left:g}" {at} width="{plot:g}" rx="4"/>')
        for share, name, tip in bar.pieces:
            length = plot * share
            if length > 0:
                box = f'<rect class="{name}" x="{x:.2f}" {at} width="{length:.2f}">'
                parts.append(f"{box}<title>{escape(tip)}</title></rect>")
            x += length
        length = plot * min(max(bar.share, 0.0), 1.0)
        if length > 0 and not bar.pieces:
            size = f'width="{max(length, 2.0):.1f}" rx="{min(4.0, max(length, 2.0) / 2):.1f}"'
            parts.append(f'<rect x="{left:g}" {at} {size} fill="{bar.colour}"/>')
        parts.append(text_at(width, middle, bar.note, "end", "note"))
    about = f"{title}: {', '.join(f'{bar.label} {bar.note}' for bar in bars)}"
    return drawing(width, row * len(bars), about, parts, "chart")


def text_at(x: float, y: float, text: str, anchor: str, name: str) -> str:
    """One line of text at (``x``, ``y``) px, escaped; ``anchor`` is start, middle or end, ``name`` its class."""
    return f'<text class="{name}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def drawing(width: float, height: float, about: str, parts: Sequence[str], name: str) -> Markup:
    """An inline SVG of ``width`` x ``height`` px that says in words what it is about."""
    view = f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(about)}"'
    return Markup(f'<svg class="{name}" {view}>{"".join(parts)}</svg>')


@dataclass(slots=True)
class _Bucket:
    """Readings of some neighbouring frames."""

    first: float
    last: float
    count: int
    emotions: npt.NDArray[np.float64]
    """(8,) sums."""
    au_sum: npt.NDArray[np.float64]
    au_count: npt.NDArray[np.int64]
    au_max: npt.NDArray[np.float64]

    def absorb(self, other: _Bucket) -> None:
        """Add a later bucket."""
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.count += other.count
        self.emotions = self.emotions + other.emotions
        self.au_sum, self.au_count = self.au_sum + other.au_sum, self.au_count + other.au_count
        self.au_max = np.maximum(self.au_max, other.au_max)


@dataclass(slots=True)
class Track:
    """One face over time, in at most `MAX_BUCKETS` buckets whatever the length of the video."""

    aus: tuple[str, ...]
    stride: int = 1
    """Frames per bucket; doubled when the buckets run out."""
    buckets: dict[int, _Bucket] = field(default_factory=dict)
    """By frame ordinal // stride; a missing key is a stretch without this face."""
    frames: int = 0
    top: dict[str, int] = field(default_factory=dict)
    """Frames in which each emotion was the most probable."""
    present: set[str] = field(default_factory=set)
    """AUs that are present in one of its frames at least."""

    def add(self, ordinal: int, time: float, face: FaceResult) -> None:
        """Add the reading of one frame.

        Args:
            ordinal: count of the frame in its video.
            time: seconds.
            face: what was measured.
        """
        readings = [face.aus.get(key) for key in self.aus]
        values = np.array([math.nan if one is None else one.intensity for one in readings])
        known = ~np.isnan(values)
        filled = np.where(known, values, 0.0)
        shares = np.nan_to_num([face.emotions.get(name, 0.0) for name in EMOTIONS])
        self.present |= {key for key, reading in face.aus.items() if reading.presence}
        bucket = _Bucket(time, time, 1, shares, filled, known.astype(np.int64), filled)
        self.frames += 1
        if face.emotion:
            self.top[face.emotion] = self.top.get(face.emotion, 0) + 1
        self._put(ordinal // self.stride, bucket)
        while len(self.buckets) > MAX_BUCKETS:
            self.stride *= 2
            halved, self.buckets = self.buckets, {}
            for key, old in halved.items():
                self._put(key // 2, old)

    def _put(self, key: int, bucket: _Bucket) -> None:
        if key in self.buckets:
            self.buckets[key].absorb(bucket)
        else:
            self.buckets[key] = bucket

    def strongest(self, count: int) -> tuple[int, ...]:
        """Positions in `aus` of the AUs with the highest peaks that are present somewhere, in FACS order."""
        peaks = np.max([bucket.au_max for bucket in self.buckets.values()], axis=0, initial=0.0)
        order = sorted(range(len(self.aus)), key=lambda i: (-peaks[i], i))
        return tuple(sorted(i for i in order[:count] if self.aus[i] in self.present))


def clock(seconds: float, tenths: bool = False) -> str:
    """``75.25`` -> ``"1:15"``, or ``"1:15.2"`` with ``tenths``."""
    whole = math.floor(seconds * 10 + 1e-6) / 10 if tenths else math.floor(seconds + 1e-6)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:04.1f}" if tenths else f"{int(rest):02d}"
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"


def timeline(track: Track, start: float, end: float, frame_step: float) -> Markup:
    """A stripe of the most probable emotion and a curve per strong AU, over the whole video.

    Curves show the mean of each bucket, the pale area its maximum. Where the face was not found, the
    stripe is empty and the curves are broken.

    Args:
        track: its readings.
        start: time of the video's first frame in s.
        end: time of its last frame in s.
        frame_step: usual time between two frames in s.
    """
    span = max(end + frame_step - start, 1e-3)
    curves = track.strongest(_CURVES)
    height = _STRIPE + 12 + len(curves) * (_ROW + _ROW_GAP) + _AXIS
    keys = sorted(track.buckets)
    spans = _spans(track, keys, start, span, frame_step)
    parts = _stripe(track, keys, spans, start)
    top = _STRIPE + 12
    for index in curves:
        parts += _curve(track, keys, spans, index, top)
        top += _ROW + _ROW_GAP
    parts += _axis(start, span, top, _STRIPE)
    about = f"Over time: {'; '.join(f'{one.what} {one.when}' for one in _leads(track, start)[:8])}"
    return drawing(_WIDTH, height, about, parts, "timeline")


def _spans(
    track: Track, keys: Sequence[int], start: float, span: float, frame_step: float
) -> list[tuple[float, float]]:
    """Left and right edge of each bucket in SVG units; neighbours touch."""
    edges: list[tuple[float, float]] = []
    for position, key in enumerate(keys):
        bucket = track.buckets[key]
        until = bucket.last + frame_step
        if position + 1 < len(keys) and keys[position + 1] == key + 1:
            until = track.buckets[keys[position + 1]].first
        left, right = ((time - start) / span * _PLOT + _LEFT for time in (bucket.first, until))
        edges.append((left, min(max(right, left + 0.4), _LEFT + _PLOT)))
    return edges


def _stripe(
    track: Track, keys: Sequence[int], spans: Sequence[tuple[float, float]], start: float
) -> list[str]:
    parts = [
        f'<text class="label" x="0" y="{_STRIPE / 2:g}">apparent emotion</text>',
        f'<rect class="track" x="{_LEFT:g}" y="0" width="{_PLOT:g}" height="{_STRIPE:g}" rx="3"/>',
    ]
    for name, run in _emotion_runs(track, keys):
        left, right = spans[run[0]][0], spans[run[-1]][1]
        mean, times = _share(track, keys, name, run), _times(track, keys, run, start)
        parts.append(
            f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{_STRIPE:g}" '
            f'fill="{EMOTION_COLOURS[name]}" fill-opacity="{0.35 + 0.65 * mean:.2f}">'
            f"<title>{name} {100 * mean:.0f} %, {times}</title></rect>"
        )
        if right - left > 7.2 * len(name) + 12:
            parts.append(f'<text class="onstripe" x="{left + 7:.1f}" y="{_STRIPE / 2:g}">{name}</text>')
    return parts


@dataclass(frozen=True, slots=True)
class Told:
    """What a timeline shows, in words: for those who cannot point at it, and for paper."""

    what: str
    when: str
    value: str


def moments(track: Track, start: float) -> list[Told]:
    """Stretches in which an emotion leads, then the movements of the AUs that `timeline` draws."""
    told, keys = _leads(track, start), sorted(track.buckets)
    for index in track.strongest(_CURVES):
        known = [track.buckets[key] for key in keys if track.buckets[key].au_count[index]]
        times = [bucket.first - start for bucket in known]
        values = [float(bucket.au_sum[index] / bucket.au_count[index]) for bucket in known]
        for event in movements(times, values):
            when = f"{clock(event.onset, True)} to {clock(event.offset, True)}, most at {clock(event.apex, True)}"
            value = f"{event.peak:.2f}: {say_level(au_level(event.peak))}"
            told.append(Told(f"{track.aus[index]} {name_of(track.aus[index])}", when, value))
    return told


def _leads(track: Track, start: float) -> list[Told]:
    keys = sorted(track.buckets)
    return [
        Told(name, _times(track, keys, run, start), f"{100 * _share(track, keys, name, run):.0f} %")
        for name, run in _emotion_runs(track, keys)
    ]


def _emotion_runs(track: Track, keys: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Positions of neighbouring buckets in which one emotion is the most probable."""
    runs: list[tuple[str, list[int]]] = []
    for position, key in enumerate(keys):
        name = EMOTIONS[int(np.argmax(track.buckets[key].emotions))]
        if runs and runs[-1][0] == name and keys[position - 1] == key - 1:
            runs[-1][1].append(position)
        else:
            runs.append((name, [position]))
    return runs


def _share(track: Track, keys: Sequence[int], name: str, run: Sequence[int]) -> float:
    buckets = [track.buckets[keys[position]] for position in run]
    return float(sum(b.emotions[EMOTIONS.index(name)] for b in buckets) / sum(b.count for b in buckets))


def _times(track: Track, keys: Sequence[int], run: Sequence[int], start: float) -> str:
    first, last = track.buckets[keys[run[0]]].first, track.buckets[keys[run[-1]]].last
    return f"{clock(first - start, True)} to {clock(last - start, True)}"


def _curve(
    track: Track, keys: Sequence[int], spans: Sequence[tuple[float, float]], index: int, top: float
) -> list[str]:
    base = top + _ROW
    peak = max(float(track.buckets[key].au_max[index]) for key in keys)
    level, letter_at = au_level(peak), base - min(max(peak, 0.2), 0.8) * _ROW
    au, right = track.aus[index], _LEFT + _PLOT
    parts = [
        f'<text class="label" x="0" y="{top + _ROW / 2:g}">'
        f'<tspan class="strong">{au}</tspan> {escape(name_of(au))}</text>',
        f'<line class="grid" x1="{_LEFT:g}" x2="{right:g}" y1="{base:g}" y2="{base:g}"/>',
        f'<line class="grid faint" x1="{_LEFT:g}" x2="{right:g}" y1="{top:g}" y2="{top:g}"/>',
        f'<text class="note" x="{right + 10:g}" y="{letter_at:.1f}">{"-ABCDE"[level]}'
        f"<title>peak {peak:.2f}: {say_level(level)}</title></text>",
    ]
    for run in _runs(track, keys, index):
        points, peaks = [], []
        for position in run:
            bucket = track.buckets[keys[position]]
            x = (spans[position][0] + spans[position][1]) / 2
            mean = bucket.au_sum[index] / bucket.au_count[index]
            points.append(f"{x:.1f},{base - mean * _ROW:.1f}")
            peaks.append(f"{x:.1f},{base - bucket.au_max[index] * _ROW:.1f}")
        first, last = points[0].split(",")[0], points[-1].split(",")[0]
        parts.append(f'<polygon class="area" points="{first},{base:g} {" ".join(peaks)} {last},{base:g}"/>')
        parts.append(f'<polyline class="curve" points="{" ".join(points)}"/>')
    return parts


def _runs(track: Track, keys: Sequence[int], index: int) -> list[list[int]]:
    """Stretches of neighbouring buckets in which the AU was measured."""
    runs: list[list[int]] = []
    for position, key in enumerate(keys):
        if track.buckets[key].au_count[index] == 0:
            continue
        if runs and runs[-1][-1] == position - 1 and keys[position - 1] == key - 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs


def _axis(start: float, span: float, top: float, stripe: float) -> list[str]:
    step = next((tick for tick in _TICKS if span / tick <= 9), _TICKS[-1])
    parts = []
    for number in range(math.floor(span / step + 1e-9) + 1):
        x = _LEFT + number * step / span * _PLOT
        parts.append(f'<line class="grid faint" x1="{x:.1f}" x2="{x:.1f}" y1="{stripe:g}" y2="{top:g}"/>')
        label = clock(start + number * step, tenths=step < 1)
        parts.append(text_at(round(x, 1), top + 12, label, "middle", "tick odd" if number % 2 else "tick"))
    return parts
