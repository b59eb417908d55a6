"""A run's folder: whose files are in it, what may be replaced, and how its own are written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from mien.core.errors import BadConfig, OutputFailed
from mien.core.paths import forget_killed, output_errors
from mien.work.journal import JOURNAL, Journal

__all__ = ["RunFolder"]

_WAYS = "Add --resume to go on with it, --replace to begin anew, or choose another --out"


class RunFolder:
    """The folder of one run with its journal. Files that the journal does not know are never replaced.

    Args:
        out: the folder; made when absent.
        names: all that the run may write in it; a folder ends with ``/``.
        asked: what was asked for, as JSON values; a finished run that was asked for something else is kept.
        inputs: paths of what is read.
        resume: go on with the run that is there.
        replace: give up the run that is there, and whatever has the name of an output.

    Raises:
        BadConfig: an output among the inputs, a file of somebody else's, another or an unfinished run there without
            ``resume`` or ``replace``, or another process at work.
        OutputFailed: the folder cannot be written.
    """

    def __init__(
        self,
        out: Path,
        names: Sequence[str],
        asked: Mapping[str, Any],
        inputs: Iterable[str] = (),
        *,
        resume: bool = False,
        replace: bool = False,
    ) -> None:
        self.out, self._names = out, tuple(names)
        self._written: set[str] = set()
        if resume and replace:
            raise BadConfig(
                got="both --resume and --replace",
                expected="one of them",
                fix="Go on with the run, or begin anew",
            )
        _check_inputs(out, self._names, inputs)
        there = os.path.exists(out / JOURNAL)
        if not there and not replace:
            self._check_foreign({})
        with output_errors(out):
            (out / JOURNAL).parent.mkdir(parents=True, exist_ok=True)
        if replace:
            self._forget_unreadable()
        self.journal = Journal(out / JOURNAL)
        try:
            if there and not resume:
                self._begin_anew(asked, replace)
            if not replace:
                self._check_foreign(self.journal.files())
            self.journal.set_meta("asked", json.dumps(asked))
            self.journal.set_meta("state", "running")
        except BaseException:
            self.journal.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.journal.close()

    def _forget_unreadable(self) -> None:
        """A journal of another format makes room for a new one."""
        path = self.out / JOURNAL
        try:
            Journal(path).close()
        except (BadConfig, OutputFailed) as error:
            if "another process" in str(error):
                raise
            with output_errors(path):
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)

    def _begin_anew(self, asked: Mapping[str, Any], replace: bool) -> None:
        """Empty the journal of a run that may be given up; the names of its files are kept."""
        if not replace:
            self._check_given_up(asked)
        with self.journal.together():
            for table in ("meta", "items", "rows"):
                self.journal.write(f"DELETE FROM {table}")
        for name in [name for name in self.journal.files() if name.endswith("/")]:
            with output_errors(self.out / name):
                shutil.rmtree(self.out / name, ignore_errors=True)
            self.journal.disown(name)

    def _check_given_up(self, asked: Mapping[str, Any]) -> None:
        if self.journal.meta("state") == "running":
            raise BadConfig(
                got=f"{self.out}, which holds {len(self.journal.entries())} finished items of a run that did not end",
                expected="a new folder, or a decision about that run",
                fix=_WAYS,
            )
        before = self.journal.told("asked")
        now = json.loads(json.dumps(asked))
        changed = [key for key in now if before and before.get(key) != now[key]]
        if changed:
            shown = "; ".join(f"{key} {_short(now[key])} (was {_short(before.get(key))})" for key in changed)
            raise BadConfig(
                got=f"{self.out}, which holds a finished run, with other options: {shown}",
                expected="a new folder, or a decision about that run",
                fix=_WAYS,
            )

    def _check_foreign(self, owned: Mapping[str, str | None]) -> None:
        """Refuse to write over what this run did not write.

        Raises:
            BadConfig: a file or folder has the name of an output and is somebody else's.
        """
        for name in self._names:
            path = self.out / name
            if not _there(path, name) or (name in owned and owned[name] in (None, "/")):
                continue
            if name not in owned or _digest(path) != owned[name]:
                changed = (
                    "was changed since this run wrote it" if name in owned else "no run of mien here wrote"
                )
                raise BadConfig(
                    got=f"{path}, which {changed}",
                    expected="a folder in which nothing would be lost",
                    fix="Move it away, choose another --out, or pass --replace to write over it",
                )

    # -- files -----------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """The path of the output ``name``, to be written whole in the block; then it is the run's own."""
        self.journal.own(name, None)  # a kill between the file's new name and its digest makes it no stranger
        yield self.out / name
        self.journal.own(name, _digest(self.out / name))
        self._written.add(name)

    def own_folder(self, name: str) -> Path:
        """Make a folder of outputs (its name ends with ``/``); all in it is the run's own."""
        path = self.out / name
        self.journal.own(name, "/")
        self._written.add(name)
        with output_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            forget_killed(path)
        return path

    def finish(self) -> None:
        """Remove the run's files that were not written this time, and note that it is complete."""
        for name in self.journal.files().keys() - self._written:
            path = self.out / name
            with output_errors(path):
                if name.endswith("/"):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            self.journal.disown(name)
        self.journal.set_meta("state", "complete")


_PICTURES = (".jpg", ".jpeg", ".png")
"""No run writes such a file over an input."""


def _check_inputs(out: Path, names: Sequence[str], inputs: Iterable[str]) -> None:
    outputs = {os.path.realpath(out / name) for name in names}
    files = {os.path.basename(name) for name in outputs}
    for item in inputs:
        # To ask where each of a million really lies takes a minute.
        suspect = os.path.basename(item) in files or (not item.endswith(_PICTURES) and os.path.islink(item))
        if suspect and os.path.realpath(item) in outputs:
            raise BadConfig(
                got=f"{item} to read, which the run would write over",
                expected="an --out in which no input has the name of an output",
                fix="Choose another --out",
            )


def _there(path: Path, name: str) -> bool:
    if name.endswith("/"):
        return os.path.exists(path) and (not os.path.isdir(path) or any(path.iterdir()))
    return os.path.exists(path) or os.path.islink(path)


def _digest(path: Path) -> str:
    with output_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
