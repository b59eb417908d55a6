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
from mien.core.nouns import Answer, Explanation, Labels, Turn
from mien.dialogue.cot import Unparsed, read_explanation
from mien.models.backbones import WEIGHTS
from mien.models.facial_lm import FacialLMConfig
from mien.models.locllm import DECODER_TARGET, PROJECTOR, TOWER_TARGET, compose
from mien.models.processing import Template
from mien.models.systems import Generation, LabelTask, Lora, Stage, System

__all__ = ["MIX", "ORDERS", "SYSTEM", "TASKS", "ask", "configure", "dialogue", "read"]

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
        "bbox": (
            "Face detection aims to automatically identify and locate human faces within digital "
            "images. It returns the bounding box of the face in the image, which includes the "
            "left-top coordiante, box width and box height. The bounding box coordinates ranges from "
            "0 to 1, normalized relative to the image size. The output argument form is defined as "
            "follows: [x, y, width, height]",
            "Where is the face located in the image? Please provide the top-left coordinate, width, "
            "and height of the bounding box.",
        ),
        "landmark": (
            "Facial landmark detection aims to automatically identify and locate five key facial "
            "points: the left eye, right eye, nose, left mouth corner, and right mouth corner. The "
            "output is an array of coordinates for each keypoint, ranging from 0 to 1. Each "
            "keypoint's coordinates are given as normalized (x, y) values. The output format is "
            "defined as follows: [[left_eye_x, left_eye_y], [right_eye_x, right_eye_y], [nose_x, "
            "nose_y], [left_mouth_x, left_mouth_y], [right_mouth_x, right_mouth_y]]",
            "Where are the facial landmarks located in the image? Please provide the coordinates for "
            "the left eye, right eye, nose, left mouth corner, and right mouth corner.",
        ),
        "headpose": (
            "Head pose estimation aims to determine the orientation of a person's head in a given "
            "image. It provides three key angles (yaw, pitch and roll) that represent the head "
            "rotation along different axes. The output is an array containing these angles, which "
            "are typically expressed in degrees. The output format is defined as follows: [yaw, "
            "pitch, roll]",
            "What is the head pose of the person in the image? Please provide the yaw, pitch and "
            "roll degrees.",
        ),
        "demographics": (
            "Demographic recognition involves estimating the age, gender, and race of a person in a "
            "given image. The output is an array containing the classification results for each "
            "category: age, gender, and race. The age value is an integer from 0 to 8, representing "
            "the following age groups: 0: 0-2 years, 1: 3-9 years, 2: 10-19 years, 3: 20-29 years, "
            "4: 30-39 years, 5: 40-49 years, 6: 50-59 years, 7: 60-69 years, 8: 70+ years. Gender is "
            "binary, with 1 indicating male and 0 indicating female. Race: The race value is an "
            "integer from 0 to 4, corresponding to the following categories: 0: White, 1: Black, 2: "
            "Asian, 3: Indian, 4: Others (including Hispanic, Latino, Middle Eastern). The output "
            "format is defined as follows: [age, gender, race]",
            "What are the age, gender, and race of the person in the image? Please provide the age, "
            "gender, and race values.",
        ),
        "attributes": (
            "Face attribute recognition identifies various attributes of human faces in digital "
            "images. It outputs an array of 40 attributes for the given face. Each attribute is "
            "represented as a binary value (0 or 1), indicating the presence or absence of each "
            "attribute. The output format is defined as follows: [5_o_Clock_Shadow, Arched_Eyebrows, "
            "Attractive, Bags_Under_Eyes, Bald, Bangs, Big_Lips, Big_Nose, Black_Hair, Blond_Hair, "
            "Blurry, Brown_Hair, Bushy_Eyebrows, Chubby, Double_Chin, Eyeglasses, Goatee, Gray_Hair, "
            "Heavy_Makeup, High_Cheekbones, Male, Mouth_Slightly_Open, Mustache, Narrow_Eyes, "
            "No_Beard, Oval_Face, Pale_Skin, Pointy_Nose, Receding_Hairline, Rosy_Cheeks, Sideburns, "
            "Smiling, Straight_Hair, Wavy_Hair, Wearing_Earrings, Wearing_Hat, Wearing_Lipstick, "
            "Wearing_Necklace, Wearing_Necktie, Young]",
            "What facial attributes are present in the image? Please provide the binary values for "
            "each of the 40 attributes.",
        ),
    }
)
"""Task -> description and question, verbatim; the tasks after ``cot`` are those of the released first stage."""

ORDERS: tuple[str, ...] = ("cot-first", "label-first", "random")
"""Order of the turns of an item with a chain of thought: ``cot-first`` is the paper's and the code's for RAF-DB,
``random`` the code's for AffectNet, ``label-first`` that of inference."""
MIX = (3, 1)
"""Passes over label items and over items with a chain of thought: 0.75 to 0.25, the best of Table IV."""


def configure(
    scale: str,
    vocabulary: int | None = None,
    *,
    projector: str = "mlp2x_gelu",
    decoder: str | None = None,
    tower: str | None = None,
    image_size: int | None = None,
) -> FacialLMConfig:
    """The composite's configuration; the other arguments are those of `mien.models.locllm.compose`.

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
    if label not in EMOTIONS or order not in ORDERS or (order == "random" and rng is None):
        raise BadConfig(
            got=f"label {label!r}, order {order!r}",
            expected=f"an emotion of {', '.join(EMOTIONS)}; an order of {', '.join(ORDERS)}, 'random' with rng",
            fix="Correct the argument",
        )
    pairs = [(ask("label"), label.capitalize())]
    if chain_of_thought is not None:
        first = order == "cot-first" or (rng is not None and order == "random" and rng.random() < 0.5)
        pairs.insert(0 if first else 1, (ask("cot"), chain_of_thought))
    return tuple(turn for asked, said in pairs for turn in (Turn("user", asked), Turn("assistant", said)))


def read(text: str, task: str = "label") -> Answer:
    """A label, or a chain of thought with the label that its conclusion gives.

    A label is matched as the released evaluation does: the whole answer, case-sensitive; any other text is
    unparsed.

    Raises:
        BadConfig: another task than ``"label"`` or ``"cot"``.
    """
    if task == "label":
        names = {label.capitalize(): label for label in EMOTIONS}
        if text.strip() in names:
            return Answer(text, "parsed", labels=Labels(emotion=names[text.strip()]))
        return Answer(text, "unparsed", "not one of the eight labels")
    if task != "cot":
        raise BadConfig(got=f"task {task!r}", expected="'label' or 'cot'", fix="Choose one of these")
    explanation: Explanation | Unparsed = read_explanation(text)
    if isinstance(explanation, Unparsed):
        return Answer(text, "unparsed", explanation.reason)
    return Answer(text, "parsed", labels=Labels(chain_of_thought=explanation.text))


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
        "stage1": Stage(PROJECTOR, 5e-3, 256, 1, warmup=500, data="CC3M captions"),
        "stage2-rafdb": _tuning(60, "RAF-DB, labels and chains of thought", 20_000),
        "stage2-affectnet": _tuning(40, "AffectNet, labels and chains of thought", 20_000),
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
