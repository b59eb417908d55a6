"""AU-LLaVA: one model that codes Action Units as an array, in the format that the question asks for.

Presence (BP4D), levels 0..5 (DISFA) and intensities 0..1 (FEAFA) differ in the text alone. The paper's description
texts are not published in words; its three parts (purpose, AUs with where to look, form of the answer) are written
here anew. No code was published; LocLLM's, by a shared author, fills what the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mien.core.aus import AUS, FEAFA_24, au_set
from mien.core.errors import BadConfig
from mien.core.nouns import Answer
from mien.dialogue.au_arrays import read_array
from mien.models.backbones import WEIGHTS, at_scale, decoder_fields, vision_evidence
from mien.models.facial_lm import FacialLMConfig
from mien.models.processing import Template
from mien.models.systems import Generation, Lora, Stage, System

__all__ = ["DISFA_PRESENT_ABOVE", "SYSTEM", "TASKS", "ask", "configure", "describe", "read", "units"]

TASKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"bp4d": ("binary", "bp4d12"), "disfa": ("level", "disfa8"), "feafa": ("intensity", "feafa24")}
)
"""Task -> array format and AU set."""
DISFA_PRESENT_ABOVE = 2
"""Levels above this count as present when DISFA is scored; EmoLA counts from 2 on, so the two do not compare."""

_PURPOSE = {
    "binary": "The task is to decide for each Action Unit whether it is present on the face, whatever its strength.",
    "level": "The task is to grade how strongly each Action Unit acts on the face, in whole levels.",
    "intensity": "The task is to estimate how strongly each facial movement acts, on a continuous scale.",
}
_FORM = {
    "binary": "The output is an array of {count} integers in this order: 1 if the unit is present, else 0.",
    "level": "The output is an array of {count} integers from 0 (absent) to 5 (maximum) in this order.",
    "intensity": "The output is an array of {count} decimals from 0 (absent) to 1 (maximum) in this order.",
}
_QUESTION = {
    "binary": "Which Action Units are present on this face?",
    "level": "What is the level of each Action Unit on this face?",
    "intensity": "What is the intensity of each movement of this face?",
}
_WHERE = {
    "brow": "look at the brows and the forehead between them",
    "eye": "look at the eyelids",
    "nose": "look at the bridge and the wings of the nose",
    "cheek": "look at the cheeks below the eyes",
    "mouth": "look at the lips and their corners",
    "chin": "look at the chin",
    "jaw": "look at the distance between the teeth and at the chin",
}
# Places of the FEAFA movements that have no FACS unit.
_PLAIN_WHERE = {"jaw slide left": "jaw", "jaw slide right": "jaw", "jaw thrust": "jaw", "cheek puff": "cheek"}

_SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"decoder": "vicuna-7b", "tower": "dinov2-l", "image": 224},
        "base": {"decoder": "qwen3-0.6b", "tower": "dinov2-s", "image": 224},
        "small": {"decoder": "llama-small", "tower": "dinov2-small", "image": 112},
        "tiny": {"decoder": "llama-tiny", "tower": "dinov2-tiny", "image": 28},
    }
)


def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    projector: str = "linear",
    decoder: str | None = None,
    tower: str | None = None,
    image_size: int | None = None,
) -> FacialLMConfig:
    """The composite's configuration.

    Args:
        scale: one of `mien.models.backbones.SCALES`.
        vocabulary: of the tokenizer, where it is not the decoder's own.
        projector: one fully connected layer as published.
        decoder: another decoder: a name in `mien.models.backbones`, a folder or a hub id.
        tower: another vision tower, likewise.
        image_size: side of its pictures in px.

    Raises:
        BadConfig: unknown scale or backbone.
    """
    shape = at_scale(_SCALES, scale)
    seen = vision_evidence(tower or shape["tower"], image_size or shape["image"], projector, -200)
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    return FacialLMConfig(text_config=text, evidence={"image": seen})


def _task(task: str) -> tuple[str, str]:
    if task not in TASKS:
        raise BadConfig(
            got=f"task {task!r} of au-llava", expected=f"one of {', '.join(TASKS)}", fix="Choose one of these"
        )
    return TASKS[task]


def units(task: str) -> tuple[str, ...]:
    """Names of the array's values: AU keys, or FEAFA's own names.

    Raises:
        BadConfig: unknown task.
    """
    name = _task(task)[1]
    return tuple(value.name for value in FEAFA_24) if name == "feafa24" else au_set(name)


def _introduce(keys: Sequence[str]) -> str:
    facs = {value.name: value.facs for value in FEAFA_24}
    lines = []
    for place, key in enumerate(keys, 1):
        unit = AUS.get(facs.get(key, key) or "")
        region = _PLAIN_WHERE[key] if unit is None else unit.region
        if key in facs:
            said = key
        else:
            assert unit is not None
            said = f"{unit.prose}, {unit.name}: {unit.movement} ({unit.muscle})"
        lines.append(f"{place}. {said}; {_WHERE[region]}.")
    return " ".join(lines)


def describe(task: str) -> str:
    """The description of a task: its purpose, its AUs with where to look, the form of the answer.

    Raises:
        BadConfig: unknown task.
    """
    format, keys = _task(task)[0], units(task)
    intro = "An Action Unit is the visible action of one facial muscle or muscle group."
    return f"{_PURPOSE[format]} {intro} {_introduce(keys)} {_FORM[format].format(count=len(keys))}"


def ask(task: str = "bp4d") -> str:
    """The user's turn: description and question.

    Raises:
        BadConfig: unknown task.
    """
    return f"{describe(task)}\nQuestion: {_QUESTION[_task(task)[0]]}"


def read(text: str, task: str = "bp4d") -> Answer:
    """The array of an answer; a wrong count or a value out of range is unparsed.

    Raises:
        BadConfig: unknown task.
    """
    keys = units(task)
    return read_array(text, _task(task)[0], len(keys), keys)


_VISION = r"model\.encoders\.image\.model\.encoder\.layer\.\d+\.attention\.[qv]_proj"
_DECODER = r"model\.language_model\.layers\.\d+\.self_attn\.[qv]_proj"


def _stage(*targets: str) -> Stage:
    """Alpha, dropout and the choice of q and v are LocLLM's."""
    return Stage(
        ("model.projectors.image.",),
        5e-4,
        64,
        5,
        lora=Lora(targets, rank=8, alpha=16),
        warmup=0.03,
        weight_decay=0.05,
        data="BP4D, DISFA or FEAFA",
    )


SYSTEM = System(
    name="au-llava",
    configure=configure,
    template=Template(system="Image: <image>\n", user="Task: ", assistant="\nAnswer: ", end="</s>"),
    placeholders={"<image>": "image"},
    stages={
        "paper": _stage(_VISION, _DECODER),
        # Table I.
        "vision": _stage(_VISION),
        "decoder": _stage(_DECODER),
    },
    generation=Generation(max_new_tokens=160),
    ask=ask,
    read=read,
    wrap=lambda question, options: f"{_PURPOSE['binary']}\nQuestion: {question}",
    weights={"decoder": WEIGHTS["vicuna-7b"], "image": WEIGHTS["dinov2-l"]},
    base_weights={"decoder": WEIGHTS["qwen3-0.6b"], "image": WEIGHTS["dinov2-s"]},
)
