"""The one shape of all readers: a scan over the files on disk, read strictly or checked as a whole.

A *scan* yields an `Entry` per sample and a `Problem` per fault, in file order, lazily. `Dataset.read` stops at the
first fault with an error that names it; `Dataset.check` collects all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path

from mien.core.errors import BadConfig, BadData
from mien.core.nouns import Sample
from mien.core.paths import data_root
from mien.data.problems import CanOpen, Found, Problem, audit, only_samples

__all__ = ["Dataset", "Groups", "fixed"]

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

    def splits(self, root: str | Path | None = None) -> tuple[str, ...]:
        """Names of all splits, without repetition."""
        return tuple(dict.fromkeys(split for group in self.groups(self._at(root)) for split in group))

    def read(self, split: str, root: str | Path | None = None, **options: object) -> Iterator[Sample]:
        """The samples of one split, lazily and in file order.

        Raises:
            BadConfig: no such split, option or option value.
            BadData: the folder is missing, or something in it is not in the published format.
        """
        known = list(signature(self.scan).parameters)[2:]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise BadConfig(
                got=f"option {unknown[0]!r} of {self.name}",
                expected=f"one of {', '.join(known)}" if known else "no option at all",
                fix="Correct the option",
            )
        place = self._at(root)
        if self.free_splits:
            return self._read_if_any(split, place, options)
        if split not in self.splits(place):
            raise self._no_split(split, place)
        return only_samples(self.scan(split, place, **options))

    def _read_if_any(self, split: str, root: Path, options: Mapping[str, object]) -> Iterator[Sample]:
        empty = True
        for sample in only_samples(self.scan(split, root, **options)):
            empty = False
            yield sample
        if empty:
            raise self._no_split(split, root)

    def _no_split(self, split: str, root: Path) -> BadConfig:
        known = ", ".join(self.splits(root)) or "the splits on disk, and there are none"
        return BadConfig(
            got=f"split {split!r} of {self.name}", expected=f"one of {known}", fix="Choose one of these"
        )

    def check(self, root: str | Path | None = None, can_open: CanOpen | None = None) -> list[Problem]:
        """Every problem of the copy at ``root``, sorted by file and line; empty when it is sound.

        Args:
            root: folder of the dataset.
            can_open: deep mode: also try every picture with this.

        Raises:
            BadData: the folder is missing.
        """
        place = self._at(root)
        found: set[Problem] = set()
        for group in self.groups(place):
            parts = ((split, self.scan(split, place)) for split in group)
            found.update(audit(place, parts, self.subjects_apart, can_open))
        return sorted(found)

    def _at(self, root: str | Path | None) -> Path:
        if root is None and not self.packed:
            raise BadConfig(
                got=f"no folder for {self.name}",
                expected="the folder of your copy",
                fix="Pass its root: --root FOLDER, or data.0.root=FOLDER of a recipe",
            )
        place = Path(root) if root is not None else data_root()
        if not place.exists():
            raise BadData(
                got=f"no folder {place}",
                expected=f"the folder of {self.name}",
                fix="Set MIEN_DATA to the folder that holds the data packs"
                if self.packed and root is None
                else "Correct the path",
            )
        return place
