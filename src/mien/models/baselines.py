"""What the five papers compare with, as plain configurations of the same composite.

LLaVA-1.5 without a facial prior (EmoLA's Table 7), LLaMA-VID without facial priors (EMO-LLaMA's Table 5), a
PointLLM-style cloud of landmarks and a PointMLP classifier (FacePhi's Table 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from torch import nn

from mien.core.emotions import EMOTIONS
from mien.layers.pointmlp import PointMLP
from mien.models.composite.backbones import at_scale, decoder_fields
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import TEMPLATES
from mien.models.composite.systems import LabelTask, Lora, Stage, System
from mien.models.emo_llama import system as emo_llama
from mien.models.emola import system as emola
from mien.models.facephi import system as facephi

__all__ = ["BASELINES", "LLAMA_VID", "LLAVA", "POINT_LLM", "classifier"]

_PROJECTOR = ("model.projectors.image.",)
# Every linear layer of the blocks, whatever a decoder calls them.
_LORA = Lora((r"model\.language_model\.layers\.\d+\..*",), rank=128, alpha=256)


def _llava(scale: str, vocabulary: int | None = None, **options: Any) -> FacialLMConfig:
    return emola.configure(scale, vocabulary, layout="visual", **options)


LLAVA: System = replace(
    emola.SYSTEM,
    name="llava-1.5",
    configure=_llava,
    placeholders={"<image>": "image"},
    stages={
        "stage1": Stage(
            _PROJECTOR, 1e-3, 256, 1, warmup=0.03, template="plain", data="LLaVA's 558,000 captions"
        ),
        "stage2": Stage(
            ("model.projectors.image.", "model.language_model.", "lm_head."), 2e-5, 128, 1, warmup=0.03,
            data="LLaVA's 665,000 instructions",
        ),
        # As EmoLA is tuned, without its prior.
        "faba": Stage(_PROJECTOR, 1e-4, 64, 1, lora=_LORA, rates={_PROJECTOR[0]: 2e-5}, warmup=0.03,
                      data="FABA-Instruct"),
    },
    ask=lambda task="emotion", question=None: emola.ask(task, question, layout="visual"),
    wrap=lambda question, options: emola.LAYOUTS["visual"] + question,
    labels=lambda options: emola.labels({"layout": "visual"}),
)  # fmt: skip
"""LLaVA-1.5: visual tokens alone."""


def _llama_vid(scale: str, vocabulary: int | None = None, **options: Any) -> FacialLMConfig:
    return emo_llama.configure(scale, vocabulary, **{"priors": "none", "generation": "llama-vid", **options})


LLAMA_VID: System = replace(
    emo_llama.SYSTEM,
    name="llama-vid",
    configure=_llama_vid,
    stages={"paper": emo_llama.SYSTEM.stages["llama-vid"]},
)
"""LLaMA-VID: a context token and a mean of the patches per frame; its own projections and scale in the clue."""


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


def _point_llm(scale: str, vocabulary: int | None = None, decoder: str | None = None) -> FacialLMConfig:
    """A token per group of landmarks and a class token before them; 478 landmarks hold at most 478 groups."""
    shape = at_scale(_CLOUDS, scale)
    groups = min(int(shape["groups"]), facephi.LANDMARKS)
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
    return _POINTS + turn.removeprefix(facephi.PLACEHOLDER).lstrip()


def _cloud_labels(options: Mapping[str, Any]) -> LabelTask:
    asked = facephi.labels(options)
    return replace(asked, question=_of_cloud(asked.question))


POINT_LLM: System = replace(
    facephi.SYSTEM,
    name="point-llm",
    configure=_point_llm,
    template=TEMPLATES["v1"],
    placeholders={"<point_patch>": "landmarks"},
    ask=lambda question=0: _of_cloud(facephi.ask(question)),
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
"""PointLLM on landmarks: a Point-BERT-like encoder, frozen in both stages, a row per group of points.

Where the published text has 513 rows, here are 479. ``<point_start>`` and ``<point_end>`` are tokens of PointLLM's own
tokenizer; another one spells them out.
"""

BASELINES: Mapping[str, System] = MappingProxyType({one.name: one for one in (LLAVA, LLAMA_VID, POINT_LLM)})
"""The baselines that speak."""


def classifier(
    scale: str = "paper", classes: int = len(EMOTIONS), normalization: str = "minmax_global"
) -> nn.Module:
    """PointMLP as a plain classifier of landmarks: (N, 478, 3) -> (N, classes) logits.

    Raises:
        BadConfig: unknown scale.
    """
    variants = {"paper": "pointmlp", "base": "pointmlp", "small": "elite", "tiny": "tiny"}
    variant = at_scale(variants, scale)
    if variant == "tiny":
        return PointMLP(variant, classes, points=64, neighbors=8, normalization=normalization)
    points = 1024 if scale == "paper" else facephi.LANDMARKS
    return PointMLP(variant, classes, points=points, normalization=normalization)
