"""Faces over time: tables of faces -> baselines, events, summaries, synchrony. Numbers in, numbers out.

Public names load on first use, and only then are pandas and SciPy needed (extra ``study``); `mien.study.events` needs
neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.core.errors import require

if TYPE_CHECKING:
    from mien.study.agreement import pair_with_codes
    from mien.study.bids import write_bids
    from mien.study.dyads import Synchrony, synchronies, synchrony
    from mien.study.event_tables import blinks, episodes, smiles
    from mien.study.rest import rest_of, take_rest
    from mien.study.signals import resample, signals_of, smooth, withhold
    from mien.study.summaries import contrasts, summarize
    from mien.study.tables import read_faces

_HOMES = {
    "agreement": ("pair_with_codes",),
    "bids": ("write_bids",),
    "event_tables": ("blinks", "episodes", "smiles"),
    "rest": ("rest_of", "take_rest"),
    "signals": ("resample", "signals_of", "smooth", "withhold"),
    "summaries": ("contrasts", "summarize"),
    "dyads": ("Synchrony", "synchronies", "synchrony"),
    "tables": ("read_faces",),
}
__all__ = [
    "Synchrony",
    "blinks",
    "contrasts",
    "episodes",
    "pair_with_codes",
    "read_faces",
    "resample",
    "rest_of",
    "signals_of",
    "smiles",
    "smooth",
    "summarize",
    "synchronies",
    "synchrony",
    "take_rest",
    "withhold",
    "write_bids",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            for library in ("pandas", "scipy"):
                require(library, extra="study", purpose="tables of faces over time")
            return getattr(import_module(f"mien.study.{module}"), name)
    raise AttributeError(f"module 'mien.study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
