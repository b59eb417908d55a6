"""What follows a run of the faba engine: the published files, the statistics, the review of the test part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mien.annotate.faba.review import apply_corrections, read_corrections
from mien.annotate.faba.rows import split_rows, write_faba
from mien.annotate.faba.statistics import faba_statistics
from mien.app.annotate.faba_page import write_faba_page
from mien.app.annotate.faba_tree import fill_tree
from mien.app.annotate.job import read_rows
from mien.app.annotate.review_sheet import write_review_sheet
from mien.core.errors import BadConfig, BadInput
from mien.core.paths import write_whole
from mien.core.run_record import RunRecord
from mien.face.decode.media import open_media

__all__ = ["finish_faba"]

_SHEET, _PAGE = "review.html", "statistics.html"


def finish_faba(out: Path, corrections: Path | None = None) -> dict[str, str]:
    """Write ``faba/`` (the published tree, statistics), ``statistics.html`` and ``review.html`` of a finished run.

    Args:
        out: the run's folder. How it was split stands in its ``run.json``.
        corrections: what the review sheet exported; applied before anything is written.

    Returns:
        What to print: file -> what it holds.
    """
    config = _config(out)
    rows: list[dict[str, Any]] = read_rows(out)
    told: dict[str, str] = {}
    if corrections is not None:
        reviewed = apply_corrections(rows, read_corrections(corrections))
        rows = reviewed.rows
        told["review"] = (
            f"{reviewed.checked:,} checked, {reviewed.texts:,} texts and {reviewed.labels:,} labels changed, "
            f"{reviewed.dropped:,} dropped"
        )
    pictures, seed = config.get("test_pictures"), int(config.get("seed", 0))
    train, test = split_rows(rows, pictures if isinstance(pictures, int) else None, seed)
    labelled = [row for row in test if row["label"]]
    root = config.get("root")
    place = partial(_media, None if root is None else str(root))
    absent = fill_tree(out / "faba", {"train": train, "eval": labelled}, place)
    whole = [[row for row in rows if row["id"] not in absent] for rows in (train, labelled)]
    counts = write_faba(out / "faba", *whole)
    statistics = faba_statistics(train, test)
    text = json.dumps(statistics.to_json(), indent=2, ensure_ascii=False)
    write_whole(out / "faba" / "statistics.json", text + "\n")
    write_faba_page(statistics, out / _PAGE)
    told |= {f"faba/{name}": f"{number:,} items" for name, number in counts.items()}
    if absent:
        told["left out"] = (
            f"{len(absent):,} without a picture or landmarks, the first {next(iter(absent.values()))}"
        )
    if len(labelled) < len(test):
        told["test items left out"] = f"{len(test) - len(labelled):,} without a label; give one in the review"
    if test and corrections is None:
        missing = write_review_sheet(test, out / _SHEET, lambda image: open_media(place(image)))
        told[_SHEET] = f"{len(test):,} test items" + (f", {missing:,} without picture" if missing else "")
    return told


def _media(root: str | None, image: str) -> str:
    return image if root is None else str(Path(root) / image)


def _config(out: Path) -> Mapping[str, Any]:
    try:
        config = RunRecord.read(out / "run.json").config
    except BadInput as error:
        raise _no_run(out) from error
    if config.get("engine") != "faba" or not (out / "items.jsonl").is_file():
        raise _no_run(out)
    return config


def _no_run(out: Path) -> BadConfig:
    return BadConfig(
        got=f"{out}, which holds no finished run of faba",
        expected="a folder that `mien annotate faba` has written",
        fix="Name that folder, or finish the run with --resume",
    )
