"""Contrastive alignment of an evidence encoder with a frozen text tower (CLIP's loss as ULIP and FacePhi use it)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from mien.core.errors import BadInput, require_known

__all__ = ["LOG_SCALE_LIMIT", "ContrastiveAlignment", "TextTower", "contrastive_loss"]

LOG_SCALE_LIMIT = 4.6052
"""ln 100: the largest log scale (ULIP); the smallest is 0."""


def contrastive_loss(
    evidence: Tensor, text: Tensor, log_scale: Tensor, labels: Tensor | None = None
) -> Tensor:
    """Mean of the two cross-entropies of evidence against text and text against evidence (FacePhi, Eq. 4).

    Args:
        evidence: (N, d), any length; rows are normalised here.
        text: (N, d), the text of each evidence.
        log_scale: scalar, ln(1 / tau).
        labels: (N,) classes. Without them each row has one right partner, as printed: with 8 texts in a batch of
            64, about 7 further partners of equal text then count as wrong. With them the target is spread evenly
            over all partners of the same class.

    Raises:
        BadInput: the shapes do not match.
    """
    if evidence.shape != text.shape or (labels is not None and labels.shape != evidence.shape[:1]):
        raise BadInput(
            got=f"evidence {tuple(evidence.shape)} with text {tuple(text.shape)}",
            expected="both (N, d), and N labels if any",
            fix="Pass one text per evidence, projected to the same width",
        )
    logits = log_scale.exp() * functional.normalize(evidence, dim=1) @ functional.normalize(text, dim=1).t()
    if labels is None:
        target = torch.eye(len(logits), dtype=logits.dtype, device=logits.device)
    else:
        same = (labels[:, None] == labels[None, :]).to(logits.dtype)
        target = same / same.sum(dim=1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.t(), target)) / 2.0


class TextTower(nn.Module):
    """Token ids -> (N, d) text features; frozen.

    Args:
        config: fields of transformers' ``CLIPTextConfig``. ULIP's tower (SLIP ViT-B) is the default: width 512, 12
            layers, 8 heads, 77 tokens, vocabulary 49,408.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.model = CLIPTextModelWithProjection(CLIPTextConfig(**(config or {})))
        self.width = int(self.model.config.projection_dim)
        self.requires_grad_(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            output = self.model.eval()(input_ids=input_ids, attention_mask=attention_mask)
        embeds: Tensor = output.text_embeds
        return embeds


class ContrastiveAlignment(nn.Module):
    """An encoder's (N, width) features and (N, text_width) text features -> the loss.

    ln(1 / tau) learns along; after a step it is brought back into 0..`LOG_SCALE_LIMIT`, as in CLIP and ULIP.

    Args:
        width: of the encoder's features (256 for PointMLP).
        text_width: of the text features (512); the projection is N(0, text_width^-0.5), as ULIP's ``pc_projection``.
        target: ``"pair"`` as printed, or ``"label"``; see `contrastive_loss`.

    Raises:
        BadConfig: unknown target.
    """

    def __init__(self, width: int = 256, text_width: int = 512, target: str = "pair") -> None:
        super().__init__()
        require_known(target, ("pair", "label"), "alignment target")
        self.target = target
        self.projection = nn.Parameter(torch.empty(width, text_width))
        self.log_scale = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """ULIP's initial values: temperature 0.07."""
        nn.init.normal_(self.projection, std=self.projection.shape[1] ** -0.5)
        nn.init.constant_(self.log_scale, math.log(1.0 / 0.07))

    def forward(self, features: Tensor, text: Tensor, labels: Tensor | None = None) -> Tensor:
        """The loss; ``labels`` (N,) are needed with target ``"label"``.

        Raises:
            BadInput: labels lack, or shapes do not match.
        """
        if self.target == "label" and labels is None:
            raise BadInput(
                got="no labels", expected="a class for each item with target 'label'", fix="Pass labels"
            )
        own = labels if self.target == "label" else None
        with torch.no_grad():
            # The value, not the function: a clamp in the graph has no gradient beyond its limits, and no way back.
            self.log_scale.clamp_(0.0, LOG_SCALE_LIMIT)
        return contrastive_loss(features @ self.projection, text, self.log_scale, own)
