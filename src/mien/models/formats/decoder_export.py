"""The decoder of a composite as a language model of its own, as transformers and vLLM load it."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from mien.models.composite.facial_lm import FacialLM

__all__ = ["export_decoder"]


def export_decoder(model: FacialLM, tokenizer: Tokenizer, out: Path) -> None:
    """Write configuration, weights and tokenizer of the decoder with its head; without eyes it reads text only.

    Args:
        model: of a run, its adapters merged.
        tokenizer: of the run.
        out: a new folder.
    """
    with torch.device("meta"):
        decoder = AutoModelForCausalLM.from_config(model.config.text_config, trust_remote_code=False)
    decoder.base_model.load_state_dict(model.model.language_model.state_dict(), assign=True)
    decoder.set_output_embeddings(model.lm_head)
    decoder.tie_weights()
    decoder.save_pretrained(out)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(out)
