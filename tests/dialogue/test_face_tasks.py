"""ExpLLM's face tasks: published words, four decimals, and answers that read back as what was said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.errors import BadConfig
from mien.core.nouns import FaceFacts
from mien.dialogue.say.face_tasks import CELEBA_ATTRIBUTES, QUESTIONS, read_facts, say_facts

FACTS = FaceFacts(
    box=(0.125, 0.2, 0.5, 0.61253),
    points=((0.3, 0.4), (0.7, 0.4), (0.5, 0.55), (0.35, -0.01), (0.65, 1.02)),
    pose=(-12.34567, 3.0, 0.0),
    demographics=(3, 1, 4),
    attributes=tuple(place % 3 == 0 for place in range(40)),
    unit="share",
)


def test_answers_have_the_published_form() -> None:
    assert say_facts(FACTS, "bbox") == "[0.1250, 0.2000, 0.5000, 0.6125]"
    assert say_facts(FACTS, "landmark") == (
        "[[0.3000, 0.4000], [0.7000, 0.4000], [0.5000, 0.5500], [0.3500, -0.0100], [0.6500, 1.0200]]"
    )
    assert say_facts(FACTS, "headpose") == "[-12.3457, 3.0000, 0.0000]"
    assert say_facts(FACTS, "demographics") == "[3, 1, 4]"
    assert (say_facts(FACTS, "attributes") or "").startswith("[1, 0, 0, 1, 0, 0, 1")
    assert all(say_facts(FaceFacts(), task) is None for task in QUESTIONS)


def test_questions_are_the_published_ones() -> None:
    assert tuple(QUESTIONS) == ("bbox", "attributes", "landmark", "demographics", "headpose")
    assert len(CELEBA_ATTRIBUTES) == len(set(CELEBA_ATTRIBUTES)) == 40
    listed = QUESTIONS["attributes"][0].rpartition("[")[2].rstrip("]")
    assert tuple(listed.split(", ")) == CELEBA_ATTRIBUTES
    assert QUESTIONS["bbox"][0].count("coordiante") == 1  # sic


share = st.floats(-2.0, 2.0, allow_nan=False)
angle = st.floats(-180.0, 180.0, allow_nan=False)


@given(
    box=st.tuples(share, share, share, share),
    points=st.lists(st.tuples(share, share), min_size=5, max_size=5),
    pose=st.tuples(angle, angle, angle),
    codes=st.tuples(st.integers(0, 8), st.integers(0, 1), st.integers(0, 4)),
    attributes=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_what_is_said_reads_back_to_four_decimals(
    box: tuple[float, float, float, float],
    points: list[tuple[float, float]],
    pose: tuple[float, float, float],
    codes: tuple[int, int, int],
    attributes: list[bool],
) -> None:
    facts = FaceFacts(box, tuple(points), pose, codes, tuple(attributes), "share")
    for task, name in (
        ("bbox", "box"), ("landmark", "points"), ("headpose", "pose"), ("demographics", "demographics"),
        ("attributes", "attributes"),
    ):  # fmt: skip
        text = say_facts(facts, task)
        assert text is not None
        read = read_facts(f" {text}\n", task)
        assert isinstance(read, FaceFacts)
        said, given_ = getattr(read, name), getattr(facts, name)
        flat = [[number for one in value for number in (one if isinstance(one, tuple) else (one,))]
                for value in (said, given_)]  # fmt: skip
        assert all(abs(a - b) <= 0.5e-4 + 1e-9 for a, b in zip(*flat, strict=True)), task
        assert say_facts(read, task) == text


@given(st.text(alphabet="[]0123456789.,- e", max_size=60), st.sampled_from(list(QUESTIONS)))
def test_anything_else_is_refused_or_said_again_alike(text: str, task: str) -> None:
    read = read_facts(text, task)
    if isinstance(read, str):
        assert read.startswith("not a list")
    else:
        said = say_facts(read, task)
        assert said is not None and not isinstance(read_facts(said, task), str)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("[0.1, 0.2, 0.3]", "bbox"),
        ("[0.1, 0.2, 0.3, 0.4, 0.5]", "bbox"),
        ("The face is at [0.1, 0.2, 0.3, 0.4]", "bbox"),
        ("[nan, 0.2, 0.3, 0.4]", "bbox"),
        ("[[0.1, 0.2], [0.3, 0.4]]", "landmark"),
        ("[9, 0, 0]", "demographics"),
        ("[1, 0.0, 0]", "demographics"),
        ("[" * 5000, "landmark"),
        ("[1, 0]", "attributes"),
        ("", "headpose"),
    ],
)
def test_wrong_lists_are_no_answer(text: str, task: str) -> None:
    assert isinstance(read_facts(text, task), str)


def test_px_are_not_said_as_shares() -> None:
    with pytest.raises(BadConfig, match="facts in px"):
        say_facts(FaceFacts(box=(10.0, 10.0, 80.0, 90.0)), "bbox")
    with pytest.raises(BadConfig, match="bbox, attributes"):
        say_facts(FACTS, "smile")
    with pytest.raises(BadConfig, match="bbox, attributes"):
        read_facts("[]", "smile")
