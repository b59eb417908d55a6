"""FacePhi: 478 landmarks through PointMLP as one token of Phi-2, answering with a sentence that names an emotion.

The encoder is first aligned with text by contrast (stage ``align``); the paper's ablation trains it as a classifier
instead (stage ``classify``), or not at all. No code was published: what the paper leaves open is an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from mien.models.composite.backbones import WEIGHTS, at_scale, decoder_fields
from mien.models.composite.checks import checks_options
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import Template
from mien.models.composite.systems import Generation, Stage, System
from mien.models.facephi.words import BUILDERS, PLACEHOLDER, alignment_text, ask, labels, read
from mien.models.formats.layouts import LAYOUTS

__all__ = ["SYSTEM", "configure"]
LANDMARKS = 478

_SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"decoder": "phi-2", "encoder": {"variant": "pointmlp", "points": 1024}, "width": 256},
        "base": {
            "decoder": "smollm2-135m",
            "encoder": {"variant": "pointmlp", "points": LANDMARKS},
            "width": 256,
        },
        "small": {"decoder": "phi-small", "encoder": {"variant": "elite", "points": LANDMARKS}, "width": 256},
        "tiny": {
            "decoder": "phi-tiny",
            "encoder": {"variant": "tiny", "points": 64, "neighbors": 8},
            "width": 16,
        },
    }
)


@checks_options("facephi")
def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    projector: str = "mlp2x_gelu",
    normalization: str = "minmax_global",
    points: int | None = None,
    decoder: str | None = None,
) -> FacialLMConfig:
    """The composite's configuration.

    Args:
        scale: one of `mien.models.composite.backbones.SCALES`.
        vocabulary: of the tokenizer, where it is not the decoder's own.
        projector: the text says MLP-based, Figure 1 linear.
        normalization: the paper says that coordinates span -1..1; see `normalize_points`.
        points: PointMLP's 1024 by default; 478 gives 239, 119, 59 and 29 anchors.
        decoder: another decoder: a name in `mien.models.composite.backbones`, a folder or a hub id.
    """
    shape = at_scale(_SCALES, scale)
    encoder = {"type": "pointmlp", **shape["encoder"], "normalization": normalization, "cloud": LANDMARKS}
    if points is not None:
        encoder["points"] = points
    evidence = {
        "landmarks": {
            "encoder": encoder,
            "width": shape["width"],
            "rows": 1,
            "projector": {"type": projector},
            "token_id": -200,
        }
    }
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    return FacialLMConfig(text_config=text, evidence=evidence)


def _encoder_stage(objective: Literal["contrastive", "classification"]) -> Stage:
    """The paper gives rate, batch and epochs; the rest is ULIP's, which it follows (ULIP warms up for one epoch)."""
    return Stage(
        ("model.encoders.landmarks.",),
        2e-5,
        64,
        20,
        objective=objective,
        warmup=0.05,
        weight_decay=0.1,
        betas=(0.9, 0.98),
        last_rate=1e-5,
        precision="fp16",
    )


SYSTEM = System(
    name="facephi",
    configure=configure,
    # For Phi-2 the start and the end token are one.
    template=Template(
        system="<|endoftext|>Below is a conversation between a curious user and an AI agent. The assistant gives "
        "helpful, detailed, and polite answers to the user's questions, ",
        user="Users: ",
        assistant=" AI: ",
        end="<|endoftext|>",
    ),
    placeholders={PLACEHOLDER: "landmarks"},
    stages={
        "align": _encoder_stage("contrastive"),
        # The classifier's own figures are not published; these are those of the alignment.
        "classify": _encoder_stage("classification"),
        "stage1": Stage(("model.projectors.landmarks.",), 2.5e-3, 48, 3, schedule=None, precision="fp16"),
        # The state of the encoder is not said; PointLLM, which this follows, keeps it frozen.
        "stage2": Stage(
            ("model.projectors.landmarks.", "model.language_model.", "lm_head."),
            2.5e-5,
            32,
            3,
            schedule=None,
            precision="fp16",
        ),
    },
    generation=Generation(max_new_tokens=64),
    builders=BUILDERS,
    evidence=f"{PLACEHOLDER} ",
    needs_mesh=lambda inputs: True,
    alignment_text=alignment_text,
    ask=ask,
    read=read,
    wrap=lambda question, options: f"{PLACEHOLDER} {question}",
    labels=labels,
    padding="left",
    special_tokens=False,
    weights={"decoder": WEIGHTS["phi-2"], "landmarks": LAYOUTS["ulip-pointmlp"].published},
    base_weights={"decoder": WEIGHTS["smollm2-135m"]},
)
