"""When a movement starts, peaks and ends: stretches of a measured series above a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

__all__ = ["Event", "Stretch", "events", "key_frames", "movements", "stretches"]


@dataclass(frozen=True, slots=True)
class Event:
    """One stretch in which a value stays at or above a threshold; times in seconds."""

    onset: float
    """Of its first sample."""
    apex: float
    """Of its largest sample, the middle one of equal ones."""
    offset: float
    """Of its last sample."""
    peak: float
    """The largest value."""
    rest: float = 0.0
    """What it rises from."""

    @property
    def amplitude(self) -> float:
        """From rest to peak."""
        return self.peak - self.rest

    @property
    def duration(self) -> float:
        """From the first to the last sample, in seconds."""
        return self.offset - self.onset


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which one label leads."""

    label: str
    start: float
    end: float


def events(
    times: Sequence[float], values: Sequence[float], threshold: float, gap: float = 0.1
) -> tuple[Event, ...]:
    """The events of one series, in order.

    Args:
        times: seconds, rising.
        values: one per time; NaN (unmeasured) counts as below.
        threshold: from which a sample belongs to an event.
        gap: seconds; two events that are nearer are one.
    """
    found: list[list[int]] = []
    for index, value in enumerate(values):
        if math.isnan(value) or value < threshold:
            continue
        if found and times[index] - times[found[-1][-1]] <= gap + 1e-9:
            found[-1].append(index)
        elif found and found[-1][-1] == index - 1:
            found[-1].append(index)
        else:
            found.append([index])
    return tuple(_event(times, values, stretch) for stretch in found)


def movements(
    times: Sequence[float],
    values: Sequence[float],
    least: float = 0.15,
    rest: float | None = None,
    share: float = 0.1,
    gap: float = 0.1,
) -> tuple[Event, ...]:
    """Rises above the face's rest, from where they leave it to where they are back.

    A movement is a stretch (see `events`) that is at least ``least`` above rest. Its onset is the first sample of the
    rise above ``share`` of the amplitude, its offset the last; between two movements the lowest sample parts them,
    and a missing value ends one.

    Args:
        times: seconds, rising.
        values: one per time; NaN is unmeasured.
        least: amplitude from which a rise counts, in the unit of the values.
        rest: None takes the 20th percentile of the values.
        share: of the amplitude, 0..1.
        gap: seconds; two stretches that are nearer are one.
    """
    series = np.asarray(values, float)
    if np.isnan(series).all():
        return ()
    floor = float(np.nanpercentile(series, 20)) if rest is None else rest
    at = np.asarray(times, float)
    # `events` gives the very times it was given, so that they can be looked up.
    cores = [
        (int(np.searchsorted(at, one.onset)), int(np.searchsorted(at, one.offset)), one)
        for one in events(at.tolist(), series.tolist(), floor + least, gap)
    ]
    made = []
    for number, (first, last, core) in enumerate(cores):
        before = cores[number - 1][1] if number else -1
        after = cores[number + 1][0] if number + 1 < len(cores) else len(series)
        line = floor + share * (core.peak - floor)
        onset = _edge(series, first, _valley(series, before, first), line, -1)
        offset = _edge(series, last, _valley(series, last, after), line, 1)
        made.append(replace(core, onset=float(at[onset]), offset=float(at[offset]), rest=floor))
    return tuple(made)


def _valley(series: npt.NDArray[np.float64], low: int, high: int) -> int:
    """The place of the lowest value between two movements; the ends of the series are none."""
    if low < 0 or high >= len(series):
        return max(low, 0) if low < 0 else len(series) - 1
    between = series[low : high + 1]
    return low + int(np.nanargmin(between))


def _edge(series: npt.NDArray[np.float64], start: int, stop: int, line: float, step: int) -> int:
    """The last place on the way from ``start`` to ``stop`` that is above ``line`` without a break."""
    place = start
    while place != stop and series[place + step] > line:
        place += step
    return place


def key_frames(times: Sequence[float], values: Sequence[float], threshold: float) -> tuple[int, ...]:
    """Places of the samples that tell a course: onset, apex and offset of each event, rising.

    An event that reaches the first or last sample begins or ends outside, so that only its apex counts there; a series
    without an event is told by its largest sample, and one without a number by its middle.
    """
    place = {time: index for index, time in enumerate(times)}
    found: set[int] = set()
    for event in events(times, values, threshold):
        found.add(place[event.apex])
        found |= {one for one in (place[event.onset], place[event.offset]) if 0 < one < len(times) - 1}
    known = [index for index, value in enumerate(values) if not math.isnan(value)]
    return tuple(sorted(found)) or (max(known, key=lambda index: values[index], default=len(values) // 2),)


def _event(times: Sequence[float], values: Sequence[float], stretch: list[int]) -> Event:
    peak = max(values[index] for index in stretch)
    highest = [index for index in stretch if values[index] >= peak - 1e-9]
    return Event(times[stretch[0]], times[highest[len(highest) // 2]], times[stretch[-1]], peak)


def stretches(times: Sequence[float], labels: Sequence[str], least: float = 0.1) -> tuple[Stretch, ...]:
    """Runs of equal labels; a run shorter than ``least`` seconds joins the one before it."""
    runs: list[Stretch] = []
    for time, label in zip(times, labels, strict=True):
        if runs and runs[-1].label == label:
            runs[-1] = Stretch(label, runs[-1].start, time)
        else:
            runs.append(Stretch(label, time, time))
    kept: list[Stretch] = []
    for run in runs:
        if kept and (run.end - run.start < least or run.label == kept[-1].label):
            kept[-1] = Stretch(kept[-1].label, kept[-1].start, run.end)
        else:
            kept.append(run)
    return tuple(kept)
