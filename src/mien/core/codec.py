"""Nouns as JSON and back: one form for journals, output files, reports and servers, without loss.

A noun is an object with its fields by name; a tuple is a list, an array nested lists, NaN is null (the text ``"NaN"``
where null means "not known"), an infinity ``"Infinity"`` or ``"-Infinity"``. The outermost object says ``version``.
Fields with a default may be absent. What a field holds follows from its annotation alone, so that a new one needs
no line here; an annotation without a form raises `TypeError` at the first use of its noun.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from mien.core.errors import BadInput

__all__ = ["VERSION", "decode", "encode"]

VERSION = 1
"""Of the form. It rises when older readers could no longer read what is written."""

Noun = TypeVar("Noun")
_FIX = "Pass what mien wrote, unchanged"
_PLAIN: Mapping[Any, str] = {str: "a text", int: "a whole number", bool: "true or false"}
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class _Form(NamedTuple):
    """Both ways of one type; ``back`` takes the JSON value and the place where it stands."""

    there: Callable[[Any], Any]
    back: Callable[[Any, str], Any]


def encode(noun: object, *, derived: bool = False) -> dict[str, Any]:
    """A noun as an object of JSON values; equal nouns give equal objects in one order.

    Args:
        noun: an instance of a dataclass of `mien.core.nouns`.
        derived: add what follows from the fields and readers like to have (the class's ``DERIVED`` properties);
            `decode` passes over it.
    """
    content: dict[str, Any] = _noun_form(cast(Any, type(noun)), derived).there(noun)
    return {"version": VERSION} | content


def decode(kind: type[Noun], content: object) -> Noun:
    """What `encode` made, as a noun of class ``kind``.

    Raises:
        BadInput: another or a newer form, a field that is unknown, missing or of another type.
    """
    version = content.get("version", VERSION) if isinstance(content, Mapping) else VERSION
    if not isinstance(version, int) or version > VERSION:
        raise BadInput(
            got=f"a {kind.__name__} of version {version!r}",
            expected=f"version {VERSION} or older",
            fix="Read it with a newer mien",
        )
    if isinstance(content, Mapping):
        content = {key: value for key, value in content.items() if key != "version"}
    return cast(Noun, _noun_form(cast(Any, kind), False).back(content, kind.__name__))


@cache
def _noun_form(make: Any, derived: bool) -> _Form:
    kind: Any = make if dataclasses.is_dataclass(make) else None
    if kind is None:
        raise TypeError(f"no JSON form of {make!r}")
    hints, fields = get_type_hints(kind), dataclasses.fields(kind)
    forms = {one.name: _form(hints[one.name], derived) for one in fields}
    missing = dataclasses.MISSING
    needed = {one.name for one in fields if one.default is missing and one.default_factory is missing}
    extra: tuple[str, ...] = getattr(kind, "DERIVED", ())
    earlier: Mapping[str, Mapping[str, str]] = getattr(kind, "EARLIER", {})

    def there(noun: object) -> dict[str, Any]:
        content = {name: form.there(getattr(noun, name)) for name, form in forms.items()}
        return content | {name: _derived(getattr(noun, name)) for name in extra} if derived else content

    def back(content: object, where: str) -> object:
        if not isinstance(content, Mapping):
            raise _refused(content, where, "an object")
        given = content.keys() - set(extra)
        if not needed <= given <= forms.keys():
            odd = ", ".join(sorted(map(str, needed - given)) or sorted(map(str, given - forms.keys())))
            raise BadInput(
                got=f"{where} {'without' if needed - given else 'with an unknown'} {odd}",
                expected=f"the fields {', '.join(forms)}",
                fix=_FIX,
            )
        values = {name: content[name] for name in forms if name in given}
        for name in earlier.keys() & given:
            if isinstance(values[name], str):
                values[name] = earlier[name].get(values[name], values[name])
        return make(**{name: forms[name].back(value, f"{where}.{name}") for name, value in values.items()})

    return _Form(there, back)


def _form(hint: Any, derived: bool) -> _Form:
    """The form of an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _Form(hint, partial(_plain, hint))
    if hint is float:
        return _Form(partial(_number, unknown=None), _number_back)
    if origin is Literal:
        return _Form(lambda value: value, partial(_word, arguments))
    if origin in (Union, types.UnionType) and len(arguments) == 2 and arguments[1] is type(None):
        return _optional(arguments[0], _form(arguments[0], derived))
    if origin is tuple:
        return _tuple(arguments, derived)
    if origin is Mapping and arguments[0] is str:
        return _mapping(_form(arguments[1], derived))
    if origin is np.ndarray:
        return _array(np.dtype(get_args(arguments[1])[0]))
    if isinstance(hint, type):
        return _noun_form(hint, derived)
    raise TypeError(f"no JSON form of {hint!r}")


def _derived(value: Any) -> Any:
    return _number(value, unknown=None) if isinstance(value, float) else value


def _refused(value: object, where: str, expected: str) -> BadInput:
    shown = repr(value)
    return BadInput(got=f"{shown[:60]}{'…' * (len(shown) > 60)} as {where}", expected=expected, fix=_FIX)


def _plain(kind: type, value: object, where: str) -> object:
    if type(value) is not kind:
        raise _refused(value, where, _PLAIN[kind])
    return value


def _word(words: tuple[object, ...], value: object, where: str) -> object:
    if not isinstance(value, str) or value not in words:
        raise _refused(value, where, f"one of {', '.join(map(str, words))}")
    return value


def _number(value: float, unknown: str | None) -> float | str | None:
    if math.isfinite(value):
        return float(value)
    return unknown if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _number_back(value: object, where: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str) and value in _NAMED:
        return _NAMED[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(value, where, "a number or null")
    return float(value)


def _optional(kind: Any, inner: _Form) -> _Form:
    there = partial(_number, unknown="NaN") if kind is float else inner.there
    return _Form(
        lambda value: None if value is None else there(value),
        lambda value, where: None if value is None else inner.back(value, where),
    )


def _tuple(kinds: tuple[Any, ...], derived: bool) -> _Form:
    open_end = kinds[-1] is Ellipsis
    forms = [_form(kind, derived) for kind in (kinds[:1] if open_end else kinds)]

    def there(values: tuple[Any, ...]) -> list[Any]:
        return [
            form.there(one)
            for form, one in zip(forms * len(values) if open_end else forms, values, strict=True)
        ]

    def back(values: object, where: str) -> tuple[Any, ...]:
        if not isinstance(values, list | tuple) or not (open_end or len(values) == len(forms)):
            raise _refused(values, where, "a list" if open_end else f"a list of {len(forms)}")
        each = forms * len(values) if open_end else forms
        return tuple(
            form.back(one, f"{where}[{at}]") for at, (form, one) in enumerate(zip(each, values, strict=True))
        )

    return _Form(there, back)


def _mapping(inner: _Form) -> _Form:
    def back(content: object, where: str) -> dict[str, Any]:
        if not isinstance(content, Mapping):
            raise _refused(content, where, "an object")
        return {str(key): inner.back(value, f"{where}.{key}") for key, value in content.items()}

    return _Form(lambda content: {key: inner.there(value) for key, value in content.items()}, back)


def _array(kind: np.dtype[Any]) -> _Form:
    def there(array: np.ndarray[Any, Any]) -> Any:
        # A float32 is written in its own few digits, not in the seventeen of its neighbour in float64.
        values = array.astype(str).astype(np.float64) if array.dtype == np.float32 else array
        return values.tolist() if np.isfinite(array).all() else _nested(_unnamed, values.tolist())

    def back(content: object, where: str) -> np.ndarray[Any, Any]:
        try:
            array = np.array(_nested(lambda value: _number_back(value, where), content))
            if isinstance(content, list) and (kind.kind == "f" or np.array_equal(array, array.astype(kind))):
                return array.astype(kind)
        except (ValueError, RecursionError, OverflowError):
            pass
        raise _refused(content, where, f"lists of numbers ({kind}), each as long as the next")

    return _Form(there, back)


def _unnamed(value: float) -> float | str | None:
    return _number(value, unknown=None)


def _nested(change: Callable[[Any], Any], values: Any) -> Any:
    return [_nested(change, one) for one in values] if isinstance(values, list) else change(values)
