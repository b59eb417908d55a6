"""``mien data``: lists, checks and counts; the deep check opens pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.app.data_command import data_app
from mien.core.errors import BadConfig
from mien.data import READERS

CopyOf = Callable[[str], Path]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(data_app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_list_names_all() -> None:
    status, text = run("list")
    names = [line.split()[0] for line in text.splitlines()[1:] if line[:1].strip()]
    assert status == 0 and set(READERS) <= set(names)


def test_check_of_a_sound_copy(copy_of: CopyOf) -> None:
    assert run("check", "rafdb", "--root", copy_of("rafdb")) == (
        0, "No problems. Pictures were not opened (--deep does).\n"
    )  # fmt: skip


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
    assert [name for name in READERS if f"`{name}`" not in page] == []
    assert f"mien reads {len(READERS)} kinds" in page
