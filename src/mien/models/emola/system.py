"""EmoLA: LLaVA-1.5 with a facial prior token behind the visual tokens, for descriptions of emotions and AUs.

The prior is the 212-number output of a landmark net (`mien.layers.landmark_prior`). Ablations of Tables 8, 9 and 14 are
options. Traditional data sets are tasks of their own name, with that set's words or AUs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mien.core.aus import au_key, au_set
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Answer, Labels
from mien.dialogue.read.emotion import read_emotion_answer
from mien.models.composite.backbones import WEIGHTS, at_scale, decoder_fields, vision_evidence
from mien.models.composite.checks import checks_options
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import TEMPLATES
from mien.models.composite.systems import Generation, LabelTask, Lora, Stage, System
from mien.models.emola.category_answers import CATEGORIES, read_category

__all__ = [
    "EVALUATION_QUESTIONS",
    "LAYOUTS",
    "QUESTIONS",
    "SYSTEM",
    "TASKS",
    "ask",
    "configure",
    "labels",
    "read",
]

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

_SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"decoder": "vicuna-7b", "tower": "clip-l-336", "image": 336},
        "base": {"decoder": "qwen3-0.6b", "tower": "siglip-b", "image": 224},
        "small": {"decoder": "llama-small", "tower": "clip-small", "image": 112},
        "tiny": {"decoder": "llama-tiny", "tower": "clip-tiny", "image": 28},
    }
)


@checks_options("emola")
def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    layout: str = "after",
    decoder: str | None = None,
    tower: str | None = None,
    image_size: int | None = None,
) -> FacialLMConfig:
    """The composite's configuration.

    Args:
        scale: one of `mien.models.composite.backbones.SCALES`.
        vocabulary: of the tokenizer, where it is not the decoder's own.
        layout: one of `LAYOUTS`; it decides which evidence there is.
        decoder: another decoder: a name in `mien.models.composite.backbones`, a folder or a hub id.
        tower: another vision tower, likewise.
        image_size: side of its pictures in px.

    Raises:
        BadConfig: unknown scale or layout.
    """
    shape = at_scale(_SCALES, scale)
    require_known(layout, LAYOUTS, "layout", of="emola")
    entries = {
        "image": vision_evidence(
            tower or shape["tower"], image_size or shape["image"], "mlp2x_gelu", -200, layer=-2
        ),
        "prior": {
            "encoder": {"type": "cached"},
            "width": 212,
            "rows": 1,
            "projector": {"type": "mlp2x_gelu"},
            "token_id": -201,
        },
    }
    evidence = {name: entry for name, entry in entries.items() if f"<{name}>" in LAYOUTS[layout]}
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    return FacialLMConfig(text_config=text, evidence=evidence)


def ask(task: str = "emotion", question: str | None = None, layout: str = "after") -> str:
    """The user's turn: evidence, line break, question (the evaluation's own by default).

    Raises:
        BadConfig: unknown task or layout.
    """
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

    Raises:
        BadConfig: unknown task or AU set.
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


# Every linear layer of the blocks, as in the released code, whatever the decoder calls them.
_LORA = Lora((r"model\.language_model\.layers\.\d+\..+",), rank=128, alpha=256)
_PRIOR, _VISUAL = "model.projectors.prior.", "model.projectors.image."


def _stage(
    trains: tuple[str, ...], lora: Lora | None = _LORA, rates: Mapping[str, float] | None = None
) -> Stage:
    return Stage(trains, 1e-4, 64, 1, lora=lora, rates=rates or {}, warmup=0.03, data="FABA-Instruct")


SYSTEM = System(
    name="emola",
    configure=configure,
    template=TEMPLATES["v1"],
    placeholders={"<image>": "image", "<prior>": "prior"},
    stages={
        "paper": _stage((_PRIOR,)),
        # The released code tunes LLaVA's projector too.
        "code": _stage((_PRIOR, _VISUAL), rates={_VISUAL: 2e-5}),
        "projector": _stage((_PRIOR,), lora=None),
        "lora": _stage(()),
    },
    generation=Generation(max_new_tokens=2048, do_sample=True, temperature=0.01, top_p=0.5),
    ask=ask,
    read=read,
    wrap=lambda question, options: LAYOUTS[options.get("layout", "after")] + question,
    labels=labels,
    weights={"decoder": WEIGHTS["vicuna-7b"], "image": WEIGHTS["clip-l-336"]},
    start=f"LLaVA-1.5 and a place for the prior: liuhaotian/llava-v1.5-7b (LLAVA), {WEIGHTS['clip-l-336']} (CLIP) by "
    "`mien models import LLAVA CLIP --format llava-1.5 --option layout=after --partial --out FOLDER`",
    base_weights={"decoder": WEIGHTS["qwen3-0.6b"], "image": WEIGHTS["siglip-b"]},
)
"""Evaluation in the released code uses the layout ``TEMPLATES["llava_v1"]``, which differs by one word."""
