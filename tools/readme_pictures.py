"""Make the pictures of README.md and docs/serve.md anew, and note what they say.

    python tools/readme_pictures.py             # needs a Chromium; for the picture of the served page also playwright
    python tools/readme_pictures.py --check     # change nothing; exit status 1 when the pictures no longer match

Two examples are analysed: the pictures are the overlay of a portrait, its card in the report, the timeline of a clip,
and the page of ``mien serve``. What they say stands in ``docs/pictures/shown.json``, which a test holds against a fresh
run.
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

__all__ = ["differ", "main", "said", "shown"]

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
PORTRAIT, CLIP = "examples/eileen_collins.jpg", "examples/clip.mp4"
OVERLAY_HEIGHT, CARD_WIDTH, TIMELINE_WIDTH = 560, 675, 1080
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_TALL, _MARGIN = 2400, 12


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


def shown() -> dict[str, Any]:
    """What the pictures say that are there."""
    content: dict[str, Any] = json.loads((PICTURES / "shown.json").read_text(encoding="utf-8"))
    return content


def differ(kept: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Where pictures say something else than mien does today; other processors round otherwise, by a level at most."""
    found = (
        ["portrait"]
        if kept["portrait"] != now["portrait"] or abs(kept["percent"] - now["percent"]) > 2
        else []
    )
    levels = [{au: int(level) for au, level in one["levels"].items()} for one in (kept, now)]
    found += [au for au in levels[0] | levels[1] if abs(levels[0].get(au, 0) - levels[1].get(au, 0)) > 1]
    shares = [one.get("clip", {}) for one in (kept, now)]
    if "clip" in now:
        found += [
            word for word in shares[0] | shares[1] if abs(shares[0].get(word, 0) - shares[1].get(word, 0)) > 4
        ]
    return found


def overlay(folder: Path) -> Image.Image:
    """The portrait with everything drawn on it."""
    with Image.open(folder / "photos" / "overlay" / "eileen_collins.jpg") as drawn:
        width = round(drawn.width * OVERLAY_HEIGHT / drawn.height)
        return drawn.convert("RGB").resize((width, OVERLAY_HEIGHT), Image.Resampling.LANCZOS)


def _browser() -> str:
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise SystemExit(f"No browser for the reports' pictures: install one of {', '.join(_BROWSERS)}.")
    return found


def _shot(html: str, folder: Path, name: str, width: int) -> Image.Image:
    """A page as a browser shows it, without the empty parts above and below."""
    page, shot = folder / f"{name}.html", folder / f"{name}.png"
    page.write_text(html, encoding="utf-8")
    command = [_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               f"--user-data-dir={folder / 'browser'}", f"--window-size={width},{_TALL}",
               f"--screenshot={shot}", page.as_uri()]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    with Image.open(shot) as opened:
        picture = opened.convert("RGB")
    pixels = np.asarray(picture, np.int16)
    drawn = np.flatnonzero(np.abs(pixels - pixels[-1, 0]).max(axis=(1, 2)) > 8)
    return picture.crop((0, max(0, int(drawn[0]) - _MARGIN), picture.width, int(drawn[-1]) + _MARGIN))


def reports(folder: Path) -> dict[str, Image.Image]:
    """Of the portrait's report its card, of the clip's its timeline."""
    film, photos = (
        (folder / part / "report.html").read_text(encoding="utf-8") for part in ("clip", "photos")
    )
    head, _, _ = film.partition("<header>")
    timeline = film[film.index("<h3>", film.index("<h2>Videos")) : film.index("<h2>Faces")]
    cards = re.split(r'(?=<section class="item)', photos[photos.index("<h2>Faces") :])[1:]
    card = next(one for one in cards if PORTRAIT in one).partition("<h2>")[0]
    parts = (("report", card, CARD_WIDTH), ("timeline", timeline, TIMELINE_WIDTH))
    return {
        name: _shot(f"{head}{part}</main></body></html>", folder, name, width) for name, part, width in parts
    }


def served(folder: Path) -> Image.Image | None:
    """The page of ``mien serve`` after it was given the portrait; None without playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    command = [sys.executable, "-m", "mien", "serve", "--ui", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder) as server:
        try:
            said = next(line for line in server.stderr or () if line.startswith("mien serves on "))
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=_browser(), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1060, "height": 1060})
                page.set_default_timeout(300_000)
                page.goto(f"{said.split()[-1]}/ui/")
                page.set_input_files("#file", ROOT / PORTRAIT)
                page.wait_for_selector("#result:not([hidden])")
                page.wait_for_selector("text=Being written", state="detached")
                page.evaluate("scrollTo(0, 0)")
                page.screenshot(path=folder / "page.png")
                browser.close()
        finally:
            server.terminate()
    with Image.open(folder / "page.png") as opened:
        return opened.convert("RGB")


def main(arguments: list[str] | None = None) -> int:
    """Make or check the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory() as folder:
        out = analysed(Path(folder))
        now = said(out)
        if check:
            found = differ(shown(), now)
            print(", ".join(found) or "The pictures say what mien says.")
            return int(bool(found))
        made = {"overlay": overlay(out), **reports(out), "page": served(out)}
        for name, picture in made.items():
            if picture is None:
                print(f"{name}.png is left as it was: pip install 'mien[browser]' to make it")
            else:
                colours = picture if name == "overlay" else picture.quantize(256)
                colours.save(PICTURES / f"{name}.png", optimize=True)
        (PICTURES / "shown.json").write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
