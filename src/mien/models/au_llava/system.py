"""AU-LLaVA: one model that codes Action Units as an array, in the format that the question asks for.

Presence (BP4D), levels 0..5 (DISFA) and intensities 0..1 (FEAFA) differ in the text alone. The paper's description
texts are not published in words; its three parts (purpose, AUs with where to look, form of the answer) are written
here anew. No code was published; LocLLM's, by a shared author, fills what the paper leaves open.
"""

from __future__ import annotations

from mien.models.au_llava.words import (
    BUILDERS,
    DISFA_PRESENT_ABOVE,
    TASKS,
    ask,
    asked,
    pick,
    read,
    units,
    wrap,
)
from mien.models.composite.backbones import WEIGHTS
from mien.models.composite.checks import checks_options
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.locllm import DECODER_TARGET, PROJECTOR, TOWER_TARGET, compose
from mien.models.composite.processing import Template
from mien.models.composite.systems import Arrays, Generation, Lora, Stage, System

__all__ = ["SYSTEM", "configure"]


@checks_options("au-llava")
def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    projector: str = "linear",
    decoder: str | None = None,
    tower: str | None = None,
    image_size: int | None = None,
) -> FacialLMConfig:
    """The composite's configuration; the other arguments are those of `mien.models.composite.locllm.compose`.

    Args:
        projector: one fully connected layer as published.
    """
    return compose(scale, vocabulary, projector, decoder, tower, image_size)


def _stage(*targets: str) -> Stage:
    """Alpha, dropout and the choice of q and v are LocLLM's."""
    return Stage(
        PROJECTOR,
        5e-4,
        64,
        5,
        lora=Lora(targets, rank=8, alpha=16),
        warmup=0.03,
        weight_decay=0.05,
        loss="sample",
        data="BP4D, DISFA or FEAFA",
    )


SYSTEM = System(
    name="au-llava",
    configure=configure,
    template=Template(system="Image: <image>\n", user="Task: ", assistant="\nAnswer: ", end="</s>"),
    placeholders={"<image>": "image"},
    stages={
        "paper": _stage(TOWER_TARGET, DECODER_TARGET),
        # Table I.
        "vision": _stage(TOWER_TARGET),
        "decoder": _stage(DECODER_TARGET),
    },
    generation=Generation(max_new_tokens=160),
    builders=BUILDERS,
    arrays=Arrays({task: form for task, (form, _) in TASKS.items()}, units, asked, pick),
    ask=ask,
    read=read,
    present_above={"disfa": DISFA_PRESENT_ABOVE},
    wrap=wrap,
    weights={"decoder": WEIGHTS["vicuna-7b"], "image": WEIGHTS["dinov2-l"]},
    base_weights={"decoder": WEIGHTS["qwen3-0.6b"], "image": WEIGHTS["dinov2-s"]},
)
