"""ExpLLM: a label and its chain of thought, trained together as the turns of one dialogue.

Paper and released code differ in the order of the turns, the first stage and the number of epochs; both stand
here by name. At inference the released code asks for the label first and for the explanation after it.
"""

from __future__ import annotations

from mien.models.composite.backbones import WEIGHTS
from mien.models.composite.checks import checks_options
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.locllm import DECODER_TARGET, PROJECTOR, TOWER_TARGET, compose
from mien.models.composite.processing import Template
from mien.models.composite.systems import Generation, Lora, Stage, System
from mien.models.expllm.words import BUILDERS, MIX, ask, explaining, labels, read, wrap

__all__ = ["SYSTEM", "configure"]


@checks_options("expllm")
def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    projector: str = "mlp2x_gelu",
    decoder: str | None = None,
    tower: str | None = None,
    image_size: int | None = None,
) -> FacialLMConfig:
    """The composite's configuration; the other arguments are those of `mien.models.composite.locllm.compose`.

    Args:
        projector: two layers as published; ``"linear"`` is LocLLM's.
    """
    return compose(scale, vocabulary, projector, decoder, tower, image_size)


_LORA = Lora((TOWER_TARGET, DECODER_TARGET), rank=8, alpha=16)


def _tuning(epochs: float | None, data: str, warmup: float) -> Stage:
    return Stage(PROJECTOR, 5e-4, 128, epochs, lora=_LORA, warmup=warmup, weight_decay=0.05,
                 loss="sample", data=data)  # fmt: skip


SYSTEM = System(
    name="expllm",
    configure=configure,
    template=Template(
        system="You are a helpful face analysis assistant. \nImage: <image>\n",
        user="TASK: ",
        assistant="\nASSISTANT: ",
        end="</s>",
    ),
    placeholders={"<image>": "image"},
    stages={
        "stage1": Stage(
            PROJECTOR, 5e-3, 256, 1, warmup=500, template="plain", loss="sample", data="CC3M captions"
        ),
        "stage2-rafdb": _tuning(60, "RAF-DB, labels, and a chain of thought to every third", 20_000),
        "stage2-affectnet": _tuning(40, "AffectNet, labels, and a chain of thought to every third", 20_000),
        "code-stage1": _tuning(None, "UTKFace, FairFace, 300W-LP, CelebA as tasks", 0.03),
        "code-rafdb": _tuning(20, "RAF-DB, labels three times and chains of thought once", 0.03),
        "code-affectnet": _tuning(30, "AffectNet, labels three times and chains of thought once", 0.03),
    },
    generation=Generation(max_new_tokens=800),
    builders=BUILDERS,
    mix=dict(zip(("label", "cot"), (passes / sum(MIX) for passes in MIX), strict=True)),
    explaining=explaining,
    published_inputs={"square": "pad-rounded"},
    ask=ask,
    read=read,
    wrap=wrap,
    labels=labels,
    weights={"decoder": WEIGHTS["vicuna-7b"], "image": WEIGHTS["dinov2-l"]},
    base_weights={"decoder": WEIGHTS["qwen3-0.6b"], "image": WEIGHTS["dinov2-s"]},
)
"""The released code generates 100 tokens for a label and 800 for a chain of thought, greedily."""
