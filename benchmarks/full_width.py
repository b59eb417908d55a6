"""Every system at its true widths on this processor: the whole encoders, and one layer of the decoder.

    python benchmarks/full_width.py [--limit N]

Random weights in bf16; one picture (or one face of 478 landmarks) and a prompt of 32 words beside its evidence rows.
What is shown: that the shapes of scale paper run, how long one forward pass takes, and what it holds. ``--limit N``:
the first N systems.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from _process import own_memory
from _record import ROOT, Record, parser, run

from mien.models.facial_lm import FacialLM
from mien.models.systems import SYSTEMS, open_system

WORDS = 32
SECONDS_BAR = 120.0


def evidence_of(name: str, generator: torch.Generator) -> dict[str, Any]:
    def random(*shape: int) -> torch.Tensor:
        return torch.randn(1, *shape, generator=generator)

    if name == "facephi":
        return {"landmarks": random(478, 3)}
    side = {"emola": 336}.get(name, 224)
    if name == "emo-llama":
        ids = torch.randint(1000, 2000, (1, 16), generator=generator)
        rows = {"face": random(56 * 56, 256), "landmarks": random(68, 2).clamp(-1, 1)}
        return {"image": {"pixels": random(3, side, side), "instruction_ids": ids,
                          "instruction_mask": torch.ones_like(ids), **rows}}  # fmt: skip
    found = {"image": random(3, side, side)}
    return {**found, "prior": random(212)} if name == "emola" else found


def work(name: str) -> None:
    """Build, fill and run one system; prints encoder and decoder seconds, and the parameters."""
    config = open_system(name).configure("paper")
    config.text_config.num_hidden_layers = 1
    with torch.device("meta"):
        model = FacialLM(config)
    model = model.to(torch.bfloat16).to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    # One block of random numbers, over and over: drawing a billion would take longer than all the rest.
    block = torch.empty(1_000_003).uniform_(-0.03, 0.03, generator=generator).to(torch.bfloat16)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                tensor.zero_()
            elif key.endswith(("norm.weight", "running_var", "affine_alpha")):
                tensor.fill_(1.0)
            else:
                for part in tensor.view(-1).split(len(block)):
                    part.copy_(block[: len(part)])
        rotary = model.model.language_model.rotary_emb
        model.model.language_model.rotary_emb = type(rotary)(config=config.text_config)
        for part in model.modules():
            for buffer_name, buffer in part.named_buffers(recurse=False):
                if buffer_name == "position_ids":
                    buffer.copy_(torch.arange(buffer.numel()).reshape(buffer.shape))
        given = evidence_of(name, generator)
        rows = [entry["token_id"] for entry in config.evidence.values() for _ in range(entry["rows"])]
        ids = torch.tensor([[*rows, *range(100, 100 + WORDS)]])
        start = time.perf_counter()
        embeds = model.embed(ids, given)
        middle = time.perf_counter()
        logits = model(inputs_embeds=embeds, logits_to_keep=1).logits
        stop = time.perf_counter()
    assert bool(logits.isfinite().all()) and bool(embeds.isfinite().all())
    assert embeds.shape == (1, ids.shape[1], config.text_config.hidden_size)
    count = sum(p.numel() for p in model.parameters())
    print(f"{middle - start} {stop - middle} {count} {ids.shape[1]} {own_memory()}")


def measure(record: Record) -> None:
    total = 0.0
    for name in list(SYSTEMS)[: record.options.limit]:
        out = ROOT / "benchmarks" / "full_width.py"
        start = time.perf_counter()
        cost, said = _child(str(out), name)
        total += time.perf_counter() - start
        encoders, decoder, count, tokens, _ = (float(value) for value in said.split())
        note = f"{count / 1e9:.2f} B parameters, {tokens:.0f} tokens"
        record.add(f"{name}: encoders and projectors", encoders, "s", note=note)
        record.add(f"{name}: one decoder layer and the head", decoder, "s")
        record.add(f"{name}: peak memory", cost, "MB")
    record.add("all systems", total, "s", bar=SECONDS_BAR, at_most=True, note="building and filling included")


def _child(script: str, name: str) -> tuple[float, str]:
    import subprocess

    done = subprocess.run(
        [sys.executable, script, "--work", name], capture_output=True, text=True, check=True, cwd=ROOT
    )
    said = done.stdout.strip().splitlines()[-1]
    return float(said.split()[-1]), said


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        run("full_width", parser(__doc__ or ""), measure)
