"""What EmoLA is asked and answers: published questions, layouts of the evidence, and the readers of its answers."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from mien.core.aus import au_key, au_set
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Answer, Dialogue, Labels, Sample, Turn
from mien.dialogue.read.emotion import read_emotion_answer
from mien.dialogue.say import builders
from mien.dialogue.say.faba_instructions import AU_INSTRUCTIONS, EMOTION_INSTRUCTIONS
from mien.models.composite.systems import Builder, LabelTask
from mien.models.emola.category_answers import CATEGORIES, category_of, read_category, say_category, say_units

__all__ = ["BUILDERS", "EVALUATION_QUESTIONS", "LAYOUTS", "QUESTIONS", "TASKS", "ask", "labels", "read"]

LAYOUTS: Mapping[str, str] = MappingProxyType(
    {
        "after": "<image><prior>\n",
        "before": "<prior><image>\n",
        "prior": "<prior>\n",
        "visual": "<image>\n",
    }
)
"""Where the prior token stands: after the visual tokens, before them (Table 14); or one kind alone (Table 8)."""

EVALUATION_QUESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "emotion": "What emotions are conveyed by this face?",
        "au": "What AUs are conveyed by this face?",
    }
)
"""The fixed questions of the released evaluation; neither is one of the training questions."""

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "emotion": "emotion",
        "au": "au",
        "emotion-description": "emotion",
        "au-description": "au",
        **{name: category.task for name, category in CATEGORIES.items()},
    }
)
"""Task -> what it asks for. ``emotion`` and ``au`` are one-word answers and lists for any data."""

QUESTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "emotion": (
            "What is the emotion of this face?",
            "Tell me about the emotion on this face",
            "Label the emotion of this face?",
            "What emotions do you perceive in this face?",
            "How does the emotion on this face make you feel?",
            "Can you tell me the emotion displayed in this image?",
            "What emotional response does this face evoke?",
            "Can you determine the emotion portrayed in this image?",
            "Provide a detailed interpretation of the emotion on this face",
            "What can you say about the emotional expression in this image?",
            "Can you analyze the emotion depicted in this face?",
            "What emotions come to mind when you see this face?",
            "How do you perceive the emotional tone of this face?",
            "Can you provide insights into the emotions conveyed in this image?",
            "What emotions do you think this face is expressing?",
            "How does the emotion in this image resonate with you?",
            "Can you articulate the emotional context of this face?",
            "What is your interpretation of the emotions displayed by this person?",
        ),
        "au": (
            "What is the action units of this face?",
            "List all the action units of this face.",
            "What action units can be identified in this face?",
            "Please enumerate the action units observed in this particular face?",
            "Provide a breakdown of the action units present on this face?",
            "Identify the action units exhibited by this face.",
            "List the action units that characterize this face.",
            "Can you specify the action units found in this face?",
            "Enumerate the action units displayed by this face.",
            "Describe the action units visible on this face.",
            "What action units are evident in this face?",
            "List the action units observable in this face.",
            "Give a detailed list of action units for this face.",
            "What are the action units present in this face?",
            "What specific facial movements correspond to action units of this image?",
            "Provide a detailed breakdown of the action units visible in this face.",
        ),
    }
)
"""Training questions as Figure 10 prints them; the whole 2 × 100 come with the dataset only."""


def ask(task: str = "emotion", question: str | None = None, layout: str = "after") -> str:
    """The user's turn: evidence, line break, question (the evaluation's own by default)."""
    require_known(task, TASKS, "task", of="emola")
    require_known(layout, LAYOUTS, "layout", of="emola")
    return LAYOUTS[layout] + (question or EVALUATION_QUESTIONS[TASKS[task]])


def labels(options: Mapping[str, Any]) -> LabelTask:
    """The evaluation's emotion question, answered with one capitalised word: of RAF-DB's seven, or of the eight.

    Raises:
        BadConfig: the model was trained on AUs; each task has a model of its own.
    """
    task = str(options.get("task", "emotion"))
    if TASKS.get(task) == "au":
        raise BadConfig(
            got=f"the emotion question to an EmoLA of task {task!r}",
            expected="a model that was trained on emotions",
            fix=f"Ask this one in words: mien ask PHOTO '{EVALUATION_QUESTIONS['au']}'",
        )
    words = CATEGORIES["rafdb"].names if task == "rafdb" else EMOTIONS
    question = ask("emotion", layout=str(options.get("layout", "after")))
    return LabelTask(question, {word.lower(): word.capitalize() for word in words})


def read(text: str, task: str = "emotion", units: str = "faba12") -> Answer:
    """An emotion answer (description or category word), the AUs that an answer names as ``AU6``, or a set's category.

    AUs are found as the released evaluation finds them: ``AU`` and digits, so that "AU 6" is missed and "no AU4"
    counts. The released emotion parse, with its synonyms and its default, is part of the REGE measure.

    Args:
        text: the answer.
        task: one of `TASKS`.
        units: AU set that is read in ``au`` and ``au-description``; others are left out.
    """
    require_known(task, TASKS, "task", of="emola")
    if task in CATEGORIES:
        return read_category(text, task)
    if TASKS[task] == "emotion":
        return read_emotion_answer(text)
    if not text.strip():
        return Answer(text, "unparsed", "empty answer")
    named = {au_key(number) for number in re.findall(r"AU(\d+)", text)}
    return Answer(text, "answered", labels=Labels(au_presence={key: key in named for key in au_set(units)}))


def _asked(task: str, sample: Sample, rng: random.Random, layout: str, questions: str) -> str:
    """A turn of one of the pools ``own`` (mien's hundred instructions), ``published``, ``evaluation`` and ``data``.

    By default descriptions are asked for as the data asks, else with mien's instructions; everything else with the
    fixed question.
    """
    kind = TASKS[task]
    pools: Mapping[str, Sequence[str]] = {
        "evaluation": (EVALUATION_QUESTIONS[kind],),
        "published": QUESTIONS[kind],
        "own": EMOTION_INSTRUCTIONS if kind == "emotion" else AU_INSTRUCTIONS,
    }
    brought = sample.labels.question
    if brought is not None:
        pools = {**pools, "data": (builders.without_evidence(brought),)}
    chosen = questions or (
        "evaluation" if "description" not in task else "own" if brought is None else "data"
    )
    require_known(chosen, pools, "questions")
    return ask(task, rng.choice(pools[chosen]), layout)


def _described(
    task: str, sample: Sample, rng: random.Random, layout: str = "after", questions: str = ""
) -> Dialogue | None:
    asked = _asked(task, sample, rng, layout, questions)
    if task == "emotion-description":
        return builders.description(sample, asked)
    return builders.au_description(sample, asked, rng)


def _emotion(
    sample: Sample, rng: random.Random, layout: str = "after", questions: str = ""
) -> Dialogue | None:
    return builders.emotion(sample, _asked("emotion", sample, rng, layout, questions), str.capitalize)


def _au(
    sample: Sample, rng: random.Random, layout: str = "after", questions: str = "", units: str = ""
) -> Dialogue | None:
    coded = sample.labels.au_presence or {}
    keys = au_set(units) if units else tuple(coded)
    if not keys or any(key not in coded for key in keys):
        return None
    asked = _asked("au", sample, rng, layout, questions)
    said = say_units(key for key in keys if coded[key])
    return Dialogue("au", (Turn("user", asked), Turn("assistant", said)), sample.id)


def _category(
    dataset: str, sample: Sample, rng: random.Random, layout: str = "after", questions: str = ""
) -> Dialogue | None:
    label = category_of(dataset, sample.labels)
    if label is None:
        return None
    asked = _asked(dataset, sample, rng, layout, questions)
    said = say_category(dataset, label)
    return Dialogue(dataset, (Turn("user", asked), Turn("assistant", said)), sample.id)


BUILDERS: Mapping[str, Builder] = MappingProxyType(
    {
        "emotion": _emotion,
        "au": _au,
        "emotion-description": partial(_described, "emotion-description"),
        "au-description": partial(_described, "au-description"),
        **{dataset: partial(_category, dataset) for dataset in CATEGORIES},
    }
)
"""Task -> its training item. Options: ``layout``, ``questions`` (a pool), for ``au`` the AU set ``units``."""
