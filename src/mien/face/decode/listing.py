"""Long lists of files: what of folders and patterns is a picture or video, in order."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path

from mien.face.decode.images import media_kind

__all__ = ["USUAL_PICTURES", "list_media"]

USUAL_PICTURES = (".jpg", ".jpeg", ".png")
"""Asked first, since they make up long lists."""
_name = attrgetter("name")


def list_media(paths: Iterable[str | Path], skipped: dict[Path, str] | None = None) -> list[str]:
    """Expand folders to the pictures and videos in them, and patterns (``pics/*.jpg``) to what they match.

    Files that are named outright are kept whatever they are, so that their error is reported; folders are
    walked through in sorted order, without hidden files and folders and without following links to folders.
    Named pipes, devices, sockets and links that lead nowhere or in a circle are never opened.

    Args:
        paths: files and folders.
        skipped: where given, what was passed over in folders is written here, with the reason.

    Returns:
        Paths in the order given, each once; as text, of which a million take a quarter of a gigabyte less.
    """
    passed = {} if skipped is None else skipped
    found: dict[str, None] = {}
    for given in paths:
        for path in _matches(Path(given)):
            found.update(dict.fromkeys(_walk(path, passed) if os.path.isdir(path) else (str(path),)))
    return list(found)


def _matches(given: Path) -> list[Path]:
    """What a pattern that no shell expanded matches; the path itself where it exists or matches nothing."""
    if os.path.lexists(given):
        return [given]
    given = given.expanduser() if given.parts[:1] == ("~",) else given
    parts = list(given.parts)
    while not os.path.lexists(Path(*parts)):
        parts.pop()  # of a folder that is there, brackets are its name and no pattern
    rest = Path(*given.parts[len(parts) :])
    if not glob.has_magic(str(rest)):
        return [given]
    pattern = os.path.join(glob.escape(str(Path(*parts))), rest) if parts else str(rest)
    return [Path(name) for name in sorted(glob.glob(pattern, recursive=True))] or [given]


def _walk(folder: Path, skipped: dict[Path, str]) -> Iterator[str]:
    waiting = [str(folder)]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(parent) as listing:
                entries = sorted((one for one in listing if one.name[:1] != "."), key=_name)
        except OSError as error:
            skipped[Path(parent)] = f"a folder that cannot be listed ({error.strerror})"
            continue
        below = []
        for entry in entries:
            path = entry.name if parent == "." else entry.path
            if _is_file(entry):
                if path.endswith(USUAL_PICTURES) or media_kind(path) is not None:
                    yield path
            elif entry.is_dir(follow_symlinks=False):
                below.append(path)
            elif reason := _unreadable(Path(path)):
                skipped[Path(path)] = reason
        waiting += reversed(below)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a regular file; the listing tells, unless it is a link."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _unreadable(path: Path) -> str | None:
    """Why a path must not be opened; None for regular files, links to folders and what is gone by now."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else None
    except (OSError, ValueError) as error:
        return f"{getattr(error, 'strerror', None) or error}"
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return None if plain else kinds.get(stat.S_IFMT(mode), "no regular file")
