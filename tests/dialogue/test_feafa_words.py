"""FEAFA's 24 values in words: every sentence that is said can be read back."""

from __future__ import annotations

import random

import pytest

from mien.core.aus import FEAFA_24
from mien.dialogue.read.feafa_words import (
    MOVEMENTS_24,
    NAME_PLACES,
    Unit,
    level_of,
    say_short,
    say_unit,
    units_of,
)
from mien.dialogue.read.movements import OPEN_MOUTH, MovementClaim, read_movements

ALL_UNITS = [
    (key, side)
    for key, movement in MOVEMENTS_24.items()
    for side in (("left", "right", "both") if movement.one else ("both",))
]


def test_the_movements_hold_the_24_values_in_order() -> None:
    names = [name for movement in MOVEMENTS_24.values() for name in movement.names.values()]
    assert names == [value.name for value in FEAFA_24]
    assert NAME_PLACES["right lip corner pull"] == ("lip corner pull", "right")


@pytest.mark.parametrize(("key", "side"), ALL_UNITS)
def test_a_clause_is_read_back(key: str, side: str) -> None:
    rng = random.Random(f"{key} {side}")
    for _ in range(40):
        level = rng.randint(1, 5)
        unit = Unit(key, side, level)
        for text in (say_unit(unit, rng), say_short(unit), say_short(unit, article=True)):
            (claim,) = read_movements(f"{text[:1].upper()}{text[1:]}.")
            assert (claim.movement, claim.side, claim.present) == (key, side, True), text
            assert claim.level is not None, text
            assert claim.level[0] - 1 <= level <= claim.level[1] + 1, text


def test_a_clause_without_degree_claims_none() -> None:
    text = say_unit(Unit("jaw drop", "both", None), random.Random(0))
    assert [claim.level for claim in read_movements(text)] == [None]


def test_equal_sides_make_one_unit() -> None:
    values = {
        "left brow raise": 0.42,
        "right brow raise": 0.38,
        "left eye close": 0.9,
        "right eye close": 0.2,
    }
    assert units_of(values | {"jaw drop": 0.0}) == [
        Unit("eye close", "left", 5), Unit("eye close", "right", 1), Unit("brow raise", "both", 2),
    ]  # fmt: skip
    assert [level_of(value) for value in (0.01, 0.1, 0.3, 0.5, 1.0)] == [1, 1, 2, 3, 5]


def said(text: str) -> set[tuple[str, str, bool]]:
    return {(claim.movement, claim.side, claim.present) for claim in read_movements(text)}


# Sentences of the kind that the paper prints, and harder ones.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The left eyelid is slightly elevated, signaling focus, while the right eyelid shows a pronounced lift.",
         {("lid raise", "left", True), ("lid raise", "right", True)}),
        ("The left brow is slightly lowered, suggesting distress, while the right brow mirrors this movement.",
         {("brow lower", "left", True), ("brow lower", "right", True)}),
        ("There are no furrowed brows or tight lips, which rules out anger.",
         {("brow lower", "both", False), ("lip press", "both", False)}),
        ("The brows and the upper eyelids are raised.", {("brow raise", "both", True), ("lid raise", "both", True)}),
        ("A small mouth opening suggests speech.", {(OPEN_MOUTH, "both", True)}),
        ("Left Lip Corner Pull: 0.42, Jaw Slide Left: 0.10",
         {("lip corner pull", "left", True), ("jaw slide left", "both", True)}),
        ("Both the left and right lip corners are pulled upward.", {("lip corner pull", "both", True)}),
        ("The right eyebrow's higher position adds weight without furrowing.",
         {("brow raise", "right", True), ("brow lower", "right", False)}),
        ("A broad smile is seen, but the jaw is not dropped.",
         {("lip corner pull", "both", True), ("jaw drop", "both", False)}),
        ("The chin is not strongly raised.", set()),
        ("In the lower face, the upper lip is raised.", {("upper lip raise", "both", True)}),
        ("The lower lip is sucked in and the cheeks are puffed.",
         {("lower lip suck", "both", True), ("cheek puff", "both", True)}),
        ("The mood is calm and nothing else is known.", set()),
    ],
)  # fmt: skip
def test_free_text(text: str, expected: set[tuple[str, str, bool]]) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("The jaw is strongly dropped.", (4, 5)),
        ("The jaw is dropped (0.61).", (3, 3)),
        ("The jaw drop is visible, measured at 0.9.", (5, 5)),
        ("The jaw is dropped.", None),
        ("The lip corners are pulled up (0.22 and 0.61).", (1, 3)),
    ],
)
def test_degrees_and_numbers(text: str, level: tuple[int, int] | None) -> None:
    (claim,) = read_movements(text)
    assert claim == MovementClaim(claim.movement, "both", True, level)
