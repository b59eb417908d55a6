"""Which task a question asks for; shared by every reader that answers questions."""

from __future__ import annotations

import re

from mien.dialogue.read import au_arrays
from mien.dialogue.say import emotion_words

__all__ = ["ALL_QUESTIONS", "AU_LIST_QUESTIONS", "EXPLANATION_QUESTIONS", "TASKS", "classify_question"]

TASKS: tuple[str, ...] = (
    "emotion", "au-list", "au-binary", "au-level", "au-intensity", "explanation", "conversation",
)  # fmt: skip
"""``au-list``: the AUs in words; ``conversation``: anything else."""

EXPLANATION_QUESTIONS: tuple[str, ...] = (
    # ExpLLM's chain-of-thought question, with its own grammar.
    "Can you analysis the facial expression step-by-step in the provided image? Provide a detailed description.",
    "Explain the expression of this face step by step.",
    "Explain the emotion of this face.",
    "Describe this face and its expression in detail.",
    "Describe the facial expression.",
    "Why does this face look this way?",
    "What makes the expression look like this?",
    "Give a detailed analysis of the face.",
    "Analyze the facial expression step by step.",
    "Give the reasons for the emotion label.",
    "Which signs lead to this emotion? Explain.",
    "Interpret the expression and say why.",
)
"""Ways to ask for the three-part chain of thought."""

AU_LIST_QUESTIONS: tuple[str, ...] = (
    # Fixed question of EmoLA's evaluation.
    "What AUs are conveyed by this face?",
    "Which Action Units are present on this face?",
    "List the Action Units of this face.",
    "Name the Action Units that are visible.",
    "Which facial muscles move?",
    "Which facial movements are visible?",
    "Which AUs are active?",
    "Describe the Action Units visible on this face.",
)
"""Ways to ask for the AUs in words."""

ALL_QUESTIONS: dict[str, tuple[str, ...]] = {
    "emotion": emotion_words.QUESTIONS,
    "au-list": AU_LIST_QUESTIONS,
    "explanation": EXPLANATION_QUESTIONS,
    **{f"au-{name}": au_arrays.QUESTIONS[name] for name in au_arrays.FORMATS},
}
"""Questions by task."""

_AU = re.compile(
    r"\b(?:aus?|au\s?\d+|action\s+units?|facs|(?:facial\s+)?(?:muscles?|movements?))\b", re.IGNORECASE
)
_ARRAY = re.compile(
    r"\b(?:arrays?|vector|lists? of (?:numbers|0|integers|floats|decimals))\b|\[", re.IGNORECASE
)
_INTENSITY = re.compile(
    r"\b(?:intensit(?:y|ies)|decimals?|floats?|0\.0+|between 0 and 1|from 0 to 1|0\.\.1)\b", re.IGNORECASE
)
_LEVEL = re.compile(r"\b(?:levels?|integers?|0 to 5|0-5|0–5|0\.\.5|to 5|between 0 and 5)\b", re.IGNORECASE)
_BINARY = re.compile(r"\b(?:binary|0 and 1|0 or 1|0/1|present \(1\)|presence)\b", re.IGNORECASE)
_WHY = re.compile(
    r"\b(?:why|explain\w*|explanation|describe|description|detail(?:s|ed)?|analy[sz]\w*|reasons?|reasoning|interpret\w*"
    r"|step[\s-]by[\s-]step|justify|makes)\b",
    re.IGNORECASE,
)
_EMOTION = re.compile(
    r"\b(?:emotions?|emotional|expressions?|express(?:es|ing)?|mood|feeling|feel|label|happy|sad|angry|afraid|surprised"
    r"|disgusted|neutral|smil\w+|look(?:s|ing)?)\b",
    re.IGNORECASE,
)


def classify_question(text: str) -> str:
    """The task that a question asks for, one of `TASKS`.

    A question that mentions AUs and the form of numbers asks for an array in that form; one that mentions AUs
    alone asks for them in words; else a word such as "why" or "describe" asks for an explanation, and a word of
    emotion or expression for the emotion.
    """
    if _AU.search(text):
        # The three forms name their numbers: decimals before levels, since "0 to 1" is no "0 or 1".
        for task, form in (("au-level", _LEVEL), ("au-intensity", _INTENSITY), ("au-binary", _BINARY)):
            if form.search(text):
                return task
        return "au-binary" if _ARRAY.search(text) else "au-list"
    if _WHY.search(text):
        return "explanation"
    return "emotion" if _EMOTION.search(text) else "conversation"
