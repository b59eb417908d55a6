"""What ExpLLM is asked and answers: tasks of label, chain of thought and face, the order of turns, the readers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Answer, Dialogue, Labels, Sample, Turn
from mien.dialogue.read.cot import Unparsed, read_explanation
from mien.dialogue.say.face_tasks import QUESTIONS, read_facts, say_facts
from mien.models.composite.systems import Builder, LabelTask

__all__ = [
    "BUILDERS",
    "MIX",
    "ORDERS",
    "TASKS",
    "answer",
    "ask",
    "dialogue",
    "explaining",
    "item",
    "labels",
    "read",
    "wrap",
]

TASKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "label": (
            "Expression recognition involves identifying the emotional state of a person in a given image.",
            "What is the expression of the person in the image? Please provide the expression label.",
        ),
        "cot": (
            "Expression analysis involves providing a detailed analysis of the face. ",
            "Can you analysis the facial expression step-by-step in the provided image? Provide a "
            "detailed description.",
        ),
        **QUESTIONS,
    }
)
"""Task -> description and question, verbatim; the tasks after ``cot`` are those of the released first stage."""

ORDERS: tuple[str, ...] = ("cot-first", "label-first", "random")
"""Order of an item's turns. ``cot-first``: `_ASKED`, the paper's and the code's for RAF-DB; ``random``: the code's for
AffectNet, the box first and the rest shuffled; ``label-first``: that of inference, the label before its explanation."""
MIX = (3, 1)
"""Passes over label items and over items with a chain of thought: 0.75 to 0.25, the best of Table IV."""

_ASKED = (*QUESTIONS, "cot", "label")
"""All tasks, in the order of the released loader."""


def ask(task: str = "label") -> str:
    """A user's turn: description and question of a task."""
    require_known(task, TASKS, "task", of="expllm")
    description, question = TASKS[task]
    return f"{description}\nUSER: {question}"


def dialogue(
    label: str,
    chain_of_thought: str | None = None,
    order: str = "cot-first",
    rng: random.Random | None = None,
) -> tuple[Turn, ...]:
    """One training item: a label turn, and with a chain of thought a second pair of turns.

    Args:
        label: one of the eight emotions, lower case; it is written with a capital.
        chain_of_thought: the explanation's text.
        order: one of `ORDERS`.
        rng: decides with order ``"random"``.
    """
    require_known(label, EMOTIONS, "label")
    return item(Labels(emotion=label, chain_of_thought=chain_of_thought), order, rng)


def item(labels: Labels, order: str = "cot-first", rng: random.Random | None = None) -> tuple[Turn, ...]:
    """A pair of turns for all that is known about a picture, as the released loader lays out an item of its files.

    Args:
        labels: emotion, chain of thought and facts (in shares of the square); none of it gives no turn.
        order: one of `ORDERS`.
        rng: decides with order ``"random"``.

    Raises:
        BadConfig: unknown order, a random one without ``rng``, or facts in px.
    """
    if order not in ORDERS or (order == "random" and rng is None):
        raise BadConfig(
            got=f"order {order!r}",
            expected=f"one of {', '.join(ORDERS)}, 'random' with rng",
        )
    asked = list(_ASKED)
    if order == "label-first":
        asked[-2:] = ["label", "cot"]
    elif rng is not None and order == "random":
        asked[1:] = rng.sample(asked[1:], len(asked) - 1)
    answers = {task: answer(labels, task) for task in asked}
    said = [(ask(task), text) for task, text in answers.items() if text]
    return tuple(
        turn for question, text in said for turn in (Turn("user", question), Turn("assistant", text))
    )


def answer(labels: Labels, task: str) -> str | None:
    """The answer to a task of `TASKS`; None where the label lacks."""
    if task == "label":
        return labels.emotion.capitalize() if labels.emotion in EMOTIONS else None
    if task == "cot":
        return labels.chain_of_thought
    require_known(task, TASKS, "task", of="expllm")
    return None if labels.facts is None else say_facts(labels.facts, task)


def read(text: str, task: str = "label") -> Answer:
    """A label, a chain of thought, or the facts that a task of the first stage asks for.

    A label is matched as the released evaluation does: the whole answer, case-sensitive; any other text is
    unparsed.
    """
    require_known(task, TASKS, "task", of="expllm")
    found: Labels | str
    if task == "label":
        names = {label.capitalize(): label for label in EMOTIONS}
        known = names.get(text.strip())
        found = "not one of the eight labels" if known is None else Labels(emotion=known)
    elif task == "cot":
        told = read_explanation(text)
        found = told.reason if isinstance(told, Unparsed) else Labels(chain_of_thought=told.text)
    else:
        facts = read_facts(text, task)
        found = facts if isinstance(facts, str) else Labels(facts=facts)
    if isinstance(found, str):
        return Answer(text, "unparsed", found)
    return Answer(text, "answered", labels=found)


def wrap(question: str, options: Mapping[str, Any]) -> str:
    """A user's own question as a turn."""
    return f"{TASKS['cot'][0]}\nUSER: {question}"


def labels(options: Mapping[str, Any]) -> LabelTask:
    """The label question."""
    return LabelTask(ask("label"), {label: label.capitalize() for label in EMOTIONS})


def explaining(label: str) -> Sequence[Turn]:
    """The dialogue whose answer is the chain of thought behind a label, as the released code asks at inference."""
    return Turn("user", ask("label")), Turn("assistant", label.capitalize()), Turn("user", ask("cot"))


def _label(sample: Sample, rng: random.Random) -> Dialogue | None:
    label = sample.labels.emotion
    return Dialogue("emotion", dialogue(label), sample.id) if label in EMOTIONS else None


def _cot(sample: Sample, rng: random.Random, order: str = "cot-first") -> Dialogue | None:
    label, text = sample.labels.emotion, sample.labels.chain_of_thought
    if label not in EMOTIONS or not text:
        return None
    return Dialogue("explanation", dialogue(label, text, order, rng), sample.id)


def _item(sample: Sample, rng: random.Random, order: str = "cot-first") -> Dialogue | None:
    """Everything that the item says, in one dialogue."""
    turns = item(sample.labels, order, rng)
    return Dialogue("conversation", turns, sample.id) if turns else None


def _facts(task: str, sample: Sample, rng: random.Random) -> Dialogue | None:
    said = answer(sample.labels, task)
    turns = (Turn("user", ask(task)), Turn("assistant", said or ""))
    return Dialogue(task, turns, sample.id) if said else None


def _caption(sample: Sample, rng: random.Random) -> Dialogue | None:
    """A picture and its description, for a stage with the template ``plain``, which itself shows no picture."""
    text = sample.labels.description
    turns = (Turn("user", "<image>"), Turn("assistant", text or ""))
    return Dialogue("caption", turns, sample.id) if text else None


BUILDERS: Mapping[str, Builder] = MappingProxyType(
    {
        "label": _label,
        "cot": _cot,
        "item": _item,
        **{task: partial(_facts, task) for task in QUESTIONS},
        "caption": _caption,
    }
)
"""Task -> its training item. Option ``order`` of ``cot`` and ``item``."""
