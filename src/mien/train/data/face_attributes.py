"""Age, gender and race of a recipe's faces as FaceXFormer sees them, for EMO-LLaMA's prompts."""

from __future__ import annotations

from dataclasses import replace

from mien.dialogue.say.attributes import read_attributes
from mien.models.composite.evidence_inputs import Inputs, expert_words
from mien.train.data.faces import Faces
from mien.train.processes import in_shares

__all__ = ["with_attributes"]

_BATCH = 16


def with_attributes(faces: Faces, inputs: Inputs) -> Faces:
    """The faces with what the expert says of them; of a clip the middle frame is read.

    They are guesses from one picture, and never a data set's group labels, which serve audits only.
    """
    said = in_shares(
        range(len(faces)),
        _BATCH,
        lambda rows: expert_words(inputs, [faces.evidence(faces.centre(row)) for row in rows]),
    )
    return replace(faces, attributes=tuple(map(read_attributes, said)))
