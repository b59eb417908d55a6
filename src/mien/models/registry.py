"""Systems by name: the five, the baselines that they are compared with, and what is registered from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import cast

from mien.core.registry import find
from mien.models.composite.backbones import BASE_END
from mien.models.composite.systems import System

__all__ = ["BASELINES", "PREPARED", "SYSTEMS", "open_system"]

SYSTEMS: tuple[str, ...] = ("facephi", "emola", "emo-llama", "au-llava", "expllm")
"""The published systems; each is the folder of its name."""
BASELINES: tuple[str, ...] = ("llava-1.5", "llama-vid", "point-llm")
"""What the papers compare with; each is a file of ``baselines``."""
PREPARED: Mapping[str, str] = MappingProxyType(
    {"facial-clues": "mien.models.emo_llama.inputs:frames", "prior": "mien.models.emola.inputs:priors"}
)
"""Type of an encoder, or name of evidence without one -> the ``module:function`` that prepares it of faces."""


def _place(name: str, folder: str = "", file: str = "") -> str:
    return f"mien.models.{folder}{re.sub('[-.]', '_', name)}{file}:SYSTEM"


_PLACES = MappingProxyType(
    {name: _place(name, file=".system") for name in SYSTEMS}
    | {name: _place(name, folder="baselines.") for name in BASELINES}
)


def open_system(name: str, scale: str | None = None) -> System:
    """A system by name.

    Args:
        name: one of `SYSTEMS` or `BASELINES`, an entry point ``mien.systems``, or ``module:NAME``.
        scale: at scale ``base`` answers end with the decoders' own end token, and no start token is added.
    """
    system = cast(System, find(name, _PLACES, "mien.systems", "system", System))
    if scale != "base":
        return system
    return replace(system, template=replace(system.template, end=BASE_END), special_tokens=False)
