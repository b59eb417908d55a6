"""Changes of a file's bytes, each of which may spoil it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Generator = np.random.Generator


def flip(data: bytearray, rng: Generator) -> bytearray:
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(0, 8))
    return data


def overwrite(data: bytearray, rng: Generator) -> bytearray:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 64))
    data[start : start + length] = bytes(rng.integers(0, 256, length, dtype=np.uint8))
    return data


def extreme(data: bytearray, rng: Generator) -> bytearray:
    """A number of 2 or 4 bytes at a limit, where heads hold sizes, counts and offsets."""
    length = int(rng.choice([2, 4]))
    start = int(rng.integers(0, max(1, min(len(data) - length, 600))))
    values = (0, 1, 2 ** (8 * length - 1) - 1, 2 ** (8 * length - 1), 2 ** (8 * length) - 1)
    order = "big" if rng.integers(0, 2) else "little"
    data[start : start + length] = int(rng.choice(len(values)) and values[int(rng.integers(0, 5))]).to_bytes(
        length, order
    )
    return data


def cut(data: bytearray, rng: Generator) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def repeat(data: bytearray, rng: Generator) -> bytearray:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 400))
    part = data[start : start + length]
    return data[:start] + part * int(rng.integers(2, 6)) + data[start:]


def drop(data: bytearray, rng: Generator) -> bytearray:
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 200))]
    return data


MUTATORS: tuple[Callable[[bytearray, Generator], bytearray], ...] = (
    flip,
    overwrite,
    extreme,
    cut,
    repeat,
    drop,
)
