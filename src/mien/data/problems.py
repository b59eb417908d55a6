"""What is wrong with a dataset on disk: named by file and line, never mended silently, and summed up by kind."""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mien.core.errors import BadData
from mien.core.nouns import Sample

__all__ = ["Audit", "CanOpen", "Entry", "Found", "Problem", "audit", "only_samples"]

CanOpen = Callable[[str], str | None]
"""Media name -> why it cannot be opened, or None. Datasets open no pixels; the caller may."""
_FRAME_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".npz", ".csv", ".arrow", ".parquet")
_OWN_WORDS = re.compile(r"'[^']*'|\"[^\"]*\"|\S*[\d/\\]\S*|(?<=^id )\S+|(?<=^subject )\S+")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault of a dataset, or, as a note, something that may be meant."""

    file: str
    """Relative to the dataset's root."""
    line: int
    """1-based line, row or item; 0 when the whole file or folder is meant."""
    what: str
    """One clause: what is there and what was expected."""
    note: bool = False
    """True when it stops nobody: a column that is not read, a picture outside the folder."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.what}"

    @property
    def kind(self) -> str:
        """What such problems have in common: the clause without its names and numbers."""
        return _OWN_WORDS.sub("…", self.what)


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample, and the place that named it."""

    sample: Sample
    file: str
    line: int


Found = Entry | Problem


@dataclass(frozen=True, slots=True)
class Audit:
    """What a check found."""

    problems: list[Problem]
    """Faults, sorted by file and line; empty when the copy is sound."""
    notes: list[Problem]
    """What is read, but may not be meant."""
    counts: dict[str, int] = field(default_factory=dict)
    """Split -> samples found."""

    def kinds(self) -> dict[str, int]:
        """Kind of problem -> how many."""
        return dict(Counter(problem.kind for problem in self.problems))


def only_samples(found: Iterable[Found]) -> Iterator[Sample]:
    """The samples of a scan, lazily; notes are passed over.

    Raises:
        BadData: at the first problem; `mien data check` lists them all.
    """
    for one in found:
        if isinstance(one, Entry):
            yield one.sample
        elif not one.note:
            raise BadData(
                got=str(one),
                expected="the published format",
                fix="Run `mien data check` for a list of all problems, and repair the copy",
            )


def audit(
    root: Path,
    parts: Iterable[tuple[str, Iterable[Found]]],
    subjects_apart: bool = True,
    can_open: CanOpen | None = None,
) -> tuple[list[Problem], dict[str, int]]:
    """All problems and notes of a group of splits that must not overlap, and the samples of each.

    Args:
        root: folder of the dataset.
        parts: split name and its scan.
        subjects_apart: whether one subject in two splits is a fault.
        can_open: deep mode: tries every picture.
    """
    problems: list[Problem] = []
    counts: dict[str, int] = {}
    ids: dict[str, tuple[str, str, int]] = {}
    subjects: dict[str, tuple[str, str]] = {}
    media = _Media(root)
    for split, found in parts:
        reported: set[str] = set()
        empty, counts[split] = True, 0
        for one in found:
            empty = empty and isinstance(one, Problem) and one.note
            if isinstance(one, Problem):
                problems.append(one)
                continue
            counts[split] += 1
            sample = one.sample
            faults = list(_repeated(one, split, ids))
            if subjects_apart and sample.subject is not None and sample.subject not in reported:
                first = subjects.setdefault(sample.subject, (split, one.file))
                if first[0] != split:
                    reported.add(sample.subject)
                    faults.append(f"subject {sample.subject} is in {split} and in {first[0]} ({first[1]})")
            reason = media.missing(sample.media)
            if reason is None and can_open is not None:
                reason = can_open(sample.media)
            if reason is not None:
                faults.append(reason)
            elif media.outside(sample.media):
                problems.append(Problem(one.file, one.line, f"{sample.media} lies outside the folder", True))
            problems += [Problem(one.file, one.line, fault) for fault in faults]
        if empty:
            problems.append(Problem(".", 0, f"split {split} holds no sample"))
    return problems, counts


def _repeated(entry: Entry, split: str, ids: dict[str, tuple[str, str, int]]) -> Iterator[str]:
    first = ids.setdefault(entry.sample.id, (split, entry.file, entry.line))
    if first == (split, entry.file, entry.line):
        return
    place = f"{first[1]}:{first[2]}" if first[2] else first[1]
    if first[0] == split:
        yield f"id {entry.sample.id} again, first in {place}"
    else:
        yield f"id {entry.sample.id} is in {split} and in {first[0]} ({place})"


class _Media:
    """Whether media are there and below the root, with one directory listing per folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._base = os.path.join(os.path.abspath(root), "")
        self._listed: dict[str, frozenset[str]] = {}
        self._outside: dict[str, bool] = {}

    def missing(self, media: str) -> str | None:
        folder, name = os.path.split(media)
        if name in self._names(folder):
            return None
        path, bang, member = media.partition("!")
        folder, name = os.path.split(path)
        if name not in self._names(folder):
            return f"no file {self._shown(path)}"
        if bang and path.endswith(".zip") and member not in self._members(path):
            return f"no member {member} in {self._shown(path)}"
        if bang and not path.lower().endswith((".zip", *_FRAME_SUFFIXES)) and not os.path.isdir(path):
            return f"{self._shown(path)} holds no members"
        return None

    def outside(self, media: str) -> bool:
        folder = os.path.dirname(media.partition("!")[0])
        if folder not in self._outside:
            whole = os.path.join(os.path.abspath(folder or "."), "")
            self._outside[folder] = not whole.startswith(self._base)
        return self._outside[folder]

    def _shown(self, path: str) -> str:
        try:
            return os.path.relpath(path, self._root)
        except ValueError:
            return path

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(folder or "."))
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def _members(self, path: str) -> frozenset[str]:
        if path not in self._listed:
            try:
                with zipfile.ZipFile(path) as archive:
                    self._listed[path] = frozenset(archive.namelist())
            except (OSError, zipfile.BadZipFile):
                self._listed[path] = frozenset()
        return self._listed[path]
