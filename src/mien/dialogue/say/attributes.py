"""Facial evidence in words: age, gender and race as an expert model sees them (EMO-LLaMA's AGR prompt).

The published prompt ends before these words; their form is not published. Here it is
``"age 20-29, gender female, race Asian"``, in this order. They are what a model estimated from the picture: nothing in
mien fills them from a dataset's group labels, which serve audits only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mien.core.errors import BadConfig

__all__ = ["ATTRIBUTES", "read_attributes", "say_attributes"]

ATTRIBUTES: tuple[str, ...] = ("age", "gender", "race")
"""Names, in the order in which they are said."""

_SAID = re.compile(
    rf"\b({'|'.join(ATTRIBUTES)})\s*[:=]?\s+([^\s,.;][^,;\n]*?)\s*(?=[,;\n]|\.?$)", re.IGNORECASE
)


def say_attributes(values: Mapping[str, str]) -> str:
    """``{"age": "20-29", "gender": "female"}`` -> ``"age 20-29, gender female"``.

    Raises:
        BadConfig: no value, a name that is none of `ATTRIBUTES`, or a value with a comma, a semicolon or a line break.
    """
    wrong = [
        f"{name} {value!r}"
        for name, value in values.items()
        if name not in ATTRIBUTES or not re.fullmatch(r"[^\s,.;](?:[^,;\n]*[^\s,.;])?", value)
    ]
    if wrong or not values:
        raise BadConfig(
            got=f"attributes {', '.join(wrong) or 'without a value'}",
            expected=f"words for {', '.join(ATTRIBUTES)}, without commas",
            fix="Write them as in 'age 20-29'",
        )
    return ", ".join(f"{name} {values[name]}" for name in ATTRIBUTES if name in values)


def read_attributes(text: str) -> dict[str, str]:
    """The attributes that a text names in this form; empty when it names none."""
    return {match[1].lower(): match[2] for match in _SAID.finditer(text)}
