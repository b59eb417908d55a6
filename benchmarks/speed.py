"""How long whole commands take, how fast a clip runs and how much memory it needs, and where the time goes.

    python benchmarks/speed.py [--limit N] [--model NAME|DIR]

Commands run as child processes on a warm disk: one run unmeasured, then five. With ``--limit N``: N runs, and
the examples and the long clips are left out.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _clips import looped
from _process import Cost, mien_command, own_memory, run_process
from _record import EXAMPLES, Record, parser, run

from mien.core.paths import data_root

HELP_BAR, PHOTO_BAR = 0.3, 2.5
RATE_BAR, MEMORY_BAR = 20.0, 500.0
REPEATS, LOOPS = 5, (10, 40)
PHOTO = EXAMPLES / "eileen_collins.jpg"


def measure(record: Record) -> None:
    """Processes first: this one must still be small when it starts children whose memory is measured."""
    repeats = record.options.limit or REPEATS
    with tempfile.TemporaryDirectory(prefix="mien-speed-") as name:
        folder = Path(name)
        commands(record, folder, repeats)
        clips(record, folder, repeats)
        record.add("memory of this script so far (a child's peak cannot read lower)", own_memory(), "MB")
    stages(record)


def commands(record: Record, folder: Path, repeats: int) -> None:
    mien = mien_command()
    report(record, "mien --help", [run_process([*mien, "--help"]) for _ in range(repeats + 1)], HELP_BAR)
    photo = [analyse(record, folder / f"photo{turn}", PHOTO) for turn in range(repeats + 1)]
    report(record, "mien analyze one.jpg", photo, PHOTO_BAR)
    if record.options.limit is not None:
        return
    whole = [
        analyse(record, folder / f"examples{turn}", EXAMPLES, "--overlay", "--report", "--explain")
        for turn in range(2)
    ]
    report(record, "mien analyze examples --overlay --report --explain", whole, None)


def report(record: Record, name: str, costs: list[Cost], bar: float | None) -> None:
    """Median and best of all runs but the first."""
    seconds = [cost.seconds for cost in costs[1:]]
    busy = statistics.median(cost.processor for cost in costs[1:])
    note = f"{busy:.2f} s of processor"
    record.add(
        f"{name}: median", statistics.median(seconds), "s", bar=bar, at_most=True, n=len(seconds), note=note
    )
    record.add(f"{name}: best", min(seconds), "s", n=len(seconds))
    record.add(f"{name}: peak memory", max(cost.peak for cost in costs[1:]), "MB")


def analyse(record: Record, out: Path, source: Path, *more: str) -> Cost:
    threads = [] if record.options.threads is None else ["--threads", str(record.options.threads)]
    model = ["--model", str(record.options.model)]
    return run_process(
        [*mien_command(), "analyze", str(source), "--out", str(out), "--quiet", *model, *threads, *more]
    )


def clips(record: Record, folder: Path, repeats: int) -> None:
    """The clip as it is, and played over and over: rate of the whole command, steady rate, memory."""
    clip = data_root() / "samples" / "single_face.mp4"
    if not clip.is_file():
        clip = EXAMPLES / "clip.mp4"
    frames = looped(clip, folder / "once.mp4", 1)
    short = [analyse(record, folder / f"clip{turn}", clip) for turn in range(repeats)]
    once = statistics.median(cost.seconds for cost in short)
    busy = statistics.median(cost.processor for cost in short)
    record.add(f"{clip.name}: whole command with CSV", frames / once, "frames/s", bar=RATE_BAR, n=frames,
               note=f"{once:.2f} s, start included; {busy:.2f} s of processor")  # fmt: skip
    peaks = [max(cost.peak for cost in short)]
    record.add(f"{clip.name}: peak memory", peaks[0], "MB", bar=MEMORY_BAR, at_most=True)
    if record.options.limit is not None:
        return
    spent = [(frames, once)]
    for times in LOOPS:
        long = folder / f"{times}.mp4"
        count = looped(clip, long, times)
        cost = analyse(record, folder / f"long{times}", long)
        spent.append((count, cost.seconds))
        peaks.append(cost.peak)
        record.add(f"{times} times as long: whole command with CSV", count / cost.seconds, "frames/s",
                   bar=RATE_BAR, n=count)  # fmt: skip
        record.add(f"{times} times as long: peak memory", cost.peak, "MB", bar=MEMORY_BAR, at_most=True)
    (few, quick), (many, slow) = spent[0], spent[-1]
    record.add("steady rate, start left out", (many - few) / (slow - quick), "frames/s", n=many - few)
    grown = 1000.0 * (peaks[-1] - peaks[1]) / (many - spent[1][0])
    record.add("memory per 1,000 further frames", grown, "MB", n=many - spent[1][0])


def stages(record: Record) -> None:
    """Milliseconds of each step on one photo with one face, warm, in this process."""
    from _validation import open_model

    from mien.core.nouns import Evidence
    from mien.face.crop import canonical_crop
    from mien.face.decode.images import load_image
    from mien.face.finder import FaceFinder
    from mien.face.mesh import roi_from_detection

    image = load_image(PHOTO)
    finder = FaceFinder(threads=record.options.threads)
    face = finder.find(image)[0]
    rois = [roi_from_detection(found) for found in finder.detector.detect(image)]
    reader = open_model(record.options)
    size = max(reader.crop_size, 8)
    evidence = Evidence(face, canonical_crop(image, face, size)[0])
    steps: dict[str, Callable[[], object]] = {
        "decode": lambda: load_image(PHOTO),
        "detect, with tiles for small faces": lambda: finder.detector.detect(image),
        "detect, as in videos": lambda: finder.detector.detect(image, tiles=False),
        "mesh": lambda: finder.mesh.landmarks(image, rois[:1]),
        "crop": lambda: canonical_crop(image, face, size),
        "reading, all": lambda: reader.measure([evidence]),
        "reading, all, 16 faces together": lambda: reader.measure([evidence] * 16),
    }
    classify = getattr(reader, "classify", None)
    if classify is not None:
        steps["reading, evidence net alone"] = lambda: classify([evidence])
        steps["reading, evidence net alone, 16 faces together"] = lambda: classify([evidence] * 16)
    for name, step in steps.items():
        per = 16 if name.endswith("together") else 1
        record.add(f"{name}, per face", 1000.0 * _seconds(step) / per, "ms", note=f"{PHOTO.name}")


def _seconds(step: Callable[[], object], budget: float = 1.0) -> float:
    """Median over runs that fill the budget in seconds, at least three."""
    step()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < budget:
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    run("speed", parser(__doc__.splitlines()[0]), measure)
