"""Derivatives as BIDS has them; names held against the validator's own rules where it is installed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mien.core.errors import BadInput
from mien.study import episodes, read_faces, write_bids

Made = Callable[..., pd.DataFrame]


@pytest.fixture
def smile(bump: Made) -> np.ndarray:
    return bump(np.arange(100) / 25, 1, 1.4, 2.4, 0.8)


@pytest.fixture
def written(tmp_path: Path, faces: Made, smile: np.ndarray) -> Path:
    clips = [
        faces(f"p-{person}_{day}_rest.mp4", aus={"AU12": smile}) for person in "12" for day in ("mon", "tue")
    ]
    clips += [faces("p-1_mon_rest.mov")]
    clips[-1]["input"] = "second/p-1_mon_rest.mov"
    table = read_faces(clips, pattern="{person}_{session}_{condition}")
    write_bids(table, tmp_path / "bids", "0.1", episodes(table))
    return tmp_path / "bids"


def test_a_derivative_data_set(written: Path, smile: np.ndarray) -> None:
    names = sorted(path.relative_to(written).as_posix() for path in written.rglob("*.*"))
    assert "sub-p2/ses-tue/func/sub-p2_ses-tue_task-rest_desc-mien_timeseries.tsv" in names
    assert "sub-p1/ses-mon/func/sub-p1_ses-mon_task-rest_run-02_desc-mien_events.tsv" in names
    assert len(names) == 1 + 3 * 5
    told = json.loads((written / "dataset_description.json").read_text())
    assert told["DatasetType"] == "derivative" and told["GeneratedBy"][0] == {
        "Name": "mien", "Version": "0.1", "Description": "Apparent expression, no inner states",
    }  # fmt: skip
    stem = written / "sub-p2/ses-tue/func/sub-p2_ses-tue_task-rest_desc-mien"
    series = pd.read_csv(f"{stem}_timeseries.tsv", sep="\t", na_values="n/a")
    sidecar = json.loads(Path(f"{stem}_timeseries.json").read_text())
    assert list(series.columns) == sidecar["Columns"] and sidecar["SamplingFrequency"] == 25
    assert all("Description" in sidecar[column] for column in series.columns)
    assert series["AU12_i"].to_numpy() == pytest.approx(smile, abs=1e-5)
    events = pd.read_csv(f"{stem}_events.tsv", sep="\t")
    assert list(events.columns[:3]) == ["onset", "duration", "trial_type"] and events[
        "trial_type"
    ].tolist() == ["AU12_i"]


def test_nothing_is_written_over(written: Path, faces: Made) -> None:
    with pytest.raises(BadInput, match="not empty"):
        write_bids(read_faces(faces()), written, "0.1")


def test_labels_must_tell_people_apart(tmp_path: Path, faces: Made) -> None:
    both = read_faces([faces("a-1.mp4"), faces("a1.mp4")], pattern="{person}")
    with pytest.raises(BadInput, match="differ in signs only"):
        write_bids(both, tmp_path / "bids", "0.1")


def test_names_follow_the_rules_of_the_schema(written: Path) -> None:
    """Entities in the order of BIDS (sub, ses, task, run, desc), labels of letters and digits."""
    rule = re.compile(
        r"sub-[a-zA-Z0-9]+(_ses-[a-zA-Z0-9]+)?_task-[a-zA-Z0-9]+(_run-\d+)?_desc-mien_(timeseries|events)\.(tsv|json)"
    )
    files = [path for path in written.rglob("sub-*.*")]
    assert files and all(rule.fullmatch(path.name) for path in files)
