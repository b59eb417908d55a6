"""What a micro-batch costs beside decoder and tower: padding, Python per micro-step, faces per second from shards.

    python benchmarks/training_batches.py [--limit N]

Padding: tokens of padded micro-batches over tokens of dialogues, batch and micro-batch as published, drawn at random
and as `mien.train.visits.Steps` puts them together; dialogues about made faces, answers as long as the rules tell them,
a small tokenizer. Python: processor time of turning a model of the published shape to training and its frozen parts
back to rest, once a stage and not at every micro-batch as before, without values. Loader: crops of 336 px from
safetensors shards through the collator with two workers, tower inputs as EmoLA reads them. ``--limit N``: so many faces
(512 by default).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _record import Record, parser, run
from safetensors.numpy import save_file

from mien.core.emotions import EMOTIONS
from mien.core.nouns import Labels, Sample
from mien.face.pose import mean_face
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import prepare
from mien.models.registry import open_system
from mien.train.data.drawn import draw_instructions
from mien.train.data.faces import Faces, taught
from mien.train.data.instructions import InstructionCollator, Instructions, open_tokenizer
from mien.train.stage_trainer import rest_frozen
from mien.train.visits import Steps, Visited, loader
from mien.work.rows import Rows, tensor_rows

MIXES = {
    "expllm label 3 : cot 1": ("expllm", {"label": 3.0, "cot": 1.0}, 128, 8),
    "emola descriptions": ("emola", {"emotion-description": 1.0}, 64, 16),
    "emo-llama images": ("emo-llama", {"image": 1.0}, 128, 16),
    "au-llava levels": ("au-llava", {"disfa": 1.0}, 64, 8),
}
STAGES = {"emola": "paper", "emo-llama": "paper", "au-llava": "paper", "expllm": "stage2-rafdb"}
SIDE, ROUNDS = 336, 5


def made_faces(count: int, crops: Rows | None = None) -> Faces:
    """Faces of random expressions, told about by the rules."""
    rng = np.random.default_rng(0)
    mesh = mean_face().points * 100.0 + SIDE / 2
    samples = [Sample(f"s{i}", "made", "train", f"m{i}", Labels(EMOTIONS[i % 8])) for i in range(count)]
    pixels = crops if crops is not None else np.zeros((count, 28, 28, 3), np.uint8)
    points = (mesh + rng.normal(size=(count, 478, 3)) * 1.5).astype(np.float32)
    told = taught(Faces(tuple(samples), pixels, points, np.tile(np.eye(2, 3), (count, 1, 1))), "rules", 1)
    for sample in told.samples:
        object.__setattr__(sample.labels, "description", sample.labels.chain_of_thought)
    return told


def padding(record: Record, faces: Faces) -> None:
    """Of each mix, at random and put together."""
    for name, (system_name, tasks, batch, micro) in MIXES.items():
        system = open_system(system_name)
        items = draw_instructions(system, faces, tasks, 0.0, 1)
        tokenizer = open_tokenizer(system, None, items, 500)
        data = Instructions(system, system.configure("paper", tokenizer.get_vocab_size()), items, tokenizer)
        lengths = [len(data[place][1].ids) for place in range(len(data))]
        for how, length, bar in (("at random", None, None), ("grouped", data.length, 1.05)):
            parts = list(Steps(len(data), batch, micro, 1, length=length))
            held = sum(len(part) * max(lengths[place] for place in part) for part in parts)
            note = f"micro-batches of {micro} in steps of {batch}, {len(data)} dialogues"
            record.add(f"padding, {name}, {how}", held / sum(lengths), "", bar=bar, at_most=True, note=note)


def python(record: Record) -> None:
    """Walks through all modules that every micro-batch cost, and no longer does."""
    for name, stage in STAGES.items():
        system = open_system(name)
        with torch.device("meta"):
            model = FacialLM(system.configure("paper"))
            prepare(model, system.stages[stage])
        rest_frozen(model.train())
        start = time.process_time()
        for _ in range(ROUNDS):
            rest_frozen(model.train())
        spent = 1000.0 * (time.process_time() - start) / ROUNDS
        record.add(
            f"{name}: walks through its modules",
            spent,
            "ms",
            note="once a stage; before, at every micro-batch",
        )


def shards(record: Record, count: int) -> None:
    """Faces per second through collator and two workers, by the clock and by processor time of one process."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "crops.safetensors"
        save_file({"crops": rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)}, place)
        faces = made_faces(count, Rows([tensor_rows(place, ("crops",))["crops"]]))
        system = open_system("emola")
        items = draw_instructions(system, faces, {"emotion": 1.0}, 0.0, 1)
        tokenizer = open_tokenizer(system, None, items, 400)
        config = system.configure("paper", tokenizer.get_vocab_size())
        inputs = Inputs(crop_size=SIDE, image_size=SIDE)
        collator = InstructionCollator(system, config, inputs, faces, tokenizer, 0)
        data = Instructions(system, config, items, tokenizer)
        for workers in (0, 2):
            batches = loader(
                data, Steps(len(data), 64, 16, 1), Visited(collator, str, 1), workers, pinned=False
            )
            start, own = time.perf_counter(), time.process_time()
            seen = sum(len(batch["input_ids"]) for batch in batches)
            clock, own = time.perf_counter() - start, time.process_time() - own
            note = f"{seen} faces; the training process itself: {1000.0 * own / seen:.2f} ms of processor per face"
            bar = 150.0 if workers else None
            record.add(f"loader at {SIDE} px, {workers} workers", seen / clock, "faces/s", bar=bar, note=note)


def measure(record: Record) -> None:
    torch.set_num_threads(1)
    count = record.options.limit or 512
    padding(record, made_faces(count))
    python(record)
    shards(record, count)


if __name__ == "__main__":
    run("training_batches", parser(__doc__ or ""), measure)
