"""A small residual network over one grey face crop: the appearance evidence of the pocket model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FaceCropEncoder", "ResidualBlock", "standardised", "start_convolutions"]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a residual path and channel attention (He 2016; Hu 2018)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // 8, 1),
            nn.ReLU(),
            nn.Conv2d(width // 8, width, 1),
            nn.Sigmoid(),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.skip = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return torch.relu(y * self.gate(y) + self.skip(x))


def standardised(crop: Tensor) -> Tensor:
    """(B, 1, S, S) grey 0..1 -> each crop with mean 0 and deviation near 1, so that exposure and skin weigh little."""
    mean = crop.mean(dim=(2, 3), keepdim=True)
    deviation = (crop - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
    return (crop - mean) / (deviation + 0.05)


def start_convolutions(net: nn.Module) -> None:
    """He's initialisation (2015) of every convolution in `net`."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


class FaceCropEncoder(nn.Module):
    """(B, 1, S, S) grey crop -> (B, 4, C) rows, one per quadrant of the face, and (B, C) their summary.

    Args:
        widths: channels of the four stages; C is the last one. The first stage works at S/2, the last at S/16.
        blocks: residual blocks per stage.

    The input is grey 0..1, S a multiple of 32; each crop is normalised to zero mean and unit deviation here, so
    that exposure and skin tone weigh little.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256), blocks: int = 2) -> None:
        super().__init__()
        self.width = widths[-1]
        layers: list[nn.Module] = [
            nn.Conv2d(1, widths[0], 3, 2, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        before = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(ResidualBlock(before, width, 2 if stage and block == 0 else 1))
                before = width
        self.trunk = nn.Sequential(*layers)
        self.quadrants = nn.AvgPool2d(2)
        start_convolutions(self)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(standardised(crop))
        rows = self.quadrants(x).flatten(2).transpose(1, 2)  # (B, 4, C) at S = 64
        return rows, x.mean(dim=(2, 3))
