"""Peak memory of each system at scale paper, for inference and for LoRA training, by a formula that is checked here.

    python benchmarks/memory.py [--limit N]

The formula (`_memory_model.py`) is compared with the resident memory of child processes that build an ExpLLM of two
middle sizes with random weights and run one prefill, or one training step, on the CPU in 32 bits. Nothing of scale
paper is allocated. ``--limit N``: only the first N sizes.
"""

from __future__ import annotations

import os
import sys

import torch
from _memory_model import MEMORY, Sizes, inference_bytes, sizes_of, training_bytes
from _process import own_memory, run_process
from _record import Record, parser, run

from mien.models.composite.backbones import DECODERS, TOWERS
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.systems import prepare
from mien.models.expllm import system as expllm
from mien.models.registry import SYSTEMS, open_system

SHAPES = {
    "middle": {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
    },
    "large": {
        "hidden_size": 1280,
        "intermediate_size": 3456,
        "num_hidden_layers": 8,
        "num_attention_heads": 20,
    },
}
TOKENS, BATCH, VOCABULARY = 384, 2, 8000
DIFFERENCE_BAR = 0.15
STAGES = {
    "facephi": "stage2",
    "emola": "code",
    "emo-llama": "paper",
    "au-llava": "paper",
    "expllm": "stage2-rafdb",
}
LENGTH = 1024
"""Tokens of a sample in the table of scale paper: evidence, question and a description."""


def config_of(shape: str) -> FacialLMConfig:
    fields = SHAPES[shape]
    text = {**DECODERS["llama-small"], **fields, "vocab_size": VOCABULARY,
            "num_key_value_heads": fields["num_attention_heads"]}  # fmt: skip
    entry = dict(expllm.configure("small").evidence["image"])
    entry["encoder"] = {"type": "vision", "config": dict(TOWERS["dinov2-small"])}
    return FacialLMConfig(text_config=text, evidence={"image": entry})


def work(shape: str, job: str) -> None:
    """What a child does: one prefill or one training step; ``nothing`` only loads the libraries."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if job == "nothing":
        shape = "tiny"
    config = expllm.configure("tiny") if shape == "tiny" else config_of(shape)
    model = FacialLM(config)
    entry = config.evidence["image"]
    tokens, batch = (16, 1) if shape == "tiny" else (TOKENS, BATCH)
    side = 28 if shape == "tiny" else 112
    ids = torch.full((batch, tokens), 7)
    ids[:, 1 : 1 + entry["rows"]] = entry["token_id"]
    inputs = {"input_ids": ids, "evidence": {"image": torch.randn(batch, 3, side, side)}}
    if job == "inference":
        with torch.inference_mode():
            model.eval()(**inputs, use_cache=True, logits_to_keep=1)
        return
    prepare(model, expllm.SYSTEM.stages["stage2-rafdb"])
    model.train()
    if job == "checkpointing":
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    labels = ids.masked_fill(ids < 0, -100)
    for _ in range(2):
        model(**inputs, labels=labels, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def measured(shape: str, job: str) -> float:
    """MB above a child that loads the same libraries and builds a tiny model."""
    # One arena and prompt return of freed memory: what is asked for is what is resident.
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0",
             "MALLOC_MMAP_THRESHOLD_": "65536", "TRANSFORMERS_VERBOSITY": "error"}  # fmt: skip
    command = [sys.executable, os.path.abspath(__file__), "--work", shape, job]
    return run_process(command, environment=quiet).peak


def estimated(size: Sizes, job: str) -> float:
    if job == "inference":
        return inference_bytes(size, TOKENS, BATCH, 4) / MEMORY
    return training_bytes(size, TOKENS, BATCH, 4, checkpointing=job == "checkpointing") / MEMORY


def measure(record: Record) -> None:
    base = measured("tiny", "nothing")
    record.add(
        "libraries alone", base, "MB", note=f"subtracted below; this process held {own_memory():.0f} MB"
    )
    stage = expllm.SYSTEM.stages["stage2-rafdb"]
    for shape in list(SHAPES)[: record.options.limit]:
        size = sizes_of(config_of(shape), stage)
        for job in ("inference", "training", "checkpointing"):
            found, formula = measured(shape, job) - base, estimated(size, job)
            name = f"{shape} ({size.parameters / 1e6:.0f} M), {job}"
            record.add(f"{name}: measured", found, "MB")
            record.add(f"{name}: formula", formula, "MB")
            record.add(
                f"{name}: difference", abs(formula / found - 1.0), "", bar=DIFFERENCE_BAR, at_most=True
            )
    for name in SYSTEMS:
        system = open_system(name)
        size = sizes_of(system.configure("paper"), system.stages[STAGES[name]])
        kind = "all of the decoder" if system.stages[STAGES[name]].lora is None else "LoRA"
        for label, found in (
            ("inference, bf16", inference_bytes(size, LENGTH, 1, 2)),
            ("inference, 4 bits", inference_bytes(size, LENGTH, 1, 2, bits=4)),
            (f"{kind} training, bf16", training_bytes(size, LENGTH, 1, 2, checkpointing=False)),
            (f"{kind} training, bf16, checkpointing", training_bytes(size, LENGTH, 1, 2, checkpointing=True)),
        ):
            record.add(f"{name}: {label}", found / 1e9, "GB", note=f"by formula; 1 sample of {LENGTH} tokens")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3])
    else:
        run("memory", parser(__doc__ or ""), measure)
