"""EmoLA's category-answer mode for traditional data sets (its Tables 3 to 6): the label is the whole answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mien.core.aus import au_key, au_set
from mien.core.emotions import canonical, order
from mien.core.errors import require_known
from mien.core.nouns import Answer, Labels

__all__ = [
    "CATEGORIES",
    "DISFA_PRESENT_FROM",
    "Category",
    "category_of",
    "read_category",
    "say_category",
    "say_units",
]


@dataclass(frozen=True, slots=True)
class Category:
    """A traditional data set whose labels are the whole answer: ``Happiness``, or ``AU1, AU4``."""

    task: str
    names: tuple[str, ...]
    """Emotion words in the released index order, or AU keys that are scored."""


CATEGORIES: Mapping[str, Category] = MappingProxyType(
    {
        "rafdb": Category("emotion", order("rafdb")),
        "bp4d": Category("au", au_set("bp4d12")),
        "disfa": Category("au", au_set("disfa8")),
        "gft": Category("au", au_set("gft10")),
    }
)
"""Data set -> its answers."""
DISFA_PRESENT_FROM = 2
"""Level from which EmoLA counts an AU of DISFA as present; AU-LLaVA counts above 2."""


def _open(dataset: str) -> Category:
    require_known(dataset, CATEGORIES, "data set")
    return CATEGORIES[dataset]


def category_of(dataset: str, labels: Labels) -> str | frozenset[str] | None:
    """What a face of a data set of `CATEGORIES` is labelled with: its emotion, or its AUs that are present.

    Presence in ``disfa`` is that of its levels, from `DISFA_PRESENT_FROM` on; a ready presence is not looked at.

    Returns:
        None where the label is missing or not of this set, or one of the set's AUs is not coded.
    """
    known = _open(dataset)
    if known.task == "emotion":
        return labels.emotion if labels.emotion in {canonical(word) for word in known.names} else None
    if dataset == "disfa":
        coded = {key: level >= DISFA_PRESENT_FROM for key, level in (labels.au_level or {}).items()}
    else:
        coded = dict(labels.au_presence or {})
    if any(key not in coded for key in known.names):
        return None
    return frozenset(key for key in known.names if coded[key])


def say_units(keys: Iterable[str]) -> str:
    """``AU1, AU4``; ``None`` where no AU is present, which the paper does not spell out."""
    return ", ".join(f"AU{int(key[2:])}" for key in keys) or "None"


def say_category(dataset: str, label: str | Collection[str]) -> str:
    """The answer for a data set of `CATEGORIES`: its word for an emotion, or its AUs that are present.

    Args:
        dataset: a key of `CATEGORIES`.
        label: an emotion, or AU keys that are present; those that the set does not score are left out.
    """
    known = _open(dataset)
    if known.task == "au":
        return say_units(key for key in known.names if key in label)
    words = {canonical(word) or word.lower(): word for word in known.names}
    require_known(label, words, "emotion", of=dataset)
    return words[str(label)]


def read_category(text: str, dataset: str) -> Answer:
    """A category answer as the released evaluation reads it: the data set's word, case and all, or ``AU`` numbers."""
    known = _open(dataset)
    if known.task == "emotion":
        word = text.strip()
        if word in known.names:
            return Answer(text, "answered", labels=Labels(emotion=canonical(word)))
        return Answer(text, "unparsed", f"not one of {', '.join(known.names)}")
    if not text.strip():
        return Answer(text, "unparsed", "empty answer")
    named = {au_key(number) for number in re.findall(r"AU(\d+)", text)}
    return Answer(text, "answered", labels=Labels(au_presence={key: key in named for key in known.names}))
