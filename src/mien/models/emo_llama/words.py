"""What EMO-LLaMA is asked and answers: lists of options, conversations, what is told of a face, and the reader."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from mien.core.emotions import canonical, order
from mien.core.errors import BadConfig
from mien.core.nouns import Answer, Dialogue, Labels, Sample
from mien.dialogue.say import builders
from mien.dialogue.say.attributes import say_attributes
from mien.models.composite.backbones import at_scale
from mien.models.composite.systems import Builder, LabelTask

__all__ = [
    "AGR_PROMPT",
    "BUILDERS",
    "GUARD",
    "LABELS",
    "ask",
    "category_question",
    "labels",
    "of_video",
    "read",
]

LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"image": order("emo-llama"), "mafw": order("mafw"), "video": order("meld")}
)
"""Label lists in the words and the order in which the questions print them; "joy" of the last is happiness."""

AGR_PROMPT = (
    "According to the specific question, you are allowed to use or partially use the following information: "
)
"""Verbatim; age, gender and race follow."""
GUARD = (
    "PLEASE ENSURE that you start your answer with 'My choice is: ' FIRST and select ONLY ONE WORD from the "
    "provided list."
)
"""Verbatim; for zero-shot tests."""


def of_video(listed: str, frames: int = 1) -> bool:
    """Whether a question with a list of `LABELS` says "video": two lists are of video sets, several frames are one."""
    return listed != "image" or frames > 1


def category_question(labels: Sequence[str], video: bool = False) -> str:
    """The category question with its list of options."""
    where, listed = "video" if video else "image", ", ".join(labels)
    return (
        f"What is the facial expression of the person in the {where}? Choose one from the following options: "
        f"{{{listed}}}."
    )


def ask(
    task: str = "image",
    question: str | None = None,
    frames: int = 1,
    agr: str | None = None,
    description: str | None = None,
    guard: bool = False,
) -> str:
    """The user's first turn: frames, line break, question, and what else is told.

    Args:
        task: list of `LABELS` that the category question names.
        question: another question in its place.
        frames: number of frames; each becomes its own rows, in order.
        agr: age, gender and race, such as ``"age 20-29, gender female, race Asian"``; its form is not published.
        description: text about the clip (Table 8); its place is not published: before the question.
        guard: add `GUARD` to the question.

    Raises:
        BadConfig: unknown list, or fewer than one frame.
    """
    listed = at_scale(LABELS, task)
    if frames < 1:
        raise BadConfig(got=f"{frames} frames", expected="at least one", fix="Pass the number of frames")
    asked = (question or category_question(listed, of_video(task, frames))) + (f" {GUARD}" if guard else "")
    lines = [description, asked, agr and AGR_PROMPT + agr]
    return "<image>" * frames + "\n" + "\n".join(line for line in lines if line)


def read(text: str, task: str = "image") -> Answer:
    """The one word of a label list that an answer chooses, by mien's name; ``task`` names the list in `LABELS`.

    After "My choice is:" only the next word counts. The published word stays in the answer's text.
    """
    labels = at_scale(LABELS, task)
    body = re.split(r"my choice is:\s*", text, maxsplit=1, flags=re.IGNORECASE)[-1].lower()
    if body != text.lower():
        body = (re.findall(r"[a-z]+", body) or [""])[0]
    found = [label for label in labels if re.search(rf"\b{label}\b", body)]
    if len(found) == 1:
        return Answer(text, "answered", labels=Labels(emotion=canonical(found[0]) or found[0]))
    return Answer(
        text, "unparsed", f"several labels: {', '.join(found)}" if found else "no label of the list"
    )


def labels(options: Mapping[str, Any]) -> LabelTask:
    """The category question about ``frames`` frames with the list ``labels`` of `LABELS`, and what ``agr`` says.

    By default it is the list that ``task`` names, else that of images. Answers are the list's own words.
    """
    trained, frames = str(options.get("task")), int(options.get("frames", 1))
    name = str(options.get("labels", trained if trained in LABELS else "image"))
    answers = {canonical(word) or word: word for word in at_scale(LABELS, name)}
    return LabelTask(ask(name, None, frames, options.get("agr")), answers)


_FREE = "What is the emotion of the person in the {where}?"
# The free question that the paper prints; the others of its conversations were machine-made.


def _agr(attributes: Mapping[str, str] | None) -> str | None:
    return say_attributes(attributes) if attributes else None


def _category(
    listed: str,
    sample: Sample,
    rng: random.Random,
    labels: Sequence[str] = (),
    frames: int = 1,
    attributes: Mapping[str, str] | None = None,
    guard: bool = False,
) -> Dialogue | None:
    words = tuple(labels) or LABELS[listed]
    # A list may name an emotion its own way: MELD's "joy" is happiness.
    word = next((word for word in words if sample.labels.emotion in (word, canonical(word))), None)
    question = category_question(words, of_video(listed, frames))
    asked = ask(listed, question, frames, _agr(attributes), guard=guard)
    if sample.labels.emotion is None or word is None:
        return None
    return builders.emotion(replace(sample, labels=replace(sample.labels, emotion=word)), asked, str, words)


def _conversation(
    sample: Sample,
    rng: random.Random,
    video: bool = False,
    frames: int = 1,
    attributes: Mapping[str, str] | None = None,
) -> Dialogue | None:
    question = _FREE.format(where="video" if video or frames > 1 else "image")
    said = builders.description(sample, ask("image", question, frames, _agr(attributes)))
    return None if said is None else replace(said, task="conversation")


BUILDERS: Mapping[str, Builder] = MappingProxyType(
    {**{listed: partial(_category, listed) for listed in LABELS}, "conversation": _conversation}
)
"""Task -> its training item. Options: ``frames`` (several are a video), ``attributes`` (see `say_attributes`), and for
categories ``labels`` (another list) and ``guard``, for conversations ``video``."""
