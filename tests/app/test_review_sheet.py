"""The review sheet and the statistics page: self-contained, escaped, and read back by the reader of corrections."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.annotate.faba.review import apply_corrections, read_corrections, row_key, sheet_key
from mien.annotate.faba.rows import EMOTION_LABELS, UNITS
from mien.annotate.faba.statistics import faba_statistics
from mien.app.annotate.faba_page import render_faba_page, word_cloud, write_faba_page
from mien.app.annotate.review_sheet import render_review_sheet, write_review_sheet
from mien.core.errors import BadInput, OutputFailed
from mien.core.nouns import Image

EVIL = "<script>alert('x')</script> & \"quotes\""


def row(name: str, task: str, label: str, text: str, image: str = "a.jpg") -> dict[str, Any]:
    return {
        "id": name, "source": "x", "image": image, "task": task, "split": "test", "subject": None, "box": None,
        "conversations": [{"from": "human", "value": "What is it?\n<image>"}, {"from": "gpt", "value": text}],
        "landmark": "a.npy", "label": label, "label_source": "text",
    }  # fmt: skip


ROWS = [
    row("a#emotion", "emotion", "Happiness", "The face shows happiness with a warm smile."),
    row(
        "a#au",
        "au",
        "6, 12",
        "AU6 - Cheek Raiser: raised cheeks. AU12 - Lip Corner Puller: raised lip corners.",
    ),
    row(f"b {EVIL}", "emotion", "Anger", f"The face shows sadness. {EVIL}", f"{EVIL}.jpg"),
    row(
        "c#au",
        "au",
        "1, 4",
        "AU4 - Brow Lowerer: lowered brows. AU26 - Jaw Drop: the jaw is dropped.",
        "c.jpg",
    ),
]


def pixels(_: str) -> Image:
    return np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)


@pytest.fixture
def sheet() -> str:
    return render_review_sheet(ROWS, pixels, f"Title {EVIL}")[0]


def test_nothing_is_asked_for_from_outside(sheet: str) -> None:
    page = render_faba_page(faba_statistics(ROWS), f"Title {EVIL}")
    for text in (sheet, page):
        assert not re.search(
            r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
        )
        assert "@import" not in text and "url(" not in text
        assert "default-src 'none'" in text
    script = re.search(r"<script>(.*?)</script>\s*</body>", sheet, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in sheet


def test_texts_are_escaped(sheet: str) -> None:
    assert EVIL not in sheet and sheet.count("<script>") == 1
    assert html.escape("<script>alert") in sheet
    assert "<script>" not in render_faba_page(faba_statistics(ROWS), EVIL)
    assert "<script>" not in word_cloud({"<script>": 3, "b": 1})


def test_a_card_holds_both_tasks_of_a_picture(sheet: str) -> None:
    assert sheet.count('<section class="card"') == 3 and sheet.count("data:image/jpeg;base64,") == 3
    shown = re.findall(
        r'<article class="row" data-id="([^"]*)" data-was="([^"]*)" data-task="([^"]*)"', sheet
    )
    assert [(html.unescape(name), key, task) for name, key, task in shown] == [
        (one["id"], row_key(one), one["task"]) for one in ROWS
    ]
    assert f'data-sheet="{sheet_key(ROWS)}"' in sheet
    assert sheet.count('type="radio"') == 2 * len(EMOTION_LABELS)
    assert sheet.count('type="checkbox"') == 2 * len(UNITS)
    assert re.findall(r'value="(\w+)" checked', sheet) == ["Happiness", "6", "12", "Anger", "1", "4"]


def test_doubts_are_told(sheet: str) -> None:
    assert "The text tells of sadness." in sheet
    assert "Action Units only in the text: 4" not in sheet
    assert "Action Units only in the text: 26; only in the label: 1." in sheet
    assert re.findall(r'data-doubt="(\d)"', sheet) == ["0", "0", "1", "1"]


def test_a_missing_picture_is_a_note(tmp_path: Path) -> None:
    def closed(media: str) -> Image:
        raise BadInput(got=f"{media}, which is gone", expected="a picture", fix="Find it")

    path = tmp_path / "review.html"
    assert write_review_sheet(ROWS, path, closed) == 3
    assert "c.jpg, which is gone" in path.read_text("utf-8")
    with pytest.raises(OutputFailed, match="while writing"):
        write_review_sheet(ROWS, tmp_path / "none" / "review.html", pixels)


def test_a_face_in_a_larger_picture_is_cut_out() -> None:
    whole = render_review_sheet(ROWS[:1], pixels)[0]
    cut = render_review_sheet([ROWS[0] | {"box": [10.0, 10.0, 40.0, 40.0]}], pixels)[0]
    assert len(cut) < len(whole)
    assert whole == render_review_sheet(ROWS[:1], pixels)[0]


def test_the_page_shows_table_and_figure(tmp_path: Path) -> None:
    found = faba_statistics(ROWS[:2], ROWS[2:])
    path = tmp_path / "statistics.html"
    write_faba_page(found, path)
    text = path.read_text("utf-8")
    assert "19,474" in text and "Emotion training samples" in text
    assert text.count("<svg") == 4 and "AU12 lip corner puller" in text
    assert 'class="cloud"' in text and "smile" in text
    assert render_faba_page(faba_statistics([])), "a page without rows is a page as well"
    with pytest.raises(OutputFailed, match="while writing"):
        write_faba_page(found, tmp_path / "none" / "x.html")


BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
ACT = """
<script>
const rows = [...document.querySelectorAll(".row")];
const press = (row, verdict) => row.querySelector(`[data-verdict=${verdict}]`).click();
press(rows[0], "ok");
const area = rows[1].querySelector("textarea");
area.value = "AU6 - Cheek Raiser: the cheeks are raised a little";
area.dispatchEvent(new Event("input", { bubbles: true }));
rows[1].querySelector('input[value="12"]').click();
press(rows[1], "ok");
press(rows[2], "drop");
URL.createObjectURL = (blob) => { blob.text().then((text) => { document.body.dataset.file = text; }); return "#"; };
document.getElementById("export").click();
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_a_browser_exports_what_the_reader_takes(tmp_path: Path) -> None:
    text = re.sub(r"<meta http-equiv[^>]*>", "", render_review_sheet(ROWS, pixels)[0])
    page = tmp_path / "review.html"
    page.write_text(text.replace("</body>", f"{ACT}</body>"), "utf-8")
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=4000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-file="([^"]*)"', done.stdout)
    assert found is not None, done.stdout[-2000:]
    path = tmp_path / "review.json"
    path.write_text(html.unescape(found[1]), "utf-8")
    assert set(json.loads(path.read_text())["items"]) == {one["id"] for one in ROWS[:3]}
    reviewed = apply_corrections(ROWS, read_corrections(path))
    assert (reviewed.checked, reviewed.texts, reviewed.labels, reviewed.dropped) == (2, 1, 1, 1)
    assert reviewed.rows[1]["label"] == "6"
    assert (
        reviewed.rows[1]["conversations"][1]["value"] == "AU6 - Cheek Raiser: the cheeks are raised a little."
    )
