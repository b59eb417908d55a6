"""The emotion word: questions, plain and awkward answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig
from mien.dialogue.read.emotion import read_emotion_answer
from mien.dialogue.say.emotion_words import QUESTIONS, say_emotion
from mien.dialogue.say.questions import classify_question

READ = {
    "happiness": "happiness",
    "Happiness.": "happiness",
    "HAPPY": "happiness",
    "happy, very happy!": "happiness",
    "It's a joyful face": "happiness",
    "A smile": "happiness",
    "  sad\n": "sadness",
    "**Sadness**": "sadness",
    "The emotion is anger.": "anger",
    "not happy but sad": "sadness",
    "He is not angry; he is afraid.": "fear",
    "no sign of anger or fear, only surprise": "surprise",
    "neither sad nor angry; neutral": "neutral",
    "isn't disgusted, rather surprised": "surprise",
    "This does not look like fear. It is surprise.": "surprise",
    "calm": "neutral",
    "a contemptuous look": "contempt",
    "surprised": "surprise",
    "Disgust</s>": "disgust",
    "label: contempt": "contempt",
    "Key Observations: not relevant, anger? Conclusion: fear": "fear",
    "**Conclusion:** The face shows happiness.": "happiness",
    "happy? no, sad": "sadness",
}
UNREAD = (
    "", " ", "...", "I cannot tell", "happy or sad", "happiness, sadness", "sad and angry", "not happy",
    "The face is not sad.", "neither happy nor sad", "no emotion", "happ", "happinesses", "sadly", "madam", "fearless",
    "emotion", "1", "label 3", "???", "AU12", "joyride", "angrily", "surprising", "disgusting", "contemptible?",
    "neutralise", "positive", "negative", "mixed feelings", "anger/disgust", "fear+surprise",
    "never angry", "without anger", "hardly sad", "it is not really happy", "not a sign of fear", "not at all sad",
    "doesn't look angry", "none", "other",
)  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_plain_and_negated_answers(text):
    answer = read_emotion_answer(text)
    assert answer.status == "answered", answer.reason
    assert answer.labels.emotion == READ[text]
    assert answer.text == text


def test_awkward_answers_are_unparsed_with_a_reason():
    assert len(UNREAD) >= 40
    for text in UNREAD:
        answer = read_emotion_answer(text)
        assert answer.status == "unparsed", text
        assert answer.reason
        assert answer.labels is None


def test_reasons_tell_what_was_wrong():
    assert read_emotion_answer("happy or sad").reason == "several emotions: happiness, sadness"
    assert read_emotion_answer("not sad").reason == "only denied emotions: sadness"
    assert read_emotion_answer("").reason == "empty answer"


@pytest.mark.parametrize("label", EMOTIONS)
def test_round_trip(label):
    assert read_emotion_answer(say_emotion(label)).labels.emotion == label


def test_unknown_labels_are_not_said():
    with pytest.raises(BadConfig, match="anxiety"):
        say_emotion("anxiety")


@given(st.text())
def test_any_text_is_read_or_refused(text):
    answer = read_emotion_answer(text)
    assert (answer.status == "answered") == (answer.labels is not None) == (answer.reason is None)


def test_questions_are_many_and_recognised():
    assert len(set(QUESTIONS)) >= 30
    assert {classify_question(text) for text in QUESTIONS} == {"emotion"}
    assert "What emotions are conveyed by this face?" in QUESTIONS
