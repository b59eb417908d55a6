"""When a movement starts, peaks and ends: stretches of a measured series above a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Event", "Stretch", "events", "stretches"]


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
