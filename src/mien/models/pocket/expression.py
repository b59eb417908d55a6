"""The emotion of a crop in the pocket model: an encoder of its own, and how the decoder comes to hear of it.

The net stands beside the evidence encoders and behind the projectors: it changes the emotion logits and is added to
the rows of crop and landmarks, so that every AU stays as the stages before have left it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.emotions import EMOTIONS
from mien.layers.face_crop import FaceCropEncoder
from mien.models.pocket.prompt import TOLD_ROWS

__all__ = ["EXPRESSION_SIZE", "ExpressionClassifier", "PocketExpression"]

EXPRESSION_SIZE = 64
"""Side in px at which the net sees the crop."""
_LEAST = -8.0
"""Log probability below which an emotion is told as equally unlikely."""


class ExpressionClassifier(nn.Module):
    """The encoder with a plain head on its summary."""

    def __init__(self, encoder: FaceCropEncoder, dropout: float = 0.3) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(encoder.width, len(EMOTIONS)))

    def forward(self, crop: Tensor) -> Tensor:
        """(B, 1, S, S) grey 0..1 -> (B, 8) logits."""
        logits: Tensor = self.head(self.encoder(crop)[1])
        return logits


class PocketExpression(nn.Module):
    """Joins the expression encoder's logits with the evidence head's, and tells the decoder.

    The buffers are fitted after training: ``share`` (1,), how much the evidence head's logits count; ``bias`` (8,) of
    Menon et al. 2021, which makes up for how rare an emotion is; ``temperature`` (1,).

    Args:
        classifier: the trained encoder.
        width: D of the decoder's rows.
        inner: width of the hidden layer of the `teller`.
    """

    share: Tensor
    bias: Tensor
    temperature: Tensor

    def __init__(self, classifier: ExpressionClassifier, width: int = 256, inner: int = 128) -> None:
        super().__init__()
        self.classifier = classifier
        self.teller = nn.Sequential(
            nn.Linear(4 * len(EMOTIONS), inner), nn.GELU(), nn.Linear(inner, TOLD_ROWS * width)
        )
        last = self.teller[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.register_buffer("share", torch.zeros(1))
        self.register_buffer("bias", torch.zeros(len(EMOTIONS)))
        self.register_buffer("temperature", torch.ones(1))

    def join(self, own: Tensor, head: Tensor) -> Tensor:
        """(B, 8) logits of the emotion from the classifier's and the evidence head's, calibrated."""
        return (own + self.share * head + self.bias) / self.temperature

    def tell(self, logits: Tensor, head: Tensor) -> Tensor:
        """(B, 6, D) what is added to the first rows, from joined logits and the evidence head's."""
        beliefs = [F.log_softmax(part, dim=1).clamp(min=_LEAST) for part in (logits, head)]
        shown = [2 * belief.exp() for belief in beliefs] + [belief / 4 for belief in beliefs]
        told: Tensor = self.teller(torch.cat(shown, dim=1)).unflatten(1, (TOLD_ROWS, -1))
        return told

    def forward(self, crop: Tensor, has_crop: Tensor, head: Tensor) -> tuple[Tensor, Tensor]:
        """The emotion logits, and what is added to the first `TOLD_ROWS` of the decoder's rows.

        Args:
            crop: (B, 1, S, S) grey 0..1, S a multiple of `EXPRESSION_SIZE`.
            has_crop: (B,) 0 or 1; without a crop the evidence head's logits stand and nothing is told.
            head: (B, 8) logits of the evidence head.
        """
        seen = has_crop[:, None].to(crop.dtype)
        logits = self.join(self.classifier(F.avg_pool2d(crop, crop.shape[-1] // EXPRESSION_SIZE)), head)
        return seen * logits + (1 - seen) * head, seen[:, None] * self.tell(logits, head)
