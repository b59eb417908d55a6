"""The offline teacher: every step answered, always the same, never by a model."""

from __future__ import annotations

import pytest

from mien.annotate.exp_cot.rules import evidence, expression_of, supported
from mien.annotate.rules_teacher import STEP_TABLES, RulesTeacher, all_steps, open_rules_teacher
from mien.backends.chat import ChatMessage, ChatRequest
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig


def request(step: str, seed: int | None = None, **facts: object) -> ChatRequest:
    return ChatRequest(step, "1", (ChatMessage("user", "…"),), facts, seed=seed)


def test_answers_by_step_name() -> None:
    teacher = RulesTeacher({"toy/echo": lambda asked: str(asked.facts["text"])})
    assert teacher.reply(request("toy/echo", text="hello")).text == "hello"
    assert (teacher.model, teacher.steps) == ("rules", ("toy/echo",))
    with pytest.raises(BadConfig, match="step 'toy/other'"):
        teacher.reply(request("toy/other"))


def test_tables_of_all_engines_merge_without_clashes() -> None:
    merged = all_steps()
    assert len(merged) == sum(len(all_steps(engine)) for engine in STEP_TABLES)
    assert {step.split("/")[0] for step in all_steps("exp-cot")} == {"exp-cot"}
    with pytest.raises(BadConfig, match="engine 'poems'"):
        all_steps("poems")


def test_the_same_request_gets_the_same_words_and_another_seed_others() -> None:
    teacher = open_rules_teacher("exp-cot")
    aus = {"left brow raise": 0.5, "right brow raise": 0.5, "jaw drop": 0.7}
    texts = [teacher.reply(request("exp-cot/au2des", seed, aus=aus)).text for seed in (1, 1, 2, 3, 4, 5)]
    assert texts[0] == texts[1] and len(set(texts)) == 5


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({}, "neutral"),
        ({"left lip corner pull": 0.6, "right lip corner pull": 0.6}, "happiness"),
        ({"left brow raise": 0.6, "right lid raise": 0.5, "jaw drop": 0.6}, "surprise"),
        ({"nose wrinkle": 0.7, "upper lip raise": 0.5}, "disgust"),
        ({"left brow lower": 0.7, "right brow lower": 0.7}, "anger"),
        ({"left lip corner pull": 0.6}, "contempt"),
        ({"left lip corner stretch": 0.7, "right lip corner stretch": 0.7, "left lid raise": 0.6}, "fear"),
        ({"chin raise": 0.6, "left eye close": 0.5, "left brow lower": 0.2}, "sadness"),
    ],
)
def test_what_movements_speak_for(values: dict[str, float], label: str) -> None:
    scores = evidence(values)
    assert tuple(scores) == EMOTIONS and max(scores, key=lambda word: scores[word]) == label
    assert supported(label, values)


def test_an_expression_is_read_from_the_last_sentence_that_names_one() -> None:
    assert expression_of("The smile may mean happiness. Still, the expression is fear.") == "fear"
    assert expression_of("The brows are strongly raised. The jaw is strongly dropped.") == "surprise"
    assert expression_of("No movement is seen.") == "neutral"


@pytest.mark.parametrize(
    ("description", "expression", "verdict"),
    [
        ("The jaw is clearly dropped.", "surprise", "Correct"),
        ("The jaw is clearly dropped.", "anger", "Incorrect"),
        ("The jaw is barely dropped.", "surprise", "Incorrect"),
        ("The chin is clearly raised.", "surprise", "Incorrect"),
        ("", "surprise", "Incorrect"),
    ],
)
def test_verification_reads_the_description(description: str, expression: str, verdict: str) -> None:
    asked = request(
        "exp-cot/verify",
        description=description,
        expression=expression,
        label="surprise",
        aus={"jaw drop": 0.7},
    )
    assert open_rules_teacher("exp-cot").reply(asked).text == verdict
