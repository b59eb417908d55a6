"""The reader of facial language on tables of sentences, on any text, and on long ones."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mien
from mien.core.aus import AUS
from mien.core.emotions import EMOTIONS
from mien.dialogue.read.movements import read_movements

HERE = Path(__file__).parent


def rows(name: str) -> list[tuple[str, str]]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    cells = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [(text.replace("\\n", "\n"), right) for text, right in cells]


def said(text: str) -> dict[int, set[tuple[bool, tuple[int, int] | None]]]:
    found: dict[int, set[tuple[bool, tuple[int, int] | None]]] = {}
    for claim in mien.read_claims(text):
        found.setdefault(int(claim.au[2:]), set()).add((claim.present, claim.level))
    return found


def agrees(found: dict[int, set[tuple[bool, tuple[int, int] | None]]], right: str) -> bool:
    """Exactly these AUs, each only so; levels only where one stands."""
    units = re.findall(r"AU(\d+)([+-])(?:\((\d)-(\d)\))?", right)
    if set(found) != {int(unit) for unit, *_ in units}:
        return False
    for unit, sign, low, high in units:
        here = found[int(unit)]
        if {present for present, _ in here} != {sign == "+"}:
            return False
        if low and {level for _, level in here} != {(int(low), int(high))}:
            return False
    return True


def test_claims_of_many_sentences() -> None:
    wrong = [
        f"{text!r} is {right}, read {said(text)}"
        for text, right in rows("claims.tsv")
        if not any(agrees(said(text), one) for one in right.split("|"))
    ]
    assert not wrong, "\n".join(wrong)


def test_emotions_of_many_answers() -> None:
    wrong = []
    for text, right in rows("emotions.tsv"):
        main, *beside = right.split("+")
        read = mien.read_emotion(text)
        if (read.emotion or "unparsed") not in main.split("|") or (
            beside and read.secondary != tuple(beside)
        ):
            wrong.append(f"{text!r} is {right}, read {read}")
    assert not wrong, "\n".join(wrong)


def test_hedges_are_told_apart_when_asked_for() -> None:
    claims = mien.read_claims("AU12 may be present, AU6 is present.", uncertain=True)
    assert [(claim.au, claim.uncertain) for claim in claims] == [("AU12", True), ("AU06", False)]
    assert mien.read_emotion("She may be sad.").uncertain == ("sadness",)


def test_sides_are_read() -> None:
    text = "The left lip corner is raised, the right one is not, and AU4 is stronger on the right side. AUL6, R14."
    sides = {(claim.au, claim.side, claim.present) for claim in mien.read_claims(text)}
    assert {("AU12", "left", True), ("AU12", "right", False), ("AU04", "right", True)} <= sides


WORDS = st.sampled_from(
    "AU1 AU12, AU12C AUs 6 and or not no without brows cheeks lips raised lowered slightly . , ; : ? ! ( ) may if but "
    "- * \n happy sad neither nor rather than instead of with is are absent present 3 0.4 80% left the of".split(
        " "
    )
)


@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=60).map(" ".join)))
@settings(max_examples=400, deadline=None)
def test_any_text_can_be_read(text: str) -> None:
    for claim in mien.read_claims(text, uncertain=True):
        assert claim.au in AUS
        assert 0 <= claim.start < claim.end <= len(text)
        assert claim.level is None or 1 <= claim.level[0] <= claim.level[1] <= 5
    assert {one.au for one in mien.read_claims(text)} <= {
        one.au for one in mien.read_claims(text, uncertain=True)
    }
    read = mien.read_emotion(text)
    assert (read.emotion is None) == (read.reason is not None)
    assert {*read.secondary, *read.denied, *read.uncertain} <= set(EMOTIONS)
    read_movements(text)


@pytest.mark.parametrize(
    "piece",
    ["AU1, ", "AU1 ", "no AU1 and ", "brow and ", "raised ", "brows raised and ", "happy, sad, not ", "(", "AU1 3, ",
     "not happy or ", "The cheeks are slightly raised and the brows are not lowered, but ", "AU1: ", "if ", "\n- "],
)  # fmt: skip
def test_time_grows_with_the_length(piece: str) -> None:
    def took(length: int) -> float:
        text, best = (piece * (length // len(piece) + 1))[:length], float("inf")
        for _ in range(3):
            began = time.process_time()
            mien.read_claims(text)
            mien.read_emotion(text)
            best = min(best, time.process_time() - began)
        return best

    took(500)
    assert took(16_000) <= 8.0 * max(took(4_000), 0.03)
