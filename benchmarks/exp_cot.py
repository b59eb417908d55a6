"""Chains of thought for thousands of real faces by the rules teacher: how many pass, how fast, and a second look.

    python benchmarks/exp_cot.py [--limit N] [--model NAME|DIR]

The whole engine runs, with its store, over labelled faces of FER+ (validation, then training). The rows are checked
again by `_exp_cot_check.py`, which shares no code with the engine. With ``--limit N``: N faces.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path

from _exp_cot_check import check
from _record import Record, needed_data, parser, run

from mien.annotate.exp_cot.engine import exp_cot_engine
from mien.annotate.exp_cot.items import open_aus
from mien.annotate.rules_teacher import open_rules_teacher
from mien.annotate.runner import RunOptions
from mien.annotate.runner import run as annotate
from mien.core.nouns import Sample
from mien.data import open_dataset

KEPT_BAR, WORDS_BAR = 99.0, 130
FACES, WORKERS = 5000, 2


def measure(record: Record) -> None:
    with tempfile.TemporaryDirectory(prefix="mien-exp-cot-") as name:
        exp_cot(record, Path(name) / "run")


def labelled_faces(count: int) -> list[Sample]:
    """FER+ samples with a label: validation first, then training, in file order."""
    needed_data("ferplus")
    dataset = open_dataset("ferplus")
    samples = chain.from_iterable(dataset.read(split) for split in ("val", "train"))
    return list(islice((sample for sample in samples if sample.labels.emotion), count))


def exp_cot(record: Record, out: Path) -> None:
    samples = labelled_faces(record.options.limit or FACES)
    source = open_aus(record.options.model, record.options.threads)
    started, used = time.perf_counter(), time.process_time()
    summary = annotate(
        exp_cot_engine(samples, source), open_rules_teacher("exp-cot"), out, RunOptions(workers=WORKERS)
    )
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    n = summary.items
    record.add(
        "rules teacher: faces per second", n / seconds, "faces/s", n=n,
        note=f"AU values by {record.options.model}; {1000 * processor / n:.0f} ms of processor per face",
    )  # fmt: skip
    reasons = ", ".join(f"{number} {reason}" for reason, number in summary.rejected.items())
    record.add("rules teacher: faces accepted", 100 * summary.kept / n, "%", bar=KEPT_BAR, n=n, note=reasons)
    record.add("rules teacher: requests per face", summary.requests / n, n=n)
    independent(record, out / "items.jsonl", {sample.id: str(sample.labels.emotion) for sample in samples})


def independent(record: Record, path: Path, labels: Mapping[str, str]) -> None:
    """What a second look at the rows finds, with patterns that the engine does not know."""
    found = check(path)
    rows, n = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], int(found["rows"])
    true = sum(row["emo"].lower() == labels[row["id"]] for row in rows) / max(1, n)
    hinted = sum(row["provenance"]["hinted"] for row in rows) / max(1, n)
    still = sum(not any(row["au"]) for row in rows) / max(1, n)
    record.add("rules teacher: accepted only with the label as a hint", 100 * hinted, "%", n=n)
    record.add("faces without any positive AU value", 100 * still, "%", n=n, note="said to be at rest")
    record.add(
        "checked: most words", found["words_max"], "words", bar=WORDS_BAR, at_most=True, n=n,
        note=f"{found['words_mean']:.1f} on average",
    )  # fmt: skip
    for name, share in (
        ("the label of the row is the data's", true),
        ("the conclusion names the label", found["label"]),
        ("the observations state every positive AU", found["aus"]),
        ("three heads", found["heads"]),
        ("no AU index", found["no_index"]),
        ("no personal pronoun", found["no_pronoun"]),
    ):
        record.add(f"checked: {name}", 100 * share, "%", bar=KEPT_BAR, n=n)
    record.add("checked: texts that differ from all others", 100 * found["different_texts"], "%", n=n)


if __name__ == "__main__":
    run("exp_cot", parser(__doc__.splitlines()[0]), measure)
