"""A small convolutional tower for face crops: what the systems look through where no published tower is at hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mien.core.errors import BadInput
from mien.layers.face_crop import FaceCropEncoder

__all__ = ["FaceRows"]


class FaceRows(nn.Module):
    """(N, 3, S, S) pixels -> (N, (S / 16)², C) rows, each of a patch of 16 px that knows its surroundings.

    A vision transformer needs far more faces than a few ten thousand to learn what edges are; at the scale that a CPU
    trains, convolutions reach in minutes what it does not in hours.

    Args:
        widths: see `FaceCropEncoder`; the last is C.
        blocks: residual blocks per stage.
        class_token: put a row with the mean of all in front, where a vision transformer has its class token.
    """

    def __init__(
        self, widths: Sequence[int] = (24, 48, 96, 192), blocks: int = 1, class_token: bool = False
    ) -> None:
        super().__init__()
        self.net = FaceCropEncoder(tuple(widths), blocks)
        self.class_token = class_token
        self.width = self.net.width

    def forward(self, pixels: Tensor) -> Tensor:
        """Rows in reading order.

        Raises:
            BadInput: the pixels have another shape.
        """
        if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.shape[2] % 16 or pixels.shape[3] % 16:
            raise BadInput(
                got=f"pixels of shape {tuple(pixels.shape)}",
                expected="(images, 3, size, size), the size a multiple of 16",
                fix="Prepare images with prepare_pixels",
            )
        grey = pixels.mean(dim=1, keepdim=True)
        mean = grey.mean(dim=(2, 3), keepdim=True)
        deviation = (grey - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
        found = self.net.trunk((grey - mean) / (deviation + 0.05))
        rows = found.flatten(2).transpose(1, 2)
        return torch.cat([rows.mean(dim=1, keepdim=True), rows], dim=1) if self.class_token else rows
