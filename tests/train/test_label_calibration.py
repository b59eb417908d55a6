"""Calibration of label likelihoods after training: fitted on half of the faces, written, and used by the reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mien.backends.torch import TorchReader
from mien.core.nouns import Labels, Sample
from mien.face.crop import whole_image
from mien.models.composite.facial_lm import FacialLM
from mien.train.data.faces import Faces
from mien.train.label_calibration import LEAST, calibrate_labels
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")
COUNT = 2 * LEAST


def noise(count: int, size: int) -> Faces:
    rng = np.random.default_rng(0)
    return Faces(
        tuple(Sample(str(row), "noise", "val", "", Labels()) for row in range(count)),
        rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
        rng.uniform(0, size, (count, 478, 3)).astype(np.float32),
        np.stack([whole_image(size, size, size).matrix] * count),
    )


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    roots = [f"data.0.root={tiny_data}", f"validation.0.root={tiny_data}", "stages.0.epochs=1"]
    Run(load_recipe("emola", "tiny", roots), folder / "run", folder / "cache").train()
    return folder / "run"


def test_likelihoods_follow_the_labels_that_faces_have(run: Path) -> None:
    folder = run / "model"
    assert "calibration" not in json.loads((folder / "mien.json").read_text()), "four faces are too few"
    assert "labels" not in json.loads((run / "result.json").read_text())
    faces = noise(COUNT, TorchReader(folder).crop_size)
    rng = np.random.default_rng(1)
    truths = {str(row): "anger" if rng.random() < 0.7 else "fear" for row in range(COUNT)}
    figures = calibrate_labels(folder, FacialLM.from_pretrained(folder), faces, truths)
    assert figures is not None and figures["n"] == COUNT // 2
    assert figures["calibrated"]["nll"] < 0.8 < figures["as read"]["nll"]
    assert figures["calibrated"]["ece"] < 0.15
    assert json.loads((folder / "mien.json").read_text())["calibration"]["faces"] == COUNT // 2
    emotions = [
        one.emotions for one in TorchReader(folder).measure([faces.evidence(row) for row in range(8)])
    ]
    assert all(one["anger"] > 0.5 and abs(sum(one.values()) - 1.0) < 1e-6 for one in emotions)


def test_too_few_faces_or_a_system_without_labels_change_nothing(run: Path) -> None:
    folder = run / "model"
    before = (folder / "mien.json").read_bytes()
    faces = noise(LEAST - 1, TorchReader(folder).crop_size)
    truths = {sample.id: "fear" for sample in faces.samples}
    assert calibrate_labels(folder, FacialLM.from_pretrained(folder), faces, truths) is None
    assert (folder / "mien.json").read_bytes() == before
