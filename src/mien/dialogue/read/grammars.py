"""For each task the grammar that reads its answer; the other half of `mien.dialogue.say.builders`.

task                 said by                               read by
emotion              emotion_words.say_emotion             read_emotion_answer
emotion-description  the data, or a teacher                read_emotion_answer, the text kept as description
au-list              au_texts.say_list                     au_texts.read_units
au-description       au_texts.say_descriptions, the data   au_texts.read_units, the text kept as description
au-binary, -level, -intensity   au_arrays.say_array        au_arrays.read_array
explanation          cot.say_explanation, narrator         cot.read_explanation, the label by cot.read_label
conversation         the data, or a teacher                any words; an emotion if exactly one is affirmed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Answer, Labels
from mien.dialogue.read.au_arrays import FORMATS, read_array
from mien.dialogue.read.cot import Unparsed, read_explanation, read_label
from mien.dialogue.read.emotion import read_emotion_answer
from mien.dialogue.say.au_texts import read_units
from mien.dialogue.say.builders import TASKS

__all__ = ["read_answer"]


def read_answer(task: str, text: str, units: Sequence[str] | None = None) -> Answer:
    """What an answer says, or why it cannot be read.

    Args:
        task: one of `mien.dialogue.say.builders.TASKS`.
        text: the answer.
        units: AU keys in the order of the question. Arrays need them; AU texts then tell exactly these.

    Raises:
        BadConfig: the task is unknown, or an array is to be read without ``units``.
    """
    require_known(task, TASKS, "task")
    form = task.removeprefix("au-")
    if form in FORMATS:
        if units is None:
            raise BadConfig(
                got=f"an answer to {task} without AU keys",
                expected="the AUs of the question",
                fix="Pass units",
            )
        return read_array(text, form, len(units), units)
    if task in ("au-list", "au-description"):
        answer = read_units(text, units)
        return _with_description(answer) if task == "au-description" else answer
    if task == "explanation":
        return _explanation(text)
    answer = read_emotion_answer(text)
    if task == "conversation" and text.strip():
        return Answer(text, "answered", labels=replace(answer.labels or Labels(), description=text))
    return _with_description(answer) if task == "emotion-description" else answer


def _with_description(answer: Answer) -> Answer:
    if answer.labels is None:
        return answer
    return replace(answer, labels=replace(answer.labels, description=answer.text))


def _explanation(text: str) -> Answer:
    read = read_explanation(text)
    if isinstance(read, Unparsed):
        return Answer(text, "unparsed", read.reason)
    return Answer(text, "answered", labels=Labels(emotion=read_label(text), chain_of_thought=read.text))
