"""The Q-Former with which LLaMA-VID, and so EMO-LLaMA, starts: out of InstructBLIP's published weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, InstructBlipConfig, InstructBlipPreTrainedModel, InstructBlipQFormerModel

from mien.core.errors import BadConfig
from mien.layers.facial_clues import FacialClues

__all__ = ["QFormerStart", "holds_qformer"]


def holds_qformer(place: str) -> bool:
    """Whether a folder or hub id is a whole InstructBLIP, not a vision tower alone."""
    return isinstance(AutoConfig.from_pretrained(place, trust_remote_code=False), InstructBlipConfig)


class QFormerStart(InstructBlipPreTrainedModel):
    """Q-Former, queries and the norm on what they read, under the names of transformers' InstructBLIP.

    LAVIS's ``ln_vision`` is the last norm of the vision model there. The language model is left on the disk.
    """

    config_class = InstructBlipConfig
    _keys_to_ignore_on_load_unexpected = [r"^(?:language_|vision_model\.)"]  # noqa: RUF012

    def __init__(self, config: InstructBlipConfig) -> None:
        super().__init__(config)
        words: Any = config.qformer_config
        seen: Any = config.vision_config
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, words.hidden_size))
        self.qformer = InstructBlipQFormerModel(words)
        self.vision_model = nn.ModuleDict({"post_layernorm": nn.LayerNorm(seen.hidden_size)})
        self.post_init()

    def fill(self, clues: FacialClues) -> None:
        """Write these weights into an encoder's clue aggregator; its other layers have no published start.

        Raises:
            BadConfig: the aggregator has another shape; nothing is changed then.
        """
        aggregator = clues.aggregator
        state = {
            "queries": self.query_tokens.detach(),
            **{f"qformer.{key}": value for key, value in self.qformer.state_dict().items()},
            **{
                f"norm.{key}": value
                for key, value in self.vision_model["post_layernorm"].state_dict().items()
            },
        }
        own = aggregator.state_dict()
        wrong = [
            f"{key} {tuple(value.shape)} for {tuple(own[key].shape) if key in own else 'nothing'}"
            for key, value in state.items()
            if key not in own or own[key].shape != value.shape
        ]
        if wrong:
            raise BadConfig(
                got=f"InstructBLIP's Q-Former of another shape: {wrong[0]}",
                expected="the aggregator that the configuration describes",
                fix="Build the system at scale paper, or give the tower's folder alone",
            )
        aggregator.load_state_dict(state, strict=False)
