"""The likelihood read-out in torch, for calibration and for checks during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Tokenizer

from mien.core.emotions import EMOTIONS
from mien.core.nouns import FloatArray, Turn
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.prompt import prompt
from mien.train.pocket.language import Rows, evidence_of
from mien.train.pocket.language_data import READOUT_QUESTION, Item

__all__ = ["label_logits"]

_BATCH = 256


@torch.no_grad()
def label_logits(model: FacialLM, tokenizer: Tokenizer, rows: Rows, faces: Sequence[int]) -> FloatArray:
    """(N, 8) logits of the label words after the read-out question, for the given rows."""
    model.eval()
    ids = np.asarray(tokenizer.encode(prompt([Turn("user", READOUT_QUESTION)])).ids)
    labels = [tokenizer.token_to_id(tokenizer.encode(label).tokens[0]) for label in EMOTIONS]
    item = ids.astype(np.int32)
    parts = []
    for start in range(0, len(faces), _BATCH):
        chosen = [Item(face, item, np.zeros(len(item), np.bool_)) for face in faces[start : start + _BATCH]]
        text = torch.from_numpy(np.repeat(ids[None], len(chosen), axis=0))
        out = model(input_ids=text, evidence=evidence_of(rows, chosen), logits_to_keep=1)
        parts.append(out.logits[:, -1, labels].float().numpy())
    return np.concatenate(parts)
