"""Rows left in files are the rows of the arrays, however they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from mien.core.errors import BadData
from mien.work.rows import Rows, npy_rows, tensor_rows, write_npy

KEYS: list[Any] = [
    0, -1, 6, np.int64(5), slice(None), slice(2, 9, 3), [], [3], [9, 0, 9], np.array([7, 1]), (3, 1), (slice(None), 0),
    (slice(1, 4), slice(None), 1), ([2, 8], 1),
]  # fmt: skip


@pytest.fixture
def both(tmp_path: Path) -> tuple[Rows, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(count, 3, 2)).astype(np.float32) for count in (4, 0, 6)]
    np.save(tmp_path / "a.npy", parts[0])
    save_file({"x": np.zeros(3, np.uint8), "y": parts[1]}, tmp_path / "b.safetensors")
    save_file({"x": np.arange(5, dtype=np.uint8), "y": parts[2]}, tmp_path / "c.safetensors")
    stored = [npy_rows(tmp_path / "a.npy")]
    stored += [tensor_rows(tmp_path / f"{name}.safetensors", ("y",))["y"] for name in "bc"]
    return Rows(stored), np.concatenate(parts)


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_it_is_indexed_like_an_array(both: tuple[Rows, np.ndarray[Any, Any]], key: Any) -> None:
    rows, array = both
    want = array[np.asarray(key, np.int64)] if isinstance(key, list) else array[key]
    assert np.array_equal(rows[key], want)
    assert rows[key].dtype == array.dtype


def test_some_rows_and_joined_ones(both: tuple[Rows, np.ndarray[Any, Any]]) -> None:
    rows, array = both
    some = rows.take([8, 2, 2])
    assert np.array_equal(some, array[[8, 2, 2]])
    assert np.array_equal(some.take([1, 0])[0], array[2])
    twice = Rows.joined([some, rows, rows.take([])])
    assert np.array_equal(twice, np.concatenate([array[[8, 2, 2]], array]))
    assert twice.shape == (13, 3, 2)
    assert [one.tolist() for one in rows] == array.tolist()
    assert Rows([], (3, 2), np.float32)[:].shape == (0, 3, 2)


def test_rows_are_written_as_numpy_reads_them(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    write_npy(tmp_path / "a.npy", iter(array), array.shape, np.uint8)
    assert np.array_equal(np.load(tmp_path / "a.npy"), array)
    np.save(tmp_path / "b.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_cache_that_was_cleared_meanwhile_is_named(both: tuple[Rows, Any], tmp_path: Path) -> None:
    rows, _ = both
    (tmp_path / "c.safetensors").write_bytes(b"short")
    (tmp_path / "a.npy").unlink()
    for place in (0, 9):
        with pytest.raises(BadData, match="nobody clears"):
            rows[place]
    with pytest.raises(BadData, match=r"c\.safetensors"):
        tensor_rows(tmp_path / "c.safetensors", ("y",))
