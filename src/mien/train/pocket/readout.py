"""What the likelihood read-out asks, in torch, for its training and calibration."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from mien.core.emotions import EMOTIONS
from mien.core.nouns import Turn
from mien.models.pocket.prompt import prompt
from mien.train.pocket.language_data import READOUT_QUESTION

__all__ = ["asked"]


def asked(tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """(T,) ids of the prompt that ends where the label follows, and (8,) ids of the label words."""
    ids = tokenizer.encode(prompt([Turn("user", READOUT_QUESTION)])).ids
    words = [tokenizer.token_to_id(tokenizer.encode(label).tokens[0]) for label in EMOTIONS]
    return torch.tensor(ids), torch.tensor(words)
