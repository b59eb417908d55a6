"""One analyzer for all requests: bounded queues, photos of several requests read together, idle work dropped.

Each `Lane` is one thread: a long clip does not keep photos waiting.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from mien.analyze.analyzer import AnalysedFrame, Analyzer
from mien.analyze.sources import Source
from mien.core.errors import MienError, OutputFailed
from mien.core.nouns import Evidence, Face, FrameResult
from mien.face.decode.part import WHOLE, Part
from mien.serve.metrics import Metrics
from mien.serve.settings import Refused, Settings
from mien.work.loop import attempt

__all__ = ["Engine", "How", "Lane", "Task"]

_TOGETHER = 16
"""Requests that are read together."""
_FASTEST, _SLOWEST = 1.0, 60.0
"""Bounds of the advice when to come back, seconds."""


@dataclass(frozen=True, slots=True)
class How:
    """What decides the numbers; requests that agree in it may be read together."""

    cropped: bool = False
    explain: bool = False
    landmarks_only: bool = False
    smooth: bool = False
    part: Part = WHOLE
    cut_off: int = 1
    model: str = ""


class Task:
    """Work of one request, and its outcome.

    Args:
        finish: from frames (none without sources) to what the request waits for; runs in the lane's thread.
        sources: what is analysed; their names are shown.
        how: in which way.
        most_seconds: of a clip; at the first frame beyond, the task fails.
    """

    def __init__(
        self, finish: Callable[[list[FrameResult]], Any], sources: Sequence[Source] = (), how: How | None = None,
        most_seconds: float = math.inf,
    ) -> None:  # fmt: skip
        self.finish, self.sources, self.how, self.most_seconds = finish, sources, how, most_seconds
        self.future: Future[Any] = Future()
        self.gone = False

    def give_up(self) -> None:
        """Nobody waits any more: it is not begun, or left at the next frame."""
        self.gone = True
        self.future.cancel()

    def end(self, frames: list[FrameResult]) -> None:
        """Set the outcome."""
        made = _tried(partial(self.finish, frames))
        if isinstance(made, MienError):
            self.future.set_exception(made)
        else:
            self.future.set_result(made)


def _tried(work: Callable[[], Any]) -> Any:
    """What ``work`` gives, or its error, also where the disk is full: nothing may end a lane."""
    try:
        return attempt(work, "a request")
    except OutputFailed as error:
        return error


class Lane:
    """One thread that works off a bounded queue.

    Args:
        name: for figures and errors.
        run: does tasks that may be done together; sets all their outcomes.
        depth: tasks that may wait.
        metrics: where waiting and doing are counted.
        together: most tasks per run.
    """

    def __init__(
        self, name: str, run: Callable[[list[Task]], None], depth: int, metrics: Metrics, together: int = 1
    ) -> None:
        self.name, self._run, self._depth, self._together = name, run, depth, together
        self._waiting: deque[Task] = deque()
        self._ready = threading.Condition()
        self._pace, self._open = 0.1, True
        self._metrics = metrics
        metrics.waiting.labels(name).set_function(lambda: len(self._waiting))
        self._thread = threading.Thread(target=self._work, name=f"mien-{name}", daemon=True)
        self._thread.start()

    def put(self, task: Task) -> Task:
        """Queue a task.

        Raises:
            Refused: the queue is full (429), or the server stops (503).
        """
        with self._ready:
            self.room()
            self._waiting.append(task)
            self._ready.notify()
        return task

    def room(self) -> None:
        """Nothing, where a task may be put.

        Raises:
            Refused: as `put`.
        """
        if not self._open:
            raise Refused(
                503, got="a request while the server stops", expected="a running server", retry_after=5
            )
        if len(self._waiting) >= self._depth:
            self._metrics.turned_away.labels(self.name).inc()
            raise Refused(
                429,
                got=f"a request while {len(self._waiting)} wait for {self.name}",
                expected=f"at most {self._depth}",
                fix="Try again after the seconds in Retry-After",
                retry_after=min(max(self._pace * len(self._waiting), _FASTEST), _SLOWEST),
            )

    def close(self) -> None:
        """Finish what runs, give up what waits, and end the thread."""
        with self._ready:
            self._open = False
            for task in self._waiting:
                task.give_up()
            self._ready.notify()
        self._thread.join()

    def _take(self) -> list[Task]:
        with self._ready:
            while True:
                while not self._waiting and self._open:
                    self._ready.wait()
                if not self._waiting:
                    return []
                first = self._waiting.popleft()
                tasks = [first]
                if first.sources and self._together > 1:
                    tasks += [one for one in self._waiting if one.sources and one.how == first.how]
                    tasks = tasks[: self._together]
                    for one in tasks[1:]:
                        self._waiting.remove(one)
                tasks = [one for one in tasks if one.future.set_running_or_notify_cancel()]
                if tasks:
                    return tasks

    def _work(self) -> None:
        while tasks := self._take():
            began = time.monotonic()
            failed = _tried(partial(self._run, tasks))
            for task in tasks:
                if not task.future.done():
                    task.future.set_exception(
                        failed
                        if isinstance(failed, MienError)
                        else Refused(503, got="no outcome", expected="one")
                    )
            spent = (time.monotonic() - began) / len(tasks)
            self._pace += 0.2 * (spent - self._pace)
            self._metrics.together.labels(self.name).observe(len(tasks))


class Engine:
    """The analyzers and their lanes.

    Args:
        settings: what the server was told.
        metrics: the counters.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.analyzers: dict[str, Analyzer] = {}
        self._given: dict[str, str] = {}
        for name in (settings.model, *settings.also):
            opened = Analyzer(name, settings.device, settings.threads, precision=settings.precision)
            own = opened.reader.name if opened.reader.name not in self.analyzers else Path(name).name
            self.analyzers[own], self._given[own] = opened, name
        self.metrics = metrics
        # With another cut-off it is the same analyzer: the nets are shared.
        self._at = cache(self._with)
        depth = settings.limits.waiting
        self.photos = Lane("photos", self._read, depth, metrics, _TOGETHER)
        # Words take several times as long as the measurement, and keep nobody waiting who wants that alone.
        self.words = Lane("words", self._read, depth, metrics, _TOGETHER)
        self.clips = Lane("clips", self._read, depth, metrics)
        self.live = Lane("live", self._read, depth, metrics)
        self.jobs = Lane("jobs", self._read, settings.limits.jobs, metrics)

    def warm(self) -> None:
        """Load every net, so that the first request is as quick as the next."""
        grey = np.full((128, 128, 3), 128, np.uint8)
        face = Face(np.asarray([0, 0, 128, 128], np.float32), 1.0)
        for analyzer in self.analyzers.values():
            for cropped in (True, False):
                for _ in analyzer.analyze([grey], cropped=cropped):
                    pass
            size = analyzer.reader.crop_size
            analyzer.reader.measure([Evidence(face, np.full((size, size, 3), 128, np.uint8))])

    def close(self) -> None:
        """Stop all lanes; what runs is finished."""
        for lane in (self.photos, self.words, self.clips, self.live, self.jobs):
            lane.close()

    def name(self, model: str) -> str:
        """Of a model that is served; ``""`` means the first.

        Raises:
            Refused: there is no such model (404).
        """
        if model and model not in self.analyzers:
            raise Refused(404, got="the name of a model", expected=f"one of {', '.join(self.analyzers)}")
        return model or next(iter(self.analyzers))

    def given(self, model: str) -> str:
        """A model as the server was told it: a name or a folder."""
        return self._given[self.name(model)]

    def of(self, model: str = "", cut_off: int = 1) -> Analyzer:
        """The analyzer of a model.

        Raises:
            Refused: as `name`.
        """
        return self._at(self.name(model), cut_off)

    def _with(self, name: str, cut_off: int) -> Analyzer:
        other = copy.copy(self.analyzers[name])
        other.cut_off = cut_off
        return other

    def _read(self, tasks: list[Task]) -> None:
        """Analyse the sources of tasks that agree in the way, each ended with its last frame."""
        how = tasks[0].how
        if how is None:
            for task in tasks:
                task.end([])
            return
        found: dict[Task, list[FrameResult]] = {task: [] for task in tasks}
        owners = {f"{n}.{i}": (task, i) for n, task in enumerate(tasks) for i in range(len(task.sources))}
        sources = [replace(task.sources[i], name=name) for name, (task, i) in owners.items()]
        groups = self.of(how.model, how.cut_off).analyze_groups(
            sources, cropped=how.cropped, explain=how.explain, landmarks_only=how.landmarks_only,
            smooth=how.smooth, part=how.part,
        )  # fmt: skip
        with closing(groups):
            for group in groups:
                for frame in group:
                    self._keep(frame, *owners[frame.item], found)
                if all(task.gone or task.future.done() for task in tasks):
                    break

    def _keep(
        self, frame: AnalysedFrame, task: Task, place: int, found: dict[Task, list[FrameResult]]
    ) -> None:
        if task.future.done():
            return
        self.metrics.faces.inc(len(frame.result.faces))
        if frame.result.time > task.most_seconds:
            task.future.set_exception(
                Refused(
                    413,
                    got=f"a clip longer than {task.most_seconds:g} s",
                    expected=f"at most {task.most_seconds:g} s",
                    fix="Send it to /v1/jobs",
                )
            )
            return
        found[task].append(_shown(frame.result, task.sources[place]))
        if frame.last and place == len(task.sources) - 1:
            task.end(found.pop(task))


def _shown(result: FrameResult, source: Source) -> FrameResult:
    """A result under the name that the client gave, the path of its copy here taken out."""
    error = result.error
    if error is not None and not isinstance(source.payload, bytes):
        error = error.replace(str(source.payload), source.name)
    return replace(result, source=source.name, error=error)
