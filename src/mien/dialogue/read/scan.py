"""Text -> atoms: words of the lexicon, AU codes, numbers and marks in one pass; atoms -> sentences.

Time grows with the length of the text: every character is looked at a fixed number of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from mien.core.aus import AUS, LEVEL_LETTERS, au_key
from mien.dialogue.read.lexicon import LEXICON, Entry

__all__ = ["Atom", "Code", "Side", "scan", "sentences"]


Side = Literal["left", "right"] | None


class Atom(NamedTuple):
    """One unit of meaning in a text."""

    kind: str
    """A letter of `mien.dialogue.read.lexicon` or ``, ( ) : . ? -``; ``w`` other word, ``#`` number, ``c`` AU code,
    ``|`` end of a line."""
    start: int
    end: int
    value: Any = None


class Code(NamedTuple):
    """Value of a ``c`` atom."""

    au: str
    level: tuple[int, int] | None
    side: Side


_ITEM = r"[LR]?\d{1,2}(?:[A-E](?![A-Za-z]))?[LR]?(?:_[rci]\b)?(?![\w%]|[.,]\d|\s?%)"
_TIES = (
    r"[ \t]*[,;][ \t]*(?:and[ \t]+|or[ \t]+)?|[ \t]+(?:and|or|nor)[ \t]+|[ \t]*[/&][ \t]*"
    r"|[ \t]+\+[ \t]*|\+(?![ \t])"
)
_THROUGH = r"[ \t]+(?:to|through)[ \t]+|[-\u2013]|[ \t][-\u2013][ \t](?=AU)"
_UNIT = r"F?(?:AUs?|A\.U\.s?|Action[ \t]+Units?)"
_TOKEN = re.compile(
    rf"(?P<codes>\b{_UNIT}(?P<glue>[ \t]*[:#=][ \t]*\#?|[ \t_.-]?\#?)(?={_ITEM})"
    rf"{_ITEM}(?:(?:{_TIES}|{_THROUGH})(?:{_UNIT}[ \t_-]?)?{_ITEM})*"
    r"|(?<![\w.+])[LR]?\d{1,2}[A-E]?(?:\+[LR]?\d{1,2}[A-E]?)+(?![\w+]|\.\d|[ \t]*=))"
    r"|(?P<word>n/a\b|(?:e\.g|i\.e|etc|vs|approx)\.|[A-Za-z]+(?:['\u2019](?:t|s|re|ve|m|d|ll)(?![A-Za-z]))?)"
    r"|(?P<number>\d+(?:\.\d+)?|\.\d+)"
    r"|(?P<line>[ \t]*(?:\r?\n[ \t]*)+(?:(?:[-*\u2022>]|\d{1,2}[.)])[ \t]+|\#+[ \t]*)*)"
    r"|(?P<box>\[[ xX\u2713\u2714]\])"
    r"|(?P<mark>[.,;:?!()\[\]|\u2013\u2014\u2713\u2714\u2705\u2611\u2717\u2718\u274c\u2715\u2716\u00d7\u2612&+=<>/]"
    r"|(?<![A-Za-z])-|-(?![A-Za-z]))"
    r"|(?P<other>[^\W\d_]+)",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"(?P<before>[LR]?)(?P<number>\d{1,2})(?P<letter>[A-E]?)(?P<after>[LR]?)(?:_[rci]\b)?(?![A-Za-z])",
    re.IGNORECASE,
)
_MARKS = {
    "[": "(", "]": ")", "|": ":", "=": ":", "\u2013": "-", "\u2014": "-", "/": "j", "&": "j", "+": "j", "!": ".",
    "<": ";", ">": "w",
} | dict.fromkeys("\u2713\u2714\u2705\u2611", "+")  # fmt: skip
_MARKS |= dict.fromkeys("\u2717\u2718\u274c\u2715\u2716\u00d7\u2612", "!")
_SIDES: dict[str, Side] = {"L": "left", "R": "right"}


def _codes(token: re.Match[str]) -> list[Atom]:
    """The AUs of one list; a range ("AU23 to AU25") names all in between, each with the words of the whole range."""
    text, start = token.group(), token.start()
    found = _short_list(text, token["glue"]) if len(text) < _SHORT else list(_code_list(text, token["glue"]))
    return [Atom(kind, start + low, start + high, code) for kind, low, high, code in found]


@lru_cache(maxsize=1024)
def _short_list(text: str, glue: str | None) -> tuple[Atom, ...]:
    return tuple(_code_list(text, glue))


def _code_list(text: str, glue: str | None) -> Iterator[Atom]:
    items = list(_CODE.finditer(text))
    numbers = [int(item["number"]) for item in items]
    listed = glue is not None and glue.strip() and (0 in numbers or len(set(numbers)) < len(numbers))
    if listed or (glue is None and not all(au_key(number) in AUS for number in set(numbers))):
        # "AUs: 0, 1, 1" is an array without its brackets; "3+3" a sum.
        yield Atom("w", 0, len(text))
        return
    ranges = _ranges(text, items, numbers) if _SPANS.search(text) else frozenset()
    start = 0
    for place, item in enumerate(items):
        if place in ranges:
            continue
        start = item.start() if place else 0
        last = items[place + 1] if place + 1 in ranges else item
        before, _, letter, after = last.groups()
        for number in (
            range(numbers[place], int(last["number"]) + 1) if last is not item else (numbers[place],)
        ):
            code = _code(number, letter, before or after)
            if code is not None:
                yield Atom("c", start, last.end(), code)


@lru_cache(maxsize=512)
def _code(number: int, letter: str, side: str) -> Code | None:
    level = LEVEL_LETTERS.index(letter.upper()) if letter else 0
    key = au_key(number)
    return Code(key, (level, level) if level else None, _SIDES.get(side.upper())) if key in AUS else None


def _ranges(text: str, items: list[re.Match[str]], numbers: list[int]) -> frozenset[int]:
    """Places of the items that end a range; "AU1-2-5" is a list."""
    pairs = list(pairwise(items))
    dashed = sum(text[one.end() : two.start()].strip(" \tAUau") in {"-", "\u2013"} for one, two in pairs)
    ends: set[int] = set()
    for place, (one, two) in enumerate(pairs, 1):
        if dashed < 2 and place - 1 not in ends and numbers[place] > numbers[place - 1]:
            if _RANGE.fullmatch(text, one.end(), two.start()):
                ends.add(place)
    return frozenset(ends)


_SHORT = 40
"""Characters of a list that is worth remembering."""
_SPANS = re.compile(r"[-\u2013]|to\b|through", re.IGNORECASE)
_RANGE = re.compile(rf"(?:{_THROUGH})(?:{_UNIT}[ \t_-]?)?", re.IGNORECASE)


def scan(text: str, lexicon: Mapping[str, tuple[Entry, ...]] = LEXICON) -> list[Atom]:
    """All atoms of ``text`` in order; what is no word, number or mark is skipped."""
    found = list(_TOKEN.finditer(text))
    groups = [match.lastgroup for match in found]
    # Words in lower case, marks as they are; what else is a token may hold anything.
    words = [match.group() for match in found]
    for place, group in enumerate(groups):
        if group == "word":
            words[place] = words[place].lower().replace("\u2019", "'")
        elif group != "mark":
            words[place] = ""
    atoms: list[Atom] = []
    place, count = 0, len(found)
    while place < count:
        match, group, word = found[place], groups[place], words[place]
        place += 1
        if group == "word":
            kind, value, size = _look_up(words, place, lexicon)
            if word == "no" and size == 1 and _interjects(words, groups, place):
                kind = "!"
            place += size - 1
            atoms.append(_atom(Atom, (kind, match.start(), found[place - 1].end(), value)))
        elif group == "mark":
            if word in "+-":
                atoms.append(_mark(text, match, atoms))
            else:
                atoms.append(_atom(Atom, (_MARKS.get(word, word), *match.span(), None)))
        else:
            atoms += _rare(text, match, group)
    return atoms


def _rare(text: str, match: re.Match[str], group: str | None) -> list[Atom]:
    """Atoms of a token that is neither word nor mark."""
    if group == "codes":
        return _codes(match)
    if group == "number":
        return [Atom("#", *match.span(), float(match.group()))]
    if group == "line":
        line = _line(text, match)
        return [] if line is None else [Atom("|", *match.span(), line)]
    if group == "box":
        return [Atom("!" if match.group() == "[ ]" else "+", *match.span(), "before")]
    return [Atom("w", *match.span())]


_atom = tuple.__new__
"""Makes an `Atom` of all its fields, in half the time."""


def _look_up(
    words: list[str], place: int, lexicon: Mapping[str, tuple[Entry, ...]]
) -> tuple[str, object, int]:  # fmt: skip
    """Kind and value of the longest phrase that begins with the word before ``place``, and its words."""
    word = words[place - 1]
    entries = lexicon.get(word)
    if entries is None and word.endswith("'s"):
        word = words[place - 1] = word[:-2]
        entries = lexicon.get(word)
    if entries is not None:
        follows = words[place] if place < len(words) else ""
        for phrase, kind, value in entries:
            size = len(phrase)
            if size == 1:
                return kind, value, 1
            if phrase[1] == follows and tuple(words[place - 1 : place - 1 + size]) == phrase:
                return kind, value, size
    return ("f" if word.endswith("ly") else "w"), None, 1


def _line(text: str, match: re.Match[str]) -> str | None:
    """What a line's end is: ``item`` before a list entry, ``blank`` line, empty; None where a sentence only wraps."""
    body = match.group()
    if body.strip():
        return "item"
    if body.count("\n") > 1:
        return "blank"
    return None if text[match.end() : match.end() + 1].islower() else ""


def _interjects(words: list[str], groups: list[str | None], place: int) -> bool:
    """Whether a "no" before ``place`` answers or marks, and denies nothing behind it."""
    return place >= len(words) or groups[place] == "line" or words[place] in set(",.;:)|!?")


def _mark(text: str, match: re.Match[str], atoms: list[Atom]) -> Atom:
    mark = match.group()
    kind = _MARKS.get(mark, mark)
    if mark in "+-" and atoms and atoms[-1].kind == "c" and atoms[-1].end == match.start():
        # FACS tables: "AU12+ AU4-".
        if not text[match.end() : match.end() + 1].isalnum():
            kind = "+" if mark == "+" else "!"
    return Atom(kind, match.start(), match.end())


def sentences(atoms: list[Atom]) -> Iterator[tuple[int, int]]:
    """Places (first, past the last) of the atoms of each sentence; its closing mark is its last atom."""
    start = 0
    for place, atom in enumerate(atoms):
        if atom.kind in ".?|":
            yield start, place + 1
            start = place + 1
    if start < len(atoms):
        yield start, len(atoms)
