"""Runs side by side: paired differences on shared faces, tests, seeds, and the page."""

from __future__ import annotations

import re

import pytest

from mien.core.errors import BadConfig
from mien.evaluate.answering import Said
from mien.evaluate.compare import compare, figure_of, lines_of, write_page
from mien.evaluate.run import Plan, evaluate
from mien.evaluate.suite import open_suite


class Says:
    """Right on the first ``right`` labels of the suite, the first word elsewhere."""

    name, crop_size, clips = "says", None, False

    def __init__(self, right: int) -> None:
        self.right = right

    def answers(self, shown, suite):
        said = []
        for one in shown:
            label = one.sample.labels.emotion
            known = list(suite.labels).index(label) < self.right
            word = suite.labels[label] if known else suite.words[0]
            scores = {
                name: 0.9 if suite.labels[name] == word else 0.1 / (len(suite.labels) - 1)
                for name in suite.labels
            }
            said.append(Said(word, scores=scores))
        return said


@pytest.fixture
def runs(miniature, tmp_path):
    root, suite = miniature("rafdb"), open_suite("rafdb")

    def make(name: str, right: int):
        evaluate(Plan([suite], tmp_path / name, {"": root}), lambda fold: Says(right), {"model": name})
        return tmp_path / name

    return make


def test_differences_are_paired_on_the_same_faces(runs):
    found = compare([runs("few", 2), runs("many", 6)])
    assert found["runs"] == ["few", "many"]
    accuracy = next(pair for pair in found["pairs"] if pair["figure"] == "accuracy")
    assert accuracy["difference"] == pytest.approx(4 / 7) and accuracy["n"] == 7
    assert accuracy["low"] <= accuracy["difference"] <= accuracy["high"]
    assert (accuracy["only_first"], accuracy["only_second"]) == (0, 4)
    assert accuracy["p"] == pytest.approx(0.125) and accuracy["p_holm"] >= accuracy["p"]
    text = "\n".join(lines_of(found))
    assert "McNemar 0 : 4" in text and "+0.5714" in text
    shown = [row for row in found["figures"] if row["figure"] == "accuracy" and row["reading"] == "official"]
    assert [one["value"] for one in shown[0]["values"]] == pytest.approx([2 / 7, 6 / 7])


def test_seeds_of_one_setting_are_analysed_together(runs):
    folders = [runs("base-seed0", 2), runs("base-seed1", 3), runs("more-seed0", 6), runs("more-seed1", 7)]
    found = compare(folders)["seeds"]
    accuracy = next(one for one in found if one["figure"] == "accuracy")
    assert accuracy["settings"] == 2 and accuracy["F"] == pytest.approx(32.0)
    assert accuracy["p"] == pytest.approx(0.0299, abs=1e-3)
    assert compare(folders[:1])["seeds"] == []


def test_the_page_is_one_file_without_a_link_outside(runs, tmp_path):
    page = write_page([runs("few", 2), runs("many", 6)], tmp_path / "page.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,') == 6
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    for words in ("Paired differences", "Reliability", "Worst errors", "told Surprise".lower(), "Holm"):
        assert words.lower() in page.lower()
    bare = write_page([runs("few", 2)], tmp_path / "bare.html", pictures=False).read_text()
    assert "<img" not in bare


def test_runs_without_a_common_suite_are_refused(runs, miniature, gold, tmp_path):
    evaluate(Plan([open_suite("gft")], tmp_path / "gft", {"": miniature("gft")}), lambda fold: gold, {})
    with pytest.raises(BadConfig, match="common suite"):
        compare([runs("few", 2), tmp_path / "gft"])
    other = compare([tmp_path / "gft", tmp_path / "gft"])
    assert {pair["figure"] for pair in other["pairs"]} == {"f1"}


def test_a_cell_names_a_figure_or_a_part(runs, miniature, gold, tmp_path):
    result = evaluate(
        Plan([open_suite("gft")], tmp_path / "gft", {"": miniature("gft")}), lambda fold: gold, {}
    )
    assert figure_of(result, "gft:f1")["value"] == 1.0
    assert figure_of(result, "gft:f1.AU01")["n"] > 0
    assert figure_of(result, "gft:f1.AU99") is None and figure_of(result, "rafdb:accuracy") is None
