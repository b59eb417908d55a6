"""Make the pictures of README.md anew, and note what they say.

    python tools/readme_pictures.py             # needs a Chromium for the picture of the report
    python tools/readme_pictures.py --check     # change nothing; exit status 1 when the pictures no longer match

One run of mien over two examples gives both: the overlay of a portrait, and a part of the report. What they say stands
in ``docs/pictures/shown.json``, which a test holds against a fresh run.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.analyze.jobs import JobOptions, run_job

__all__ = ["main", "said"]

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
PORTRAIT, CLIP = "examples/eileen_collins.jpg", "examples/clip.mp4"
OVERLAY_HEIGHT, REPORT_WIDTH = 560, 675
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_TALL = 2400


class _Silent:
    def begin(self, items: int, done: int, frames: int) -> None:
        pass

    def advance(self, frames: object, items: int) -> None:
        pass


def analysed(folder: Path, clip: bool = True) -> Path:
    """Run mien over the examples, as the tour does: ``folder/photos`` and ``folder/clip``."""
    here = Path.cwd()
    os.chdir(ROOT)  # so that the report names them as the tour does
    try:
        run_job(
            JobOptions((PORTRAIT,), folder / "photos", explain=True, overlay=True, report=True), _Silent()
        )
        if clip:
            run_job(JobOptions((CLIP,), folder / "clip", report=True), _Silent())
    finally:
        os.chdir(here)
    return folder


def _rows(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "faces.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["input"] == name]


def said(folder: Path) -> dict[str, Any]:
    """What the pictures say: of the portrait emotion, levels and words, of the clip the shares of emotions."""
    (portrait,) = _rows(folder / "photos", PORTRAIT)
    levels = {
        name[:-2]: level
        for name, level in portrait.items()
        if name.endswith("_l") and level not in ("0", "NaN")
    }
    told: dict[str, Any] = {
        "portrait": portrait["emotion"],
        "percent": round(100 * float(portrait[portrait["emotion"]])),
        "levels": levels,
        "explanation": portrait["explanation"],
    }
    if (folder / "clip").is_dir():
        film = [row["emotion"] for row in _rows(folder / "clip", CLIP)]
        told["clip"] = {word: round(100 * film.count(word) / len(film)) for word in sorted(set(film))}
    return told


def overlay(folder: Path) -> Image.Image:
    """The portrait with everything drawn on it."""
    with Image.open(folder / "photos" / "overlay" / "eileen_collins.jpg") as drawn:
        width = round(drawn.width * OVERLAY_HEIGHT / drawn.height)
        return drawn.convert("RGB").resize((width, OVERLAY_HEIGHT), Image.Resampling.LANCZOS)


def report(folder: Path) -> Image.Image:
    """The report of the clip down to its timeline, and the card of the portrait, in a browser."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"No browser for the report's picture: install one of {', '.join(_BROWSERS)}.")
    film, photos = (
        (folder / part / "report.html").read_text(encoding="utf-8") for part in ("clip", "photos")
    )
    head, _, rest = film.partition("<header>")
    timeline = rest[rest.index("<h2>Videos") : rest.index("<h2>Faces")]
    cards = re.split(r'(?=<section class="item)', photos[photos.index("<h2>Faces") :])[1:]
    card = next(one for one in cards if PORTRAIT in one).partition("<h2>")[0]
    html = f"{head}{timeline}<h2>Faces</h2>{card}</main></body></html>"
    page, shot = folder / "part.html", folder / "part.png"
    page.write_text(html, encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               f"--user-data-dir={folder / 'browser'}", f"--window-size={REPORT_WIDTH},{_TALL}",
               f"--screenshot={shot}", page.as_uri()]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    with Image.open(shot) as opened:
        picture = opened.convert("RGB")
    pixels = np.asarray(picture, np.int16)
    drawn = np.abs(pixels - pixels[-1, 0]).max(axis=(1, 2)) > 8
    return picture.crop((0, 0, picture.width, int(np.flatnonzero(drawn)[-1]) + 12))


def main(arguments: list[str] | None = None) -> int:
    """Make or check the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory() as folder:
        out = analysed(Path(folder))
        now = said(out)
        if check:
            return int(json.loads((PICTURES / "shown.json").read_text(encoding="utf-8")) != now)
        overlay(out).save(PICTURES / "overlay.png", optimize=True)
        report(out).quantize(256).save(PICTURES / "report.png", optimize=True)
        (PICTURES / "shown.json").write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
