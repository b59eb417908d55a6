"""The emotion question and its answer: one of eight label words."""

from __future__ import annotations

from mien.core.emotions import EMOTIONS
from mien.core.errors import require_known

__all__ = ["QUESTIONS", "say_emotion"]

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


def say_emotion(label: str) -> str:
    """The label word itself, as an answer."""
    require_known(label, EMOTIONS, "emotion")
    return label
