"""NAME=VALUE, the one way in which options are given: of a data set, a system, an engine.

A function's own signature says which options there are and of what type: ``residual=false`` is False, ``units=12`` the
text ``"12"``, and a word that is no value of its type is refused. Recipes give the same options as a mapping.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, get_args, get_type_hints

from mien.core.errors import BadConfig

__all__ = ["options_of", "say_type", "split_options", "typed_options"]

_TYPES: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    type(None): "null",
}


def split_options(given: Iterable[str], flag: str = "--option") -> dict[str, str]:
    """``["classes=7", "votes=majority"]`` as ``{"classes": "7", "votes": "majority"}``.

    Args:
        given: what was typed; of a name that comes twice the last counts.
        flag: how the user spells it.

    Raises:
        BadConfig: one of them is not NAME=VALUE.
    """
    options: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise BadConfig(
                got=f"{flag} {text}", expected="NAME=VALUE", fix=f"Write it as in {flag} classes=7"
            )
        options[name.strip()] = value.strip()
    return options


def options_of(function: Callable[..., Any], skip: int = 0) -> dict[str, Any]:
    """Name -> type of the parameters of ``function`` that have a default, after the first ``skip``."""
    hints = get_type_hints(function)
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    return {one.name: hints[one.name] for one in parameters if one.default is not one.empty}


def typed_options(given: Mapping[str, object], known: Mapping[str, Any], of: str) -> dict[str, Any]:
    """Options in their types; texts are read, values that have the type already are kept.

    Args:
        given: name -> text or value.
        known: name -> type, as `options_of` tells.
        of: whose options they are, e.g. ``"disfa"``.

    Raises:
        BadConfig: an unknown name, or a value of another type.
    """
    from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

    made: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise BadConfig(
                got=f"option {name!r} of {of}",
                expected=f"one of {', '.join(known)}" if known else "no option at all",
            )
        kinds = [kind for kind in get_args(known[name]) if kind is not type(None)]
        # Of ``int | str`` a text that is a number is the number.
        hint: Any = Annotated[known[name], Field(union_mode="left_to_right")] if kinds[1:] else known[name]
        adapter = TypeAdapter(hint, config=ConfigDict(coerce_numbers_to_str=True))
        try:
            made[name] = adapter.validate_python(value)
        except ValidationError as error:
            raise BadConfig(
                got=f"option {name}={value!r} of {of}",
                expected=say_type(known[name]),
            ) from error
    return made


def say_type(hint: Any) -> str:
    """``int | None`` -> ``"a whole number or null"``."""
    return " or ".join(_TYPES.get(one, str(one)) for one in get_args(hint) or (hint,))
