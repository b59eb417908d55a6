"""NAME=VALUE read in the types of a function's own parameters."""

from __future__ import annotations

import pytest

from mien.core.errors import BadConfig
from mien.core.options import options_of, split_options, typed_options


def take(
    first: str,
    residual: bool = True,
    size: int = 224,
    rate: float = 0.1,
    units: str = "",
    cut: int | None = None,
    layer: int | str | None = None,
) -> None:
    """Something with options."""


KNOWN = options_of(take)


def typed(*given: str) -> dict[str, object]:
    return typed_options(split_options(given), KNOWN, "it")


def test_values_have_the_type_of_their_parameter() -> None:
    assert list(KNOWN) == ["residual", "size", "rate", "units", "cut", "layer"]
    assert typed("residual=false", "size=7", "rate=1e-3", "units=12", "cut=0") == {
        "residual": False, "size": 7, "rate": 1e-3, "units": "12", "cut": 0,
    }  # fmt: skip
    for word in ("False", "no", "off", "0", "FALSE"):
        assert typed(f"residual={word}") == {"residual": False}
    assert typed_options({"units": 12, "residual": True}, KNOWN, "it") == {"units": "12", "residual": True}
    assert typed("units=a=b", "units= c ") == {"units": "c"}
    assert typed("layer=-1") == {"layer": -1} and typed("layer=last") == {"layer": "last"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("residual=maybe", "true or false"),
        ("residual=", "true or false"),
        ("size=big", "a whole number"),
        ("size=7.5", "a whole number"),
        ("cut=x", "a whole number or null"),
        ("color=red", "one of residual, size, rate, units, cut, layer"),
        ("first=x", "one of residual"),
        ("size", "NAME=VALUE"),
        ("=7", "NAME=VALUE"),
    ],
)
def test_what_is_no_option_is_refused_in_plain_words(given: str, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        typed(given)
