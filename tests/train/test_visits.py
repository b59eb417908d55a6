"""Steps and micro-batches: the same whatever the number of processes and workers, alike in length, nothing twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mien.core.emotions import EMOTIONS
from mien.core.nouns import Labels, Sample
from mien.face.pose import mean_face
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import Stage, prepare
from mien.models.registry import open_system
from mien.train.data.drawn import draw_instructions
from mien.train.data.faces import Faces, taught
from mien.train.data.instructions import InstructionCollator, Instructions, open_tokenizer
from mien.train.stage_trainer import StageOptions, run_stage, trained_state
from mien.train.visits import Steps

INPUTS = Inputs(crop_size=28, image_size=28)


def faces_of(count: int) -> Faces:
    rng = np.random.default_rng(0)
    mesh = mean_face().points * 9.0 + [14.0, 14.0, 0.0]
    return Faces(
        tuple(
            Sample(
                f"s{i}", "made", "train", f"m{i}", Labels(EMOTIONS[i % 8], description="A smile. " * (i % 5))
            )
            for i in range(count)
        ),
        rng.integers(0, 255, (count, 28, 28, 3)).astype(np.uint8),
        (mesh + rng.normal(size=(count, 478, 3)) * 0.15).astype(np.float32),
        np.tile(np.eye(2, 3), (count, 1, 1)),
    )


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("items", [24, 25, 31, 36, 5])
def test_processes_share_the_steps_of_one(items: int, processes: int) -> None:
    alone = list(Steps(items, 12, 2, seed=3))
    shares = [list(Steps(items, 12, 2, 3, processes, one)) for one in range(processes)]
    assert {len(share) for share in shares} == {len(Steps(items, 12, 2, 3, processes))}
    dealt = [part for parts in zip(*shares, strict=True) for part in parts]
    assert [part for part in dealt if part[0] >= 0] == alone
    assert sorted(place for part in alone for place in part) == list(range(items))


def test_an_encoder_alone_gets_a_share_in_every_process() -> None:
    shares = [list(Steps(13, 8, 4, 1, 2, one, even=True)) for one in range(2)]
    assert [[len(part) for part in share] for share in shares] == [[4, 3], [4, 2]]


def test_epochs_differ_and_an_epoch_is_the_same_again() -> None:
    steps = Steps(20, 5, 5, seed=1)
    first = list(steps)
    steps.turn_to(1)
    assert list(steps) != first
    steps.turn_to(0)
    assert list(steps) == first


def test_like_lengths_stand_together() -> None:
    """ExpLLM's mix, labels beside chains of thought: its padding was half again what is learnt from."""
    system = open_system("expllm")
    told = taught(faces_of(192), "rules", 1)
    items = draw_instructions(system, told, {"label": 3.0, "cot": 1.0}, 0.0, 1)
    tokenizer = open_tokenizer(system, None, items, 500)
    data = Instructions(system, system.configure("paper", tokenizer.get_vocab_size()), items, tokenizer)
    lengths = [len(data[place][1].ids) for place in range(len(data))]

    def padded(length: object) -> float:
        parts = list(Steps(len(data), 128, 8, 1, length=length))  # type: ignore[arg-type]
        return sum(len(part) * max(lengths[place] for place in part) for part in parts) / sum(lengths)

    assert padded(data.length) <= 1.05 < padded(None)


def test_workers_change_nothing(tmp_path: Path) -> None:
    faces, system = faces_of(6), open_system("emola")
    items = draw_instructions(system, faces, {"emotion-description": 1}, 1.0, 1)
    tokenizer = open_tokenizer(system, None, items, 400)
    stage = Stage(("model.projectors.",), 1e-3, 4, 2, precision="fp32")
    found = []
    for workers in (0, 2):
        torch.manual_seed(0)
        model = FacialLM(system.configure("tiny", tokenizer.get_vocab_size()))
        prepare(model, stage)
        collator = InstructionCollator(system, model.config, INPUTS, faces, tokenizer, 0, augment=True)
        data = Instructions(system, model.config, items, tokenizer)
        options = StageOptions(tmp_path / str(workers), micro_batch=2, workers=workers)
        run_stage(model, stage, data, collator, options, name=lambda pair: faces.samples[pair[0].face].id)
        found.append(trained_state(model))
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())
