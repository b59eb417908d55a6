"""What FacePhi is asked and answers: Tables 2 and 3 of the paper, verbatim, and the reader of its answers."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Answer, Dialogue, Labels, Sample, Turn
from mien.models.composite.systems import Builder, LabelTask

__all__ = [
    "ANSWERS",
    "BUILDERS",
    "PLACEHOLDER",
    "QUESTIONS",
    "alignment_text",
    "ask",
    "dialogue",
    "labels",
    "read",
]

PLACEHOLDER = "[LM PAD]"

QUESTIONS: tuple[str, ...] = (
    "Can you identify the emotion displayed by this 3D facial landmark?",
    "Look at this 3D facial landmark and judge the emotion it's showing.",
    "What emotion is being expressed by this 3D facial landmark?",
    "Determine the emotion depicted on this 3D facial landmark.",
    "Examine this 3D facial landmark and select the emotion it's exhibiting.",
    "Can you spot the emotion on this 3D facial landmark?",
    "Identify which emotion is portrayed on this 3D facial landmark.",
    "Which emotion is this 3D facial landmark expressing?",
    "Identify the emotion on this 3D facial landmark.",
    "Judge the emotion that this 3D facial landmark is displaying.",
    "Can you tell which emotion this 3D facial landmark is portraying?",
    "This 3D facial landmark is expressing an emotion.",
    "Determine the emotion is shown by this 3D facial landmark.",
    "Evaluate this 3D facial landmark and judge the emotion.",
    "Review the expression of this 3D facial landmark and judge its emotion.",
)
"""Table 2, verbatim."""

ANSWERS: tuple[str, ...] = (
    "It is probable that this 3D facial landmark was created with the intention of embodying the emotion of {label}.",
    "It is likely that the 3D facial landmark was designed to capture the essence of the emotion {label}.",
    "There is a strong likelihood that the 3D facial landmark was developed to represent the emotion of {label}.",
    "There is a good chance that the 3D facial landmark was specifically made to emulate the {label} emotion.",
    "The 3D facial landmark was likely developed with the aim of symbolizing the {label} emotion.",
    "It is quite possible that the 3D facial landmark was crafted to convey the feeling of {label}.",
    "It is reasonable to assume that the 3D facial landmark was designed to embody {label}.",
    "The 3D facial landmark was crafted to convey the feeling of {label}.",
    "The 3D facial landmark was presumably crafted with the goal of reflecting the emotion of {label}.",
    "The 3D facial landmark was created with the express purpose of representing the emotion of {label}.",
)
"""Table 3, verbatim; printed there for Happiness."""


def _pick(templates: tuple[str, ...], index: object, kind: str) -> str:
    if not isinstance(index, int) or not 0 <= index < len(templates):
        raise BadConfig(
            got=f"{kind} {index!r}", expected=f"an index 0..{len(templates) - 1}", fix="Choose one of these"
        )
    return templates[index]


def ask(question: int = 0) -> str:
    """The user's turn with question ``question`` of `QUESTIONS`."""
    return f"{PLACEHOLDER} {_pick(QUESTIONS, question, 'question')}"


def dialogue(label: str, question: int = 0, answer: int = 0) -> tuple[Turn, Turn]:
    """One training item: a question and an answer that names the label."""
    require_known(label, EMOTIONS, "emotion")
    said = _pick(ANSWERS, answer, "answer").format(label=label.capitalize())
    return Turn("user", ask(question)), Turn("assistant", said)


def alignment_text(label: str) -> str:
    """The text that a face is aligned with in stage ``align``, as printed."""
    return f"The facial landmark shows emotion of {label}."


def read(text: str, task: str = "emotion") -> Answer:
    """The one label whose keyword stands in the answer, in any case, as a whole word.

    The paper calls an answer right if the true label stands in it and does not say what two labels mean: here
    that is unparsed.

    Raises:
        BadConfig: another task.
    """
    if task != "emotion":
        raise BadConfig(got=f"task {task!r} of facephi", expected="'emotion'", fix="Ask for the emotion")
    found = [label for label in EMOTIONS if re.search(rf"\b{label}\b", text, re.IGNORECASE)]
    if len(found) == 1:
        return Answer(text, "answered", labels=Labels(emotion=found[0]))
    return Answer(text, "unparsed", f"several labels: {', '.join(found)}" if found else "no label")


def labels(options: Mapping[str, Any]) -> LabelTask:
    """The read-out's closed question: question ``question`` and answer ``answer`` of the options, 0 and 7 by default.

    Answer 8 of Table 3 is the shortest that ends with its label.
    """
    said = _pick(ANSWERS, options.get("answer", 7), "answer")
    until = said[: said.index("{label}") + len("{label}")]
    answers = {label: until.format(label=label.capitalize()) for label in EMOTIONS}
    return LabelTask(ask(options.get("question", 0)), answers)


def _emotion(sample: Sample, rng: random.Random) -> Dialogue | None:
    label = sample.labels.emotion
    question, answer = rng.randrange(len(QUESTIONS)), rng.randrange(len(ANSWERS))
    return Dialogue("emotion", dialogue(label, question, answer), sample.id) if label in EMOTIONS else None


BUILDERS: Mapping[str, Builder] = MappingProxyType({"emotion": _emotion})
"""Task -> its training item: a question and an answer drawn from the tables."""
