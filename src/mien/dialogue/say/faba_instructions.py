"""A hundred ways to ask for the emotion of a face and a hundred to ask for its Action Units, as a description.

FABA-Instruct (Li et al. 2024) draws each item's instruction from 100 per task; its figure 10 prints a few, the rest
comes with the dataset only. These are mien's own in that style: twenty ways to ask, long and short, for each of five
names of the thing. None is one of the printed ones.
"""

from __future__ import annotations

__all__ = ["AU_INSTRUCTIONS", "EMOTION_INSTRUCTIONS"]

_ASKED = (
    "Describe {}.", "Please describe {}.", "Could you describe {}?", "How would you describe {}?", "What is {}?",
    "Give a description of {}.", "Write a short description of {}.", "In a few sentences, what is {}?",
    "Look at the face closely and describe {}.", "Put {} into words.", "What can be said about {}?",
    "Report {} and how strong it is.", "Would you say in your own words what {} is?", "Interpret {}.",
    "What do brows, eyes and mouth tell about {}?", "Assess {} and name the parts of the face that show it.",
    "Which details of the face make up {}, and how?", "Summarize {} for somebody who cannot see the picture.",
    "As an expert on faces, how do you see {}?", "Tell me about {}.",
)  # fmt: skip
_EMOTION = (
    "the emotion in this face", "the emotion that the person shows", "the mood that this face appears to express",
    "the feeling on display in this picture", "the emotional state that can be read from the face",
)  # fmt: skip
_UNITS = (
    "the set of Action Units on this face", "the facial movement in terms of Action Units",
    "the pattern of AUs that is visible here", "the FACS coding of this face",
    "the facial muscle activity, Action Unit by Action Unit,",
)  # fmt: skip


def _hundred(things: tuple[str, ...]) -> tuple[str, ...]:
    said = (asked.format(thing) for asked in _ASKED for thing in things)
    return tuple(one.replace(",.", ".").replace(",?", "?").replace(",,", ",") for one in said)


EMOTION_INSTRUCTIONS = _hundred(_EMOTION)
AU_INSTRUCTIONS = _hundred(_UNITS)
