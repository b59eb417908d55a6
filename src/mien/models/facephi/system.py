"""FacePhi: 478 landmarks through PointMLP as one token of Phi-2, answering with a sentence that names an emotion.

The encoder is first aligned with text by contrast (stage ``align``); the paper's ablation trains it as a classifier
instead (stage ``classify``), or not at all. No code was published: what the paper leaves open is an option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import Answer, Labels, Turn
from mien.models.composite.backbones import WEIGHTS, at_scale, decoder_fields
from mien.models.composite.checks import checks_options
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import Template
from mien.models.composite.systems import Generation, LabelTask, Stage, System
from mien.models.formats.layouts import LAYOUTS

__all__ = [
    "ANSWERS",
    "QUESTIONS",
    "SYSTEM",
    "alignment_text",
    "ask",
    "configure",
    "dialogue",
    "labels",
    "read",
]

PLACEHOLDER = "[LM PAD]"
LANDMARKS = 478

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

_SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"decoder": "phi-2", "encoder": {"variant": "pointmlp", "points": 1024}, "width": 256},
        "base": {
            "decoder": "smollm2-135m",
            "encoder": {"variant": "pointmlp", "points": LANDMARKS},
            "width": 256,
        },
        "small": {"decoder": "phi-small", "encoder": {"variant": "elite", "points": LANDMARKS}, "width": 256},
        "tiny": {
            "decoder": "phi-tiny",
            "encoder": {"variant": "tiny", "points": 64, "neighbors": 8},
            "width": 16,
        },
    }
)


@checks_options("facephi")
def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    projector: str = "mlp2x_gelu",
    normalization: str = "minmax_global",
    points: int | None = None,
    decoder: str | None = None,
) -> FacialLMConfig:
    """The composite's configuration.

    Args:
        scale: one of `mien.models.composite.backbones.SCALES`.
        vocabulary: of the tokenizer, where it is not the decoder's own.
        projector: the text says MLP-based, Figure 1 linear.
        normalization: the paper says that coordinates span -1..1; see `normalize_points`.
        points: PointMLP's 1024 by default; 478 gives 239, 119, 59 and 29 anchors.
        decoder: another decoder: a name in `mien.models.composite.backbones`, a folder or a hub id.

    Raises:
        BadConfig: unknown scale or option.
    """
    shape = at_scale(_SCALES, scale)
    encoder = {"type": "pointmlp", **shape["encoder"], "normalization": normalization, "cloud": LANDMARKS}
    if points is not None:
        encoder["points"] = points
    evidence = {
        "landmarks": {
            "encoder": encoder,
            "width": shape["width"],
            "rows": 1,
            "projector": {"type": projector},
            "token_id": -200,
        }
    }
    text = decoder_fields(decoder or shape["decoder"], vocabulary)
    return FacialLMConfig(text_config=text, evidence=evidence)


def _pick(templates: tuple[str, ...], index: object, kind: str) -> str:
    if not isinstance(index, int) or not 0 <= index < len(templates):
        raise BadConfig(
            got=f"{kind} {index!r}", expected=f"an index 0..{len(templates) - 1}", fix="Choose one of these"
        )
    return templates[index]


def ask(question: int = 0) -> str:
    """The user's turn with question ``question`` of `QUESTIONS`.

    Raises:
        BadConfig: no such question.
    """
    return f"{PLACEHOLDER} {_pick(QUESTIONS, question, 'question')}"


def dialogue(label: str, question: int = 0, answer: int = 0) -> tuple[Turn, Turn]:
    """One training item: a question and an answer that names the label.

    Raises:
        BadConfig: no such question, answer or emotion.
    """
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


def _encoder_stage(objective: Literal["contrastive", "classification"]) -> Stage:
    """The paper gives rate, batch and epochs; the rest is ULIP's, which it follows (ULIP warms up for one epoch)."""
    return Stage(
        ("model.encoders.landmarks.",),
        2e-5,
        64,
        20,
        objective=objective,
        warmup=0.05,
        weight_decay=0.1,
        betas=(0.9, 0.98),
        last_rate=1e-5,
        precision="fp16",
    )


SYSTEM = System(
    name="facephi",
    configure=configure,
    # For Phi-2 the start and the end token are one.
    template=Template(
        system="<|endoftext|>Below is a conversation between a curious user and an AI agent. The assistant gives "
        "helpful, detailed, and polite answers to the user's questions, ",
        user="Users: ",
        assistant=" AI: ",
        end="<|endoftext|>",
    ),
    placeholders={PLACEHOLDER: "landmarks"},
    stages={
        "align": _encoder_stage("contrastive"),
        # The classifier's own figures are not published; these are those of the alignment.
        "classify": _encoder_stage("classification"),
        "stage1": Stage(("model.projectors.landmarks.",), 2.5e-3, 48, 3, schedule=None, precision="fp16"),
        # The state of the encoder is not said; PointLLM, which this follows, keeps it frozen.
        "stage2": Stage(
            ("model.projectors.landmarks.", "model.language_model.", "lm_head."),
            2.5e-5,
            32,
            3,
            schedule=None,
            precision="fp16",
        ),
    },
    generation=Generation(max_new_tokens=64),
    ask=ask,
    read=read,
    wrap=lambda question, options: f"{PLACEHOLDER} {question}",
    labels=labels,
    padding="left",
    special_tokens=False,
    weights={"decoder": WEIGHTS["phi-2"], "landmarks": LAYOUTS["ulip-pointmlp"].published},
    base_weights={"decoder": WEIGHTS["smollm2-135m"]},
)
