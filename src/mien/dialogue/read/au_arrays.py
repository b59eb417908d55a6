"""AU arrays: one bracketed list of numbers, in the format that the question asks for (AU-LLaVA's three tasks).

    binary     [0, 1, 1, 0]              0 absent, 1 present
    level      [0, 3, 2, 0]              FACS levels 0..5
    intensity  [0.00, 0.62, 0.35, 0.05]  0..1 with two decimals

`slots` is the grammar for constrained decoding. Its slots do not depend on one another, so the leading digit of
an intensity is always 0: the largest value that is written is 0.99. The reader also takes 1, 1.0 and 1.00.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mien.core.aus import AUS
from mien.core.errors import BadConfig, BadInput, require_known
from mien.core.nouns import Answer, AuReading, Labels

__all__ = ["FORMATS", "QUESTIONS", "question", "read_array", "say_array", "slots"]

FORMATS: tuple[str, ...] = ("binary", "level", "intensity")

QUESTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "binary": (
            "Which Action Units are present on this face? Answer with an array of 0 and 1.",
            "Give the Action Units of this face as an array of 0 and 1.",
            "Mark each Action Unit as present (1) or absent (0) in an array.",
            "Code the presence of each Action Unit as a binary array.",
            "Write the binary array of Action Units for this face.",
        ),
        "level": (
            "What is the level of each Action Unit on this face? Answer with an array of integers from 0 to 5.",
            "Give the Action Units of this face as an array of levels from 0 to 5.",
            "Rate each Action Unit from 0 (absent) to 5 (maximum) in an array.",
            "Code the FACS level of each Action Unit as an array of integers.",
            "Write the array of Action Unit levels, 0 to 5, for this face.",
        ),
        "intensity": (
            "What is the intensity of each Action Unit on this face? Answer with an array of decimals from 0 to 1.",
            "Give the Action Units of this face as an array of intensities between 0 and 1.",
            "Estimate each Action Unit as a decimal from 0 (absent) to 1 (maximum) in an array.",
            "Measure the intensity of each Action Unit as an array of floats.",
            "Write the array of Action Unit intensities, 0.00 to 1.00, for this face.",
        ),
    }
)
"""Questions without an AU list; they mean the AU set that the model was trained with, in its order."""

_FORM = {
    "binary": "each 0 (absent) or 1 (present)",
    "level": "each an integer level from 0 (absent) to 5 (maximum)",
    "intensity": "each a decimal intensity from 0.00 (absent) to 1.00 (maximum)",
}
_LIST = re.compile(r"\[([^\[\]]*)\]")
_ITEM = {
    "binary": re.compile(r"[01]"),
    "level": re.compile(r"[0-5]"),
    "intensity": re.compile(r"(?:0?\.\d+|[01]\.\d*|[01])"),
}
_EXPECTED = {"binary": "0 or 1", "level": "an integer 0..5", "intensity": "a decimal 0..1"}


def _checked(format: str) -> str:
    require_known(format, FORMATS, "AU array format")
    return format


def question(format: str, au_keys: Sequence[str]) -> str:
    """The full question: purpose, the list of AUs in order, and the form of the answer.

    Raises:
        BadConfig: the format is none of `FORMATS`, or a key is no AU.
    """
    form = _FORM[_checked(format)]
    unknown = [key for key in au_keys if key not in AUS]
    if unknown or not au_keys:
        got = f"AU keys {', '.join(unknown)}" if unknown else "no AU key"
        raise BadConfig(got=got, expected="keys of mien.core.aus.AUS such as 'AU06'")
    listed = ", ".join(f"{AUS[key].prose} ({AUS[key].name})" for key in au_keys)
    count = f"{len(au_keys)} numbers" if len(au_keys) > 1 else "1 number"
    return f"Analyze the Action Units of this face: {listed}. Answer with an array of {count}, {form}."


def say_array(readings: Sequence[AuReading], format: str) -> str:
    """Write readings, in AU order, as an array.

    Raises:
        BadConfig: the format is none of `FORMATS`.
        BadInput: a reading is unmeasured; an array has no word for that.
    """
    _checked(format)
    missing = sum(not reading.measured for reading in readings)
    if missing:
        raise BadInput(
            got=f"{missing} of {len(readings)} readings without a value",
            expected="a measured reading for each AU",
            fix="Leave unmeasured AUs out of the question",
        )
    if format == "binary":
        items = [str(int(reading.presence)) for reading in readings]
    elif format == "level":
        items = [str(reading.level) for reading in readings]
    else:
        # Half up, as AuReading rounds; the epsilon undoes binary fractions just below a half.
        items = [
            f"0.{min(math.floor(100.0 * reading.intensity + 0.5 + 1e-9), 99):02d}" for reading in readings
        ]
    return f"[{', '.join(items)}]"


def slots(format: str, n: int) -> tuple[tuple[str, ...], ...]:
    """Grammar of an array of ``n`` values: the allowed tokens of every slot, each one a single token.

    Any choice of one string per slot, joined without spaces, is readable by `read_array`.

    Raises:
        BadConfig: the format is none of `FORMATS`, or ``n`` is not positive.
    """
    _checked(format)
    if n < 1:
        raise BadConfig(got=f"an array of {n} values", expected="at least one", fix="Pass the number of AUs")
    digits = tuple("0123456789")
    value: tuple[tuple[str, ...], ...]
    if format == "binary":
        value = (("0", "1"),)
    elif format == "level":
        value = (tuple("012345"),)
    else:
        value = (("0",), (".",), digits, digits)
    between: tuple[tuple[str, ...], ...] = ((", ",),)
    return (("[",), *value, *((between + value) * (n - 1)), ("]",))


def read_array(text: str, format: str, n: int, au_keys: Sequence[str] | None = None) -> Answer:
    """Read the first bracketed list of an answer.

    Tolerant of words around the list, of spaces, line breaks, semicolons, a trailing comma and quotes; strict on the
    number of values and on their form and range: a wrong list is ``unparsed`` with a reason, never repaired.

    Args:
        text: the answer.
        format: one of `FORMATS`.
        n: number of values expected.
        au_keys: names of the values; without them the labels are keyed by position, ``"0"`` … ``"n-1"``.

    Returns:
        Parsed labels in ``au_presence``, ``au_level`` or ``au_intensity``, by format.

    Raises:
        BadConfig: the format is none of `FORMATS`, or there are not ``n`` keys.
    """
    _checked(format)
    keys = [str(place) for place in range(n)] if au_keys is None else list(au_keys)
    if len(keys) != n:
        raise BadConfig(
            got=f"{len(keys)} AU keys for {n} values", expected="one key per value", fix="Pass both alike"
        )
    lists = _LIST.findall(text)
    if not lists:
        return Answer(text, "unparsed", "no bracketed list")
    items = [item.strip().strip("'\"").strip() for item in re.split(r"[,;]", lists[0])]
    if len(items) > 1 and not items[-1]:
        items.pop()
    if len(items) != n:
        return Answer(
            text, "unparsed", f"{len(items) if items != [''] else 0} values where {n} were asked for"
        )
    for place, item in enumerate(items):
        if not _ITEM[format].fullmatch(item) or (format == "intensity" and float(item) > 1.0):
            return Answer(text, "unparsed", f"value {place + 1} is {item!r}, not {_EXPECTED[format]}")
    if format == "binary":
        labels = Labels(au_presence={key: item == "1" for key, item in zip(keys, items, strict=True)})
    elif format == "level":
        labels = Labels(au_level={key: int(item) for key, item in zip(keys, items, strict=True)})
    else:
        labels = Labels(au_intensity={key: float(item) for key, item in zip(keys, items, strict=True)})
    return Answer(text, "answered", labels=labels)
