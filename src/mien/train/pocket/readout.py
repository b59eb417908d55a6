"""The likelihood read-out in torch, for calibration, for its training and for checks during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from mien.core.emotions import EMOTIONS
from mien.core.nouns import FloatArray, Turn
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.prompt import prompt
from mien.train.pocket.language import Rows, evidence_of
from mien.train.pocket.language_data import READOUT_QUESTION

__all__ = ["asked", "label_logits"]

_BATCH = 256


def asked(tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """(T,) ids of the prompt that ends where the label follows, and (8,) ids of the label words."""
    ids = tokenizer.encode(prompt([Turn("user", READOUT_QUESTION)])).ids
    words = [tokenizer.token_to_id(tokenizer.encode(label).tokens[0]) for label in EMOTIONS]
    return torch.tensor(ids), torch.tensor(words)


@torch.no_grad()
def label_logits(model: FacialLM, tokenizer: Tokenizer, rows: Rows, faces: Sequence[int]) -> FloatArray:
    """(N, 8) logits of the label words after the read-out question, for the given rows."""
    model.eval()
    ids, words = asked(tokenizer)
    parts = []
    for start in range(0, len(faces), _BATCH):
        chosen = faces[start : start + _BATCH]
        text = ids.expand(len(chosen), -1)
        out = model(input_ids=text, evidence=evidence_of(rows, chosen), logits_to_keep=1)
        parts.append(out.logits[:, -1, words].float().numpy())
    return np.concatenate(parts)
