"""What EMO-LLaMA's frames hold: pixels, the question in the Q-Former's words, facial rows and 68 landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Evidence, FloatArray, Image
from mien.face.topology import DLIB68
from mien.models.composite.evidence_inputs import Inputs, crop_of, pixels_of, placed, reads_face
from mien.models.composite.experts import EXPERTS, open_face_expert, open_instruction_words

__all__ = ["frames", "gradient_rows", "instruction_inputs"]

_MOST_WORDS = 256
"""Most tokens of an instruction (LLaMA-VID)."""


def frames(
    entry: Mapping[str, Any],
    inputs: Inputs,
    batch: Sequence[Evidence],
    instructions: Sequence[str] | None,
    tokenizer: Tokenizer | None,
) -> dict[str, Tensor]:
    """Pixels, questions and facial rows of N frames.

    Raises:
        BadInput: not a question for each frame.
    """
    encoder = entry["encoder"]
    if instructions is None or tokenizer is None or len(instructions) != len(batch):
        raise BadInput(
            got=f"{len(batch)} frames with {0 if instructions is None else len(instructions)} instructions",
            expected="a question for each, and the tokenizer: the clue depends on what is asked",
            fix="Pass instructions and tokenizer",
        )
    made = {"pixels": pixels_of(inputs, batch), **_questions(encoder, inputs, instructions, tokenizer)}
    if reads_face(encoder):
        made |= _facial(encoder, inputs, batch)
    return made


def _questions(
    encoder: Mapping[str, Any], inputs: Inputs, instructions: Sequence[str], tokenizer: Tokenizer
) -> dict[str, Tensor]:
    qformer = encoder["clue"]["qformer"]
    limit = int(qformer.get("max_position_embeddings", 512))
    if inputs.instruction == "bert":
        words = open_instruction_words(Path(inputs.experts) / EXPERTS["instruction"].file)
        made = _padded([words.encode(text, min(limit, _MOST_WORDS)) for text in instructions])
    else:
        made = instruction_inputs(instructions, tokenizer, limit)
    known, highest = int(qformer.get("vocab_size", 30_522)), int(made["instruction_ids"].max())
    if highest >= known:
        raise BadConfig(
            got=f"token {highest} of the question for a Q-Former of {known} words",
            expected="the words that it was trained on",
            fix="Write instruction: bert into the inputs and give BERT's tokenizer.json (see docs/systems.md)",
        )
    return made


def _facial(encoder: Mapping[str, Any], inputs: Inputs, batch: Sequence[Evidence]) -> dict[str, Tensor]:
    """``face`` (N, n², width), where it is mined, and ``landmarks`` (N, 68, 2) in -1..1 of the crop."""
    width = int(encoder["face_width"])
    if inputs.face_rows != "gradients":
        expert = open_face_expert(Path(inputs.experts) / EXPERTS["face"].file)
        features = "fused" if inputs.face_rows == "facexformer" else "last"
        found = expert.widths[features]
        if found != width:
            raise BadConfig(
                got=f"facial rows of {found} numbers for a model of {width}",
                expected="the expert and the features that this model was built for",
                fix=f"Build the model with face_width={found}, or choose other face_rows",
            )
        read = expert.read([crop_of(one) for one in batch], features)
        made = {"face": read.face, "landmarks": read.landmarks}
    else:
        made = {"landmarks": torch.from_numpy(np.stack([placed(one, DLIB68) for one in batch]))}
        if encoder["mining"] is not None:
            rows = [gradient_rows(crop_of(one), inputs.face_map, width) for one in batch]
            made["face"] = torch.from_numpy(np.stack(rows))
    return made if encoder["mining"] is not None else {"landmarks": made["landmarks"]}


def instruction_inputs(texts: Sequence[str], tokenizer: Tokenizer, limit: int) -> dict[str, Tensor]:
    """``instruction_ids`` and ``instruction_mask`` (N, T); a long question loses its beginning, as in LLaMA-VID."""
    kept = min(limit, _MOST_WORDS)
    return _padded([tokenizer.encode(text, add_special_tokens=False).ids[-kept:] for text in texts])


def _padded(ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    longest = max(len(one) for one in ids)
    return {
        "instruction_ids": torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids]),
        "instruction_mask": torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids]),
    }


def gradient_rows(crop: Image, side: int, width: int) -> FloatArray:
    """(S, S, 3) crop -> (side², width) rows: histograms of signed gradient directions per cell (Dalal & Triggs 2005).

    Each row has length 1 up to a small constant, so that contrast weighs little.
    """
    grey = torch.from_numpy(crop.astype(np.float32).mean(axis=2) / 255.0)
    down, across = torch.gradient(grey)
    strength = torch.sqrt(down.square() + across.square())
    place = (torch.atan2(down, across) / (2.0 * torch.pi) % 1.0) * width
    low = place.floor()
    share = place - low
    bins = torch.zeros(width, *grey.shape)
    first = low.long() % width
    bins.scatter_(0, first[None], (strength * (1.0 - share))[None])
    bins.scatter_add_(0, ((first + 1) % width)[None], (strength * share)[None])
    cells = functional.adaptive_avg_pool2d(bins[None], side)[0].flatten(1).t()
    rows: FloatArray = (cells / (cells.norm(dim=1, keepdim=True) + 0.01)).numpy()
    return rows
