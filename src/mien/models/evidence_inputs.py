"""From faces to the tensors that a system's encoders read; training and inference prepare evidence here alone.

The published systems lean on nets that mien does not ship: InsightFace's 106 points (EmoLA's prior) and FaceXFormer
(EMO-LLaMA's facial rows). At the scales that train from scratch our own mesh and plain gradient histograms stand in
for them, by name: see `Inputs`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Evidence, FloatArray, Image
from mien.face.geometry import aligned_landmarks
from mien.face.topology import (
    DLIB68,
    FACE_OVAL,
    LEFT_BROW,
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    NOSE_RIDGE,
    RIGHT_BROW,
    RIGHT_EYE,
)
from mien.layers.vision_tower import prepare_pixels
from mien.models.facial_lm import EvidenceInput, FacialLMConfig

__all__ = ["MESH106", "Inputs", "evidence_inputs", "gradient_rows", "instruction_inputs"]

MESH106: tuple[int, ...] = (
    *FACE_OVAL, *LEFT_BROW[::2], *RIGHT_BROW[::2], *LEFT_EYE[::2], *RIGHT_EYE[::2], *NOSE_RIDGE, *LIPS_OUTER,
    *LIPS_INNER[::2], 468, 473, 98, 327,
)  # fmt: skip
"""106 points of the mesh that outline what InsightFace's 106 outline; the order is our own."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """How a face becomes tensors; stored with the weights, as a model reads what it was trained on."""

    crop_size: int = 224
    """Side in px of the canonical crop that is asked for."""
    image_size: int = 224
    """Side in px of what the tower reads."""
    norm: str = "clip"
    """See `mien.layers.vision_tower.NORMS`."""
    square: str = "pad"
    """See `prepare_pixels`."""
    grey: bool = False
    """Take the colour out first (models trained on grey faces)."""
    landmarks: str = "points"
    """``"points"``: the mesh as found, px; ``"aligned"``: freed of head pose by the front-end."""
    prior: str = "mesh106"
    """``"mesh106"``: x and y of `MESH106` in -1..1 of the crop, 212 numbers, instead of InsightFace's net."""
    face_map: int = 8
    """Side n of the gradient map that gives n² facial rows, instead of FaceXFormer's 56² map."""

    def __post_init__(self) -> None:
        wrong = [
            f"{name}={value!r}"
            for name, value, known in (
                ("landmarks", self.landmarks, ("points", "aligned")),
                ("prior", self.prior, ("mesh106",)),
            )
            if value not in known
        ]
        if wrong or min(self.crop_size, self.image_size) < 8 or self.face_map < 1:
            raise BadConfig(
                got=f"inputs {', '.join(wrong) or asdict(self)}",
                expected="landmarks 'points' or 'aligned', prior 'mesh106', sizes of 8 px or more",
                fix="Correct the entry 'inputs'",
            )

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Inputs:
        """From a mapping, as it stands in a recipe or in ``mien.json``.

        Raises:
            BadConfig: an unknown field or value.
        """
        unknown = sorted(set(fields) - set(cls.__dataclass_fields__))
        if unknown:
            raise BadConfig(
                got=f"inputs {', '.join(unknown)}",
                expected=f"some of {', '.join(cls.__dataclass_fields__)}",
                fix="Remove the others",
            )
        return cls(**fields)


def evidence_inputs(
    config: FacialLMConfig,
    inputs: Inputs,
    batch: Sequence[Evidence],
    instructions: Sequence[str] | None = None,
    tokenizer: Tokenizer | None = None,
    names: Collection[str] | None = None,
) -> dict[str, EvidenceInput]:
    """What `FacialLM` reads of N faces: evidence name -> N items.

    Args:
        config: the composite's; its entries name the evidence.
        inputs: how to prepare it.
        batch: N faces, each with what the entries need: a crop, landmarks, or both.
        instructions: N questions for encoders that read one (EMO-LLaMA).
        tokenizer: of these questions.
        names: of the evidence that is wanted; None for all.

    Raises:
        BadInput: a face without the crop or the landmarks that the system reads, or questions are missing.
        BadConfig: an entry that no face can fill.
    """
    made: dict[str, EvidenceInput] = {}
    for name, entry in config.evidence.items():
        if names is not None and name not in names:
            continue
        kind = entry["encoder"]["type"]
        if kind == "facial-clues":
            made[name] = _frames(entry["encoder"], inputs, batch, instructions, tokenizer)
        elif kind in ("pointmlp", "point-groups"):
            made[name] = torch.from_numpy(np.stack([_points(inputs, one) for one in batch]))
        elif name == "prior":
            made[name] = torch.from_numpy(np.stack([_placed(one, MESH106).ravel() for one in batch]))
        elif name == "image":
            made[name] = _pixels(inputs, batch)
        else:
            raise BadConfig(
                got=f"evidence {name!r} of type {kind!r}",
                expected="an image, landmarks for PointMLP, a prior or facial clues",
                fix="Prepare this evidence yourself and call the model directly",
            )
    return made


def _crop(evidence: Evidence) -> Image:
    if evidence.crop is None:
        raise BadInput(
            got="a face without pixels",
            expected="a crop: this system reads the picture",
            fix="Leave landmarks-only mode off, or use a system of landmarks (facephi)",
        )
    return evidence.crop


def _mesh(evidence: Evidence) -> FloatArray:
    if evidence.face.landmarks is None:
        raise BadInput(
            got="a face without landmarks",
            expected="the 478 points of the mesh: this system reads them",
            fix="Use a more frontal or larger picture, or a system that reads pixels alone",
        )
    return evidence.face.landmarks


def _pixels(inputs: Inputs, batch: Sequence[Evidence]) -> Tensor:
    crops = [_crop(one) for one in batch]
    if inputs.grey:
        weights = np.asarray([0.299, 0.587, 0.114], np.float32)
        crops = [np.repeat((crop @ weights + 0.5).astype(np.uint8)[..., None], 3, axis=2) for crop in crops]
    return prepare_pixels(crops, inputs.image_size, inputs.norm, inputs.square)


def _points(inputs: Inputs, evidence: Evidence) -> FloatArray:
    mesh = _mesh(evidence)
    return (aligned_landmarks(mesh) if inputs.landmarks == "aligned" else mesh).astype(np.float32)


def _placed(evidence: Evidence, points: Sequence[int]) -> FloatArray:
    """(len(points), 2) x and y in -1..1 of the crop."""
    mesh, transform = _mesh(evidence)[list(points), :2], evidence.face.crop
    if transform is None:
        raise BadInput(
            got="a face without a crop",
            expected="the transform of its canonical crop",
            fix="Cut it with mien.face.crop.canonical_crop",
        )
    placed = mesh @ transform.matrix[:, :2].T + transform.matrix[:, 2]
    return (2.0 * placed / transform.size - 1.0).astype(np.float32)


def _frames(
    encoder: Mapping[str, Any],
    inputs: Inputs,
    batch: Sequence[Evidence],
    instructions: Sequence[str] | None,
    tokenizer: Tokenizer | None,
) -> dict[str, Tensor]:
    if instructions is None or tokenizer is None or len(instructions) != len(batch):
        raise BadInput(
            got=f"{len(batch)} frames with {0 if instructions is None else len(instructions)} instructions",
            expected="a question for each, and the tokenizer: the clue depends on what is asked",
            fix="Pass instructions and tokenizer",
        )
    limit = int(encoder["clue"]["qformer"].get("max_position_embeddings", 512))
    frames = {"pixels": _pixels(inputs, batch), **instruction_inputs(instructions, tokenizer, limit)}
    if encoder["mining"] is not None:
        width = int(encoder["face_width"])
        rows = [gradient_rows(_crop(one), inputs.face_map, width) for one in batch]
        frames["face"] = torch.from_numpy(np.stack(rows))
    if encoder["mining"] is not None or "landmarks" in encoder["rows"]:
        frames["landmarks"] = torch.from_numpy(np.stack([_placed(one, DLIB68) for one in batch]))
    return frames


def instruction_inputs(texts: Sequence[str], tokenizer: Tokenizer, limit: int) -> dict[str, Tensor]:
    """``instruction_ids`` and ``instruction_mask`` (N, T); a long question loses its beginning, as in LLaMA-VID."""
    ids = [tokenizer.encode(text, add_special_tokens=False).ids[-min(limit, 256) :] for text in texts]
    longest = max(len(one) for one in ids)
    return {
        "instruction_ids": torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids]),
        "instruction_mask": torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids]),
    }


def gradient_rows(crop: Image, side: int, width: int) -> FloatArray:
    """(S, S, 3) crop -> (side², width) rows: histograms of signed gradient directions per cell (Dalal & Triggs 2005).

    Each row has length 1 up to a small constant, so that contrast weighs little.
    """
    grey = torch.from_numpy(crop.astype(np.float32).mean(axis=2) / 255.0)
    down, across = torch.gradient(grey)
    strength = torch.sqrt(down.square() + across.square())
    place = (torch.atan2(down, across) / (2.0 * torch.pi) % 1.0) * width
    low = place.floor()
    share = place - low
    bins = torch.zeros(width, *grey.shape)
    first = low.long() % width
    bins.scatter_(0, first[None], (strength * (1.0 - share))[None])
    bins.scatter_add_(0, ((first + 1) % width)[None], (strength * share)[None])
    cells = functional.adaptive_avg_pool2d(bins[None], side)[0].flatten(1).t()
    rows: FloatArray = (cells / (cells.norm(dim=1, keepdim=True) + 0.01)).numpy()
    return rows
