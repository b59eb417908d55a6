"""Questions find their task."""

import pytest

from mien.dialogue.say.questions import ALL_QUESTIONS, TASKS, classify_question

ASKED = {
    "Tell me about the emotion on this face": "emotion",
    "How does the emotion in this image resonate with you?": "emotion",
    "Is she smiling?": "emotion",
    "What is the action units of this face?": "au-list",
    "Please enumerate the action units observed in this particular face?": "au-list",
    "Describe the action units visible on this face.": "au-list",
    "Give AU1, AU2 and AU4 as an array": "au-binary",
    "What level from 0 to 5 do the action units have?": "au-level",
    "Give AU intensities between 0 and 1": "au-intensity",
    "Explain why this face looks sad.": "explanation",
    "Provide a detailed interpretation of the emotion on this face": "explanation",
    "Can you analyze the emotion depicted in this face?": "explanation",
    "How old is this person?": "conversation",
    "": "conversation",
    "Who won the match?": "conversation",
}


@pytest.mark.parametrize("text", ASKED)
def test_free_questions(text):
    assert classify_question(text) == ASKED[text]


@pytest.mark.parametrize(
    ("task", "text"), [(task, text) for task, texts in ALL_QUESTIONS.items() for text in texts]
)
def test_own_questions_find_their_task(task, text):
    assert classify_question(text) == task
    assert task in TASKS
