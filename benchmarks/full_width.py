"""Every system at its true widths on this processor: the whole encoders, and one layer of the decoder.

    python benchmarks/full_width.py [--limit N]

Random weights in bf16; one picture (or one face of 478 landmarks) and a prompt of 32 words beside its evidence rows.
What is shown: that the shapes of scale paper run, how long one forward pass takes, and what it holds. ``--limit N``:
the first N systems.
"""

from __future__ import annotations

import sys
import time

import torch
from _process import own_memory
from _random_model import evidence_of, placeholders, random_model
from _record import ROOT, Record, parser, run

from mien.models.registry import SYSTEMS, open_system

WORDS = 32
SECONDS_BAR = 120.0


def work(name: str) -> None:
    """Build, fill and run one system; prints encoder and decoder seconds, and the parameters."""
    config = open_system(name).configure("paper")
    config.text_config.num_hidden_layers = 1
    model = random_model(config).eval()
    with torch.no_grad():
        given = evidence_of(name, torch.Generator().manual_seed(0))
        ids = torch.tensor([[*placeholders(config), *range(100, 100 + WORDS)]])
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
