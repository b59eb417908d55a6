"""``mien summarize`` from the tables of a made-up study to every file it promises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mien.app.cli import app
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadData, BadInput, MienError

TIMES = np.arange(600) / 10


def clip(person: str, condition: str, smiles: float, rng: np.random.Generator) -> pd.DataFrame:
    wave = np.clip(np.sin(TIMES) * smiles, 0, 1)
    feelings = {one: np.zeros(600) for one in EMOTIONS} | {"happiness": 0.8 * wave, "neutral": 1 - 0.8 * wave}
    table = pd.DataFrame({
        "input": f"clips/{person}_{condition}.mp4", "frame": np.arange(600), "time": TIMES, "face": 0, "track": 0,
        "success": 1, "presence": 0.95, "pitch": 0.0, "yaw": 0.0, "roll": 0.0, "emotion": "neutral", **feelings,
    })  # fmt: skip
    noise = rng.normal(0, 0.005, 600)
    return table.assign(AU12_i=wave + noise, AU06_i=0.5 * wave + noise, AU43_i=0.0)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    rng = np.random.default_rng(8)
    clips = [
        clip(f"p{number}", condition, smiles + 0.1 * rng.random(), rng)
        for number in range(4)
        for condition, smiles in (("rest", 0.05), ("film", 0.7))
    ]
    pd.concat(clips).to_csv(tmp_path / "faces.csv", index=False)
    people = {"clip": [f"p{n}_{c}" for n in range(4) for c in ("rest", "film")], "dyad": list("AAAABBBB")}
    pd.DataFrame(people).to_csv(tmp_path / "people.csv", index=False)
    codes = [
        f"p{n}_film,{start},{start + 3.1},AU12" for n in range(4) for start in np.arange(0, 60, 2 * np.pi)
    ]
    (tmp_path / "codes.csv").write_text("\n".join(["clip,onset,offset,code", *codes]))
    return tmp_path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["summarize", *map(str, words)], catch_exceptions=True)


def test_a_study_from_tables_to_results(study: Path) -> None:
    out = study / "out"
    words = [study / "faces.csv", "--pattern", "{person}_{condition}", "--people", study / "people.csv", "--out", out,
             "--codes", study / "codes.csv", "--baseline", "neutral", "--rest", "rest", "--bids",
             "--signal", "AU12", "--signal", "happiness", "--signal", "AU06"]  # fmt: skip
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "8 clips of 4 people, 100% of 4,800 rows readable" in done.output
    assert {path.name for path in out.iterdir()} == {
        "summary.csv", "events.csv", "contrasts.csv", "synchrony.csv", "agreement.csv", "rest.csv", "bids",
        "summary.html", "run.json",
    }  # fmt: skip
    contrast = pd.read_csv(out / "contrasts.csv").set_index(["signal", "measure"]).loc[("AU12_i", "mean")]
    assert (
        contrast["paired"] == 1
        and contrast["n_first"] == 4
        and abs(contrast["g"]) > 2
        and contrast["q"] < 0.05
    )
    events = pd.read_csv(out / "events.csv")
    smiles = events[(events["signal"] == "AU12_i") & events["clip"].str.endswith("film")]
    assert smiles.groupby("clip").size().eq(10).all() and smiles["duchenne"].eq(True).all()
    agreed = pd.read_csv(out / "agreement.csv").set_index("signal")
    assert agreed.loc["AU12", "kappa"] > 0.7
    summary = pd.read_csv(out / "summary.csv")
    page = (out / "summary.html").read_text("utf-8")
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    assert page.count("<h2") == 6 and "p3" in page
    # Each person and each condition has its own part, which the contents lead to.
    targets = set(re.findall(r'href="#([\w-]+)"', page))
    assert targets <= set(re.findall(r'id="([\w-]+)"', page))
    assert {f"person-{n}" for n in range(1, 5)} | {"condition-1", "condition-2"} <= targets
    film = page.split('id="condition-2"')[1].split("</section>")[0]
    present = summary.query("condition == 'film' and signal == 'AU12_i' and measure == 'present'")[
        "value"
    ].mean()
    assert f"{present:.0%}" in film and "p0, p1, p2, p3" in film
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert counts["clips"] == 8 and counts["events"] == len(events)
    again = run(*words)
    assert isinstance(again.exception, BadInput) and "bids" in str(again.exception)


def test_what_is_wrong_is_said(study: Path) -> None:
    for words in (
        [study / "gone.csv", "--out", study / "a"],
        [study / "faces.csv", "--pattern", "{person}", "--baseline", "best", "--out", study / "b"],
        [study / "faces.csv", "--signal", "AU99", "--out", study / "c"],
    ):
        assert isinstance(run(*words).exception, MienError), words
    assert run(study / "faces.csv").exit_code == 2
    first = run(study / "faces.csv", "--out", study / "d", "--rate", "5", "--signal", "AU12")
    assert first.exit_code == 0, first.output
    assert isinstance(run(study / "faces.csv", "--out", study / "d").exception, BadInput)
    assert run(study / "faces.csv", "--out", study / "d", "--signal", "AU12", "--replace").exit_code == 0


def test_a_table_that_cannot_be_read_is_told_and_the_others_are_summed_up(study: Path) -> None:
    (study / "bare.csv").write_text((study / "faces.csv").read_text().splitlines()[0] + "\n")
    done = run(study / "bare.csv", study / "faces.csv", "--signal", "AU12", "--out", study / "some")
    assert done.exit_code == 1 and "8 clips of" in done.output
    assert done.output.count("Error:") == 1 and "bare.csv with no row" in done.output.replace("\n", "")
    assert (study / "some" / "summary.csv").is_file()
    alone = run(study / "bare.csv", "--signal", "AU12", "--out", study / "none")
    assert isinstance(alone.exception, BadData) and not (study / "none" / "summary.csv").exists()
