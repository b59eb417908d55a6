"""The last word on AUs: taught by truth and by an outside instrument, silent where it knows nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.core.aus import AU_SETS
from mien.core.errors import BadData
from mien.face.geometry import GEOMETRY_NAMES
from mien.metrics.au import auc
from mien.models.pocket.inputs import LANDMARK_FEATURES, SIDED
from mien.models.pocket.units import MOVED, PocketUnits
from mien.train.pocket.units_stage import (
    UnitArrays,
    UnitsStage,
    join_units,
    read_blendshapes,
    run_units_stage,
    unit_readings,
    with_targets,
)

UNITS = AU_SETS["pocket"]
BROW = UNITS.index("AU02")
HEIGHTS = [
    LANDMARK_FEATURES - len(GEOMETRY_NAMES) + GEOMETRY_NAMES.index(f"brow_outer_height_{side}")
    for side in ("left", "right")
]


def _faces(count: int, seed: int) -> tuple[UnitArrays, np.ndarray, np.ndarray]:
    """Faces whose brows rise by `lift`, while the evidence graph's AU02 follows an unrelated `mood`."""
    rng = np.random.default_rng(seed)
    lift, mood = rng.uniform(0, 1, count), rng.uniform(0, 1, count)
    landmarks = rng.normal(0, 1, (count, LANDMARK_FEATURES)).astype(np.float32)
    landmarks[:, HEIGHTS] = (lift[:, None] + rng.normal(0, 0.02, (count, 2))) * (1.0, 0.5)
    aus = rng.uniform(0, 1e-3, (count, len(UNITS))).astype(np.float32)
    aus[:, BROW] = 0.09 * mood
    none, nothing = np.zeros(count, bool), np.full((count, len(SIDED)), np.nan, np.float32)
    return UnitArrays(landmarks, aus, aus.copy(), aus.copy(), nothing, none, none, none), lift, mood


def _taught(folder: Path) -> PocketUnits:
    faces, lift, _ = _faces(1500, 0)
    scores = np.stack([lift, 0.5 * lift], axis=1).astype(np.float32)
    scores[::7] = np.nan
    votes = np.zeros((1500, 8), np.float32)
    votes[lift < 0.3, 0] = 1.0
    stage = UnitsStage(epochs=30)
    real = with_targets(faces, ("browOuterUpLeft", "browOuterUpRight"), scores, votes, stage)
    drawn, true, _ = _faces(500, 1)
    target = np.zeros_like(drawn.aus)
    target[:, BROW] = true
    drawn = replace(drawn, target=target, rendered=np.ones(500, bool))
    return run_units_stage(PocketUnits(), stage, join_units([real, drawn]), folder / "units.safetensors")


def test_a_reading_follows_the_brow_and_not_the_mood(tmp_path: Path) -> None:
    net = _taught(tmp_path)
    faces, lift, mood = _faces(400, 2)
    for pixels in (True, False):
        reading = unit_readings(net, faces, pixels)[:, BROW]
        assert auc(lift > 0.5, reading).value > 0.95
        assert abs(np.corrcoef(mood, reading)[0, 1]) < 0.15
        # The neutral faces' brows stood below 0.3.
        assert (reading[lift < 0.2] < 0.1).mean() > 0.9 and (reading[lift > 0.7] >= 0.1).mean() > 0.9
    again = run_units_stage(PocketUnits(), UnitsStage(), faces, tmp_path / "units.safetensors")
    np.testing.assert_array_equal(unit_readings(again, faces), unit_readings(net, faces))
    with torch.no_grad():
        landmarks, aus = torch.from_numpy(faces.landmarks), torch.from_numpy(faces.aus)
        sides = net(landmarks, torch.ones(400), torch.ones(400), aus)[1][:, SIDED.index("AU02")].numpy()
    assert np.corrcoef(sides, lift)[0, 1] > 0.8 and abs(float(np.mean(sides - 0.5 * lift))) < 0.1


def test_without_a_mesh_the_evidence_stands_and_with_pixels_all_but_the_moved() -> None:
    torch.manual_seed(0)
    net = PocketUnits().eval()
    faces, _, _ = _faces(8, 3)
    landmarks, aus = torch.from_numpy(faces.landmarks), torch.from_numpy(faces.aus)
    zeros, ones = torch.zeros(8), torch.ones(8)
    units, sides = net(landmarks, zeros, ones, aus)
    assert torch.equal(units, aus) and not sides.any()
    kept = [row for row, key in enumerate(UNITS) if key not in MOVED]
    seen, _ = net(landmarks, ones, ones, aus)
    assert torch.equal(seen[:, kept], aus[:, kept]) and not torch.equal(seen, aus)
    alone, _ = net(landmarks, ones, zeros, aus)
    assert not torch.equal(alone[:, kept], aus[:, kept])
    for values in (seen, alone):
        assert bool(((values >= 0) & (values <= 1)).all())


def test_blendshapes_need_a_row_for_every_face(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", names=np.asarray(["jawOpen"]), scores=np.zeros((3, 1), np.float32))
    assert read_blendshapes(tmp_path / "b.npz", 3)[0] == ("jawOpen",)
    assert read_blendshapes(None, 5)[1].shape == (5, 0)
    with pytest.raises(BadData, match="a row for every real training face"):
        read_blendshapes(tmp_path / "b.npz", 4)
