"""PointMLP on this processor: mien's layers against the algorithm as published, on the same weights and points.

    python benchmarks/pointmlp.py [--limit N]

478 points per face, 64 faces per batch, one warm pass, then five of each in turn (``--limit N``: N). Processor seconds
stand beside the clock's: they hold on a busy machine too.
"""

from __future__ import annotations

import statistics
import time

import torch
from _published_pointmlp import forward
from _record import Record, parser, run

from mien.layers.pointmlp import PointMLP

BATCH, POINTS, REPEATS, SPEEDUP_BAR, DIFFERENCE_BAR = 64, 478, 5, 3.0, 10.0


def _clocks() -> tuple[float, float]:
    """Seconds of the clock, and of the processor in this process."""
    return time.perf_counter(), time.process_time()


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
            times: dict[str, list[tuple[float, float]]] = {"mien": [], "published": []}
            for _ in range(repeats + 1):
                start = _clocks()
                ours = model(clouds)
                middle = _clocks()
                theirs = forward(state, clouds)
                stop = _clocks()
                times["mien"].append((middle[0] - start[0], middle[1] - start[1]))
                times["published"].append((stop[0] - middle[0], stop[1] - middle[1]))
        for clock, kind in enumerate(("clock", "processor")):
            seconds = {
                name: statistics.median(pair[clock] for pair in pairs[1:]) for name, pairs in times.items()
            }
            for name, value in seconds.items():
                record.add(f"{variant}, {name}: batch of {BATCH}, {kind}", value, "s", n=repeats)
            faster = seconds["published"] / seconds["mien"]
            record.add(f"{variant}: times as fast as published, {kind}", faster, "x", bar=SPEEDUP_BAR)
        difference = 1e6 * float((ours - theirs).abs().max())
        record.add(f"{variant}: largest difference", difference, "1e-6", bar=DIFFERENCE_BAR, at_most=True)


if __name__ == "__main__":
    run("pointmlp", parser(__doc__ or ""), measure)
