"""pocket: the small multimodal language model that comes with mien.

The five systems' ideas in miniature: landmark evidence (FacePhi), appearance rows and a measured prior behind them
(EmoLA), AU arrays in the form that the question asks for (AU-LLaVA), a label and then its chain of thought trained
together (ExpLLM), few rows per face (EMO-LLaMA). The composite is `FacialLM`; only this configuration is pocket's.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformers import LlamaConfig

from mien.core.errors import require_known
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.pocket.inputs import PRIOR_WIDTH
from mien.models.pocket.prompt import EVIDENCE, SPECIAL_TOKENS

__all__ = ["SCALES", "PocketScale", "build", "configuration"]


@dataclass(frozen=True, slots=True)
class PocketScale:
    """Shape of the decoder."""

    hidden: int
    layers: int
    heads: int
    groups: int
    """Key-value heads."""
    inner: int
    """Width of the feed-forward layers."""
    feature: int = 256
    """Width of the evidence features."""


SCALES: dict[str, PocketScale] = {
    "small": PocketScale(hidden=256, layers=6, heads=8, groups=4, inner=704),
    "tiny": PocketScale(hidden=32, layers=2, heads=4, groups=2, inner=64, feature=16),
}
"""``small`` is the embedded model (4.8 M parameters in the decoder); ``tiny`` is what tests build."""


def configuration(vocabulary: int, scale: str = "small") -> FacialLMConfig:
    """The composite's configuration."""
    require_known(scale, SCALES, "scale", of="pocket")
    shape = SCALES[scale]
    decoder = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    widths = {"image": shape.feature, "landmark": shape.feature, "prior": PRIOR_WIDTH}
    evidence = {
        name: {
            "encoder": {"type": "cached"},
            "width": widths[name],
            "rows": rows,
            "projector": {"type": "mlp2x_gelu"},
            "token_id": SPECIAL_TOKENS.index(token),
        }
        for name, (token, rows) in EVIDENCE.items()
    }
    return FacialLMConfig(text_config=decoder, evidence=evidence)


def build(vocabulary: int, scale: str = "small") -> FacialLM:
    """The composite with random weights."""
    return FacialLM(configuration(vocabulary, scale))
