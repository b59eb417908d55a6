"""EMO-LLaMA: LLaMA-VID with facial priors; per frame a clue, mined visual features and landmarks, as three tokens.

An image is one frame; a video is read at one frame per second. What a facial expert (FaceXFormer) says enters in three
ways: its rows and 68 landmarks as evidence, age, gender and race as words of the prompt. No code was published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mien.core.errors import BadConfig
from mien.core.nouns import Answer, Labels
from mien.models.backbones import WEIGHTS, at_scale, decoder_fields, tower_fields
from mien.models.facial_lm import FacialLMConfig
from mien.models.frames import frame_indices
from mien.models.processing import TEMPLATES
from mien.models.systems import Generation, LabelTask, Lora, Stage, System

__all__ = [
    "AGR_PROMPT",
    "GUARD",
    "LABELS",
    "PRIORS",
    "SYSTEM",
    "ask",
    "category_question",
    "configure",
    "frame_indices",
    "labels",
    "read",
]

LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
        "mafw": (
            "anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise", "contempt", "anxiety",
            "helplessness", "disappointment",
        ),
        "video": ("sadness", "joy", "surprise", "neutral", "fear", "anger", "disgust"),
    }
)  # fmt: skip
"""Label lists in the order in which the questions print them."""

AGR_PROMPT = (
    "According to the specific question, you are allowed to use or partially use the following information: "
)
"""Verbatim; age, gender and race follow."""
GUARD = (
    "PLEASE ENSURE that you start your answer with 'My choice is: ' FIRST and select ONLY ONE WORD from the "
    "provided list."
)
"""Verbatim; for zero-shot tests."""

PRIORS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "all": {"rows": ("clue", "visual", "landmarks"), "mining": {}},
        # Table 5, second line: landmarks place the regions but are no token.
        "embedding": {"rows": ("clue", "visual"), "mining": {}},
        # Table 7: the facial embedding is pooled and set beside the visual one.
        "pool-concat": {"rows": ("clue", "visual"), "mining": {"strategy": "pool_concat"}},
        # Table 5, first line: LLaMA-VID.
        "none": {"rows": ("clue", "visual"), "mining": None},
    }
)
"""Which facial priors the evidence holds; age, gender and race are a matter of the prompt."""

_SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"decoder": "vicuna-7b", "tower": "eva-g", "qformer": {}, "queries": 32, "heads": 8, "face": 256},
        "base": {
            "decoder": "qwen3-0.6b", "tower": "dinov2-s", "qformer": {"num_hidden_layers": 6}, "queries": 32,
            "heads": 6, "face": 256,
        },
        "small": {
            "decoder": "llama-small", "tower": "eva-small", "queries": 32, "heads": 4, "face": 256,
            "qformer": {
                "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 768,
                "vocab_size": 2048,
            },
        },
        "tiny": {
            "decoder": "llama-tiny", "tower": "eva-tiny", "queries": 3, "heads": 2, "face": 8,
            "qformer": {
                "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
                "vocab_size": 300, "max_position_embeddings": 64,
            },
        },
    }
)  # fmt: skip


def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    priors: str = "all",
    generation: str = "paper",
    residual: bool = True,
    decoder: str | None = None,
    tower: str | None = None,
) -> FacialLMConfig:
    """The composite's configuration; the evidence takes what `FacialClues` takes, by name.

    Args:
        scale: one of `mien.models.backbones.SCALES`.
        vocabulary: of the tokenizer, where it is not the decoder's own.
        priors: one of `PRIORS`.
        generation: Eq. 2 as printed (``"paper"``) or as in ``"llama-vid"``.
        residual: see `FaceInfoMining`.
        decoder: another decoder: a name in `mien.models.backbones`, a folder or a hub id.
        tower: another vision tower, likewise.

    Raises:
        BadConfig: unknown scale or priors.
    """
    shape, chosen = at_scale(_SCALES, scale), at_scale(PRIORS, priors)
    qformer = dict(shape["qformer"])
    if vocabulary is not None and "vocab_size" in qformer:
        # Where it is no published Q-Former, its instruction is in the decoder's tokens.
        qformer["vocab_size"] = vocabulary
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    mining = chosen["mining"]
    clue = {
        "qformer": qformer,
        "queries": shape["queries"],
        "keys": "visual" if mining is None else "joint",
        "generation": generation,
    }
    encoder: dict[str, Any] = {
        "type": "facial-clues",
        "tower": tower_fields(tower or shape["tower"]),
        "decoder_width": text["hidden_size"],
        "face_width": shape["face"],
        "clue": clue,
        "mining": None if mining is None else {"heads": shape["heads"], "residual": residual, **mining},
        "rows": list(chosen["rows"]),
    }
    evidence = {
        "image": {
            "encoder": encoder,
            "width": text["hidden_size"],
            "rows": len(chosen["rows"]),
            "projector": {"type": "identity"},
            "token_id": -200,
        }
    }
    return FacialLMConfig(text_config=text, evidence=evidence)


def category_question(labels: Sequence[str], video: bool = False) -> str:
    """The category question with its list of options."""
    where, listed = "video" if video else "image", ", ".join(labels)
    return (
        f"What is the facial expression of the person in the {where}? Choose one from the following options: "
        f"{{{listed}}}."
    )


def ask(
    question: str | None = None,
    frames: int = 1,
    agr: str | None = None,
    description: str | None = None,
    guard: bool = False,
) -> str:
    """The user's first turn: frames, line break, question, and what else is told.

    Args:
        question: the image category question by default.
        frames: number of frames; each becomes its own rows, in order.
        agr: age, gender and race in words, such as ``"age 20-29, female, Asian"``; the form is not published.
        description: text about the clip (Table 8); its place is not published: before the question.
        guard: add `GUARD`.

    Raises:
        BadConfig: fewer than one frame.
    """
    if frames < 1:
        raise BadConfig(got=f"{frames} frames", expected="at least one", fix="Pass the number of frames")
    lines = [description, question or category_question(LABELS["image"]), agr and AGR_PROMPT + agr]
    said = "\n".join(line for line in lines if line)
    return "<image>" * frames + "\n" + said + (f" {GUARD}" if guard else "")


def read(text: str, task: str = "image") -> Answer:
    """The one word of a label list that an answer chooses; ``task`` names the list in `LABELS`.

    After "My choice is:" only the next word counts.

    Raises:
        BadConfig: unknown list.
    """
    labels = at_scale(LABELS, task)
    body = re.split(r"my choice is:\s*", text, maxsplit=1, flags=re.IGNORECASE)[-1].lower()
    if body != text.lower():
        body = (re.findall(r"[a-z]+", body) or [""])[0]
    found = [label for label in labels if re.search(rf"\b{label}\b", body)]
    if len(found) == 1:
        return Answer(text, "parsed", labels=Labels(emotion=found[0]))
    return Answer(
        text, "unparsed", f"several labels: {', '.join(found)}" if found else "no label of the list"
    )


def labels(options: Mapping[str, Any]) -> LabelTask:
    """The category question with the list ``labels`` of `LABELS`, the image list by default.

    Raises:
        BadConfig: unknown list.
    """
    listed = at_scale(LABELS, str(options.get("labels", "image")))
    return LabelTask(ask(category_question(listed)), {label: label for label in listed})


_LORA = Lora((r"model\.language_model\.layers\.\d+\..*_proj",), rank=128, alpha=256)
_ENCODER = "model.encoders.image."


def _stage(*parts: str) -> Stage:
    return Stage(
        tuple(_ENCODER + part for part in (*parts, "aggregator.", "projectors.")),
        2e-4,
        128,
        1,
        lora=_LORA,
        warmup=0.03,
        data="category and conversation instructions, category items resampled by label",
    )


SYSTEM = System(
    name="emo-llama",
    configure=configure,
    template=TEMPLATES["v1"],
    placeholders={"<image>": "image"},
    stages={"paper": _stage("mining."), "llama-vid": _stage()},
    generation=Generation(max_new_tokens=512, do_sample=True, temperature=0.2, top_p=0.7),
    ask=ask,
    read=read,
    wrap=lambda question, options: ask(question),
    labels=labels,
    weights={"decoder": WEIGHTS["vicuna-7b"], "image": WEIGHTS["eva-g"]},
    base_weights={"decoder": WEIGHTS["qwen3-0.6b"], "image": WEIGHTS["dinov2-s"]},
)
"""Stage ``llama-vid`` goes with ``priors="none"``, which has no mining module."""
