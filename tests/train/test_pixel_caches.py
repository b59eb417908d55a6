"""Caches of crops and landmarks are named by what is in the pictures, not by where these lie."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import BadInput
from mien.core.nouns import Sample
from mien.data import open_dataset
from mien.train.data.crops import grey_crops, iter_pixels, sample_hash
from mien.train.data.landmark_cache import landmarks_of


def samples_of(root: Path) -> list[Sample]:
    return list(open_dataset("ferplus").read("val", root))


def test_a_moved_pack_is_the_same_and_a_changed_one_another(tiny_data: Path, tmp_path: Path) -> None:
    samples = samples_of(tiny_data)
    shutil.copytree(tiny_data / "ferplus", tmp_path / "elsewhere" / "ferplus")
    moved = samples_of(tmp_path / "elsewhere")
    assert sample_hash(samples, 48) == sample_hash(moved, 48) != sample_hash(samples, 64)
    assert sample_hash(samples[1:]) != sample_hash(samples)
    path = tmp_path / "elsewhere" / "ferplus" / "val.npz"
    with np.load(path) as pack:
        content = {name: pack[name] for name in pack.files}
    content["images"][0] = 255 - content["images"][0]
    np.savez(path, **content)
    assert sample_hash(moved) != sample_hash(samples)


def test_caches_are_read_again(tiny_data: Path, tmp_path: Path) -> None:
    samples = samples_of(tiny_data)
    first, points = grey_crops(samples, 32, tmp_path), landmarks_of(samples, tmp_path, threads=1)
    assert first.shape == (len(samples), 32, 32) and points.shape == (len(samples), 478, 3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert len(before) == 2
    np.testing.assert_array_equal(grey_crops(samples, 32, tmp_path), first)
    np.testing.assert_array_equal(landmarks_of(samples, tmp_path, threads=1), points)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}


def test_an_unreadable_picture_stops_a_training_set(tiny_data: Path) -> None:
    samples = samples_of(tiny_data)
    samples[2] = replace(samples[2], media=f"{samples[2].media}99")
    with pytest.raises(BadInput, match="no row"):
        list(iter_pixels(samples))
