"""Supervised stages of a system: instruction dialogues, only answers learnt, what is frozen encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from tokenizers import Tokenizer
from torch import Tensor

from mien.core.errors import BadConfig
from mien.layers.cached import CachedRows
from mien.models.composite.encoders import encode_items
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.systems import Stage, System
from mien.train.align import FaceBatches
from mien.train.data.augmented import tells_sides
from mien.train.data.drawn import Instruction
from mien.train.data.face_facts import tells_places
from mien.train.data.faces import Faces
from mien.train.data.instructions import InstructionCollator, Instructions
from mien.train.processes import count, filled_by_all, rank
from mien.train.stage_trainer import StageOptions, run_stage

__all__ = ["cached_encoders", "cached_rows", "frozen_encoders", "reading_cached", "run_supervised"]

_BATCH = 64


def frozen_encoders(model: FacialLM) -> list[str]:
    """Evidence whose encoder has parameters, none of which learns."""
    names = []
    for name, encoder in model.model.encoders.items():
        learning = [parameter.requires_grad for parameter in encoder.parameters()]
        if learning and not any(learning):
            names.append(name)
    return names


def cached_encoders(model: FacialLM) -> list[str]:
    """Evidence that is encoded beforehand, where an encoder is frozen.

    What has no parameters (EmoLA's prior) is among it: it has to change with the picture that it belongs to.
    """
    names = frozen_encoders(model)
    return names and names + [
        name for name, one in model.model.encoders.items() if not list(one.parameters())
    ]


@torch.no_grad()
def cached_rows(
    model: FacialLM, name: str, inputs: Inputs, faces: Faces, views: int, seed: int, mirror: bool = True
) -> Tensor:
    """(views, F, rows, width) of an encoder, half precision: each frame as it is, then ``views - 1`` times changed.

    The changes depend on seed and place alone, so that the same view of two encoders is of the same changed face.
    Several processes share the faces.
    """
    config, encoder, entry = model.config, model.model.encoders[name].eval(), model.config.evidence[name]
    made = torch.zeros(views, len(faces.crops), entry["rows"], entry["width"], dtype=torch.half)
    for view in range(views):
        batches = FaceBatches(config, name, inputs, faces, augment=view > 0, mirror=mirror)
        for start in range(0, len(faces.crops), _BATCH)[rank() :: count()]:
            torch.manual_seed((seed * 1_000_003 + view) * 1_000_003 + start)
            items = batches.read(range(start, min(start + _BATCH, len(faces.crops))))
            # An earlier stage may have left the encoder on an accelerator; batches are put together off it.
            rows = encode_items(encoder, items).half().cpu()
            made[view, start : start + _BATCH] = rows.view(-1, *made.shape[2:])
    return filled_by_all(made)


def _check_items(system: System, items: Sequence[Instruction], moving: bool) -> None:
    for item in items:
        text = system.template.system + "".join(turn.text for turn in item.turns)
        if not any(placeholder in text for placeholder in system.placeholders):
            raise BadConfig(
                got=f"a dialogue of task {item.task!r} that shows no face in this stage's layout",
                expected=f"one of {', '.join(system.placeholders)} in it",
                fix="Give the stage tasks of its layout: template plain goes with the task caption",
            )
        if moving and tells_places(item.turns):
            raise BadConfig(
                got=f"augment, and answers of task {item.task!r} that say where the face is",
                expected="pictures that stay as they are",
                fix="Write augment: false, or leave these tasks out of the stage",
            )


@contextmanager
def reading_cached(model: FacialLM, names: Sequence[str]) -> Iterator[None]:
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
    augment: bool | str = False,
) -> None:
    """Train a prepared composite on dialogues.

    Args:
        model: prepared for the stage (`mien.models.composite.systems.prepare`).
        system: whose layout the dialogues have.
        stage: its figures.
        items: the dialogues of one epoch.
        faces: what they are about.
        inputs: how faces become tensors.
        tokenizer: of the dialogues.
        options: how it runs here.
        cache: views per face that frozen encoders encode beforehand; 0 runs them in every step.
        augment: change crops at random; with a cache, choose among its views; a name: by a published list.

    Raises:
        BadConfig: a cache without a frozen encoder or with a published list, dialogues that show no face or say where
            it is while it moves, or see `run_stage`.
    """
    config: FacialLMConfig = model.config
    system = system.laid_out(stage.template)
    names = cached_encoders(model) if cache else []
    if cache and (not names or isinstance(augment, str)):
        raise BadConfig(
            got="a cache for encoders that learn, or with a published list of changes",
            expected="an encoder that this stage leaves as it is, and augment true or false",
            fix="Write cache: 0",
        )
    _check_items(system, items, bool(augment))
    mirror = not any(tells_sides(item.turns) for item in items)
    rows = {name: cached_rows(model, name, inputs, faces, cache, options.seed, mirror) for name in names}
    pad_id = tokenizer.token_to_id("<pad>")
    collator = InstructionCollator(
        system, config, inputs, faces, tokenizer, 0 if pad_id is None else pad_id, augment, rows or None
    )
    with reading_cached(model, names):
        run_stage(
            model,
            stage,
            Instructions(system, config, items, tokenizer),
            collator,
            options,
            name=lambda pair: faces.samples[pair[0].face].id,
        )
