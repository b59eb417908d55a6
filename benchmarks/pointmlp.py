"""PointMLP on this processor: mien's layers against the algorithm as published, on the same weights and points.

    python benchmarks/pointmlp.py [--limit N]

478 points per face, 64 faces per batch, one warm pass, then five of each in turn (``--limit N``: N).
"""

from __future__ import annotations

import statistics
import time

import torch
from _published_pointmlp import forward
from _record import Record, parser, run

from mien.layers.pointmlp import PointMLP

BATCH, POINTS, REPEATS, SPEEDUP_BAR, DIFFERENCE_BAR = 64, 478, 5, 3.0, 1e-5


def measure(record: Record) -> None:
    repeats = record.options.limit or REPEATS
    torch.manual_seed(0)
    clouds = torch.randn(BATCH, POINTS, 3)
    for variant in ("elite", "pointmlp"):
        model = PointMLP(variant, normalization="none")
        with torch.no_grad():
            model.train()(clouds[:4])  # running statistics away from their start
            model.eval()
            state = model.state_dict()
            times: dict[str, list[float]] = {"mien": [], "published": []}
            for _ in range(repeats + 1):
                start = time.perf_counter()
                ours = model(clouds)
                middle = time.perf_counter()
                theirs = forward(state, clouds)
                times["mien"].append(middle - start)
                times["published"].append(time.perf_counter() - middle)
        seconds = {name: statistics.median(values[1:]) for name, values in times.items()}
        for name, value in seconds.items():
            record.add(f"{variant}, {name}: batch of {BATCH}", value, "s", n=repeats)
        faster = seconds["published"] / seconds["mien"]
        record.add(f"{variant}: times as fast as published", faster, "x", bar=SPEEDUP_BAR)
        difference = float((ours - theirs).abs().max())
        record.add(f"{variant}: largest difference", difference, "", bar=DIFFERENCE_BAR, at_most=True)


if __name__ == "__main__":
    run("pointmlp", parser(__doc__ or ""), measure)
