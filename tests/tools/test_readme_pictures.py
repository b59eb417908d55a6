"""README's pictures show what mien says today."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import readme_pictures

AGAIN = "run: python tools/readme_pictures.py"


def test_the_portrait_says_what_mien_says(tmp_path: Path) -> None:
    out = readme_pictures.analysed(tmp_path, clip=False)
    assert readme_pictures.differ(readme_pictures.shown(), readme_pictures.said(out)) == [], AGAIN
    drawn = np.asarray(readme_pictures.overlay(out), np.int16)
    with Image.open(readme_pictures.PICTURES / "overlay.png") as opened:
        kept = np.asarray(opened.convert("RGB"), np.int16)
    assert kept.shape == drawn.shape and np.abs(kept - drawn).mean() < 2.0, AGAIN


@pytest.mark.slow
def test_the_clip_too(tmp_path: Path) -> None:
    now = readme_pictures.said(readme_pictures.analysed(tmp_path))
    assert readme_pictures.differ(readme_pictures.shown(), now) == [], AGAIN


def test_another_model_is_seen() -> None:
    kept = readme_pictures.shown()
    levels = {**kept["levels"], "AU04": "3"}
    assert readme_pictures.differ(kept, {**kept, "portrait": "anger"}) == ["portrait"]
    assert readme_pictures.differ(kept, {**kept, "levels": levels, "clip": {"neutral": 100}})[0] == "AU04"
    assert readme_pictures.differ(kept, kept) == []


def test_the_pages_show_them() -> None:
    for page, names in (("README.md", ("overlay", "report", "timeline")), ("docs/serve.md", ("page",))):
        text = (readme_pictures.ROOT / page).read_text(encoding="utf-8")
        for name in names:
            assert f'pictures/{name}.png"' in text
            with Image.open(readme_pictures.PICTURES / f"{name}.png") as opened:
                assert min(opened.size) > 300
