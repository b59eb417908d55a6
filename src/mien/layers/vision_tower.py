"""Vision transformers of the transformers library as evidence: CLIP, DINOv2, EVA (InstructBLIP's) and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, InstructBlipVisionModel

from mien.core.errors import BadConfig, BadInput, require_known

__all__ = ["NORMS", "SQUARES", "VisionTower", "prepare_pixels"]

NORMS: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = MappingProxyType(
    {
        "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "siglip": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    }
)
"""Mean and deviation of RGB values 0..1."""
SQUARES: tuple[str, ...] = ("pad", "pad-rounded", "stretch", "crop")
"""How a picture becomes square; see `prepare_pixels`."""


def prepare_pixels(
    images: Sequence[NDArray[np.uint8]], size: int, norm: str = "clip", square: str = "pad"
) -> Tensor:
    """(H, W, 3) uint8 RGB images -> (N, 3, size, size) normalised, bicubic with antialiasing.

    Args:
        images: of any size.
        size: side of the result.
        norm: one of `NORMS`.
        square: ``"pad"`` centres the image on the mean colour cut to whole levels (LLaVA-1.5: 122, 116, 104),
            ``"pad-rounded"`` on the rounded one (ExpLLM: 123, 117, 104); ``"stretch"`` scales the axes apart;
            ``"crop"`` keeps the middle (CLIP's own preparation, in EmoLA's released evaluation).

    Raises:
        BadConfig: unknown norm or square.
        BadInput: no image, or one of another shape or type.
    """
    require_known(norm, NORMS, "norm")
    require_known(square, SQUARES, "square")
    if not images or any(
        image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 for image in images
    ):
        raise BadInput(
            got=f"{len(images)} images: {[(image.shape, str(image.dtype)) for image in images][:3]}",
            expected="at least one, each (H, W, 3) uint8 RGB",
            fix="Load images with mien.face.decode.images.load_image",
        )
    mean, deviation = (torch.tensor(values)[:, None, None] for values in NORMS[norm])
    done = []
    for image in images:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        height, width = pixels.shape[1:]
        if square in ("pad", "pad-rounded") and height != width:
            side = max(height, width)
            colour = mean * 255.0 if square == "pad" else (mean * 255.0).round()
            canvas = colour.to(torch.uint8).expand(3, side, side).clone()
            top, left = (side - height) // 2, (side - width) // 2
            canvas[:, top : top + height, left : left + width] = pixels
            pixels = canvas
        short = min(height, width)
        shape = (size * height // short, size * width // short) if square == "crop" else (size, size)
        scaled = functional.interpolate(
            pixels[None].float(), shape, mode="bicubic", antialias=True, align_corners=False
        )
        top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
        done.append(
            (scaled[0, :, top : top + size, left : left + size].clamp(0.0, 255.0) / 255.0 - mean) / deviation
        )
    return torch.stack(done)


class VisionTower(nn.Module):
    """(N, 3, S, S) pixels -> (N, patches, width).

    Args:
        config: ``{"model_type": "clip_vision_model" | "dinov2" | …, …}``, fields of that transformers configuration.
        layer: ``"final"``: last hidden state with its norm (DINOv2's ``x_norm_patchtokens``); an integer counts hidden
            states as transformers does: -2 is LLaVA-1.5's choice.
        class_token: keep the class token (LLaMA-VID's aggregator reads it, everyone else drops it); a tower without
            one gives the mean of its rows in that place. Register tokens are always dropped.

    Raises:
        BadConfig: the model type is unknown.
    """

    def __init__(
        self, config: Mapping[str, Any], layer: int | str = "final", class_token: bool = False
    ) -> None:
        super().__init__()
        fields = dict(config)
        kind = str(fields.pop("model_type", ""))
        # Of the file that it was read from; a tower is in the precision of the model that it stands in.
        fields.pop("dtype", None)
        try:
            settings = AutoConfig.for_model(kind, **fields)
        except ValueError as error:
            raise BadConfig(
                got=f"vision model type {kind!r}",
                expected="one that transformers knows, such as 'dinov2' or 'clip_vision_model'",
                fix="Correct the evidence's encoder",
            ) from error
        eva = kind == InstructBlipVisionModel.config_class.model_type
        self.model = (
            InstructBlipVisionModel(settings)
            if eva
            else AutoModel.from_config(settings, trust_remote_code=False)
        )
        self.layer, self.class_token = layer, class_token
        self.width, self.patch = int(settings.hidden_size), int(settings.patch_size)
        side = getattr(settings, "image_size", None)
        # DINO's position embeddings are resampled to any size; the others stand for one.
        self._side = side if isinstance(side, int) and not kind.startswith("dino") else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Patch rows.

        Raises:
            BadInput: the pixels have another shape.
        """
        side = self._side
        if pixels.ndim != 4 or pixels.shape[1] != 3 or (side and pixels.shape[2:] != (side, side)):
            raise BadInput(
                got=f"pixels of shape {tuple(pixels.shape)}",
                expected=f"(images, 3, {side or 'size'}, {side or 'size'})",
                fix="Prepare images with prepare_pixels",
            )
        if self.layer == "final":
            rows: Tensor = self.model(pixel_values=pixels).last_hidden_state
        else:
            output = self.model(pixel_values=pixels, output_hidden_states=True)
            rows = output.hidden_states[int(self.layer)]
        # Before the patches: CLIP and DINOv2 have a class token, some have registers too, SigLIP has nothing.
        others = rows.shape[1] - (pixels.shape[2] // self.patch) * (pixels.shape[3] // self.patch)
        if not self.class_token:
            return rows[:, others:]
        if others == 0:
            return torch.cat([rows.mean(dim=1, keepdim=True), rows], dim=1)
        return torch.cat([rows[:, :1], rows[:, others:]], dim=1) if others > 1 else rows
