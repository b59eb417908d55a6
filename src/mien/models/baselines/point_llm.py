"""PointLLM on landmarks (FacePhi's Table 1): a Point-BERT-like encoder, frozen in both stages, a row per group.

Where the published text has 513 rows, here are 479. ``<point_start>`` and ``<point_end>`` are tokens of PointLLM's own
tokenizer; another one spells them out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from mien.core.nouns import Dialogue, Sample, Turn
from mien.models.composite.backbones import at_scale, decoder_fields
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import TEMPLATES
from mien.models.composite.systems import LabelTask, Lora, Stage, System
from mien.models.facephi.system import LANDMARKS
from mien.models.facephi.system import SYSTEM as FACEPHI
from mien.models.facephi.words import BUILDERS, PLACEHOLDER, ask, labels

__all__ = ["SYSTEM", "configure"]

# Every linear layer of the blocks, whatever a decoder calls them.
_LORA = Lora((r"model\.language_model\.layers\.\d+\..*",), rank=128, alpha=256)
_CLOUDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {
            "decoder": "vicuna-7b", "groups": 512, "neighbors": 32, "width": 384, "layers": 12, "heads": 6,
            "hidden": [1024, 2048],
        },
        "base": {
            "decoder": "smollm2-135m", "groups": 64, "neighbors": 16, "width": 192, "layers": 6, "heads": 3,
            "hidden": [512, 512],
        },
        "small": {
            "decoder": "llama-small", "groups": 32, "neighbors": 16, "width": 128, "layers": 4, "heads": 4,
            "hidden": [256, 256],
        },
        "tiny": {
            "decoder": "llama-tiny", "groups": 4, "neighbors": 8, "width": 16, "layers": 1, "heads": 2,
            "hidden": [24, 24],
        },
    }
)  # fmt: skip


def configure(scale: str, vocabulary: int | None = None, decoder: str | None = None) -> FacialLMConfig:
    """A token per group of landmarks and a class token before them; 478 landmarks hold at most 478 groups."""
    shape = at_scale(_CLOUDS, scale)
    groups = min(int(shape["groups"]), LANDMARKS)
    encoder = {key: shape[key] for key in ("neighbors", "width", "layers", "heads")}
    entry = {
        "encoder": {"type": "point-groups", "groups": groups, **encoder},
        "width": shape["width"],
        "rows": groups + 1,
        "projector": {"type": "mlp3x_gelu", "hidden": shape["hidden"]},
        "token_id": -200,
    }
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    return FacialLMConfig(text_config=text, evidence={"landmarks": entry})


_CLOUD = "model.projectors.landmarks."
_POINTS = "<point_start><point_patch><point_end>\n"
"""Before a question: a row of the cloud for each repetition of the token in the middle."""


def _of_cloud(turn: str) -> str:
    """FacePhi's turn in PointLLM's layout."""
    return _POINTS + turn.removeprefix(PLACEHOLDER).lstrip()


def _cloud_labels(options: Mapping[str, Any]) -> LabelTask:
    asked = labels(options)
    return replace(asked, question=_of_cloud(asked.question))


def _emotion(sample: Sample, rng: random.Random) -> Dialogue | None:
    made = BUILDERS["emotion"](sample, rng)
    turns = () if made is None else made.turns
    moved = [Turn(turn.role, _of_cloud(turn.text) if turn.role == "user" else turn.text) for turn in turns]
    return None if made is None else replace(made, turns=tuple(moved))


SYSTEM: System = replace(
    FACEPHI,
    name="point-llm",
    configure=configure,
    template=TEMPLATES["v1"],
    placeholders={"<point_patch>": "landmarks"},
    builders={"emotion": _emotion},
    evidence=_POINTS,
    ask=lambda question=0: _of_cloud(ask(question)),
    wrap=lambda question, options: _POINTS + question,
    labels=_cloud_labels,
    stages={
        "stage1": Stage((_CLOUD,), 2e-3, 128, 3, warmup=0.03, data="as stage 2, short answers"),
        "stage2": Stage((_CLOUD, "model.language_model.", "lm_head."), 2e-5, 32, 3, warmup=0.03),
        "lora": Stage((_CLOUD,), 2e-5, 32, 3, lora=_LORA, warmup=0.03),
    },
    padding="right",
    special_tokens=True,
    weights={"decoder": "RunsenXu/PointLLM_7B_v1.2"},
)
