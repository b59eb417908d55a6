"""LLaMA-VID without facial priors (EMO-LLaMA's Table 5): a context token and a mean of the patches per frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.systems import System
from mien.models.emo_llama import system as emo_llama

__all__ = ["SYSTEM", "configure"]


def configure(scale: str, vocabulary: int | None = None, **options: Any) -> FacialLMConfig:
    """EMO-LLaMA's configuration with LLaMA-VID's own projections and scale in the clue."""
    return emo_llama.configure(scale, vocabulary, **{"priors": "none", "generation": "llama-vid", **options})


SYSTEM: System = replace(
    emo_llama.SYSTEM,
    name="llama-vid",
    configure=configure,
    published_inputs={"instruction": "bert"},
    stages={"paper": emo_llama.SYSTEM.stages["llama-vid"]},
)
