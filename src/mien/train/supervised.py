"""Supervised stages of a system: instruction dialogues, only answers learnt, what is frozen encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from tokenizers import Tokenizer
from torch import Tensor

from mien.core.errors import BadConfig
from mien.layers.cached import CachedRows
from mien.models.evidence_inputs import Inputs
from mien.models.facial_lm import FacialLM, FacialLMConfig
from mien.models.systems import Stage, System
from mien.train.align import FaceBatches
from mien.train.faces import Faces
from mien.train.instructions import Instruction, InstructionCollator, Instructions
from mien.train.stage_trainer import StageOptions, run_stage

__all__ = ["cached_rows", "frozen_encoders", "run_supervised"]

_BATCH = 64


def frozen_encoders(model: FacialLM) -> list[str]:
    """Evidence whose encoder has parameters, none of which learns."""
    names = []
    for name, encoder in model.model.encoders.items():
        learning = [parameter.requires_grad for parameter in encoder.parameters()]
        if learning and not any(learning):
            names.append(name)
    return names


@torch.no_grad()
def cached_rows(model: FacialLM, name: str, inputs: Inputs, faces: Faces, views: int, seed: int) -> Tensor:
    """(views, N, rows, width) of an encoder, half precision: each face as it is, then ``views - 1`` times changed."""
    config, encoder = model.config, model.model.encoders[name].eval()
    torch.manual_seed(seed)
    made = []
    for view in range(views):
        batches = FaceBatches(config, name, inputs, faces, augment=view > 0)
        parts = []
        for start in range(0, len(faces), _BATCH):
            items = batches.read(range(start, min(start + _BATCH, len(faces))))
            rows = encoder(**items) if isinstance(items, Mapping) else encoder(items)
            parts.append((rows.unsqueeze(1) if rows.ndim == 2 else rows).half())
        made.append(torch.cat(parts))
    return torch.stack(made)


@contextmanager
def _read_from_cache(model: FacialLM, names: Sequence[str]) -> Iterator[None]:
    """Encoders that hand through what they are given, for as long as it lasts."""
    encoders = model.model.encoders
    kept = {name: encoders[name] for name in names}
    try:
        for name in names:
            encoders[name] = CachedRows()
        yield
    finally:
        for name, encoder in kept.items():
            encoders[name] = encoder


def run_supervised(
    model: FacialLM,
    system: System,
    stage: Stage,
    items: Sequence[Instruction],
    faces: Faces,
    inputs: Inputs,
    tokenizer: Tokenizer,
    options: StageOptions,
    *,
    cache: int = 0,
    augment: bool = False,
) -> None:
    """Train a prepared composite on dialogues.

    Args:
        model: prepared for the stage (`mien.models.systems.prepare`).
        system: whose layout the dialogues have.
        stage: its figures.
        items: the dialogues of one epoch.
        faces: what they are about.
        inputs: how faces become tensors.
        tokenizer: of the dialogues.
        options: how it runs here.
        cache: views per face that frozen encoders encode beforehand; 0 runs them in every step.
        augment: change crops at random; with a cache, choose among its views.

    Raises:
        BadConfig: a cache without a frozen encoder, or see `run_stage`.
    """
    config: FacialLMConfig = model.config
    names = frozen_encoders(model) if cache else []
    if cache and not names:
        raise BadConfig(
            got="a cache for encoders that learn",
            expected="an encoder that this stage leaves as it is",
            fix="Write cache: 0",
        )
    rows = {name: cached_rows(model, name, inputs, faces, cache, options.seed) for name in names}
    pad_id = tokenizer.token_to_id("<pad>")
    collator = InstructionCollator(
        system, config, inputs, faces, tokenizer, 0 if pad_id is None else pad_id, augment, rows or None
    )
    with _read_from_cache(model, names):
        run_stage(model, stage, Instructions(system, config, items, tokenizer), collator, options)
