"""EMO-LLaMA: LLaMA-VID with facial priors; per frame a clue, mined visual features and landmarks, as three tokens.

An image is one frame; a video is read at one frame per second. What a facial expert (FaceXFormer) says enters in three
ways: its rows and 68 landmarks as evidence, age, gender and race as words of the prompt. No code was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mien.core.errors import BadConfig
from mien.models.composite.backbones import WEIGHTS, at_scale, decoder_fields, tower_fields
from mien.models.composite.checks import checks_options
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import TEMPLATES
from mien.models.composite.systems import Generation, Lora, Stage, System
from mien.models.emo_llama.words import BUILDERS, ask, labels, read

__all__ = ["PRIORS", "SYSTEM", "configure"]

PRIORS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "all": {"rows": ("clue", "visual", "landmarks"), "mining": {}},
        # Table 5, second line: landmarks place the regions but are no token.
        "embedding": {"rows": ("clue", "visual"), "mining": {}},
        # Table 7: the facial embedding is pooled and set beside the visual one.
        "pool-concat": {"rows": ("clue", "visual"), "mining": {"strategy": "pool_concat"}},
        # Table 5, first line: LLaMA-VID.
        "none": {"rows": ("clue", "visual"), "mining": None},
    }
)
"""Which facial priors the evidence holds; age, gender and race are a matter of the prompt."""

_BERT_WORDS = 30_523
"""BERT's 30,522 and ``[DEC]``, which LLaMA-VID's checkpoint holds."""


def _qformer(width: int, layers: int, heads: int) -> dict[str, int]:
    return {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": 4 * width}  # fmt: skip


_SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"decoder": "vicuna-7b", "tower": "eva-g", "qformer": {}, "queries": 32, "heads": 8, "face": 256},
        "base": {
            "decoder": "qwen3-0.6b", "tower": "dinov2-s", "queries": 32, "heads": 6, "face": 256,
            "qformer": _qformer(384, layers=6, heads=6),
        },
        "small": {
            "decoder": "llama-small", "tower": "eva-small", "queries": 32, "heads": 4, "face": 256,
            "qformer": _qformer(192, layers=4, heads=4),
        },
        "tiny": {
            "decoder": "llama-tiny", "tower": "eva-tiny", "queries": 3, "heads": 2, "face": 8,
            "qformer": _qformer(16, layers=2, heads=2) | {"intermediate_size": 24, "max_position_embeddings": 64},
        },
    }
)  # fmt: skip


@checks_options("emo-llama")
def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    priors: str = "all",
    generation: str = "paper",
    keys: str | None = None,
    residual: bool = True,
    branches: str = "both",
    heads: int | None = None,
    face_width: int | None = None,
    layer: int | str | None = None,
    decoder: str | None = None,
    tower: str | None = None,
) -> FacialLMConfig:
    """The composite's configuration; the evidence takes what `FacialClues` takes, by name.

    Args:
        scale: one of `mien.models.composite.backbones.SCALES`.
        vocabulary: of the tokenizer, where it is not the decoder's own.
        priors: one of `PRIORS`.
        generation: Eq. 2 as printed (``"paper"``) or as in ``"llama-vid"``.
        keys: of the Q-Former, see `ClueAggregator`; by default ``"joint"`` where there are facial rows.
        residual, branches, heads: see `FaceInfoMining`.
        face_width: of the facial rows: 256 for FaceXFormer's fused map, 1024 for its last stage.
        layer: of the tower, see `FacialClues`; by default -1 for EVA, whose last norm LLaMA-VID leaves out.
        decoder: another decoder: a name in `mien.models.composite.backbones`, a folder or a hub id.
        tower: another vision tower, likewise.

    Raises:
        BadConfig: unknown scale or priors, or joint keys without facial rows.
    """
    shape, chosen = at_scale(_SCALES, scale), at_scale(PRIORS, priors)
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    seen, mining = tower_fields(tower or shape["tower"]), chosen["mining"]
    if mining is None and keys == "joint":
        raise BadConfig(
            got=f"joint keys, priors {priors!r}", expected="facial rows", fix="Choose other priors"
        )
    # A published Q-Former reads BERT's words; a new one reads the decoder's.
    words = _BERT_WORDS if scale == "paper" else text["vocab_size"]
    clue = {
        "qformer": {**shape["qformer"], "vocab_size": words},
        "queries": shape["queries"],
        "keys": keys or ("visual" if mining is None else "joint"),
        "generation": generation,
    }
    asked = {"heads": heads or shape["heads"], "residual": residual, "branches": branches}
    encoder: dict[str, Any] = {
        "type": "facial-clues",
        "tower": seen,
        "decoder_width": text["hidden_size"],
        "face_width": face_width or shape["face"],
        "clue": clue,
        "mining": None if mining is None else {**asked, **mining},
        "rows": list(chosen["rows"]),
        "layer": layer or (-1 if seen["model_type"] == "instructblip_vision_model" else "final"),
    }
    image = {"encoder": encoder, "width": text["hidden_size"], "rows": len(chosen["rows"]),
             "projector": {"type": "identity"}, "token_id": -200}  # fmt: skip
    return FacialLMConfig(text_config=text, evidence={"image": image})


_LORA = Lora((r"model\.language_model\.layers\.\d+\..+",), rank=128, alpha=256)
_ENCODER = "model.encoders.image."


def _stage(*parts: str) -> Stage:
    trains = tuple(_ENCODER + part for part in (*parts, "aggregator.", "projectors."))
    # LLaVA-1.5's script, whose values the paper takes, gives the visual projector its own rate.
    rates = {_ENCODER + "projectors.visual.": 2e-5}
    data = "category and conversation instructions, category items resampled by label"
    return Stage(trains, 2e-4, 128, 1, lora=_LORA, rates=rates, warmup=0.03, loss="micro_batch", data=data)


SYSTEM = System(
    name="emo-llama",
    configure=configure,
    template=TEMPLATES["v1"],
    placeholders={"<image>": "image"},
    stages={"paper": _stage("mining."), "llama-vid": _stage()},
    generation=Generation(max_new_tokens=512, do_sample=True, temperature=0.2, top_p=0.7),
    builders=BUILDERS,
    evidence="<image>\n",
    shows_again=True,
    unbalanced=("conversation",),
    needs_mesh=lambda inputs: bool(inputs.face_rows == "gradients"),
    published_inputs={"face_rows": "facexformer", "instruction": "bert"},
    ask=ask,
    read=read,
    wrap=lambda question, options: ask("image", question, int(options.get("frames", 1)), options.get("agr")),
    labels=labels,
    clips=True,
    weights={"decoder": WEIGHTS["vicuna-7b"], "image": WEIGHTS["eva-g"]},
    base_weights={"decoder": WEIGHTS["qwen3-0.6b"], "image": WEIGHTS["dinov2-s"]},
)
"""Stage ``llama-vid`` goes with ``priors="none"``, which has no mining module."""
