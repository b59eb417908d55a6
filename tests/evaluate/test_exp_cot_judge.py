"""The judge of the Exp-CoT score: what it is asked, how it is read, and how old marks are replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.annotate.rules_teacher import RulesTeacher
from mien.backends.chat import ChatFailed, ChatRequest, Reply
from mien.backends.memory import Remembering, Replay
from mien.core.errors import BadInput
from mien.evaluate.exp_cot_judge import (
    JUDGE_STEPS,
    ExpCotCase,
    Unmarked,
    judge_cases,
    judge_request,
    read_marks,
)
from mien.metrics.exp_cot import ExpCotMarks
from mien.work.journal import Journal
from mien.work.replies import Replies

TRUE = (
    "**Key Observations:** The brows are clearly raised. The jaw is strongly dropped.\n\n"
    "**Overall Emotional Interpretation:** The raised brows and the dropped jaw speak for surprise.\n\n"
    "**Conclusion:** The expression is surprise."
)
PARTLY = TRUE.replace("The jaw is strongly dropped.", "").replace(
    "expression is surprise", "expression is fear"
)


class Says:
    """A teacher that always says the same, or fails."""

    model = "says"

    def __init__(self, said: str | ChatFailed) -> None:
        self.said, self.asked = said, 0

    def reply(self, request: ChatRequest) -> Reply:
        self.asked += 1
        if isinstance(self.said, ChatFailed):
            raise self.said
        return Reply(self.said)


def failure(fatal: bool) -> ChatFailed:
    return ChatFailed(reason="timeout", got="nothing", expected="a reply", fix="Wait", fatal=fatal)


def test_the_question_holds_both_texts_and_the_papers_criteria() -> None:
    request = judge_request(ExpCotCase("a", TRUE, PARTLY))
    (message,) = request.messages
    assert TRUE in message.text and PARTLY in message.text
    for words in ("Action Unit names and their corresponding intensities", "combinations of Action Units",
                  "final expression label", "5 indicating the highest level of agreement"):  # fmt: skip
        assert words in message.text
    assert request.json and request.temperature == 0.0


@pytest.mark.parametrize(
    "text",
    [
        '{"key_observations": 4, "overall_emotional_interpretation": 3.5, "conclusion": 5}',
        '```json\n{"key_observations": "4", "overall_emotional_interpretation": "3.5", "conclusion": "5"}\n```',
        "Here are the marks: {'Key Observations': 4.0, 'Overall Emotional Interpretation': 3.5, 'Conclusion': 5.0}",
        "**Key Observations:** 4/5\n**Overall Emotional Interpretation:** 3.5/5\n**Conclusion:** 5/5",
        "Key Observations (0-5): 4\nOverall Emotional Interpretation (0-5): 3.5\nConclusion (0 or 5): 5",
        "Key observations score: 4. Overall score: 3.5. Conclusion: score = 5",
        '{"key_observations": {"score": 4}, "overall": {"score": 3.5}, "conclusion": {"score": 5}}',
    ],
)
def test_marks_in_many_forms(text: str) -> None:
    assert read_marks(Reply(text)) == ExpCotMarks(4.0, 3.5, 5.0)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(""), "no mark for observations"),
        (Reply("The texts agree well."), "no mark for observations"),
        (Reply('{"key_observations": 4, "overall_emotional_interpretation": 3'), "no mark for conclusion"),
        (Reply('{"key_observations": 4, "overall_emo', "length"), "cut off"),
        (Reply('{"key_observations": 9, "overall": 3, "conclusion": 5}'), "mark out of range"),
        (Reply('{"key_observations": 4, "overall": 3, "conclusion": 3}'), "mark out of range"),
        (Reply('{"key_observations": -1, "overall": 3, "conclusion": 5}'), "mark out of range"),
        (Reply("Observations: 4\nObservations: 2\nOverall: 3\nConclusion: 5"), "several marks for observations"),
        (Reply("I cannot", "refusal"), "no reply: refused"),
    ],
)  # fmt: skip
def test_unreadable_replies_say_why(reply: Reply, reason: str) -> None:
    assert read_marks(reply) == Unmarked(reason, reply.text)


def test_cases_are_marked_in_order_and_named_by_judge() -> None:
    cases = [
        ExpCotCase("same", TRUE, TRUE),
        ExpCotCase("partly", TRUE, PARTLY),
        ExpCotCase("other", TRUE, "No idea."),
    ]
    judged = judge_cases(cases, RulesTeacher(JUDGE_STEPS), workers=3)
    assert list(judged.marks) == ["same", "partly", "other"] and judged.result.judge == "rules"
    same, partly, other = judged.marks.values()
    assert same == ExpCotMarks(5, 5, 5)
    assert isinstance(partly, ExpCotMarks) and isinstance(other, ExpCotMarks)
    assert partly.conclusion == 0 and 0 < partly.observations < 5
    assert other.observations == other.conclusion == 0
    assert judged.result.score.value == pytest.approx((same.score + partly.score + other.score) / 3)


def test_a_degree_counts_in_the_offline_judge() -> None:
    weaker = TRUE.replace("strongly dropped", "barely dropped")
    (marks,) = judge_cases([ExpCotCase("a", TRUE, weaker)], RulesTeacher(JUDGE_STEPS)).marks.values()
    assert isinstance(marks, ExpCotMarks)
    assert 2.5 < marks.observations < 5 and marks.conclusion == 5


def test_failures_are_counted_unless_they_end_everything() -> None:
    cases = [ExpCotCase("a", TRUE, TRUE), ExpCotCase("b", TRUE, PARTLY)]
    judged = judge_cases(cases, Says(failure(fatal=False)))
    assert judged.result.unparsed == 2 and judged.marks["a"] == Unmarked("no reply: timeout")
    with pytest.raises(ChatFailed):
        judge_cases(cases, Says(failure(fatal=True)))
    with pytest.raises(BadInput, match="same id"):
        judge_cases([cases[0], cases[0]], Says("5"))


def test_scores_are_replayed_without_the_judge(tmp_path: Path) -> None:
    cases = [ExpCotCase(str(place), TRUE, TRUE + " " * place) for place in range(3)]
    judge = Says('{"key_observations": 4, "overall_emotional_interpretation": 2, "conclusion": 5}')
    with Journal(tmp_path / "marks.sqlite") as journal:
        memory = Replies(journal)
        first = judge_cases(cases, Remembering(judge, memory), workers=2)
    asked = judge.asked
    with Journal(tmp_path / "marks.sqlite") as journal:
        memory = Replies(journal)
        again = judge_cases(cases, Replay(memory, "says"))
        assert judge.asked == asked and again.result == first.result and again.marks == first.marks
        with pytest.raises(BadInput, match="holds no reply"):
            judge_cases([ExpCotCase("new", PARTLY, TRUE)], Replay(memory, "says"))
