"""Refusals of a teacher, and descriptions that only sound like one."""

from __future__ import annotations

import pytest

from mien.annotate.refusals import refuses

DESCRIPTIONS = (
    "The person looks sorry, but there is also a hint of anger in the lowered brows and the pressed lips of the face.",
    "There is an artificial smile: as an artificial smile it does not reach the eyes, and the brows are lowered.",
    "I cannot be certain, but the person appears to be sad: the inner brows are raised, the lip corners pulled down.",
    "While I can't determine the exact emotion, the raised cheeks and the pulled lip corners suggest happiness here.",
    "I\u2019m unable to say who this is, but the face shows a broad smile with raised cheeks and narrowed eyes.",
    "She seems sorry. Her lip corners are pulled down and her inner brows are raised, which conveys sadness.",
    "The boy may feel apologies are due; his lowered gaze and frown speak of sadness.",
    "\u0427\u0435\u043b\u043e\u0432\u0435\u043a \u0432\u044b\u0433\u043b\u044f\u0434\u0438\u0442 "
    "\u0440\u0430\u0441\u0441\u0442\u0440\u043e\u0435\u043d\u043d\u044b\u043c.",
    "\u4eba\u7269\u306f\u60b2\u3057\u305d\u3046\u306b\u898b\u3048\u307e\u3059\u3002",
    "\u0627\u0644\u0634\u062e\u0635 \u064a\u0628\u062f\u0648 \u062d\u0632\u064a\u0646\u0627",
)
REFUSALS = (
    "I'm sorry, but I can't assist with that request.",
    "I\u2019m very sorry, I can\u2019t help with that.",
    "As an AI language model, I cannot identify people or their emotions.",
    "Sorry, but I cannot help with this image.",
    "I cannot assist with that. I am happy to help with other pictures of yours if you like.",
    "I'm unable to provide a description of real people in images.",
    "Unfortunately, I can't analyze this picture.",
    "My apologies, this goes against my guidelines.",
    "I am not able to determine emotions from images.",
    "I must decline to describe this person.",
)


@pytest.mark.parametrize("text", DESCRIPTIONS)
def test_descriptions_are_no_refusals(text: str) -> None:
    assert not refuses(text)


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text: str) -> None:
    assert refuses(text)
