"""The emotion question and its answer: one of eight label words."""

from __future__ import annotations

import re

from mien.core.emotions import EMOTIONS, canonical
from mien.core.errors import require_known
from mien.core.nouns import Answer, Labels

__all__ = ["QUESTIONS", "read_emotion_answer", "say_emotion"]

QUESTIONS: tuple[str, ...] = (
    # Fixed questions of EmoLA's evaluation and of ExpLLM's label task.
    "What emotions are conveyed by this face?",
    "What is the expression of the person in the image? Please provide the expression label.",
    "What is the emotion of this face?",
    "Which emotion does this face show?",
    "Which emotion does the face appear to show?",
    "Name the emotion of this face.",
    "Name the apparent emotion.",
    "Give the emotion label of this face.",
    "Give one word for the expression.",
    "Which label fits this expression best?",
    "Which of the eight emotions fits this face?",
    "How would you label this expression?",
    "What expression does this face wear?",
    "What does this face express?",
    "Classify the expression of this face.",
    "Classify the emotion.",
    "Recognize the emotion of this face.",
    "Identify the emotion shown here.",
    "Identify the facial expression.",
    "Determine the emotion in this picture.",
    "Tell me the emotion of this face.",
    "Tell which emotion is seen here.",
    "Choose the emotion word for this face.",
    "Choose the label of this facial expression.",
    "Is this face happy, sad, angry or something else?",
    "Does this face look neutral, or which emotion does it show?",
    "In one word, what is the emotion here?",
    "In one word, how does this face look?",
    "What mood does this face appear to show?",
    "What feeling does this face appear to show?",
    "Which facial expression is visible?",
    "Please label the emotion.",
    "Please name the expression in the photo.",
    "Say which emotion this face shows.",
    "Judge the emotion of this face.",
    "Emotion?",
)
"""Ways to ask for one emotion word."""

_WORD = re.compile(r"[a-z]+(?:'t)?", re.IGNORECASE)
_NEGATIONS = {
    "not", "no", "never", "neither", "nor", "without", "isn't", "doesn't", "aren't", "wasn't", "cannot", "hardly",
}  # fmt: skip
_CARRIES = {
    "a", "an", "any", "the", "of", "be", "is", "looks", "look", "show", "shows", "shown", "seem", "seems",
    "appear", "appears", "like", "to", "really", "very", "sign", "signs", "particularly", "at", "all", "or",
    "expression", "express", "emotion", "label", "being", "necessarily", "likely", "so", "trace", "hint", "it",
    "face", "this",
}  # fmt: skip
_BREAK = re.compile(r"[.!?;:,\n]|\b(?:but|rather|instead|however|yet|though)\b", re.IGNORECASE)
_CONCLUSION = re.compile(r"conclusion\s*\W*:\W*", re.IGNORECASE)


def say_emotion(label: str) -> str:
    """The label word itself, as an answer.

    Raises:
        BadConfig: it is none of the eight.
    """
    require_known(label, EMOTIONS, "emotion")
    return label


def _denied(words: list[str], place: int) -> bool:
    """Whether the word at ``place`` stands in the scope of a negation: only small words or labels between."""
    for word in reversed(words[:place]):
        if word in _NEGATIONS:
            return True
        if word not in _CARRIES and canonical(word) is None:
            return False
    return False


def read_emotion_answer(text: str) -> Answer:
    """Read the one emotion that an answer affirms.

    Words count at word boundaries in any usual spelling ("happy", "Happiness"); a denied one ("not angry") does not
    count. In a text with a "Conclusion:" heading only the conclusion is read. Several affirmed emotions, or none,
    are ``unparsed`` with the reason.
    """
    headed = _CONCLUSION.split(text)
    body = headed[-1] if len(headed) > 1 else text
    affirmed: list[str] = []
    denied: list[str] = []
    for piece in _BREAK.split(body):
        words = [match.group().lower() for match in _WORD.finditer(piece)]
        for place, word in enumerate(words):
            label = canonical(word)
            if label is not None:
                (denied if _denied(words, place) else affirmed).append(label)
    found = sorted(set(affirmed), key=EMOTIONS.index)
    if len(found) == 1:
        return Answer(text, "parsed", labels=Labels(emotion=found[0]))
    if found:
        return Answer(text, "unparsed", f"several emotions: {', '.join(found)}")
    if denied:
        return Answer(
            text, "unparsed", f"only denied emotions: {', '.join(sorted(set(denied), key=EMOTIONS.index))}"
        )
    return Answer(text, "unparsed", "no emotion word" if text.strip() else "empty answer")
