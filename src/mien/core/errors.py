"""Every error that mien raises on purpose.

    MienError
    ├── BadInput             what could not be read: a file, image, video, array or landmark set
    │   └── BadData          … that belongs to a dataset or table, and is not in its published format
    ├── BadConfig            an unknown name, key, scale, option or a value out of range
    ├── MissingDependency    an optional package is not installed
    ├── MissingWeights       a weight file is absent or is not the file it should be
    ├── OutputFailed         a result could not be written
    └── BackendFailed        a model server or runtime did not answer as it should

Each one speaks three sentences: what came, what was expected, what to do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from numbers import Integral, Real
from types import ModuleType
from typing import Any

from mien.core.plain import printable

__all__ = [
    "BackendFailed",
    "BadConfig",
    "BadData",
    "BadInput",
    "MienError",
    "MissingDependency",
    "MissingWeights",
    "OutputFailed",
    "reason_of",
    "require",
    "require_known",
    "require_range",
    "require_text",
    "weights_of_strangers",
]


class MienError(Exception):
    """Base of all errors raised on purpose. What strangers may have named stands in it as escapes.

    Args:
        got: what came, with its value (``"photo.jpg starts with b'hello'"``).
        expected: what was expected.
        fix: what the user can do about it; may be left out where nothing but a correction can be advised.
    """

    def __init__(self, *, got: str, expected: str, fix: str = "Correct it") -> None:
        self.got, self.expected, self.fix = (printable(part).rstrip(". ") for part in (got, expected, fix))
        super().__init__(f"Got {self.got}. Expected {self.expected}. {self.fix}.")


class BadInput(MienError):
    """What could not be read: a file, image, video, array or landmark set that cannot be analysed."""


class BadConfig(MienError):
    """An unknown name, key or scale, or an option out of its range."""


class BadData(BadInput):
    """A dataset or table on disk that could not be read: it is not in its published format."""


class MissingDependency(MienError):
    """An optional package is not installed."""


class MissingWeights(MienError):
    """A weight file is absent, truncated, or not the file it should be."""


class OutputFailed(MienError):
    """A result could not be written: folder not writable, disk full."""


class BackendFailed(MienError):
    """A model server or runtime did not answer as it should."""


@contextmanager
def weights_of_strangers(what: str, expected: str, fix: str) -> Iterator[None]:
    """Whatever a library raises over a model's file in this block becomes `MissingWeights`: what is inside is a
    stranger's, and no library lists what may come of it.

    Args:
        what: the file, for the message.
        expected: what it should be.
        fix: what to do.
    """
    try:
        yield
    except MienError:
        raise
    except BaseException as error:
        kind = type(error).__name__
        # The panic of a library in Rust is no Exception; a lack of a device's memory is not the file's fault.
        if kind == "OutOfMemoryError" or not (isinstance(error, Exception) or kind == "PanicException"):
            raise
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise MissingWeights(
            got=f"{what}, which cannot be read ({kind}{f': {text[:300]}' if text else ''})",
            expected=expected,
            fix=fix,
        ) from error


def reason_of(error: BaseException) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional ``module`` or say exactly what to install.

    Args:
        module: import name, e.g. ``"fastapi"``.
        extra: mien's extra that brings it, e.g. ``"serve"``.
        purpose: what it is needed for, e.g. ``"the HTTP server"``.

    Raises:
        MissingDependency: the module is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingDependency(
            got=f"no installed package {module!r}",
            expected=f"it for {purpose}",
            fix=f"Run: pip install 'mien[{extra}]'",
        ) from error


def require_known(name: object, known: Iterable[str], what: str, of: str = "") -> None:
    """Refuse a name that is not among the known ones.

    Args:
        name: what was asked for.
        known: the names there are, in the order in which they are told.
        what: what is named, e.g. ``"task"``.
        of: to whom it belongs, e.g. ``"expllm"``.

    Raises:
        BadConfig: the name is unknown.
    """
    names = tuple(known)
    if name not in names:
        owner = f" of {of}" if of else ""
        raise BadConfig(
            got=f"{what} {name!r}{owner}", expected=f"one of {', '.join(names)}", fix="Choose one of these"
        )


def require_text(value: object, what: str) -> None:
    """Refuse what is no text.

    Raises:
        BadInput: it is of another type.
    """
    if not isinstance(value, str):
        raise BadInput(got=f"{what} of type {type(value).__name__}", expected="text", fix="Pass a str")


def require_range(
    value: object,
    what: str,
    low: float,
    high: float = math.inf,
    *,
    whole: bool = False,
    fix: str = "Correct it",
) -> None:
    """Refuse a number outside ``low`` to ``high``, both included; NaN and what is no number too.

    Args:
        value: what was given.
        what: what it is called, e.g. ``"batch_size"``.
        low: the least.
        high: the greatest.
        whole: it must be a whole number.
        fix: what to do, where more than a correction can be advised.

    Raises:
        BadConfig: it is not within the range.
    """
    number: Any = (
        value if isinstance(value, Integral if whole else Real) and not isinstance(value, bool) else None
    )
    if number is None or not low <= number <= high:
        span = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
        raise BadConfig(got=f"{what} {value!r}", expected=f"{'a whole number, ' * whole}{span}", fix=fix)
