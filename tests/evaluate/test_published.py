"""The published figures are whole, add up or say where they do not, and every table has a command."""

from __future__ import annotations

import re
import shlex

import pytest

from mien.core.errors import BadConfig
from mien.evaluate.published import cited, papers, published, tables_of
from mien.evaluate.reproduce import lines_of, reproduce, suites_for
from mien.evaluate.run import Plan, evaluate
from mien.evaluate.suite import open_suite, suite_names

PAPERS = {
    "FacePhi": "facephi",
    "EmoLA": "emola",
    "EMO-LLaMA": "emo-llama",
    "AU-LLaVA": "au-llava",
    "ExpLLM": "expllm",
}
ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5}


def _numbers(text: str) -> set[str]:
    """Tables that a line of the index names: "Table 3–6", "Table II–IV", "Table 1, Fig. 1", "Table 7, 13"."""
    found: set[str] = set()
    for body in re.findall(r"Tables? ((?:[\dIV]+(?:[–-][\dIV]+)?(?:, )?)+)", text):
        for part in filter(None, body.split(", ")):
            ends = re.split("[–-]", part)
            if ends[0] in ROMAN:
                names = {number: name for name, number in ROMAN.items()}
                found |= {names[k] for k in range(ROMAN[ends[0]], ROMAN[ends[-1]] + 1)}
            else:
                found |= {str(k) for k in range(int(ends[0]), int(ends[-1]) + 1)}
    return found


def test_every_table_of_the_index_is_there(repository):
    page = (repository / "docs" / "paper_index.md").read_text(encoding="utf-8")
    for title, key in PAPERS.items():
        section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
        items = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
        named = set().union(*(_numbers(item) for item in items))
        assert named
        assert {f"{key}:{number}" for number in named} <= set(published()), key
    assert {"ferbench:overall", "facial-r1:au", "face-llava:emotion"} <= set(published())
    assert {key.split(":")[0] for key in published()} == set(papers())


def test_every_row_is_as_long_as_its_table():
    count = 0
    for key, table in published().items():
        assert len({name for name, _ in table.rows}) == len(table.rows), key
        for name, numbers in table.rows:
            assert len(numbers) == len(table.columns), (key, name)
            count += sum(number is not None for number in numbers)
        assert set(table.ours) | set(table.makes) <= {name for name, _ in table.rows}, key
        assert set(table.cells) | set(table.n) <= set(table.columns), key
        for conflict in table.conflicts:
            assert table.value(*conflict.at) is not None, (key, conflict)
        assert table.rows or table.note, key
    assert count > 900


def test_printed_sums_and_means_agree_or_stand_as_conflicts():
    checked = 0
    for key, table in published().items():
        told = {conflict.at for conflict in table.conflicts}
        for rule in table.checks:
            for name, value, expected in _rule(table, rule):
                checked += 1
                if abs(value - expected) > rule["within"]:
                    assert (name, rule["is"]) in told, f"{key}: {name}: {expected}, computed {value:.3f}"
    assert checked > 80


def _rule(table, rule):
    if rule["rule"] == "column-sum":
        for place, _ in enumerate(table.columns):
            values = {name: numbers[place] for name, numbers in table.rows}
            yield rule["is"], sum(values[name] for name in rule["of"]), values[rule["is"]]
        return
    for name, _ in table.rows:
        numbers = [table.value(name, column) for column in rule["of"]]
        expected = table.value(name, rule["is"])
        if expected is None or None in numbers:
            continue
        if rule["rule"] == "share":
            yield name, 100 * numbers[0] / numbers[1], expected
        else:
            over = len(numbers) if rule["rule"] == "mean" else rule.get("over", 1)
            yield name, sum(numbers) / over, expected


def test_every_cell_names_a_figure_of_a_suite():
    for key, table in published().items():
        for cell in table.cells.values():
            suite, figure = cell.split(":")
            assert suite in suite_names(), (key, cell)
            name, _, part = figure.partition(".")
            known = open_suite(suite)
            if part and name in ("f1", "mae", "S_re"):
                assert part in known.units, (key, cell)


def test_facts_that_the_project_relies_on():
    assert tables_of("emola:7")["emola:7"].value("EmoLA", "AU S_re") == 60.2
    assert tables_of("emola:7-logs")["emola:7-logs"].value("EmoLA", "AU43") == 0.0
    assert tables_of("expllm:I")["expllm:I"].value("ExpLLM", "RAF-DB") == 91.03
    assert papers()["au-llava"]["reconstruction"] and not papers()["expllm"]["reconstruction"]
    assert ("expllm:I", "ExpLLM", "RAF-DB", 91.03) in cited("rafdb")
    with pytest.raises(BadConfig, match="expllm:IV"):
        tables_of("expllm:VI")


@pytest.mark.parametrize("paper", sorted(papers()))
def test_no_cell_is_blank(paper):
    cells = reproduce(paper)
    assert cells or all(not table.rows for table in tables_of(paper).values())
    for cell in cells:
        assert cell.ours is not None or cell.missing, cell
    text = "\n".join(lines_of(paper, cells))
    assert "nan" not in text and "None" not in text
    # What is printed can be pasted.
    assert all(" --out " in command for command in re.findall(r"mien train [^;]+", text))


def test_a_run_stands_beside_the_print(miniature, gold, tmp_path):
    result = evaluate(
        Plan([open_suite("rafdb")], tmp_path / "run", {"": miniature("rafdb")}), lambda fold: gold, {}
    )
    cells = {(cell.row, cell.column): cell for cell in reproduce("expllm:I", [result])}
    ours = cells["ExpLLM", "RAF-DB"]
    assert ours.ours == pytest.approx(100.0) and ours.inside is False and not ours.missing
    assert (round(ours.low, 2), round(ours.high, 2)) == (89.97, 91.99)
    assert "starhiking/ExpLLM" in cells["ExpLLM", "AffectNet-8"].missing
    assert "mien does not build" in cells["SCN", "RAF-DB"].missing
    told = reproduce("expllm:V", [result], row="without CoT")
    assert [cell.ours for cell in told if cell.row == "without CoT"] == [pytest.approx(100.0)]
    assert all(cell.ours is None for cell in told if cell.row == "all")


def test_every_table_with_results_has_a_suite_or_says_why():
    for key, table in published().items():
        if table.kind == "result" and table.ours:
            assert suites_for(table) or "under classifiers" in " ".join(table.makes.values()), key
            assert set(table.ours) <= set(table.makes), key


def test_every_training_command_is_a_recipe_that_loads():
    pytest.importorskip("torch")
    from mien.train.recipe_files import load_recipe

    commands = {
        part
        for table in published().values()
        for command in table.makes.values()
        for part in command.split("; ")
        if part.startswith("mien train ")
    }
    for command in sorted(commands):
        recipe, scale, paper, *rest = shlex.split(command)[2:]
        assert (scale, paper) == ("--scale", "paper"), command
        if rest[:1] == ["--out"]:
            del rest[:2]
        assert load_recipe(recipe, paper, rest).scale == "paper", command
    assert len(commands) > 30
