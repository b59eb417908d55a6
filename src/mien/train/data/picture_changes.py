"""Published augmentation lists as data: what a training picture goes through, in order, pixels alone.

Each change draws from torch's global generator, which the Trainer saves and restores. They follow torchvision's classes
of the same purpose on PIL pictures (brightness, contrast, saturation in random order, nearest pixels when turned, black
where nothing was); what a list does not say is torchvision's default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image as Pictures
from PIL import ImageEnhance, ImageOps

from mien.core.errors import require_known
from mien.core.nouns import Evidence, Image
from mien.train.data.faces import Faces

__all__ = [
    "CHANGES",
    "Affine",
    "Blur",
    "Change",
    "Erase",
    "Flip",
    "Grey",
    "Jitter",
    "OneOf",
    "PaddedCrop",
    "ResizedCrop",
    "Rotate",
    "Sometimes",
    "change_crops",
    "changed_frames",
]

Picture = Pictures.Image
Change = Callable[[Picture], Picture]
Range = tuple[float, float]
_TRIES = 10
"""Draws of a patch before it is given up (torchvision)."""


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(1).uniform_(low, high))


def _below(count: int) -> int:
    return int(torch.randint(count, (1,)))


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several, each as likely."""

    among: tuple[Change, ...]

    def __call__(self, picture: Picture) -> Picture:
        return self.among[_below(len(self.among))](picture)


@dataclass(frozen=True, slots=True)
class Sometimes:
    """All of them, or none."""

    chance: float
    all: tuple[Change, ...]

    def __call__(self, picture: Picture) -> Picture:
        if _uniform(0.0, 1.0) < self.chance:
            for change in self.all:
                picture = change(picture)
        return picture


@dataclass(frozen=True, slots=True)
class Flip:
    """Left and right change places."""

    def __call__(self, picture: Picture) -> Picture:
        return ImageOps.mirror(picture)


@dataclass(frozen=True, slots=True)
class Grey:
    """No colour."""

    def __call__(self, picture: Picture) -> Picture:
        return picture.convert("L").convert("RGB")


@dataclass(frozen=True, slots=True)
class Jitter:
    """Factors of 1 - x to 1 + x, in random order; the hue is shifted by a share of the circle."""

    brightness: float
    contrast: float
    saturation: float
    hue: float

    def __call__(self, picture: Picture) -> Picture:
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        amounts = (self.brightness, self.contrast, self.saturation)
        factors = [_uniform(1.0 - amount, 1.0 + amount) for amount in amounts]
        shift = _uniform(-self.hue, self.hue)
        for step in torch.randperm(4).tolist():
            if step < 3:
                picture = enhancers[step](picture).enhance(factors[step])
            else:
                picture = _hue_shifted(picture, shift)
        return picture


def _hue_shifted(picture: Picture, share: float) -> Picture:
    hue, saturation, value = picture.convert("HSV").split()
    turned = hue.point([(level + int(share * 255)) % 256 for level in range(256)])
    return Pictures.merge("HSV", (turned, saturation, value)).convert("RGB")


@dataclass(frozen=True, slots=True)
class Rotate:
    """By up to so many degrees either way."""

    degrees: float

    def __call__(self, picture: Picture) -> Picture:
        return picture.rotate(_uniform(-self.degrees, self.degrees), Pictures.Resampling.NEAREST)


@dataclass(frozen=True, slots=True)
class ResizedCrop:
    """A part of the area, of a width : height within the ratio, enlarged to the whole."""

    area: Range
    ratio: Range = (3 / 4, 4 / 3)

    def __call__(self, picture: Picture) -> Picture:
        patch = _patch(picture.size, self.area, self.ratio, whole=True)
        if patch is None:
            return picture
        left, top, width, height = patch
        return picture.resize(
            picture.size, Pictures.Resampling.BILINEAR, box=(left, top, left + width, top + height)
        )


@dataclass(frozen=True, slots=True)
class PaddedCrop:
    """Moved at random within a black border of this share of its side."""

    border: float

    def __call__(self, picture: Picture) -> Picture:
        border = round(self.border * picture.width)
        left, top = _below(2 * border + 1) - border, _below(2 * border + 1) - border
        return picture.crop((left, top, left + picture.width, top + picture.height))


@dataclass(frozen=True, slots=True)
class Affine:
    """Turned by up to so many degrees, moved by up to a share of its side, and scaled."""

    degrees: float
    shift: float
    scale: Range

    def __call__(self, picture: Picture) -> Picture:
        angle = math.radians(_uniform(-self.degrees, self.degrees))
        across, down = (round(_uniform(-self.shift, self.shift) * side) for side in picture.size)
        scale = _uniform(*self.scale)
        cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
        x, y = picture.width / 2, picture.height / 2
        # From a new pixel to the old one it shows.
        back = (
            cos, sin, x - cos * (x + across) - sin * (y + down),
            -sin, cos, y + sin * (x + across) - cos * (y + down),
        )  # fmt: skip
        return picture.transform(picture.size, Pictures.Transform.AFFINE, back, Pictures.Resampling.NEAREST)


@dataclass(frozen=True, slots=True)
class Blur:
    """A Gaussian cut off at so many pixels across and down."""

    kernel: tuple[int, int]
    sigma: Range

    def __call__(self, picture: Picture) -> Picture:
        sigma = _uniform(*self.sigma)
        pixels = np.asarray(picture, np.float64)
        for axis, size in zip((1, 0), self.kernel, strict=True):
            offsets = np.arange(size) - (size - 1) / 2
            weights = np.exp(-0.5 * (offsets / sigma) ** 2)
            margin = [(0, 0)] * 3
            margin[axis] = (size // 2, size // 2)
            windows = np.lib.stride_tricks.sliding_window_view(
                np.pad(pixels, margin, "reflect"), size, axis=axis
            )
            pixels = windows @ (weights / weights.sum())
        return Pictures.fromarray(np.rint(pixels).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Erase:
    """A patch of one colour over a part of the area (Zhong et al. 2020)."""

    area: Range
    ratio: Range
    colour: tuple[int, int, int]

    def __call__(self, picture: Picture) -> Picture:
        patch = _patch(picture.size, self.area, self.ratio, whole=False)
        if patch is not None:
            left, top, width, height = patch
            picture = picture.copy()
            picture.paste(self.colour, (left, top, left + width, top + height))
        return picture


def _patch(size: tuple[int, int], area: Range, ratio: Range, whole: bool) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of a random patch; None where ten draws do not fit.

    ``whole``: it may be as wide or high as the picture.
    """
    for _ in range(_TRIES):
        covered = size[0] * size[1] * _uniform(*area)
        shape = math.exp(_uniform(math.log(ratio[0]), math.log(ratio[1])))
        width, height = round(math.sqrt(covered * shape)), round(math.sqrt(covered / shape))
        room = size[0] - width, size[1] - height
        if min(width, height) > 0 and min(room) >= (0 if whole else 1):
            return _below(room[0] + 1), _below(room[1] + 1), width, height
    return None


_LOCLLM: tuple[Change, ...] = (Affine(0.0, 0.0, (0.7, 1.3)), Sometimes(0.5, (Rotate(40.0),)))
CHANGES: Mapping[str, tuple[Change, ...]] = MappingProxyType(
    {
        "locllm": (*_LOCLLM, Sometimes(0.5, (Flip(),))),
        "locllm-sides": _LOCLLM,
        "expllm": (
            Sometimes(0.5, (Flip(),)),
            OneOf((Jitter(0.25, 0.25, 0.25, 0.1), Sometimes(0.2, (Grey(),)))),
            Sometimes(0.5, (Rotate(5.0), OneOf((ResizedCrop((0.8, 1.0)), PaddedCrop(12 / 224))))),
            Sometimes(0.5, (Affine(15.0, 0.1, (0.9, 1.1)), Blur((5, 9), (0.1, 2.0)))),
            # Behind CLIP's norm, where 0 is the mean colour.
            Sometimes(0.5, (Erase((0.05, 0.12), (0.3, 3.3), (123, 117, 104)),)),
        ),
    }
)
"""Name -> list: ExpLLM's released one (its paper: flip, rotation, erasing, colour jitter); LocLLM's for AU-LLaVA, whose
own is not named, and without the flip for answers that tell left from right (FEAFA)."""


def change_crops(name: str, crops: Sequence[Image]) -> list[Image]:
    """(S, S, 3) RGB pictures, each changed by a list of `CHANGES` with its own draws.

    Raises:
        BadConfig: no such list.
    """
    require_known(name, CHANGES, "list of changes")
    changed = []
    for crop in crops:
        picture = Pictures.fromarray(np.ascontiguousarray(crop))
        for change in CHANGES[name]:
            picture = change(picture)
        changed.append(np.array(picture))
    return changed


def changed_frames(name: str, faces: Faces, frames: Sequence[int]) -> list[Evidence]:
    """Frames with pixels changed by a list; their landmarks would not fit any more, and are left out.

    Raises:
        BadConfig: no such list.
    """
    shown = [faces.evidence(frame) for frame in frames]
    crops = change_crops(name, [faces.crops[frame] for frame in frames])
    return [Evidence(replace(one.face, landmarks=None), crop) for one, crop in zip(shown, crops, strict=True)]
