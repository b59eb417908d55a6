"""``mien data``: lists, checks, counts, draws and finds faces; the deep check opens pictures."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from mien.app.data.charts import stats_page
from mien.app.data.command import data_app, show_stats
from mien.app.data.stats import count_labels
from mien.core.errors import BadConfig
from mien.core.nouns import Labels, Sample
from mien.data import DATASETS, open_dataset
from mien.data.landmark_files import read_landmarks, with_landmarks

CopyOf = Callable[[str], Path]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(data_app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_list_names_all() -> None:
    status, text = run("list")
    names = [line.split()[0] for line in text.splitlines()[1:] if line[:1].strip()]
    assert status == 0 and set(DATASETS) <= set(names)
    assert "descriptions (true or false)" in text and "first (a whole number or null)" in text


def test_check_of_a_sound_copy(copy_of: CopyOf) -> None:
    assert run("check", "rafdb", "--root", copy_of("rafdb")) == (
        0,
        "train: 7 samples (published: 12,271)\ntest: 7 samples (published: 3,068)\n"
        "No problems. Pictures were not opened (--deep does).\n",
    )


def test_check_sums_up_by_kind_and_takes_options(tmp_path: Path) -> None:
    rows = "".join(f"{row}.jpg,{'hapy' if row == 3 else 'happy'},x\n" for row in range(1000))
    (tmp_path / "manifest.csv").write_text(f"media,emotion,AU99\na\x1b[31m.jpg,sad,x\n{rows}")
    status, text = run("check", "manifest", "--root", tmp_path)
    lines = text.splitlines()
    assert status == 1 and len(lines) == 25 and lines[0] == "manifest.csv:2: no file a\\x1b[31m.jpg"
    assert lines[20] == "… and 981 more of the kind: no file …"
    assert lines[21:23] == [
        "Note: manifest.csv: column 'AU99' is not read",
        "Note: manifest.csv: emotion 'hapy' is none of the eight and stays a word of your own",
    ]
    assert lines[23:] == ["all: 1,001 samples", "1,001 problems. Pictures were not opened (--deep does)."]
    status, text = run("check", "manifest", "--root", tmp_path, "--json")
    content = json.loads(text)
    assert (
        len(content["problems"]) == 1001
        and content["kinds"] == {"no file …": 1001}
        and len(content["notes"]) == 2
    )
    assert content["samples"] == {"all": 1001} and content["published"] == {}
    with pytest.raises(BadConfig, match="no option at all"):
        run("check", "manifest", "--root", tmp_path, "--option", "units=4")


def test_check_names_problems_and_tells_by_its_status(copy_of: CopyOf) -> None:
    root = copy_of("meld")
    (root / "train_splits/dia0_utt2.mp4").unlink()
    status, text = run("check", "meld", "--root", root)
    assert status == 1 and "train_sent_emo.csv:4: no file train_splits/dia0_utt2.mp4" in text
    status, text = run("check", "meld", "--root", root, "--json")
    assert status == 1
    assert json.loads(text)["problems"] == [
        {"file": "train_sent_emo.csv", "line": 4, "what": "no file train_splits/dia0_utt2.mp4"}
    ]


def test_deep_check_finds_a_picture_that_is_none(copy_of: CopyOf) -> None:
    root = copy_of("rafdb")
    (root / "basic/Image/aligned/test_00001_aligned.jpg").write_text("not a picture")
    assert run("check", "rafdb", "--root", root)[0] == 0
    status, text = run("check", "rafdb", "--root", root, "--deep")
    assert status == 1 and "list_patition_label.txt:8: cannot be opened" in text


def test_deep_check_opens_members_of_packs(copy_of: CopyOf) -> None:
    assert run("check", "genki4k", "--root", copy_of("genki4k"), "--deep")[0] == 0


def test_stats_count_labels(copy_of: CopyOf) -> None:
    root = copy_of("manifest")
    status, text = run("stats", "manifest", "--root", root, "--json")
    train = json.loads(text)["splits"]["train"]
    assert status == 0
    assert train["samples"] == 4 and train["subjects"] == 2 and train["without_emotion"] == 0
    assert train["emotions"] == {"happiness": 2, "sadness": 1, "bored": 1}
    assert train["action_units"]["AU06"] == {"present": 2, "coded": 4}
    status, text = run("stats", "disfa", "--root", copy_of("disfa"), "--split", "fold1")
    assert status == 0 and "5 samples, 1 subjects" in text and "AU12" in text and "fold2" not in text


def test_stats_show_published_sizes(copy_of: CopyOf) -> None:
    _, text = run("stats", "rafdb", "--root", copy_of("rafdb"))
    assert "7 samples (published: 12,271)" in text and "14.3 %" in text


def test_unknown_names_say_what_exists(copy_of: CopyOf) -> None:
    with pytest.raises(BadConfig, match="affectnet"):
        run("check", "affectnett")
    with pytest.raises(BadConfig, match="--root"):
        run("check", "rafdb")
    with pytest.raises(BadConfig, match="train, test"):
        run("stats", "rafdb", "--root", copy_of("rafdb"), "--split", "val")


def test_page_names_every_dataset(repository: Path) -> None:
    page = (repository / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in DATASETS if f"`{name}`" not in page] == []
    assert f"mien reads {len(DATASETS)} kinds" in page


def test_stats_page_is_self_contained_and_true(copy_of: CopyOf, tmp_path: Path) -> None:
    page = tmp_path / "new folder" / "stats.html"
    status, text = run("stats", "manifest", "--root", copy_of("manifest"), "--plot", page)
    html = page.read_text(encoding="utf-8")
    assert status == 0 and str(page) in text
    assert "http" not in html.replace("http-equiv", "") and "<script" not in html and "src=" not in html
    assert "2 · 50.0 %" in html and "bored" in html and "AU12 lip corner puller" in html and "30-39" in html
    parser = StrictPage()
    parser.feed(html)
    assert parser.open == [] and parser.charts >= 6


class StrictPage(HTMLParser):
    """Counts charts and keeps the tags that are still open; a wrong end tag fails."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        self.charts += tag == "svg"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<rect …/>` opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_is_drawn(name: str, copy_of: CopyOf, tmp_path: Path) -> None:
    root, page = copy_of(name), tmp_path / "stats.html"
    show_stats(name, root, plot=page, console=Console(file=io.StringIO()))
    html = page.read_text(encoding="utf-8")
    parser = StrictPage()
    parser.feed(html)
    assert parser.open == [] and parser.charts >= 1 and not re.search(r"\bnan\b", html)


def test_text_in_the_page_is_escaped() -> None:
    stats = count_labels([Sample("a", "x", "s", "a.jpg", Labels(emotion="<b>&\"'"))])
    html = stats_page("x", "a <i> set", {"<train>": stats}, {})
    assert "<b>" not in html.partition("<h2>")[2] and "&lt;train&gt;" in html and "<i> set" not in html


def test_options_reach_the_dataset(copy_of: CopyOf) -> None:
    root = copy_of("affectnet")
    _, text = run("stats", "affectnet", "--root", root, "--split", "train", "--option", "classes=7", "--json")
    assert "contempt" not in json.loads(text)["splits"]["train"]["emotions"]
    with pytest.raises(BadConfig, match="layout, classes"):
        run("stats", "affectnet", "--root", root, "--option", "klasses=7")
    with pytest.raises(BadConfig, match="NAME=VALUE"):
        run("stats", "affectnet", "--root", root, "--option", "classes")


def test_landmarks_make_affectlandmarknet(tmp_path: Path, examples: Path) -> None:
    root, out = tmp_path / "AffectNet", tmp_path / "out"
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    images = root / "Manually_Annotated_Images" / "1"
    images.mkdir(parents=True)
    for name in ("eileen_collins.jpg", "grace_hopper.jpg"):
        shutil.copy(examples / name, images / name)
    Image.new("RGB", (64, 64)).save(images / "black.jpg")
    (root / "training.csv").write_text(
        f"{header}\n1/eileen_collins.jpg,170,50,110,120,,1,0.5,0.1\n1/grace_hopper.jpg,200,70,170,180,,0,0,0\n"
    )
    (root / "validation.csv").write_text("1/black.jpg,5,5,50,50,,1,0.5,0.1\n1/gone.jpg,1,1,50,50,,0,0,0\n")
    status, text = run("landmarks", "affectnet", "--root", root, "--out", out, "--threads", 1)
    assert status == 1 and "affectnet train: 2 samples, 2 with landmarks, 0 without, 0 failed" in text
    assert "affectnet val: 2 samples, 0 with landmarks, 1 without, 1 failed" in text
    assert "1/gone.jpg" in (out / "val" / "errors.jsonl").read_text()
    table = read_landmarks(out / "landmarks-train.safetensors")
    joined = list(with_landmarks(open_dataset("affectnet").read("train", root), table))
    assert [sample.id for sample in joined] == ["1/eileen_collins.jpg", "1/grace_hopper.jpg"]
    for sample in joined:
        points = sample.landmarks
        assert points is not None and points.shape == (478, 3)
        np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], [[-1] * 3, [1] * 3], atol=1e-5)
        # In the given box, upright: the forehead above the chin.
        raw = table[sample.id]
        assert sample.box is not None and raw[10, 1] < raw[152, 1]
        assert sample.box[0] - 40 < raw[:, 0].mean() < sample.box[2] + 40
    assert len(read_landmarks(out / "landmarks-val.safetensors")) == 0
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    with pytest.raises(BadConfig, match="--resume"):
        run("landmarks", "affectnet", "--root", root, "--out", out)
    run("landmarks", "affectnet", "--root", root, "--out", out, "--resume")
    assert before == {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
