"""From faces to the tensors that a system's encoders read; training and inference prepare evidence here alone.

The published systems lean on nets that mien does not ship: InsightFace's 106 points (EmoLA's prior), FaceXFormer
(EMO-LLaMA's facial rows) and BERT's words (its Q-Former). `Inputs` names them; they are opened from the user's files
(`mien.models.composite.experts`). At the scales that train from scratch our own mesh, plain gradient histograms
and the decoder's tokens stand in for them, by name too: nothing is swapped silently.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from mien.core.errors import BadConfig, BadInput, require_range
from mien.core.nouns import CropTransform, Evidence, FloatArray, Image
from mien.core.objects import read_object
from mien.core.registry import require_trusted
from mien.face.geometry import aligned_landmarks
from mien.layers.vision_tower import SQUARES, prepare_pixels
from mien.models.composite.encoders import encoder_class
from mien.models.composite.experts import (
    EXPERTS,
    EXPERTS_FOLDER,
    open_face_expert,
    require_experts,
    write_experts,
)
from mien.models.composite.facial_lm import EvidenceInput, FacialLMConfig
from mien.models.registry import PREPARED, open_system

__all__ = ["Inputs", "box_of", "bring_experts", "crop_of", "evidence_inputs", "expert_words", "inherited_inputs",
           "mesh_of", "needed_experts", "pixels_of", "placed", "published_inputs", "reads_face"]  # fmt: skip


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
    """EmoLA's 212 numbers. ``"mesh106"``: x and y of `MESH106` in -1..1 of the crop; ``"insightface"``: InsightFace's
    net on the face's square; ``"insightface-emola"``: the same net fed as EmoLA's released code does."""
    face_rows: str = "gradients"
    """EMO-LLaMA's facial rows. ``"gradients"``: `gradient_rows`, with landmarks of the mesh; ``"facexformer"``: rows
    and landmarks of FaceXFormer on the crop; ``"facexformer-last"``: the rows of its backbone's last stage."""
    face_map: int = 8
    """Side n of the gradient map that gives n² facial rows."""
    instruction: str = "decoder"
    """Words in which a Q-Former reads the question: ``"decoder"``: the decoder's tokens; ``"bert"``: BERT's."""
    attributes: str = "none"
    """What EMO-LLaMA's prompt tells of age, gender and race: ``"none"``, or ``"facexformer"``: `expert_words`."""
    experts: str = EXPERTS_FOLDER
    """Folder of the outside nets, with the file names of `mien.models.composite.experts.EXPERTS`; in ``mien.json``
    relative to the model's folder."""

    def __post_init__(self) -> None:
        wrong = [
            f"{name}={getattr(self, name)!r}"
            for name, known in _CHOICES.items()
            if getattr(self, name) not in known
        ]
        for name, least in (("crop_size", 8), ("image_size", 8), ("face_map", 1)):
            require_range(getattr(self, name), f"inputs.{name}", least, 4096, whole=True)
        if wrong:
            choices = ", ".join(f"{name} {' or '.join(map(repr, known))}" for name, known in _CHOICES.items())
            raise BadConfig(
                got=f"inputs {', '.join(wrong)}",
                expected=choices,
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

    @classmethod
    def of_card(cls, card: Mapping[str, Any], folder: Path) -> Inputs:
        """As the ``mien.json`` of a model folder says; an imported model that names no nets has its published ones.

        Raises:
            BadConfig: an unknown field or value.
        """
        require_trusted(str(card.get("system")), "mien.systems", "system")
        published = open_system(card["system"]).published_inputs if "imported" in card else {}
        made = cls.of({**published, **card.get("inputs", {})})
        return replace(made, experts=str(folder / made.experts))


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "square": SQUARES,
    "landmarks": ("points", "aligned"),
    "prior": ("mesh106", "insightface", "insightface-emola"),
    "face_rows": ("gradients", "facexformer", "facexformer-last"),
    "instruction": ("decoder", "bert"),
    "attributes": ("none", "facexformer"),
}


def published_inputs(system: str, config: FacialLMConfig) -> dict[str, str]:
    """Fields of `Inputs` for a system's published weights: padding, and the outside nets that they read."""
    known = open_system(system).published_inputs
    return {name: value for name, value in known.items() if name != "prior" or name in config.evidence}


def inherited_inputs(place: str | Path | None) -> dict[str, Any]:
    """What training on from a model folder has to feed it: the outside nets that its ``mien.json`` names.

    Args:
        place: a model folder, a run's folder that holds one as ``model``, or anything else, which gives nothing.
    """
    for folder in () if place is None else (Path(place) / "model", Path(place)):
        if (folder / "mien.json").is_file():
            card = read_object(folder / "mien.json", "the description of a model")
            known = Inputs.of_card(card, folder)
            return {name: getattr(known, name) for name in (*_CHOICES, "experts") if name != "landmarks"}
    return {}


def needed_experts(config: FacialLMConfig, inputs: Inputs) -> tuple[str, ...]:
    """Keys of `mien.models.composite.experts.EXPERTS` that this model reads."""
    names = []
    for name, entry in config.evidence.items():
        encoder = entry["encoder"]
        if encoder["type"] == "facial-clues":
            rows = inputs.face_rows != "gradients" and reads_face(encoder)
            names += ["face"] if rows or inputs.attributes == "facexformer" else []
            names += ["instruction"] if inputs.instruction == "bert" else []
        elif name == "prior":
            names += [] if inputs.prior == "mesh106" else ["landmarks"]
    return tuple(names)


def bring_experts(config: FacialLMConfig, inputs: Inputs, folder: Path) -> Inputs:
    """Copy the nets that a model reads into its folder; the inputs that say so.

    Raises:
        MissingWeights: one is absent or is not what it should be.
    """
    names = needed_experts(config, inputs)
    require_experts(names, inputs.experts)
    write_experts(
        {name: Path(inputs.experts) / EXPERTS[name].file for name in names}, folder / EXPERTS_FOLDER
    )
    return replace(inputs, experts=EXPERTS_FOLDER)


def evidence_inputs(
    config: FacialLMConfig,
    inputs: Inputs,
    batch: Sequence[Evidence],
    instructions: Sequence[str] | None = None,
    tokenizer: Tokenizer | None = None,
    names: Collection[str] | None = None,
) -> dict[str, EvidenceInput]:
    """What `FacialLM` reads of N faces: evidence name -> N items.

    An encoder with a static method ``prepare(entry, inputs, batch)`` says itself what it reads of the faces.

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
        MissingWeights: an outside net that the inputs name is absent.
    """
    made: dict[str, EvidenceInput] = {}
    for name, entry in config.evidence.items():
        if names is not None and name not in names:
            continue
        kind = entry["encoder"]["type"]
        own = getattr(encoder_class(kind), "prepare", None)
        place = PREPARED.get(kind) or (PREPARED.get(name) if kind == "cached" else None)
        if own is not None:
            made[name] = own(entry, inputs, batch)
        elif place is not None:
            module, _, function = place.partition(":")
            prepare = getattr(import_module(module), function)
            made[name] = prepare(entry, inputs, batch, instructions, tokenizer)
        elif kind in ("pointmlp", "point-groups"):
            made[name] = torch.from_numpy(np.stack([_points(inputs, one) for one in batch]))
        elif name == "image":
            made[name] = pixels_of(inputs, batch)
        else:
            raise BadConfig(
                got=f"evidence {name!r} of type {kind!r}",
                expected="an image, landmarks for PointMLP, a prior or facial clues",
                fix="Give its encoder a static method prepare(entry, inputs, batch), or call the model directly",
            )
    return made


def crop_of(evidence: Evidence) -> Image:
    """The pixels of a face.

    Raises:
        BadInput: it has none.
    """
    if evidence.crop is None:
        raise BadInput(
            got="a face without pixels",
            expected="a crop: this system reads the picture",
            fix="Leave landmarks-only mode off, or use a system of landmarks (facephi)",
        )
    return evidence.crop


def mesh_of(evidence: Evidence) -> FloatArray:
    """(478, 3) px.

    Raises:
        BadInput: a face without landmarks, or with some that are no numbers.
    """
    if evidence.face.landmarks is None:
        raise BadInput(
            got="a face without landmarks",
            expected="the 478 points of the mesh: this system reads them",
            fix="Use a more frontal or larger picture, or a system that reads pixels alone",
        )
    mesh = evidence.face.landmarks
    if not np.isfinite(mesh).all():
        raise BadInput(
            got=f"landmarks with {np.count_nonzero(~np.isfinite(mesh))} values that are not finite",
            expected="numbers: x, y, z in px of each point",
            fix="Leave this face out, or find its landmarks again",
        )
    return mesh


def pixels_of(inputs: Inputs, batch: Sequence[Evidence]) -> Tensor:
    """(N, 3, image_size, image_size) as a tower reads them."""
    crops = [crop_of(one) for one in batch]
    if inputs.grey:
        weights = np.asarray([0.299, 0.587, 0.114], np.float32)
        crops = [np.repeat((crop @ weights + 0.5).astype(np.uint8)[..., None], 3, axis=2) for crop in crops]
    return prepare_pixels(crops, inputs.image_size, inputs.norm, inputs.square)


def _points(inputs: Inputs, evidence: Evidence) -> FloatArray:
    mesh = mesh_of(evidence)
    return (aligned_landmarks(mesh) if inputs.landmarks == "aligned" else mesh).astype(np.float32)


def placed(evidence: Evidence, points: Sequence[int]) -> FloatArray:
    """(len(points), 2) x and y in -1..1 of the crop."""
    mesh, transform = mesh_of(evidence)[list(points), :2], _transform(evidence)
    return (2.0 * transform.place(mesh) / transform.size - 1.0).astype(np.float32)


def _transform(evidence: Evidence) -> CropTransform:
    if evidence.face.crop is None:
        raise BadInput(
            got="a face without a crop",
            expected="the transform of its canonical crop",
            fix="Cut it with mien.face.crop.canonical_crop",
        )
    return evidence.face.crop


def box_of(evidence: Evidence) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the face in px of its crop: around the mesh, else what the box became.

    The mesh comes first, as the box of a given crop is the whole picture.
    """
    transform, face = _transform(evidence), evidence.face
    left, top, right, bottom = (float(edge) for edge in face.box)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    points = corners if face.landmarks is None else mesh_of(evidence)[:, :2]
    scale = crop_of(evidence).shape[0] / transform.size
    placed = scale * transform.place(points)
    low, high = placed.min(axis=0), placed.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def expert_words(inputs: Inputs, batch: Sequence[Evidence]) -> tuple[str, ...]:
    """Age, gender and race of N faces as FaceXFormer sees them, such as ``"age 20-29, gender female, race Asian"``.

    For ``agr=`` of EMO-LLaMA's prompt. They are guesses from one picture and say nothing of a person.

    Raises:
        BadInput: a face without pixels.
        MissingWeights: FaceXFormer is absent.
    """
    return (
        open_face_expert(Path(inputs.experts) / EXPERTS["face"].file)
        .read([crop_of(one) for one in batch])
        .words
    )


def reads_face(encoder: Mapping[str, Any]) -> bool:
    """Whether facial clues of this configuration look at the face itself, for regions or for landmarks."""
    return encoder["mining"] is not None or "landmarks" in encoder["rows"]
