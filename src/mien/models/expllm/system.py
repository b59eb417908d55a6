"""ExpLLM: a label and its chain of thought, trained together as the turns of one dialogue.

Paper and released code differ in the order of the turns, the first stage and the number of epochs; both stand
here by name. At inference the released code asks for the label first and for the explanation after it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Answer, Labels, Turn
from mien.dialogue.read.cot import Unparsed, read_explanation
from mien.dialogue.say.face_tasks import QUESTIONS, read_facts, say_facts
from mien.models.composite.backbones import WEIGHTS
from mien.models.composite.checks import checks_options
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.locllm import DECODER_TARGET, PROJECTOR, TOWER_TARGET, compose
from mien.models.composite.processing import Template
from mien.models.composite.systems import Generation, LabelTask, Lora, Stage, System

__all__ = ["MIX", "ORDERS", "SYSTEM", "TASKS", "answer", "ask", "configure", "dialogue", "item", "read"]

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


@checks_options("expllm")
def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    projector: str = "mlp2x_gelu",
    decoder: str | None = None,
    tower: str | None = None,
    image_size: int | None = None,
) -> FacialLMConfig:
    """The composite's configuration; the other arguments are those of `mien.models.composite.locllm.compose`.

    Args:
        projector: two layers as published; ``"linear"`` is LocLLM's.

    Raises:
        BadConfig: unknown scale or backbone.
    """
    return compose(scale, vocabulary, projector, decoder, tower, image_size)


def ask(task: str = "label") -> str:
    """A user's turn: description and question of a task.

    Raises:
        BadConfig: unknown task.
    """
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

    Raises:
        BadConfig: unknown label or order, or a random order without ``rng``.
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
    """The answer to a task of `TASKS`; None where the label lacks.

    Raises:
        BadConfig: unknown task, or facts in px.
    """
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

    Raises:
        BadConfig: unknown task.
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


_LORA = Lora((TOWER_TARGET, DECODER_TARGET), rank=8, alpha=16)


def _tuning(epochs: float | None, data: str, warmup: float) -> Stage:
    return Stage(PROJECTOR, 5e-4, 128, epochs, lora=_LORA, warmup=warmup, weight_decay=0.05, data=data)


SYSTEM = System(
    name="expllm",
    configure=configure,
    template=Template(
        system="You are a helpful face analysis assistant. \nImage: <image>\n",
        user="TASK: ",
        assistant="\nASSISTANT: ",
        end="</s>",
    ),
    placeholders={"<image>": "image"},
    stages={
        "stage1": Stage(PROJECTOR, 5e-3, 256, 1, warmup=500, template="plain", data="CC3M captions"),
        "stage2-rafdb": _tuning(60, "RAF-DB, labels, and a chain of thought to every third", 20_000),
        "stage2-affectnet": _tuning(40, "AffectNet, labels, and a chain of thought to every third", 20_000),
        "code-stage1": _tuning(None, "UTKFace, FairFace, 300W-LP, CelebA as tasks", 0.03),
        "code-rafdb": _tuning(20, "RAF-DB, labels three times and chains of thought once", 0.03),
        "code-affectnet": _tuning(30, "AffectNet, labels three times and chains of thought once", 0.03),
    },
    generation=Generation(max_new_tokens=800),
    ask=ask,
    read=read,
    wrap=lambda question, options: f"{TASKS['cot'][0]}\nUSER: {question}",
    labels=lambda options: LabelTask(ask("label"), {label: label.capitalize() for label in EMOTIONS}),
    weights={"decoder": WEIGHTS["vicuna-7b"], "image": WEIGHTS["dinov2-l"]},
    base_weights={"decoder": WEIGHTS["qwen3-0.6b"], "image": WEIGHTS["dinov2-s"]},
)
"""The released code generates 100 tokens for a label and 800 for a chain of thought, greedily."""
