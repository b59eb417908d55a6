"""Sample -> Dialogue in the exact words of each published system, for its training and its evaluation.

    rng = random.Random(0)
    build("facephi", "emotion", sample, rng)
    build("expllm", "cot", sample, rng, order="label-first")

The words stand in each system's own file; what the systems share stands in `mien.dialogue.say.builders`.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from mien.core.aus import au_set
from mien.core.emotions import EMOTIONS, canonical
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Dialogue, Sample, Turn
from mien.dialogue.say import builders
from mien.dialogue.say.attributes import say_attributes
from mien.dialogue.say.faba_instructions import AU_INSTRUCTIONS, EMOTION_INSTRUCTIONS
from mien.dialogue.say.face_tasks import QUESTIONS
from mien.models.au_llava import system as au_llava
from mien.models.emo_llama import system as emo_llama
from mien.models.emola import system as emola
from mien.models.emola.category_answers import CATEGORIES, category_of, say_category, say_units
from mien.models.expllm import system as expllm
from mien.models.facephi import system as facephi

__all__ = ["MIXES", "TASKS", "adapt", "build"]

Builder = Callable[..., Dialogue | None]
"""``builder(sample, rng, **options)``."""

EMO_LLAMA_QUESTION = "What is the emotion of the person in the {where}?"
"""The free question that the paper prints; the others of its conversations were machine-made."""


def _facephi(sample: Sample, rng: random.Random) -> Dialogue | None:
    label = sample.labels.emotion
    question, answer = rng.randrange(len(facephi.QUESTIONS)), rng.randrange(len(facephi.ANSWERS))
    if label not in EMOTIONS:
        return None
    return Dialogue("emotion", facephi.dialogue(label, question, answer), sample.id)


def _emola_asked(task: str, sample: Sample, rng: random.Random, layout: str, questions: str) -> str:
    kind = emola.TASKS[task]
    pools: Mapping[str, Sequence[str]] = {
        "evaluation": (emola.EVALUATION_QUESTIONS[kind],),
        "published": emola.QUESTIONS[kind],
        "own": EMOTION_INSTRUCTIONS if kind == "emotion" else AU_INSTRUCTIONS,
    }
    brought = sample.labels.question
    if brought is not None:
        pools = {**pools, "data": (builders.without_evidence(brought),)}
    chosen = questions or (
        "evaluation" if "description" not in task else "own" if brought is None else "data"
    )
    require_known(chosen, pools, "questions")
    return emola.ask(task, rng.choice(pools[chosen]), layout)


def _emola_described(
    task: str, sample: Sample, rng: random.Random, layout: str = "after", questions: str = ""
) -> Dialogue | None:
    asked = _emola_asked(task, sample, rng, layout, questions)
    if task == "emotion-description":
        return builders.description(sample, asked)
    return builders.au_description(sample, asked, rng)


def _emola_emotion(
    sample: Sample, rng: random.Random, layout: str = "after", questions: str = ""
) -> Dialogue | None:
    return builders.emotion(sample, _emola_asked("emotion", sample, rng, layout, questions), str.capitalize)


def _emola_au(
    sample: Sample, rng: random.Random, layout: str = "after", questions: str = "", units: str = ""
) -> Dialogue | None:
    coded = sample.labels.au_presence or {}
    keys = au_set(units) if units else tuple(coded)
    if not keys or any(key not in coded for key in keys):
        return None
    asked = _emola_asked("au", sample, rng, layout, questions)
    said = say_units(key for key in keys if coded[key])
    return Dialogue("au", (Turn("user", asked), Turn("assistant", said)), sample.id)


def _emola_category(
    dataset: str, sample: Sample, rng: random.Random, layout: str = "after", questions: str = ""
) -> Dialogue | None:
    label = category_of(dataset, sample.labels)
    if label is None:
        return None
    asked = _emola_asked(dataset, sample, rng, layout, questions)
    said = say_category(dataset, label)
    return Dialogue(dataset, (Turn("user", asked), Turn("assistant", said)), sample.id)


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
    words = tuple(labels) or emo_llama.LABELS[listed]
    # A list may name an emotion its own way: MELD's "joy" is happiness.
    word = next((word for word in words if sample.labels.emotion in (word, canonical(word))), None)
    question = emo_llama.category_question(words, emo_llama.of_video(listed, frames))
    asked = emo_llama.ask(listed, question, frames, _agr(attributes), guard=guard)
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
    question = EMO_LLAMA_QUESTION.format(where="video" if video or frames > 1 else "image")
    said = builders.description(sample, emo_llama.ask("image", question, frames, _agr(attributes)))
    return None if said is None else replace(said, task="conversation")


def _array(task: str, sample: Sample, rng: random.Random, cut_off: int | None = None) -> Dialogue | None:
    format = au_llava.TASKS[task][0]
    return builders.au_array(sample, au_llava.ask(task), format, au_llava.units(task), cut_off)


def _label(sample: Sample, rng: random.Random) -> Dialogue | None:
    label = sample.labels.emotion
    return Dialogue("emotion", expllm.dialogue(label), sample.id) if label in EMOTIONS else None


def _cot(sample: Sample, rng: random.Random, order: str = "cot-first") -> Dialogue | None:
    label, text = sample.labels.emotion, sample.labels.chain_of_thought
    if label not in EMOTIONS or not text:
        return None
    return Dialogue("explanation", expllm.dialogue(label, text, order, rng), sample.id)


def _item(sample: Sample, rng: random.Random, order: str = "cot-first") -> Dialogue | None:
    """Everything that the item says, in one dialogue."""
    turns = expllm.item(sample.labels, order, rng)
    return Dialogue("conversation", turns, sample.id) if turns else None


def _facts(task: str, sample: Sample, rng: random.Random) -> Dialogue | None:
    said = expllm.answer(sample.labels, task)
    turns = (Turn("user", expllm.ask(task)), Turn("assistant", said or ""))
    return Dialogue(task, turns, sample.id) if said else None


def _caption(sample: Sample, rng: random.Random) -> Dialogue | None:
    """A picture and its description, for a stage with the template ``plain``, which itself shows no picture."""
    text = sample.labels.description
    return (
        Dialogue("caption", (Turn("user", "<image>"), Turn("assistant", text)), sample.id) if text else None
    )


_BUILDERS: Mapping[str, Mapping[str, Builder]] = MappingProxyType(
    {
        "facephi": {"emotion": _facephi},
        "emola": {
            "emotion": _emola_emotion,
            "au": _emola_au,
            "emotion-description": partial(_emola_described, "emotion-description"),
            "au-description": partial(_emola_described, "au-description"),
            **{dataset: partial(_emola_category, dataset) for dataset in CATEGORIES},
        },
        "emo-llama": {
            **{listed: partial(_category, listed) for listed in emo_llama.LABELS},
            "conversation": _conversation,
        },
        "au-llava": {task: partial(_array, task) for task in au_llava.TASKS},
        "expllm": {
            "label": _label,
            "cot": _cot,
            "item": _item,
            **{task: partial(_facts, task) for task in QUESTIONS},
            "caption": _caption,
        },
    }
)

TASKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {system: tuple(tasks) for system, tasks in _BUILDERS.items()}
)
"""System -> tasks that a sample can be turned into. Where a task is also one of the system's ``read``, they agree."""

MIXES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {"expllm": dict(zip(("label", "cot"), (passes / sum(expllm.MIX) for passes in expllm.MIX), strict=True))}
)
"""System -> share of each task among its training items, where published: ExpLLM's 0.75 : 0.25."""

_EVIDENCE: Mapping[str, str] = MappingProxyType(
    {
        "facephi": f"{facephi.PLACEHOLDER} ",
        "emola": emola.LAYOUTS["after"],
        "emo-llama": "<image>\n",
        # The template itself shows the picture.
        "au-llava": "",
        "expllm": "",
    }
)


def _tasks(system: str) -> Mapping[str, Builder]:
    require_known(system, _BUILDERS, "system")
    return _BUILDERS[system]


def build(system: str, task: str, sample: Sample, rng: random.Random, **options: object) -> Dialogue | None:
    """One training item of a published system; None when the sample lacks the label that the task needs.

    Args:
        system: a name of `mien.models.composite.systems.SYSTEMS`.
        task: one of ``TASKS[system]``.
        sample: the labelled face or clip.
        rng: chooses question, answer template and order.
        **options: ``emola``: ``layout``, ``questions`` (``own``, ``published``, ``evaluation``, or ``data`` where the
            data brings a question; by default for descriptions the data's, else mien's hundred instructions, and the
            fixed question for everything else), and for ``au`` the AU set ``units``. ``emo-llama``: ``frames``
            (several are a video), ``attributes`` (see `say_attributes`), and for categories ``labels`` (another
            list) and ``guard``, for conversations ``video``. ``au-llava``: ``cut_off`` for presence from levels.
            ``expllm``: ``order`` of ``cot`` and ``item``.

    Raises:
        BadConfig: unknown system, task, option or value of one.
    """
    tasks = _tasks(system)
    require_known(task, tasks, "task", of=system)
    known = tuple(inspect.signature(tasks[task]).parameters)[2:]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise BadConfig(
            got=f"option {', '.join(unknown)} of {system} {task}",
            expected=f"one of {', '.join(known)}" if known else "no options",
            fix="Leave it out",
        )
    return tasks[task](sample, rng, **options)


def adapt(system: str, dialogue: Dialogue) -> Dialogue:
    """A dialogue of the data itself (FABA-Instruct's turns, a data engine's) with the system's evidence placeholder.

    Evidence goes to the front of the first question, wherever the data put it: FABA-Instruct has ``<image>`` at the
    end, and the released preprocessing moves it too.

    Raises:
        BadConfig: unknown system.
    """
    _tasks(system)
    return builders.show(dialogue, _EVIDENCE[system])
