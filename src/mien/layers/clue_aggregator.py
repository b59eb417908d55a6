"""Clue Aggregator of EMO-LLaMA: an instruction-aware Q-Former over visual and facial rows, pooled to one clue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from mien.core.errors import BadInput, require_known

__all__ = ["GENERATIONS", "ClueAggregator", "generate_clue"]

GENERATIONS: tuple[str, ...] = ("paper", "llama-vid")
"""How queries become one clue: Eq. 2 as printed, or LLaMA-VID's code with projections and scale."""


def generate_clue(queries: Tensor, keys: Tensor, values: Tensor, scale: float = 1.0) -> Tensor:
    """Pool_M(softmax_N(scale · Q K^T) V): (B, M, C), (B, N, C), (B, N, C) -> (B, C) (EMO-LLaMA, Eq. 2)."""
    weights = (scale * queries @ keys.transpose(1, 2)).softmax(dim=2)
    return (weights @ values).mean(dim=1)


class ClueAggregator(nn.Module):
    """Instruction, queries, visual rows and facial rows -> one clue of the visual width.

    Args:
        width: C of the visual rows (1408 for EVA-g).
        face_width: of the facial rows (256 for FaceXFormer).
        qformer: fields of ``InstructBlipQFormerConfig``; its encoder width is set here.
        queries: M.
        keys: ``"joint"``: the Q-Former sees LN(visual) and facial rows side by side, which the paper names without
            saying how; ``"visual"``: visual rows only (LLaMA-VID).
        generation: one of `GENERATIONS`. Where the Q-Former is not as wide as the visual rows, Eq. 2 needs a
            layer to match them; it is left out where widths agree.

    Raises:
        BadConfig: an unknown option.
    """

    def __init__(
        self,
        width: int = 1408,
        face_width: int = 256,
        qformer: Mapping[str, Any] | None = None,
        queries: int = 32,
        keys: str = "joint",
        generation: str = "paper",
    ) -> None:
        super().__init__()
        require_known(keys, ("joint", "visual"), "keys")
        require_known(generation, GENERATIONS, "generation")
        config = InstructBlipQFormerConfig(**{**(qformer or {}), "encoder_hidden_size": width})
        self.keys, self.generation, self.width = keys, generation, width
        self.qformer = InstructBlipQFormerModel(config)
        self.queries = nn.Parameter(torch.empty(1, queries, config.hidden_size))
        self.norm = nn.LayerNorm(width)
        self.face = nn.Linear(face_width, width) if keys == "joint" else None
        inner = config.hidden_size
        self.match_query: nn.Module = nn.Identity()
        self.match_key: nn.Module = nn.Identity()
        if generation == "llama-vid" or inner != width:
            self.match_query = nn.Linear(inner, width, bias=generation == "llama-vid")
        if generation == "llama-vid":
            self.match_key = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Queries as BERT's embeddings: N(0, 0.02)."""
        nn.init.normal_(self.queries, std=0.02)

    def refined(
        self, visual: Tensor, face: Tensor | None, input_ids: Tensor, attention_mask: Tensor
    ) -> Tensor:
        """(B, M, hidden) queries after reading the instruction (B, T) and the rows."""
        rows = self.norm(visual)
        if self.face is not None:
            if face is None:
                raise BadInput(
                    got="no facial rows", expected="facial rows with keys 'joint'", fix="Pass face features"
                )
            rows = torch.cat([rows, self.face(face)], dim=1)
        queries = self.queries.expand(visual.shape[0], -1, -1)
        mask = torch.cat([attention_mask.new_ones(queries.shape[:2]), attention_mask], dim=1)
        output = self.qformer(
            input_ids=input_ids,
            attention_mask=mask,
            query_embeds=queries,
            encoder_hidden_states=rows,
            encoder_attention_mask=mask.new_ones(rows.shape[:2]),
        )
        states: Tensor = output.last_hidden_state[:, : queries.shape[1]]
        return states

    def forward(
        self,
        visual: Tensor,
        face: Tensor | None,
        input_ids: Tensor,
        attention_mask: Tensor,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """(B, N, C) visual rows, (B, N', face_width) facial rows, (B, T) instruction -> (B, C) clue.

        The clue is a mixture of the visual rows, or of ``pooled`` (B, N'', C) where they differ: the queries read the
        class token, Eq. 2 counts patches alone, as LLaMA-VID does.
        """
        queries = self.match_query(self.refined(visual, face, input_ids, attention_mask))
        scale = self.width**-0.5 if self.generation == "llama-vid" else 1.0
        rows = visual if pooled is None else pooled
        return generate_clue(queries, self.match_key(rows), rows, scale)
