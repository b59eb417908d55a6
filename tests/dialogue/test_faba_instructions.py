"""Our hundred instructions per task: all distinct, varied, on their subject, and none a published one."""

import re
from collections import Counter

import pytest

from mien.dialogue.say.faba_instructions import AU_INSTRUCTIONS, EMOTION_INSTRUCTIONS
from mien.dialogue.say.questions import ALL_QUESTIONS

POOLS = {"emotion": EMOTION_INSTRUCTIONS, "au": AU_INSTRUCTIONS}


def bare(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


@pytest.mark.parametrize("task", POOLS)
def test_a_hundred_distinct_ones(task):
    pool = POOLS[task]
    assert len(pool) == 100
    assert len({bare(text) for text in pool}) == 100
    assert not {bare(text) for text in pool} & {
        bare(text) for texts in ALL_QUESTIONS.values() for text in texts
    }


@pytest.mark.parametrize("task", POOLS)
def test_they_are_sentences_of_many_kinds(task):
    pool = POOLS[task]
    for text in pool:
        assert text[0].isupper()
        assert text.endswith(("?", ".")), text
        assert text == " ".join(text.split())
        assert "<" not in text
    questions = sum("?" in text for text in pool)
    assert 25 <= questions <= 75
    assert max(Counter(text.split()[0] for text in pool).values()) <= 25
    assert len({len(text.split()) for text in pool}) >= 8


def test_they_ask_for_their_task():
    subject = re.compile(r"action unit|\bAUs?\b|FACS|Facial Action Coding", re.IGNORECASE)
    assert all(subject.search(text) for text in AU_INSTRUCTIONS)
    assert not any(subject.search(text) for text in EMOTION_INSTRUCTIONS)
    feeling = re.compile(r"emotion|feel|mood|expres", re.IGNORECASE)
    assert all(feeling.search(text) for text in EMOTION_INSTRUCTIONS)
