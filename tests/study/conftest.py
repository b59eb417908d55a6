"""Made-up tables with mien's columns, and simulated dyads; nothing is read from a picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mien.core.emotions import EMOTIONS


def made_faces(
    name: str = "anna_baseline.mp4",
    seconds: float = 4.0,
    rate: float = 25.0,
    track: int = 0,
    aus: dict[str, np.ndarray] | None = None,
    happiness: np.ndarray | None = None,
) -> pd.DataFrame:
    """A clip of one face in mien's columns; AUs are 0 where not given, the rest of the mood is neutral."""
    count = round(seconds * rate)
    happy = np.full(count, 0.1) if happiness is None else happiness
    feelings = {one: np.zeros(count) for one in EMOTIONS} | {"happiness": happy, "neutral": 1 - happy}
    table = pd.DataFrame({
        "input": f"clips/{name}", "frame": np.arange(count), "time": np.arange(count) / rate, "width": 640,
        "height": 480, "face": 0, "track": track, "success": 1, "error": None, "score": 0.9, "presence": 0.95,
        "pitch": 0.0, "yaw": 1.0, "roll": 0.0, "quality": None,
        "emotion": np.where(happy > 0.5, "happiness", "neutral"), **feelings,
    })  # fmt: skip
    for key in ("AU04", "AU06", "AU12", "AU43"):
        table[f"{key}_i"] = (aus or {}).get(key, np.zeros(count))
        table[f"{key}_c"] = (table[f"{key}_i"] >= 0.1).astype(int)
    return table


def made_bump(times: np.ndarray, onset: float, apex: float, end: float, height: float) -> np.ndarray:
    """A rise to ``apex`` and back until ``end``, smooth."""
    share = np.clip(np.minimum((times - onset) / (apex - onset), (end - times) / (end - apex)), 0, 1)
    return height * share**2 * (3 - 2 * share)


@pytest.fixture
def clip() -> pd.DataFrame:
    return made_faces()


@pytest.fixture(scope="session")
def faces() -> Callable[..., pd.DataFrame]:
    return made_faces


@pytest.fixture(scope="session")
def bump() -> Callable[..., np.ndarray]:
    return made_bump
