"""Codes and words of label files -> `Labels`; shared by the datasets."""

from __future__ import annotations

from collections.abc import Sequence

from mien.core.emotions import canonical
from mien.core.nouns import Labels

__all__ = ["by_code", "by_word", "expected", "number"]


def by_code(words: Sequence[str], first: int = 0) -> dict[str, Labels]:
    """``{"1": Labels("surprise"), …}`` for labels in index order; words outside the eight stay as they are."""
    return {str(code): Labels(emotion=_name(word)) for code, word in enumerate(words, first)}


def by_word(words: Sequence[str]) -> dict[str, Labels]:
    """``{"happy": Labels("happiness"), …}``, keys as spelt by the dataset."""
    return {word: Labels(emotion=_name(word)) for word in words}


def _name(word: str) -> str:
    return canonical(word) or word.lower()


def expected(code: str, labels: Sequence[str]) -> str:
    """What to say of a label that is none of ``labels``."""
    return f"label {code!r}, expected one of {', '.join(labels)}"


def number(text: str, low: float, high: float) -> float | None:
    """``text`` as a number within ``low``..``high``, else None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if low <= value <= high else None
