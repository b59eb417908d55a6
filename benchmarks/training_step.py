"""One training step of each system with random weights: samples per second, peak memory, share of the peak FLOP/s.

    python benchmarks/training_step.py [--limit N] [--scale paper|small] [--device NAME] [--batch N] [--peak N]

The stage that tunes the language model, as published, with gradient checkpointing at scale paper; frozen weights in
bf16, what learns in fp32, AdamW, synthetic faces and prompts. FLOPs are counted by torch's FlopCounterMode over one
whole step, so what checkpointing computes again counts too. ``--peak``: the device's dense bf16 TFLOP/s by its maker,
for the share. By default scale paper on a GPU, else scale small on the processor. ``--tokens N``: length of a sample;
``--limit N``: the first N systems.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import torch
from _process import own_memory
from _random_model import evidence_of, placeholders, random_model
from _record import ROOT, Record, parser, run
from torch.utils.flop_counter import FlopCounterMode

from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import prepare
from mien.models.registry import SYSTEMS, open_system
from mien.train.stage_trainer import rest_frozen

STAGES = {
    "facephi": "stage2",
    "emola": "paper",
    "emo-llama": "paper",
    "au-llava": "paper",
    "expllm": "stage2-rafdb",
}
STEPS, ANSWER = 5, 64
TOKENS = {"paper": 1024, "small": 192}


def work(name: str, scale: str, device: str, batch: int, tokens: int) -> None:
    """Prints seconds per step, FLOPs of a step, peak MB, learning and all parameters."""
    system = open_system(name)
    stage = system.stages[STAGES[name]]
    # As training does it: a decoder that learns whole is held in fp32, one that is adapted in bf16.
    model = random_model(
        system.configure(scale), device, torch.float32 if stage.lora is None else torch.bfloat16
    )
    learning = set(prepare(model, stage))
    if scale == "paper":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    rest_frozen(model)
    generator = torch.Generator().manual_seed(0)
    start = placeholders(model.config)
    words = torch.randint(5, 60, (batch, tokens - len(start)), generator=generator)
    ids = torch.cat([torch.tensor(start).expand(batch, -1), words], 1)
    labels = ids.clone()
    labels[:, :-ANSWER] = -100
    inputs = {
        "input_ids": ids.to(device),
        "labels": labels.to(device),
        "evidence": _moved(evidence_of(name, generator, scale, batch), device),
    }
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    with FlopCounterMode(display=False) as counter:
        step(model, optimizer, inputs, device)  # a warm-up too: the optimiser's state is made
    seconds = [step(model, optimizer, inputs, device) for _ in range(STEPS)]
    peak = torch.cuda.max_memory_allocated() / 1e6 if device != "cpu" else own_memory()
    counts = [sum(p.numel() for p in group) for group in (parameters, list(model.parameters()))]
    assert learning and counts[0] > 0
    print(statistics.median(seconds), counter.get_total_flops(), peak, *counts)


def step(model: FacialLM, optimizer: torch.optim.Optimizer, inputs: dict[str, object], device: str) -> float:
    """Seconds of one forward, backward and update."""
    start = time.perf_counter()
    with torch.autocast(device, torch.bfloat16):
        loss = model(**inputs).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    assert bool(loss.isfinite())  # waits for the device, too
    return time.perf_counter() - start


def _moved(evidence: object, device: str) -> object:
    if isinstance(evidence, dict):
        return {key: _moved(value, device) for key, value in evidence.items()}
    return evidence.to(device) if isinstance(evidence, torch.Tensor) else evidence


def measure(record: Record) -> None:
    options = record.options
    scale = options.scale or ("paper" if torch.cuda.is_available() else "small")
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokens = options.tokens or TOKENS[scale]
    for name in list(SYSTEMS)[: options.limit]:
        script = str(ROOT / "benchmarks" / "training_step.py")
        command = [sys.executable, script, "--work", name, scale, device, str(options.batch), str(tokens)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        said = done.stdout.strip().splitlines()[-1]
        seconds, flops, peak, learning, total = (float(value) for value in said.split())
        note = f"{STAGES[name]}, {scale}, {device}: batch {options.batch}, {tokens} tokens"
        record.add(f"{name}: training", options.batch / seconds, "samples/s", n=STEPS, note=note)
        record.add(
            f"{name}: peak memory", peak, "MB", note=f"{learning / 1e6:.2f} of {total / 1e6:.1f} M learn"
        )
        record.add(f"{name}: speed", flops / seconds / 1e12, "TFLOP/s")
        if options.peak:
            record.add(f"{name}: share of the peak", flops / seconds / options.peak / 1e12, "")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:5], *map(int, sys.argv[5:7]))
    else:
        about = parser(__doc__ or "")
        about.add_argument("--scale", choices=sorted(TOKENS))
        about.add_argument("--device")
        about.add_argument("--batch", type=int, default=4)
        about.add_argument("--tokens", type=int)
        about.add_argument("--peak", type=float)
        run("training_step", about, measure)
