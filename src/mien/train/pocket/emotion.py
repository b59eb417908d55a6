"""Puts the emotion of the pocket model together: where its encoder starts, how logits join, what is calibrated on what.

Nothing here is trained; what is fitted are a temperature of the joined logits and one of the decoder's read-out, both
on validation faces of which at least six of ten raters say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from mien.core.nouns import FloatArray
from mien.metrics.calibration import fit_scaling
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.evidence import PocketEvidence
from mien.models.pocket.expression import ExpressionClassifier, PocketExpression
from mien.models.pocket.prompt import EVIDENCE, TOLD_ROWS
from mien.train.pocket.belief_stage import read_told
from mien.train.pocket.language import Rows, evidence_of
from mien.train.pocket.readout import asked

__all__ = [
    "Clear",
    "fit_join",
    "fit_readout",
    "joined",
    "log_chances",
    "projected",
    "start_from",
    "told_logits",
]

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Clear:
    """N faces whose label most raters agree on."""

    crops: npt.NDArray[np.uint8]
    """(N, S, S) grey."""
    head: FloatArray
    """(N, 8) logits of the evidence head."""
    rows: FloatArray
    """(N, 10, D) evidence rows behind the projectors."""
    leading: npt.NDArray[np.int64]
    """(N,) label."""


def start_from(classifier: ExpressionClassifier, net: PocketEvidence) -> None:
    """Give `classifier` the crop encoder of `net`, and its emotion head as if no landmarks were known."""
    classifier.encoder.load_state_dict(net.crop.state_dict())
    head, own = net.emotion_head[1], classifier.head[1]
    assert isinstance(head, nn.Linear) and isinstance(own, nn.Linear)
    width = classifier.encoder.width
    with torch.no_grad():
        own.weight.copy_(head.weight[:, :width])
        own.bias.copy_(head.bias + head.weight[:, width:] @ net.no_landmarks)


def log_chances(belief: FloatArray) -> FloatArray:
    """(N, 8) probabilities as logits."""
    return np.log(np.maximum(belief, 1e-9))


@torch.no_grad()
def projected(model: FacialLM, rows: Rows) -> FloatArray:
    """(N, 10, D) float16: the rows that the decoder reads."""
    parts = []
    for start in range(0, len(rows.visual), _BATCH):
        evidence = evidence_of(rows, range(start, min(start + _BATCH, len(rows.visual))))
        shown = [model.model.projectors[name](evidence[name]) for name in EVIDENCE]
        parts.append(torch.cat(shown, dim=1).half().numpy())
    return np.concatenate(parts)


def fit_join(
    net: PocketExpression, clear: Clear, votes: FloatArray, share: float, strength: float
) -> PocketExpression:
    """Set the buffers of `net`.

    Args:
        net: with its trained classifier.
        clear: faces that the temperature is fitted on.
        votes: (M, 8) raters' distributions in training: how rare each emotion is.
        share: how much the evidence head's logits count.
        strength: tau of Menon et al. 2021's logit adjustment, 0 none.
    """
    prior = -strength * np.log(np.maximum(votes.sum(axis=0) / votes.sum(), 1e-4))
    net.share.fill_(share)
    net.bias.copy_(torch.from_numpy((prior - prior.mean()).astype(np.float32)))
    net.temperature.fill_(1.0)
    scaling = fit_scaling(joined(net, clear).numpy(), clear.leading, with_bias=False)
    net.temperature.fill_(scaling.temperature)
    return net


@torch.no_grad()
def joined(net: PocketExpression, clear: Clear) -> Tensor:
    """(N, 8) emotion logits of `net`."""
    net.eval()
    parts = []
    for start in range(0, len(clear.crops), _BATCH):
        crops = torch.from_numpy(clear.crops[start : start + _BATCH]).unsqueeze(1).float() / 255.0
        head = torch.from_numpy(clear.head[start : start + _BATCH])
        parts.append(net(crops, torch.ones(len(crops)), head)[0])
    return torch.cat(parts)


@torch.no_grad()
def told_logits(
    net: PocketExpression, model: FacialLM, tokenizer: Tokenizer, clear: Clear, beliefs: Tensor
) -> FloatArray:
    """(N, 8) log probabilities of the label words after the decoder was told `beliefs` (N, 8)."""
    ids, words = asked(tokenizer)
    parts: list[FloatArray] = []
    for start in range(0, len(beliefs), _BATCH):
        rows = torch.from_numpy(clear.rows[start : start + _BATCH].astype(np.float32))
        head = torch.from_numpy(clear.head[start : start + _BATCH])
        rows[:, :TOLD_ROWS] += net.tell(beliefs[start : start + _BATCH], head)
        parts.append(read_told(model, ids, rows)[:, words].numpy())
    return np.concatenate(parts)


def fit_readout(net: PocketExpression, model: FacialLM, tokenizer: Tokenizer, clear: Clear) -> float:
    """The read-out's temperature. It changes no order of labels."""
    model.eval()
    logits = told_logits(net, model, tokenizer, clear, joined(net, clear))
    return fit_scaling(logits, clear.leading, with_bias=False).temperature
