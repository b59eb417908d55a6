"""LLaVA-1.5 without a facial prior (EmoLA's Table 7): visual tokens alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.systems import Lora, Stage, System
from mien.models.emola import system as emola
from mien.models.emola.words import BUILDERS, LAYOUTS, ask, labels

__all__ = ["SYSTEM", "configure"]

_PROJECTOR = ("model.projectors.image.",)
# Every linear layer of the blocks, whatever a decoder calls them.
_LORA = Lora((r"model\.language_model\.layers\.\d+\..*",), rank=128, alpha=256)


def configure(scale: str, vocabulary: int | None = None, **options: Any) -> FacialLMConfig:
    """EmoLA's configuration without the prior; the same options, ``layout`` excepted."""
    return emola.configure(scale, vocabulary, layout="visual", **options)


SYSTEM: System = replace(
    emola.SYSTEM,
    name="llava-1.5",
    configure=configure,
    placeholders={"<image>": "image"},
    builders={task: partial(builder, layout="visual") for task, builder in BUILDERS.items()},
    evidence=LAYOUTS["visual"],
    needs_mesh=lambda inputs: False,
    published_inputs={},
    stages={
        "stage1": Stage(
            _PROJECTOR, 1e-3, 256, 1, warmup=0.03, template="plain", loss="micro_batch", data="LLaVA's 558,000 captions"
        ),
        "stage2": Stage(
            ("model.projectors.image.", "model.language_model.", "lm_head."), 2e-5, 128, 1, warmup=0.03,
            loss="micro_batch", data="LLaVA's 665,000 instructions",
        ),
        # As EmoLA is tuned, without its prior.
        "faba": Stage(_PROJECTOR, 1e-4, 64, 1, lora=_LORA, rates={_PROJECTOR[0]: 2e-5}, warmup=0.03,
                      loss="micro_batch", data="FABA-Instruct"),
    },
    ask=lambda task="emotion", question=None: ask(task, question, layout="visual"),
    wrap=lambda question, options: LAYOUTS["visual"] + question,
    labels=lambda options: labels({**options, "layout": "visual"}),
)  # fmt: skip
