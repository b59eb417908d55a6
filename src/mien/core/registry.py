"""Things found by name: those of the house, those that an installed package registers, and ``module:NAME``.

A package registers under the entry points ``mien.encoders``, ``mien.datasets`` and ``mien.systems``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from mien.core.errors import BadConfig

__all__ = ["find", "registered", "require_trusted", "trust"]

TRUST = "MIEN_TRUST"
"""Environment variable with the ``module:NAME``, by commas, that models' files may name."""
_trusted: set[str] = set()

_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def registered(group: str) -> dict[str, str]:
    """Name -> ``module:NAME`` of what installed packages register in a group."""
    return {entry.name: entry.value for entry in entry_points(group=group)}


def trust(name: str) -> None:
    """Let the files of models name this code in this process: the user has named it, as in a recipe."""
    _trusted.add(name)


def require_trusted(name: str, group: str, kind: str) -> None:
    """Refuse ``module:NAME`` that a model's file names, where nobody but that file does: importing runs code.

    Allowed is what an installed package registers, what `trust` or `TRUST` names, and what is imported already.

    Raises:
        BadConfig: it is none of these.
    """
    module, colon, _ = name.partition(":")
    allowed = {*registered(group).values(), *_trusted, *os.environ.get(TRUST, "").split(",")}
    if colon and name not in allowed and module not in sys.modules:
        raise BadConfig(
            got=f"a model whose file names the code of its {kind}, {name}, which would be run",
            expected=f"mien's own, one registered in the entry points {group}, or one that you name",
            fix=f"If you trust it, set {TRUST}={name}, or import its module first",
        )


def find(name: str, inside: Mapping[str, str], group: str, kind: str, wanted: type | None = None) -> Any:
    """The object called ``name``.

    Args:
        name: a key of ``inside``, an entry point of ``group``, or ``module:NAME`` of something installed.
        inside: name -> ``module:NAME`` of the house's own, which come first.
        group: of entry points.
        kind: what is looked for, for messages.
        wanted: what it has to be an instance, or for a class a subclass, of; nothing of it runs before that is clear.

    Raises:
        BadConfig: nothing of this name, or it is something else.
    """
    place = inside.get(name) or registered(group).get(name) or (name if _PLACE.fullmatch(name) else None)
    if place is None:
        known = (*inside, *registered(group))
        raise BadConfig(
            got=f"{kind} {name!r}",
            expected=f"one of {', '.join(known)}, or module:NAME",
            fix=f"Choose one of these, or register yours in the entry points {group}",
        )
    module, _, attribute = place.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BadConfig(
            got=f"{kind} {place!r} ({error})",
            expected="a module that can be imported, and a name in it",
            fix="Install its package, or put its folder on PYTHONPATH",
        ) from error
    fits = (
        wanted is None or isinstance(found, wanted) or (isinstance(found, type) and issubclass(found, wanted))
    )
    if not fits:
        raise BadConfig(
            got=f"{place}, which is no {kind}",
            expected=f"a {wanted.__name__ if wanted else kind}",
            fix="Correct the name behind the colon",
        )
    return found
