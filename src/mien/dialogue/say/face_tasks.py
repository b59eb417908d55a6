"""ExpLLM's face tasks beside the expression: box, five landmarks, head pose, demographics, 40 attributes.

Questions are verbatim those of the released first stage. Boxes, landmarks and angles are written with four decimals:
``[0.1250, 0.2000, 0.5000, 0.6125]``; codes and attributes as whole numbers. Box and landmarks are shares of the square
that the model sees, so they may lie a little outside 0..1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from mien.core.errors import BadConfig, require_known
from mien.core.nouns import FaceFacts

__all__ = ["CELEBA_ATTRIBUTES", "QUESTIONS", "read_facts", "say_facts"]

CELEBA_ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip
"""Names in the order in which CelebA lists them."""

QUESTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bbox": (
            "Face detection aims to automatically identify and locate human faces within digital "
            "images. It returns the bounding box of the face in the image, which includes the "
            "left-top coordiante, box width and box height. The bounding box coordinates ranges from "
            "0 to 1, normalized relative to the image size. The output argument form is defined as "
            "follows: [x, y, width, height]",
            "Where is the face located in the image? Please provide the top-left coordinate, width, "
            "and height of the bounding box.",
        ),
        "attributes": (
            "Face attribute recognition identifies various attributes of human faces in digital "
            "images. It outputs an array of 40 attributes for the given face. Each attribute is "
            "represented as a binary value (0 or 1), indicating the presence or absence of each "
            f"attribute. The output format is defined as follows: [{', '.join(CELEBA_ATTRIBUTES)}]",
            "What facial attributes are present in the image? Please provide the binary values for "
            "each of the 40 attributes.",
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
        "headpose": (
            "Head pose estimation aims to determine the orientation of a person's head in a given "
            "image. It provides three key angles (yaw, pitch and roll) that represent the head "
            "rotation along different axes. The output is an array containing these angles, which "
            "are typically expressed in degrees. The output format is defined as follows: [yaw, "
            "pitch, roll]",
            "What is the head pose of the person in the image? Please provide the yaw, pitch and "
            "roll degrees.",
        ),
    }
)
"""Task -> description and question, in the order in which the released loader asks them."""


def say_facts(facts: FaceFacts, task: str) -> str | None:
    """The answer of a task; None where the face lacks what is asked.

    Raises:
        BadConfig: unknown task, or box or points in px.
    """
    require_known(task, QUESTIONS, "task")
    if task in ("bbox", "landmark") and facts.unit != "share" and (facts.box or facts.points):
        raise BadConfig(
            got=f"facts in {facts.unit} for the task {task!r}",
            expected="shares of the square that the model sees",
            fix="Place them with mien.train.data.face_facts.seen_facts",
        )
    if task == "landmark":
        pairs = facts.points
        return None if pairs is None else f"[{', '.join(_decimals(pair) for pair in pairs)}]"
    if task in ("bbox", "headpose"):
        values = facts.box if task == "bbox" else facts.pose
        return None if values is None else _decimals(values)
    codes = facts.demographics if task == "demographics" else facts.attributes
    return None if codes is None else f"[{', '.join(str(int(code)) for code in codes)}]"


def _decimals(values: Iterable[float]) -> str:
    return f"[{', '.join(f'{value:.4f}' for value in values)}]"


_NUMBER = r"-?[0-9]{1,6}(?:\.[0-9]{1,9})?"


def _list(one: str, count: int) -> str:
    return rf"\[\s*{one}(?:\s*,\s*{one}){{{count - 1}}}\s*\]"


_SHAPES: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType(
    {
        task: (re.compile(pattern), words)
        for task, pattern, words in (
            ("bbox", _list(_NUMBER, 4), "a list of four numbers"),
            ("attributes", _list("[01]", 40), "a list of forty 0 or 1"),
            ("landmark", _list(_list(_NUMBER, 2), 5), "a list of five pairs of numbers"),
            (
                "demographics",
                r"\[\s*[0-8]\s*,\s*[01]\s*,\s*[0-4]\s*\]",
                "a list of age 0-8, gender 0-1, race 0-4",
            ),
            ("headpose", _list(_NUMBER, 3), "a list of three numbers"),
        )
    }
)


def read_facts(text: str, task: str) -> FaceFacts | str:
    """What an answer says, in shares of the square; or why it says nothing.

    The whole answer has to be the list that the question asks for: a number more or less, or words around it, is no
    answer.
    """
    require_known(task, QUESTIONS, "task")
    shape, words = _SHAPES[task]
    if not shape.fullmatch(text.strip()):
        return f"not {words}"
    return _facts(task, [float(one) for one in re.findall(_NUMBER, text)])


def _facts(task: str, values: Sequence[float]) -> FaceFacts:
    if task == "bbox":
        left, top, width, height = values
        return FaceFacts(box=(left, top, width, height), unit="share")
    if task == "landmark":
        return FaceFacts(points=tuple(zip(values[::2], values[1::2], strict=True)), unit="share")
    if task == "headpose":
        yaw, pitch, roll = values
        return FaceFacts(pose=(yaw, pitch, roll), unit="share")
    if task == "demographics":
        age, gender, race = map(int, values)
        return FaceFacts(demographics=(age, gender, race), unit="share")
    return FaceFacts(attributes=tuple(value == 1.0 for value in values), unit="share")
