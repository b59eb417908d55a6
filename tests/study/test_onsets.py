"""Onsets on pictures: read from pixels by the embedded model, held against what the pictures were made of."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.study import episodes, read_faces, smooth, withhold
from mien.study.events import movements

RATE, FRAMES = 25, 2
# examples/CLIP.md and tools/renderer/clip.py: start and apex of each drawn action, in seconds.
DRAWN = {
    **dict.fromkeys(("AU06", "AU12"), (0.50, 0.88)),
    "AU43": (2.04, 2.12),
    **dict.fromkeys(("AU01", "AU02", "AU05", "AU26"), (2.36, 2.60)),
}


def first_tenth(start: float, apex: float) -> float:
    """The first frame in which a smooth rise (3 s² − 2 s³) is above a tenth."""
    times = np.arange(0, 10, 1 / RATE)
    share = np.clip((times - start) / (apex - start), 0, 1)
    return float(times[np.flatnonzero(share**2 * (3 - 2 * share) > 0.1)[0]])


@pytest.mark.slow
def test_onsets_of_the_drawn_clip(examples: Path) -> None:
    table = mien.to_frame(mien.Analyzer().analyze([examples / "clip.mp4"]))
    found = episodes(smooth(withhold(read_faces(table))))
    near = {}
    for key, (start, apex) in DRAWN.items():
        onsets = found.loc[found["signal"] == f"{key}_i", "onset"]
        near[key] = any(abs(one - first_tenth(start, apex)) <= FRAMES / RATE + 1e-6 for one in onsets)
    assert all(near.values()), near


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_onsets_of_smiles_of_real_people(data_root: Path) -> None:
    """Neutral and smiling portraits of ten people, faded into each other within six frames: nine onsets to two frames.

    A fade is no movement: half-way it shows two mouths, and the net sees a smile late. Over ten frames half of the
    onsets come later than two frames.
    """
    path = data_root / "london" / "london.zip"
    if not path.is_file():
        pytest.skip(f"the portraits {path} are not here")
    analyzer, late = mien.Analyzer(), []
    start, rise = 0.16, 0.24
    times = np.arange(16) / RATE
    share = np.clip((times - start) / rise, 0, 1)
    share = share**2 * (3 - 2 * share)
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), "utf-8")))
        smiling = [row for row in rows if row["label"] == "happiness" and row["au12"] == "1"]
        for row in sorted(smiling, key=lambda one: one["file"])[:10]:
            name = row["file"]
            calm, smile = (
                np.asarray(Image.open(archive.open(one)).convert("RGB").resize((168, 168)), float)
                for one in (name.replace("happiness", "neutral"), name)
            )
            faded = [np.round((1 - one) * calm + one * smile).astype(np.uint8) for one in share]
            results = analyzer.analyze(faded, cropped=True)
            values = [one.faces[0].aus["AU12"].intensity if one.faces else float("nan") for one in results]
            onsets = [
                one.onset - first_tenth(start, start + rise) for one in movements(times.tolist(), values)
            ]
            late.append(min((round(one * RATE) for one in onsets), key=abs, default=99))
    assert len(late) == 10
    assert sum(abs(one) <= FRAMES for one in late) >= 9, late
