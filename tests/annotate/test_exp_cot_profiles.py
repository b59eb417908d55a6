"""What the checks of the Exp-CoT engine keep of texts in the published style, and which planted faults they catch."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from mien.annotate.exp_cot.gates import PROFILES, Fault, fails, refined_faults
from mien.annotate.exp_cot.pilot import pilot, pilot_rows
from mien.core.aus import FEAFA_24
from mien.core.errors import BadData

sys.path.insert(0, str(Path(__file__).parent))

from cot_style import Case, make, plant

NAMES = tuple(value.name for value in FEAFA_24)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    rng = random.Random(11)
    return [make(rng) for _ in range(200)]


def row(case: Case) -> dict[str, object]:
    au = [case.values.get(name, 0.0) for name in NAMES]
    return {"file_name": "x.jpg", "emo": case.label.capitalize(), "au": au, "description": case.text()}


def test_texts_in_the_published_style_pass_paper_at_first_sight(cases: list[Case]) -> None:
    found = pilot(row(case) for case in cases)
    assert found.texts == 200
    assert found.kept["paper"] >= 0.85, found.lines("paper")
    assert found.kept["strict"] < found.kept["paper"]
    assert found.lines("paper")[0].startswith("Expected keep rate: ")


def test_planted_faults_are_caught(cases: list[Case]) -> None:
    rng = random.Random(7)
    seen, caught = Counter[str](), Counter[str]()
    for case in cases:
        for fault in ("label", "swap", "negation", "degree"):
            text = plant(case, fault, rng)
            if text:
                seen[fault] += 1
                caught[fault] += fails(refined_faults(text, case.values, case.label, "paper"))
    assert min(seen.values()) > 100
    assert {
        fault: round(caught[fault] / seen[fault], 3) for fault in seen if caught[fault] < 0.95 * seen[fault]
    } == {}


def test_every_fault_is_hard_in_strict(cases: list[Case]) -> None:
    for case in cases[:50]:
        faults = refined_faults(case.text(), case.values, case.label)
        assert fails(faults) == bool(faults)
    assert not fails([Fault("AU missing", "", 0.2), Fault("personal pronoun", "", 0.1)])
    assert set(PROFILES) == {"strict", "paper"}


def test_impressions_are_no_movements() -> None:
    text = (
        "**Key Observations:** The eyebrows are raised, creating a furrowed appearance.\n\n**Overall Emotional "
        "Interpretation:** It looks tense.\n\n**Conclusion:** The expression is fear."
    )
    values = {"left brow raise": 0.4, "right brow raise": 0.5}
    assert not refined_faults(text, values, "fear", "paper")
    assert [fault.reason for fault in refined_faults(text, values, "anger", "paper")] == [
        "label not concluded"
    ]


def test_pilot_files(tmp_path: Path, cases: list[Case]) -> None:
    rows = [row(case) for case in cases[:3]]
    lines, array = tmp_path / "items.jsonl", tmp_path / "list.json"
    lines.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    array.write_text(json.dumps(rows), encoding="utf-8")
    assert list(pilot_rows(lines)) == list(pilot_rows(array)) == rows
    lines.write_text('{"emo": "Anger"}', encoding="utf-8")
    with pytest.raises(BadData, match="row 1"):
        list(pilot_rows(lines))
    with pytest.raises(BadData):
        list(pilot_rows(tmp_path / "none.jsonl"))
