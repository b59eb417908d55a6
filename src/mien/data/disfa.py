"""DISFA (Mavadati et al. 2013): 27 adults watching a 4-minute clip, 12 AUs coded 0-5 in each of 4,845 frames.

On disk: ``ActionUnit_Labels/SN001/SN001_au1.txt``, a line per frame (number from 1, intensity): ``1,0``. Videos:
``Videos_LeftCamera/LeftVideoSN001_comp.avi``, ``Video_RightCamera/RightVideoSN001_Comp.avi``; the media of frame 1 is
``LeftVideoSN001_comp.avi!0``. With ``pictures="images"`` the frames are files instead: ``images/SN001/0.png``, as
ME-GraphAU's lists name them, or ``images/SN001/00001.jpg``, as others number them. The label files' first line is the
first frame; whether that is 0 or 1 is told by the names of all subjects' pictures against the number of lines
(a picture 0 or a picture N of N lines), or by ``first=0`` or ``first=1`` where they do not tell. A label is never moved
by a guess.

Labels: ``au_level`` 0-5 of AU 1 2 4 5 6 9 12 15 17 20 25 26. Papers binarise in two ways, **never share one
silently**: ``presence="at-least-2"`` (EmoLA and most of the literature, level >= 2) or ``"above-2"`` (AU-LLaVA,
level > 2) adds ``au_presence``; without the option there is none. ``camera="left"`` or ``"right"``.
Splits: ``fold1``, ``fold2``, ``fold3``, the subject-exclusive parts that the literature shares
(`mien.data.splits.protocol("disfa-3fold")`), evaluated on 8 AUs. AU-LLaVA counts 27 subjects, EmoLA 26.
Leakage: neighbouring frames are nearly equal; all subjects of DISFA+ occur here; FEAFA+ B is this video.
Licence: research agreement with the University of Denver; not redistributable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mien.core.aus import AU_SETS
from mien.core.errors import BadConfig
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, fixed
from mien.data.frames import Frames, first_folder
from mien.data.problems import Entry, Found, Problem
from mien.data.splits import protocol
from mien.data.tables import csv_rows

__all__ = ["DATASET", "PRESENCE", "check", "read", "scan"]

UNITS = AU_SETS["disfa12"]
PRESENCE = {"at-least-2": 2, "above-2": 3}
"""Name of a binarisation -> the lowest level that counts as present."""
_VIDEOS = {
    "left": (("Videos_LeftCamera", "Video_LeftCamera"), "LeftVideo{}_comp.avi"),
    "right": (("Video_RightCamera", "Videos_RightCamera"), "RightVideo{}_Comp.avi"),
}
_FOLDER = "ActionUnit_Labels"
_LEVELS = frozenset("012345")


def scan(
    split: str,
    root: Path,
    presence: str | None = None,
    camera: str = "left",
    pictures: str | None = None,
    first: int | None = None,
) -> Iterator[Found]:
    """Samples and problems of one fold; the module's text explains the options."""
    if (
        (presence is not None and presence not in PRESENCE)
        or camera not in _VIDEOS
        or first not in (None, 0, 1)
    ):
        raise BadConfig(
            got=f"presence={presence!r}, camera={camera!r}, first={first!r}",
            expected=f"presence {' or '.join(PRESENCE)} or none; camera left or right; first 0 or 1",
        )
    folds = protocol("disfa-3fold")
    subjects = sorted(path.name for path in (root / _FOLDER).glob("SN*") if path.is_dir())
    if not subjects:
        yield Problem(_FOLDER, 0, "no SN001 and so on")
    known = {subject for members in folds.parts.values() for subject in members}
    number = first if first is not None or pictures is None else _numbered_from(root, pictures, subjects)
    if isinstance(number, Problem):
        yield number
        return
    for subject in subjects:
        if subject in folds.parts[split]:
            media = (
                _video(root, camera, subject)
                if pictures is None
                else _pictures(root / pictures, subject, number)
            )
            yield from _subject(split, root, subject, presence, media)
        elif subject not in known and split == "fold1":
            yield Problem(f"{_FOLDER}/{subject}", 0, f"subject {subject} is in no fold")


def _numbered_from(root: Path, pictures: str, subjects: Sequence[str]) -> int | Problem:
    """0 or 1, as the pictures of all subjects tell; without any picture 1, and each is then missing."""
    spans = {subject: Frames(root / pictures / subject).span for subject in subjects}
    zero = [subject for subject, span in spans.items() if span and span[0] == 0]
    last = [
        subject
        for subject, span in spans.items()
        if span and span[1] >= _lines(root / _FOLDER / subject / f"{subject}_au1.txt")
    ]
    if bool(zero) != bool(last) or not any(spans.values()):
        return 0 if zero else 1
    subject = (zero or [subject for subject, span in spans.items() if span])[0]
    told = f"{spans[subject][0]} to {spans[subject][1]}"  # type: ignore[index]  # it has a span
    both = f", and {last[0]} has one beyond its lines" if last else ""
    return Problem(
        f"{pictures}/{subject}", 0,
        f"pictures {told}{both}: numbered from 0 or from 1? Say it with the option first=0 or first=1",
    )  # fmt: skip


def _lines(path: Path) -> int:
    try:
        return sum(1 for line in path.read_bytes().splitlines() if line.strip())
    except OSError:
        return 1 << 30


def _video(root: Path, camera: str, subject: str) -> Callable[[int], str]:
    folders, name = _VIDEOS[camera]
    path = first_folder(root, *folders) / name.format(subject)
    return lambda line: f"{path}!{line}"


def _pictures(folder: Path, subject: str, first: int | None) -> Callable[[int], str]:
    frames = Frames(folder / subject)
    return lambda line: frames.path(line + (1 if first is None else first))


def _subject(
    split: str, root: Path, subject: str, presence: str | None, media: Callable[[int], str]
) -> Iterator[Found]:
    """Samples of one subject.

    Args:
        split: fold.
        root: folder of the dataset.
        subject: ``SN001``.
        presence: binarisation.
        media: line of the label files, from 0 -> media of that frame.
    """
    names = {key: f"{_FOLDER}/{subject}/{subject}_au{int(key[2:])}.txt" for key in UNITS}
    columns = [csv_rows(root, name, header=("frame", "level")) for name in names.values()]
    first = names[UNITS[0]]
    start: int | None = None
    ended = False
    while not ended:
        levels: dict[str, int] = {}
        numbers: set[str] = set()
        line = 0
        for (key, name), column in zip(names.items(), columns, strict=True):
            row = next(column, None)
            if row is None or isinstance(row, Problem):
                ended = ended or row is None
                yield from [row] if row is not None else []
            elif row.cells["level"].strip() in _LEVELS:
                levels[key], line = int(row.cells["level"]), row.line
                numbers.add(row.cells["frame"].strip())
            else:
                yield Problem(name, row.line, f"intensity {row.cells['level']!r}, expected 0..5")
        if ended:
            if levels:
                yield Problem(
                    first, 0, f"the AU files of {subject} differ in length: more for {', '.join(levels)}"
                )
            return
        if len(levels) < len(UNITS):
            continue
        if len(numbers) > 1 or not (number := min(numbers)).isdecimal():
            yield Problem(
                first, line, f"frame numbers {', '.join(sorted(numbers))} in one line of the 12 files"
            )
            continue
        start = min(int(number), 1) if start is None else start  # their own numbers begin at 1
        labels = _labels(levels, presence)
        sample = Sample(f"{subject}/{number}", "disfa", split, media(int(number) - start), labels, subject)
        yield Entry(sample, first, line)


def _labels(levels: dict[str, int], presence: str | None) -> Labels:
    if presence is None:
        return Labels(au_level=levels)
    cut_off = PRESENCE[presence]
    return Labels(au_level=levels, au_presence={key: level >= cut_off for key, level in levels.items()})


DATASET = Dataset(
    "disfa", "27 adults watching a clip, 12 AUs at levels 0-5", scan, fixed(("fold1", "fold2", "fold3")),
    subjects_apart=True,
)  # fmt: skip
read, check = DATASET.read, DATASET.check
