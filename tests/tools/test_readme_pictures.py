"""README's pictures show what mien says today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import readme_pictures

AGAIN = "run: python tools/readme_pictures.py"


def shown() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (readme_pictures.PICTURES / "shown.json").read_text(encoding="utf-8")
    )
    return content


def test_the_portrait_says_what_mien_says(tmp_path: Path) -> None:
    out = readme_pictures.analysed(tmp_path, clip=False)
    assert readme_pictures.said(out) == {key: value for key, value in shown().items() if key != "clip"}, AGAIN
    drawn = np.asarray(readme_pictures.overlay(out), np.int16)
    with Image.open(readme_pictures.PICTURES / "overlay.png") as opened:
        kept = np.asarray(opened.convert("RGB"), np.int16)
    assert kept.shape == drawn.shape and np.abs(kept - drawn).mean() < 2.0, AGAIN


@pytest.mark.slow
def test_the_clip_too(tmp_path: Path) -> None:
    assert readme_pictures.said(readme_pictures.analysed(tmp_path)) == shown(), AGAIN


def test_readme_shows_them() -> None:
    text = (readme_pictures.ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("overlay.png", "report.png"):
        assert f'src="docs/pictures/{name}"' in text
        with Image.open(readme_pictures.PICTURES / name) as opened:
            assert min(opened.size) > 300
