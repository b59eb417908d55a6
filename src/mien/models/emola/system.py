"""EmoLA: LLaVA-1.5 with a facial prior token behind the visual tokens, for descriptions of emotions and AUs.

The prior is the 212-number output of a landmark net (`mien.layers.landmark_prior`). Ablations of Tables 8, 9 and 14 are
options. Traditional data sets are tasks of their own name, with that set's words or AUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mien.core.errors import require_known
from mien.models.composite.backbones import WEIGHTS, at_scale, decoder_fields, vision_evidence
from mien.models.composite.checks import checks_options
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import TEMPLATES
from mien.models.composite.systems import Generation, Lora, Stage, System
from mien.models.emola.words import BUILDERS, LAYOUTS, ask, labels, read

__all__ = ["SYSTEM", "configure"]

_SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"decoder": "vicuna-7b", "tower": "clip-l-336", "image": 336},
        "base": {"decoder": "qwen3-0.6b", "tower": "siglip-b", "image": 224},
        "small": {"decoder": "llama-small", "tower": "clip-small", "image": 112},
        "tiny": {"decoder": "llama-tiny", "tower": "clip-tiny", "image": 28},
    }
)


@checks_options("emola")
def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    layout: str = "after",
    decoder: str | None = None,
    tower: str | None = None,
    image_size: int | None = None,
) -> FacialLMConfig:
    """The composite's configuration.

    Args:
        scale: one of `mien.models.composite.backbones.SCALES`.
        vocabulary: of the tokenizer, where it is not the decoder's own.
        layout: one of `LAYOUTS`; it decides which evidence there is.
        decoder: another decoder: a name in `mien.models.composite.backbones`, a folder or a hub id.
        tower: another vision tower, likewise.
        image_size: side of its pictures in px.
    """
    shape = at_scale(_SCALES, scale)
    require_known(layout, LAYOUTS, "layout", of="emola")
    entries = {
        "image": vision_evidence(
            tower or shape["tower"], image_size or shape["image"], "mlp2x_gelu", -200, layer=-2
        ),
        "prior": {
            "encoder": {"type": "cached"},
            "width": 212,
            "rows": 1,
            "projector": {"type": "mlp2x_gelu"},
            "token_id": -201,
        },
    }
    evidence = {name: entry for name, entry in entries.items() if f"<{name}>" in LAYOUTS[layout]}
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    return FacialLMConfig(text_config=text, evidence=evidence)


# Every linear layer of the blocks, as in the released code, whatever the decoder calls them.
_LORA = Lora((r"model\.language_model\.layers\.\d+\..+",), rank=128, alpha=256)
_PRIOR, _VISUAL = "model.projectors.prior.", "model.projectors.image."


def _stage(
    trains: tuple[str, ...], lora: Lora | None = _LORA, rates: Mapping[str, float] | None = None
) -> Stage:
    return Stage(trains, 1e-4, 64, 1, lora=lora, rates=rates or {}, warmup=0.03, loss="micro_batch",
                 data="FABA-Instruct")  # fmt: skip


SYSTEM = System(
    name="emola",
    configure=configure,
    template=TEMPLATES["v1"],
    placeholders={"<image>": "image", "<prior>": "prior"},
    stages={
        "paper": _stage((_PRIOR,)),
        # The released code tunes LLaVA's projector too.
        "code": _stage((_PRIOR, _VISUAL), rates={_VISUAL: 2e-5}),
        "projector": _stage((_PRIOR,), lora=None),
        "lora": _stage(()),
    },
    generation=Generation(max_new_tokens=2048, do_sample=True, temperature=0.01, top_p=0.5),
    builders=BUILDERS,
    evidence=LAYOUTS["after"],
    needs_mesh=lambda inputs: bool(inputs.prior == "mesh106"),
    published_inputs={"prior": "insightface"},
    ask=ask,
    read=read,
    wrap=lambda question, options: LAYOUTS[options.get("layout", "after")] + question,
    labels=labels,
    weights={"decoder": WEIGHTS["vicuna-7b"], "image": WEIGHTS["clip-l-336"]},
    start=f"LLaVA-1.5 and a place for the prior: liuhaotian/llava-v1.5-7b (LLAVA), {WEIGHTS['clip-l-336']} (CLIP) by "
    "`mien models import LLAVA CLIP --format llava-1.5 --option layout=after --partial --out FOLDER`",
    base_weights={"decoder": WEIGHTS["qwen3-0.6b"], "image": WEIGHTS["siglip-b"]},
)
"""Evaluation in the released code uses the layout ``TEMPLATES["llava_v1"]``, which differs by one word."""
