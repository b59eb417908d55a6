"""Names of the files that a run writes for its inputs: after the input, and never two that a system takes for one."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from hashlib import sha1
from pathlib import PurePath

__all__ = ["file_stems", "part_stem"]

_STEM_BYTES = 200
"""Longest name without its suffix; a name holds 255 bytes."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\.|$)")
"""Of Windows, whatever stands behind a point (Microsoft, *Naming Files, Paths, and Namespaces*)."""


def file_stems(names: Iterable[str]) -> dict[str, str]:
    """A file name without suffix for each input: its own, with a hash of its path where that would not do.

    It would not do where Windows does not allow it, or where two are alike but for case or the Unicode form of
    letters, which macOS and Windows take for one file.
    """
    own = {name: _stem(name) for name in names}
    cleaned = {name: _clean(stem) for name, stem in own.items()}
    alike = Counter(map(_key, cleaned.values()))
    return {
        name: stem if stem == own[name] and alike[_key(stem)] == 1 else _hashed(stem, name)
        for name, stem in cleaned.items()
    }


def _stem(name: str) -> str:
    """As `PurePath.stem`, of which a million take five seconds more."""
    base = os.path.basename(name.rstrip("/"))
    return base if base.endswith(".") else os.path.splitext(base)[0]


def part_stem(stem: str, item: str, source: str) -> str:
    """The name for one of the inputs that an item tells of: a table of mien's tells of several."""
    return stem if item == source else _hashed(_clean(PurePath(source).stem), f"{item}\n{source}")


def _hashed(stem: str, name: str) -> str:
    return f"{stem}-{sha1(os.fsencode(name), usedforsecurity=False).hexdigest()[:8]}"


def _key(stem: str) -> str:
    return (stem if stem.isascii() else unicodedata.normalize("NFC", stem)).casefold()


def _clean(stem: str) -> str:
    short = os.fsencode(_FORBIDDEN.sub("_", stem))[:_STEM_BYTES].decode(errors="ignore").rstrip(". ")
    return f"{short}_" if not short or _RESERVED.match(_key(short)) else short
