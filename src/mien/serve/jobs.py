"""Long clips: taken in, analysed as `mien analyze` does, and kept for a while; ``--jobs`` lets them outlive the server.

The files of a job are those of a run (`mien.analyze.jobs.run_job`), byte for byte.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mien.analyze.jobs import JobOptions, run_job
from mien.analyze.sources import Source
from mien.core.errors import MienError
from mien.core.nouns import FrameResult
from mien.core.paths import write_whole
from mien.serve.engine import Engine, Task
from mien.serve.options import RunOptions
from mien.serve.settings import Refused, Settings

__all__ = ["OPEN", "Job", "Jobs"]

State = Literal["waiting", "running", "done", "failed", "cancelled"]
OPEN = ("waiting", "running")
"""States of a job that goes on."""


class _Stopped(MienError):
    """The job was cancelled."""


@dataclass(eq=False)
class Job:
    """One job; also what its run reports to."""

    id: str
    owner: str
    options: RunOptions
    inputs: Sequence[str]
    created: float
    state: State = "waiting"
    frames: int = 0
    total: int = 0
    """Frames that are expected."""
    error: str | None = None
    task: Task | None = field(default=None, repr=False)

    def begin(self, items: int, done: int, frames: int) -> None:
        """As `mien.analyze.jobs.Watch`."""
        self.total = frames
        self.advance((), 0)

    def advance(self, frames: Sequence[FrameResult], items: int) -> None:
        """As `mien.analyze.jobs.Watch`; ends a run that was cancelled."""
        self.frames += len(frames)
        if self.task is not None and self.task.gone:
            raise _Stopped(got="a job that was cancelled", expected="one that goes on", fix="Send it again")


class Jobs:
    """All jobs of a server.

    Args:
        settings: what the server was told.
        folder: where each has a folder; also the working directory, so that tables name inputs without it.
        engine: does them, with its own analyzers.
    """

    def __init__(self, settings: Settings, folder: Path, engine: Engine) -> None:
        self._settings, self._folder, self._engine, self._lane = settings, folder, engine, engine.jobs
        self._jobs: dict[str, Job] = {}
        self._closing = False
        for note in sorted(folder.glob("*/job.json")):
            self._remember(note)

    def add(self, owner: str, options: RunOptions, sources: Sequence[Source]) -> Job:
        """Take in a job; its media are linked or written to its folder.

        Raises:
            Refused: too many are kept already.
        """
        self._sweep()
        if len(self._jobs) >= self._settings.limits.jobs:
            raise Refused(
                429, got=f"{len(self._jobs)} jobs", expected="fewer", fix="Delete one", retry_after=60
            )
        self._lane.room()
        self._engine.name(options.model)
        home = self._folder / secrets.token_urlsafe(16).replace("-", "x")
        home.mkdir()
        inputs = [_put(source, home, number) for number, source in enumerate(sources)]
        job = Job(
            home.name, owner, options, [str(path.relative_to(self._folder)) for path in inputs], time.time()
        )
        self._start(job)
        return job

    def get(self, owner: str, id: str) -> Job:
        """A job of this owner.

        Raises:
            Refused: there is none.
        """
        self._sweep()
        job = self._jobs.get(id)
        if job is None or job.owner != owner:
            raise Refused(404, got="the name of a job", expected="one that is kept here", fix="Send it again")
        return job

    def of(self, owner: str) -> list[Job]:
        """All jobs of this owner, the latest first."""
        self._sweep()
        return sorted(
            (job for job in self._jobs.values() if job.owner == owner), key=lambda job: -job.created
        )

    def files(self, job: Job) -> dict[str, Path]:
        """Name -> path of the results that are there."""
        out = self._folder / job.id / "out"
        found = (path for path in sorted(out.rglob("*")) if path.is_file())
        named = {path.relative_to(out).as_posix(): path for path in found}
        return {name: path for name, path in named.items() if not name.startswith(".")}

    def drop(self, job: Job) -> None:
        """Cancel a job that goes on, or delete one that has ended."""
        if job.task is not None:
            job.task.give_up()
        if job.state == "waiting":
            job.state = "cancelled"
            self._note(job)
        elif job.state != "running":
            self._jobs.pop(job.id, None)
            shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def close(self) -> None:
        """End what runs; a job that outlives the server goes on with the next."""
        self._closing = True
        for job in list(self._jobs.values()):
            if job.task is not None:
                job.task.give_up()

    def _start(self, job: Job, resume: bool = False) -> None:
        self._jobs[job.id] = job
        self._note(job)
        job.task = Task(lambda _: self._run(job, resume))
        self._lane.put(job.task)

    def _run(self, job: Job, resume: bool) -> None:
        chosen, told = job.options.model_dump(), self._settings
        job.state = "running"
        chosen["landmarks_only"] |= told.landmarks_only
        try:
            analyzer = self._engine.of(chosen["model"], chosen["cut_off"])
            chosen["model"] = self._engine.given(chosen["model"])
            options = JobOptions(
                tuple(job.inputs), Path(job.id) / "out", resume=resume, device=told.device,
                precision=told.precision, threads=told.threads, **chosen,
            )  # fmt: skip
            summary = run_job(options, job, analyzer)
            job.state = "failed" if summary.status == 2 else "done"
            job.error = summary.errors[0].error if summary.errors else None
        except _Stopped:
            job.state = "cancelled"
        except MienError as error:
            job.state, job.error = "failed", str(error)
        finally:
            if job.state == "running":
                job.state = "failed"
            if not (self._closing and job.state == "cancelled"):
                self._note(job)

    def _note(self, job: Job) -> None:
        content = {
            "owner": job.owner, "options": job.options.model_dump(), "inputs": list(job.inputs),
            "created": job.created, "state": job.state, "error": job.error,
        }  # fmt: skip
        home = self._folder / job.id
        if home.is_dir():
            write_whole(home / "job.json", json.dumps(content))

    def _remember(self, note: Path) -> None:
        try:
            content = json.loads(note.read_text("utf-8"))
            job = Job(note.parent.name, **content | {"options": RunOptions(**content["options"])})
        except (OSError, ValueError, TypeError, KeyError):
            return  # somebody else's
        if job.state in OPEN:
            job.state = "waiting"
            self._start(job, resume=True)
        else:
            self._jobs[job.id] = job

    def _sweep(self) -> None:
        old = time.time() - self._settings.limits.keep_seconds
        for job in [one for one in self._jobs.values() if one.created < old and one.state not in OPEN]:
            self.drop(job)


def _put(source: Source, home: Path, number: int) -> Path:
    """A job's own copy of a source, under the client's name."""
    name = source.name.replace(":", "-") if source.name.strip(".") else "input"
    path = home / (name if number == 0 and name not in ("out", "job.json") else f"{number}-{name}")
    if isinstance(source.payload, bytes):
        path.write_bytes(source.payload)
        return path
    try:
        os.link(str(source.payload), path)
    except OSError:  # another disk
        shutil.copyfile(str(source.payload), path)
    return path
