"""The one shape of all datasets: a scan over the files on disk, read strictly or checked as a whole.

A *scan* yields an `Entry` per sample and a `Problem` per fault, in file order, lazily. `Dataset.read` stops at the
first fault with an error that names it; `Dataset.check` collects all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.core.errors import BadConfig, BadData
from mien.core.nouns import Sample
from mien.core.options import options_of, typed_options
from mien.core.paths import data_root
from mien.data.problems import Audit, CanOpen, Found, Problem, audit, only_samples

__all__ = ["Dataset", "Groups", "fixed"]

_ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"))
Groups = tuple[tuple[str, ...], ...]
"""Groups of splits; the splits of one group must not share a sample (nor a subject, where that is said)."""


def fixed(*groups: tuple[str, ...]) -> Callable[[Path], Groups]:
    """Split names that do not depend on what lies on disk."""
    return lambda _root: groups


@dataclass(frozen=True)
class Dataset:
    """One dataset: its name, splits and scan."""

    name: str
    title: str
    """One line: what it holds."""
    scan: Callable[..., Iterator[Found]]
    """``scan(split, root, **options)``; the options stand in the module's docstring."""
    groups: Callable[[Path], Groups]
    subjects_apart: bool = False
    """True when a protocol promises that no subject is in two splits of one group."""
    packed: bool = False
    """True for the packs of the data folder, whose root may be left out."""
    free_splits: bool = False
    """True when only a pass over the data tells its splits: `read` then checks the name at the end."""
    published: Mapping[str, int] = field(default_factory=dict)
    """Published number of samples per split, where known; shown beside what was found."""
    file_root: bool = False
    """True when the root may be one file instead of a folder."""

    @property
    def options(self) -> dict[str, Any]:
        """Name -> type of the options of `read` and `check`; the module's docstring explains them."""
        return options_of(self.scan, skip=2)

    def splits(self, root: str | Path | None = None) -> tuple[str, ...]:
        """Names of all splits, without repetition."""
        return tuple(dict.fromkeys(split for group in self._groups(self._at(root)) for split in group))

    def read(self, split: str, root: str | Path | None = None, **options: object) -> Iterator[Sample]:
        """The samples of one split, lazily and in file order.

        Raises:
            BadConfig: no such split, option or option value.
            BadData: the folder is missing, or something in it is not in the published format.
        """
        typed = typed_options(options, self.options, self.name)
        place = self._at(root)
        if self.free_splits:
            return self._read_if_any(split, place, typed)
        if split not in self.splits(place):
            raise self._no_split(split, place)
        return only_samples(self._scanned(split, place, typed))

    def _read_if_any(self, split: str, root: Path, options: Mapping[str, object]) -> Iterator[Sample]:
        empty = True
        for sample in only_samples(self._scanned(split, root, options)):
            empty = False
            yield sample
        if empty:
            raise self._no_split(split, root)

    def _no_split(self, split: str, root: Path) -> BadConfig:
        known = ", ".join(self.splits(root)) or "the splits on disk, and there are none"
        return BadConfig(
            got=f"split {split!r} of {self.name}", expected=f"one of {known}", fix="Choose one of these"
        )

    def _scanned(self, split: str, root: Path, options: Mapping[str, object]) -> Iterator[Found]:
        """The scan; a folder or file that the system refuses is a problem like any other."""
        try:
            yield from self.scan(split, root, **options)
        except (OSError, UnicodeError, RecursionError) as error:
            place = os.path.relpath(getattr(error, "filename", None) or root, root)
            yield Problem(place, 0, f"cannot be read: {getattr(error, 'strerror', None) or error}")

    def check(
        self, root: str | Path | None = None, can_open: CanOpen | None = None, **options: object
    ) -> list[Problem]:
        """Every problem of the copy at ``root``, sorted by file and line; empty when it is sound.

        Args:
            root: folder of the dataset.
            can_open: deep mode: also try every picture with this.
            **options: as of `read`.
        """
        return self.audit(root, can_open, **options).problems

    def audit(
        self, root: str | Path | None = None, can_open: CanOpen | None = None, **options: object
    ) -> Audit:
        """`check`, with what may not be meant and the samples of every split."""
        typed, place = typed_options(options, self.options, self.name), self._at(root)
        found: set[Problem] = set()
        counts: dict[str, int] = {}
        folder = place if place.is_dir() else place.parent
        for group in self._groups(place):
            parts = ((split, self._scanned(split, place, typed)) for split in group)
            problems, samples = audit(folder, parts, self.subjects_apart, can_open)
            found.update(problems)
            counts |= samples
        ordered = sorted(found)
        return Audit([one for one in ordered if not one.note], [one for one in ordered if one.note], counts)

    def _groups(self, root: Path) -> Groups:
        try:
            return self.groups(root)
        except OSError as error:
            raise BadData(
                got=f"{error.filename or root}: {error.strerror or error}",
                expected=f"the folder of {self.name}",
                fix="Correct the path, or who may read it",
            ) from error

    def _at(self, root: str | Path | None) -> Path:
        if root is None and not self.packed:
            raise BadConfig(
                got=f"no folder for {self.name}",
                expected="the folder of your copy",
                fix="Pass its root: --root FOLDER, or data.0.root=FOLDER of a recipe",
            )
        place = Path(root) if root is not None else data_root()
        if not _is(place.exists):
            raise BadData(
                got=f"no folder {place}",
                expected=f"the folder of {self.name}",
                fix="Set MIEN_DATA to the folder that holds the data packs"
                if self.packed and root is None
                else "Correct the path",
            )
        archive = place.suffix.lower() in _ARCHIVES
        if not _is(place.is_dir) and (archive or not self.file_root or not _is(place.is_file)):
            raise BadData(
                got=f"{place}, {'an archive' if archive else 'which is no folder'}",
                expected=f"the folder of {self.name}" + (" or its table" if self.file_root else ""),
                fix="Unpack it and pass the folder" if archive else "Pass the folder that holds it",
            )
        return place


def _is(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except (OSError, ValueError):
        return False
