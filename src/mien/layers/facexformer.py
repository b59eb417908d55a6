"""FaceXFormer (Narayan et al. 2024), EMO-LLaMA's facial expert: inference of every task from one face crop.

A Swin-B gives maps at four scales; a linear layer each and a 1x1 convolution fuse them to 256 x 56 x 56
(`FaceEncoder`); task tokens read that map (`mien.layers.facexformer_decoder`). Weights:
`mien.models.formats.importers`, format ``facexformer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as pillow
from torch import Tensor, nn
from torch.nn import functional
from transformers import SwinConfig, SwinModel

from mien.core.errors import BadInput, require_known
from mien.layers.facexformer_decoder import FaceDecoder, FacePrediction, FourierPositions
from mien.layers.vision_tower import NORMS

__all__ = [
    "AGES",
    "ATTRIBUTES",
    "FEATURES",
    "GENDERS",
    "RACES",
    "SHAPES",
    "FaceEncoder",
    "FaceEvidence",
    "FacePrediction",
    "FaceXFormer",
    "FaceXFormerShape",
    "describe",
    "prepare_faces",
]

AGES: tuple[str, ...] = ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "over 70")
GENDERS: tuple[str, ...] = ("male", "female")
RACES: tuple[str, ...] = ("White", "Black", "Indian", "Asian", "other race")
"""Class names of the three heads in the order of their logits, from the paper's appendix; the code has none. The order
of `RACES` is not UTKFace's, which has Asian before Indian."""
ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
"""The 40 attributes in CelebA's order, on which the head was trained."""


FEATURES: tuple[str, ...] = ("fused", "last")
"""Facial features: the fused map, 3136 rows of 256 numbers, or the backbone's last stage, 49 rows of 1024."""


@dataclass(frozen=True, slots=True)
class FaceXFormerShape:
    """Sizes of one variant."""

    image: int
    """Side of the crop in px; the map has a quarter of it."""
    embed: int
    """Width of the first stage; each later one doubles it."""
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    width: int
    """Of the fused map and the task tokens."""
    decoder_heads: int
    inner: int


SHAPES: Mapping[str, FaceXFormerShape] = MappingProxyType(
    {
        "base": FaceXFormerShape(224, 128, (2, 2, 18, 2), (4, 8, 16, 32), 7, 256, 8, 2048),
        "tiny": FaceXFormerShape(64, 8, (2, 2, 2, 2), (1, 1, 2, 2), 2, 16, 2, 24),
    }
)
"""Variants; ``base`` is the published one, ``tiny`` what tests build."""


def prepare_faces(crops: Sequence[NDArray[np.uint8]], size: int = 224) -> Tensor:
    """(H, W, 3) uint8 RGB face crops -> (N, 3, size, size), as the released inference does it.

    Both axes are scaled to ``size`` (bicubic with antialiasing on 8-bit values), whatever the crop's shape, and
    normalised by ImageNet's mean and deviation. Crops: `mien.face.mtcnn_crop`.

    Raises:
        BadInput: no crop, or one of another shape or type.
    """
    if not crops or any(
        crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8 or 0 in crop.shape for crop in crops
    ):
        raise BadInput(
            got=f"{len(crops)} crops: {[(crop.shape, str(crop.dtype)) for crop in crops][:3]}",
            expected="at least one, each (H, W, 3) uint8 RGB with pixels",
            fix="Crop faces with mien.face.mtcnn_crop.expert_crop",
        )
    mean, deviation = (np.array(values, dtype=np.float32) for values in NORMS["imagenet"])
    resized = [
        np.asarray(pillow.fromarray(crop).resize((size, size), pillow.Resampling.BICUBIC)) for crop in crops
    ]
    scaled = (np.stack(resized).astype(np.float32) / 255.0 - mean) / deviation
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))


def describe(prediction: FacePrediction) -> list[str]:
    """Age, gender and race of each face: ``"age 20-29, gender female, race Asian"``, for EMO-LLaMA's prompt.

    The form is that of `mien.dialogue.say.attributes`, which the engine of conversations uses; none is published.
    """
    rows = zip(
        *(logits.argmax(dim=1).tolist() for logits in (prediction.age, prediction.gender, prediction.race)),
        strict=True,
    )
    return [f"age {AGES[age]}, gender {GENDERS[gender]}, race {RACES[race]}" for age, gender, race in rows]


class FaceEncoder(nn.Module):
    """(B, 3, S, S) pixels -> (B, width, S / 4, S / 4) face map.

    The released code fuses the maps from coarse to fine, the fourth stage first.
    """

    def __init__(self, shape: FaceXFormerShape) -> None:
        super().__init__()
        config = SwinConfig(
            image_size=shape.image,
            embed_dim=shape.embed,
            depths=list(shape.depths),
            num_heads=list(shape.heads),
            window_size=shape.window,
        )
        self.backbone = SwinModel(config, add_pooling_layer=False)
        widths = [shape.embed * 2**stage for stage in range(len(shape.depths))]
        self.linear_c = nn.ModuleList(
            nn.ModuleDict({"proj": nn.Linear(width, shape.width)}) for width in widths
        )
        self.linear_fuse = nn.Conv2d(shape.width * len(widths), shape.width, 1, bias=False)
        self.size = shape.image

    def forward(self, pixels: Tensor) -> Tensor:
        """The face map."""
        return self.fuse(self.stages(pixels))

    def stages(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The backbone's four maps, (B, C, S / 4, S / 4) to (B, 8 C, S / 32, S / 32).

        Raises:
            BadInput: the pixels have another shape.
        """
        if pixels.shape[1:] != (3, self.size, self.size):
            raise BadInput(
                got=f"pixels of shape {tuple(pixels.shape)}",
                expected=f"(faces, 3, {self.size}, {self.size})",
                fix="Prepare crops with prepare_faces",
            )
        output = self.backbone(
            pixels.to(self.linear_fuse.weight.dtype),
            output_hidden_states=True,
            output_hidden_states_before_downsampling=True,
        )
        return tuple(output.reshaped_hidden_states[1:])

    def fuse(self, states: Sequence[Tensor]) -> Tensor:
        """The face map from the four maps of `stages`."""
        size = states[0].shape[2:]
        maps = []
        for stage, state in enumerate(states):
            mixed = self.linear_c.get_submodule(f"{stage}.proj")(state.permute(0, 2, 3, 1)).permute(
                0, 3, 1, 2
            )
            maps.append(functional.interpolate(mixed, size, mode="bilinear", align_corners=False))
        fused: Tensor = self.linear_fuse(torch.cat(maps[::-1], dim=1))
        return fused


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """What EMO-LLaMA takes from the expert for B faces."""

    face: Tensor
    """(B, (S / 4)², width) rows of the face map, or (B, (S / 32)², 8 C) of the last stage; row by row of pixels."""
    landmarks: Tensor
    """(B, 68, 2) in -1..1 of the crop (X^L)."""
    words: tuple[str, ...]
    """Age, gender and race (AGR) of each face; see `describe`."""


class FaceXFormer(nn.Module):
    """(B, 3, S, S) face crops -> every task's prediction.

    Args:
        variant: one of `SHAPES`.

    Raises:
        BadConfig: unknown variant.
    """

    def __init__(self, variant: str = "base") -> None:
        super().__init__()
        require_known(variant, SHAPES, "FaceXFormer variant")
        self.shape = SHAPES[variant]
        self.encoder = FaceEncoder(self.shape)
        self.pe_layer = FourierPositions(self.shape.width)
        self.face_decoder = FaceDecoder(self.shape.width, self.shape.decoder_heads, self.shape.inner)

    def decode(self, face: Tensor) -> FacePrediction:
        """(B, width, S / 4, S / 4) face map -> predictions; every task at once, where the released code returns one."""
        prediction: FacePrediction = self.face_decoder(face, self.pe_layer(face.shape[-1]))
        return prediction

    def forward(self, pixels: Tensor) -> FacePrediction:
        """Predictions for prepared crops; see `prepare_faces`."""
        return self.decode(self.encoder(pixels))

    @torch.no_grad()
    def evidence(self, pixels: Tensor, features: str = "fused") -> FaceEvidence:
        """What EMO-LLaMA's evidence takes, in one pass.

        Args:
            pixels: prepared crops; see `prepare_faces`.
            features: which of `FEATURES` is X^F; the paper says "from the encoder" and gives no size.
        """
        require_known(features, FEATURES, "facial features")
        stages = self.encoder.stages(pixels)
        fused = self.encoder.fuse(stages)
        prediction = self.decode(fused)
        face = fused if features == "fused" else stages[-1]
        rows = face.flatten(2).transpose(1, 2)
        return FaceEvidence(rows, prediction.landmarks, tuple(describe(prediction)))
