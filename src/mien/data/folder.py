"""A folder per class: pictures or clips sorted into folders named like their emotion.

On disk: ``<root>/<split>/<emotion>/<file>``, as ``train/happy/0001.jpg``; or without splits,
``<root>/<emotion>/<file>``, which is then the split ``all``. Hidden files are skipped, as is any file whose suffix is
no picture's or video's; `mien data check` names those.

Labels: any spelling of the eight emotions; or, when no folder is called like one of them, words of your own. A mixture
is a problem: a misspelt folder would become a class.
Splits: the first level of folders, if their sub-folders hold the files. No subjects are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.core.emotions import canonical
from mien.core.nouns import Labels, Sample
from mien.core.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from mien.data.dataset import Dataset, Groups
from mien.data.problems import Entry, Found, Problem

__all__ = ["DATASET", "check", "read", "scan"]

_SUFFIXES = PICTURE_SUFFIXES | VIDEO_SUFFIXES


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _groups(root: Path) -> Groups:
    tops = _folders(root)
    nested = tuple(top.name for top in tops if _folders(top))
    return (nested,) if nested else (("all",),)


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one split."""
    place = root if split == "all" and not (root / "all").is_dir() else root / split
    classes = _folders(place)
    own_words = not any(canonical(folder.name) for folder in classes)
    if not classes:
        yield Problem(place.name, 0, "no folder per class")
    for folder in classes:
        name = str(folder.relative_to(root))
        emotion = canonical(folder.name)
        if emotion is None and not own_words:
            yield Problem(name, 0, f"folder {folder.name!r} is none of the eight emotions")
            continue
        labels = Labels(emotion=emotion or folder.name)
        count = 0
        others: set[str] = set()
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.is_dir():
                continue
            if path.suffix.lower() not in _SUFFIXES:
                others.add(path.suffix.lower() or path.name)
            else:
                count += 1
                file = f"{name}/{path.name}"
                yield Entry(Sample(file, "folder", split, str(path), labels), file, 0)
        if others:
            shown = ", ".join(sorted(others)[:9])
            yield Problem(name, 0, f"files that are no pictures or videos: {shown}", note=True)
        if not count:
            yield Problem(name, 0, "no picture or video")


DATASET = Dataset("folder", "a folder per class", scan, _groups)
read, check = DATASET.read, DATASET.check
