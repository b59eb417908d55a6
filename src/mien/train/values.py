"""Entries of a recipe read with their types: ``key=value`` into its place, and what is wrong told in plain words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from mien.core.errors import BadConfig, require_known
from mien.core.objects import read_yaml
from mien.models.composite.processing import TEMPLATES
from mien.models.composite.systems import Lora, Stage

__all__ = ["read_content", "read_fields", "read_options", "read_stage", "set_entry"]

_T = TypeVar("_T", bound=BaseModel)

_WORDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "mapping": "a mapping of entries",
    "dict": "a mapping of entries",
    "model": "a mapping of entries",
    "dataclass": "a mapping of entries",
    "literal": "one of {expected}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "a number above {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "a number below {lt}",
    "too_short": "at least one entry",
}
"""Kind of pydantic's error, by how its name begins -> what was expected; longer names first."""


_TAG = re.compile(r"(bool|int|float|str|literal|tuple|list|dict|nullable)(\[.*\])?")


def set_entry(content: dict[str, Any], change: str) -> None:
    """Put ``key=value`` into its place; dots lead to inner entries, numbers into lists, and the value is YAML.

    Raises:
        BadConfig: the key leads nowhere, or it is no ``key=value``.
    """
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise BadConfig(got=f"change {change!r}", expected="key=value", fix="Write for instance seed=2")
    try:
        value = read_yaml(text)
    except ValueError as error:
        raise BadConfig(
            got=f"change {change!r}, whose value is no YAML",
            expected="a number, a text, or a list such as [a, b]",
            fix="Quote it: key='\"value\"'",
        ) from error
    place: Any = content
    names = path.split(".")
    for depth, name in enumerate(names):
        last, known = depth == len(names) - 1, ".".join(names[:depth])
        if isinstance(place, list):
            key: Any = _index(place, name, known, change)
        elif isinstance(place, dict):
            key = name
        else:
            raise BadConfig(
                got=f"change {change!r}, but {known} is {place!r}",
                expected="an entry that holds others",
                fix=f"Give {known} as a whole: {known}=VALUE",
            )
        if last:
            place[key] = value
        elif isinstance(place, dict):
            # An empty entry (``options:``) holds others as soon as it is asked to.
            place[key] = {} if place.get(key) is None else place[key]
        place = place[key]


def _index(place: Sequence[Any], name: str, known: str, change: str) -> int:
    if not name.isdecimal() or int(name) >= len(place):
        shown = [
            f"{index}: {one['name']}" if isinstance(one, dict) and "name" in one else str(index)
            for index, one in enumerate(place)
        ]
        raise BadConfig(
            got=f"change {change!r}, but {known} has {len(place)} entr{'y' if len(place) == 1 else 'ies'}",
            expected=f"one of {', '.join(shown)}" if shown else "a list that is not empty",
            fix="Count from 0",
        )
    return int(name)


def read_content(kind: type[_T], content: Mapping[str, Any], where: str) -> _T:
    """A pydantic model out of a mapping.

    Raises:
        BadConfig: an entry that cannot be; ``where`` says of what.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise _refused(error.errors(), where, _names_at(kind, error.errors()[0]["loc"])) from error


def read_fields(kind: type[Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Some fields of a dataclass, in their types."""
    known = {field.name: hint for field, hint in zip(fields(kind), _hints(kind), strict=True)}
    return _typed(given, known, where)


def read_options(function: Callable[..., Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Keyword arguments of a function, in their types."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    known = {one.name: one.annotation for one in parameters if one.kind is one.KEYWORD_ONLY}
    return _typed(given, known, where)


def _hints(kind: type[Any]) -> list[Any]:
    hints = inspect.get_annotations(kind, eval_str=True)
    return [hints[field.name] for field in fields(kind)]


def _typed(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> dict[str, Any]:
    made = {}
    for name, value in given.items():
        if name not in known:
            names = f"one of {', '.join(known)}" if known else "none"
            raise BadConfig(got=f"{where}.{name}", expected=names, fix="Correct the entry or leave it out")
        try:
            made[name] = TypeAdapter(known[name]).validate_python(value)
        except ValidationError as error:
            raise _refused(error.errors(), f"{where}.{name}") from error
    return made


_ABOVE: Mapping[str, float] = {"learning_rate": 0.0, "batch": 0.0, "epochs": 0.0, "rank": 0.0, "alpha": 0.0}
_FROM: Mapping[str, float] = {"warmup": 0.0, "weight_decay": 0.0, "last_rate": 0.0, "dropout": 0.0}


def read_stage(name: str, published: Stage | None, changes: Mapping[str, Any]) -> Stage:
    """A stage with a recipe's changes, in their types; a change of ``lora`` keeps the published rest of it.

    Args:
        name: of the stage.
        published: what the changes are laid on; None where the recipe gives all.
        changes: fields of `Stage`.

    Raises:
        BadConfig: an entry that cannot be.
    """
    where, changes = f"stage {name!r}", dict(changes)
    if isinstance(changes.get("lora"), Mapping):
        changes["lora"] = _lora(None if published is None else published.lora, changes["lora"], where)
    base = {} if published is None else {one.name: getattr(published, one.name) for one in fields(Stage)}
    made = Stage(**{**base, **read_fields(Stage, changes, where)})
    _check_range(made, where)
    if made.template is not None:
        require_known(made.template, TEMPLATES, "template", of=where)
    if any(not 0.0 <= beta < 1.0 for beta in made.betas):
        raise BadConfig(got=f"{where} with betas {made.betas}", expected="from 0 to below 1")
    return made


def _lora(published: Lora | None, given: Mapping[str, Any], where: str) -> Lora:
    base = {} if published is None else asdict(published)
    whole = {**base, **read_fields(Lora, given, f"{where}.lora")}
    absent = [name for name in ("targets", "rank", "alpha") if name not in whole]
    if absent:
        raise BadConfig(
            got=f"lora of {where} without {', '.join(absent)}",
            expected="targets, rank and alpha",
            fix="Give them, as this stage has no published adapters",
        )
    made = Lora(**whole)
    _check_range(made, f"{where}.lora")
    for target in made.targets:
        try:
            re.compile(target)
        except re.error as error:
            raise BadConfig(
                got=f"target {target!r} of {where} ({error})",
                expected="a regular expression over names of layers",
                fix=r"Write for instance '.*\.q_proj'",
            ) from error
    return made


def _check_range(made: Stage | Lora, where: str) -> None:
    rates = made.rates if isinstance(made, Stage) else {}
    values = {field.name: getattr(made, field.name) for field in fields(cast(Any, made))}
    low = [name for name in _ABOVE if name in values and not _more(values[name], _ABOVE[name])]
    low += [f"rates.{name}" for name, rate in rates.items() if not _more(rate, 0.0)]
    if low:
        told = {**values, **{f"rates.{name}": rate for name, rate in rates.items()}}
        raise BadConfig(
            got=f"{where} with {' and '.join(f'{told[name]} {name}' for name in low)}",
            expected="all above 0; what was not published has to be chosen",
            fix=f"Give them in the recipe, for instance {low[0]}: 1",
        )
    under = [name for name in _FROM if name in values and not _FROM[name] <= values[name] < float("inf")]
    if under or values.get("dropout", 0.0) >= 1.0:
        wrong = under or ["dropout"]
        raise BadConfig(
            got=f"{where} with {', '.join(f'{name} {values[name]}' for name in wrong)}",
            expected="0 or more; a dropout below 1",
        )


def _more(value: float | None, than: float) -> bool:
    return value is not None and than < value < float("inf")


def _refused(errors: Sequence[ErrorDetails], where: str, known: Sequence[str] = ()) -> BadConfig:
    """What pydantic found first, in the three sentences of the house."""
    error, kind = errors[0], errors[0]["type"]
    place = _place(error)
    if kind == "extra_forbidden":
        return BadConfig(
            got=f"{place} in {where}",
            expected=f"one of {', '.join(known)}",
            fix="Correct the name or leave it out",
        )
    if kind == "missing" and isinstance(error["loc"][-1], int):
        return BadConfig(got=f"{where} with too few values", expected="all of them", fix="Correct the entry")
    if kind == "missing":
        return BadConfig(
            got=f"{where} without {place}", expected="this entry", fix="Give it; see docs/training.md"
        )
    words = dict.fromkeys(_expected(one) for one in errors if _place(one) == place)
    shown = f"{place} = {error['input']!r} in {where}" if place else f"{where} = {error['input']!r}"
    return BadConfig(got=shown, expected=" or ".join(words), fix="Correct the entry")


def _place(error: ErrorDetails) -> str:
    """Where it is; what pydantic adds to tell the types of a union apart is left out."""
    return ".".join(str(part) for part in error["loc"] if not _TAG.fullmatch(str(part)))


def _expected(error: ErrorDetails) -> str:
    begins = max((begin for begin in _WORDS if error["type"].startswith(begin)), key=len, default="")
    return _WORDS[begins].format(**error.get("ctx", {})) if begins else str(error["msg"])


def _names_at(kind: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """The entries that there are beside the one at ``place``."""
    for part in place[:-1]:
        if isinstance(part, str) and part in kind.model_fields:
            inner = _models(kind.model_fields[part].annotation)
            kind = inner[0] if inner else kind
    return list(kind.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]
