"""The ids of all items, checked before anything is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mien.annotate.engine import Engine
from mien.core.errors import BadData

__all__ = ["hash_ids", "list_items"]


def list_items(engine: Engine) -> list[str]:
    """The ids of all items, in order.

    Raises:
        BadData: two items have one id.
    """
    ids = [item.id for item in engine.items()]
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(one for one in ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        raise BadData(
            got=f"two items with the id {twice!r}",
            expected="one id per item",
            fix="Correct the list of items; `mien data check` names doubles",
        )
    return ids


def hash_ids(ids: Sequence[str]) -> str:
    """SHA-256 (hexadecimal) over the ids in their order."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()
