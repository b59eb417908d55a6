"""MTCNN (Zhang et al. 2016), the detector before FaceXFormer in EMO-LLaMA: three nets from coarse to fine.

An optional back end: weights are not part of mien. They come inside the wheel of facenet-pytorch (MIT), whose nets,
sizes and rounding are followed here, so that boxes agree and with them the crop of `mien.face.mtcnn_crop`.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mien.core.errors import BadInput, MissingWeights, reason_of

__all__ = ["Mtcnn", "MtcnnFaces", "load_mtcnn"]

FILES: Mapping[str, str] = MappingProxyType({"pnet": "pnet.pt", "rnet": "rnet.pt", "onet": "onet.pt"})
_CELL, _STRIDE = 12, 2
_MIN_FACE, _FACTOR = 20, 0.709
_THRESHOLDS = (0.6, 0.7, 0.7)
_OVERLAP_SCALE, _OVERLAP = 0.5, 0.7


@dataclass(frozen=True, slots=True)
class MtcnnFaces:
    """Faces of one picture, the largest first."""

    boxes: NDArray[np.float32]
    """(N, 4) left, top, right, bottom in px; may reach beyond the picture."""
    scores: NDArray[np.float32]
    """(N,) 0..1."""
    points: NDArray[np.float32]
    """(N, 5, 2) px: eyes, nose, mouth corners, image left before right."""


def _conv(number: int, width_in: int, width: int, kernel: int) -> dict[str, nn.Module]:
    return {
        f"conv{number}": nn.Conv2d(width_in, width, kernel),
        f"prelu{number}": nn.PReLU(width),
    }


class _Net(nn.Module):
    """Convolutions with PReLU and pooling, then heads; names as in the published files.

    Args:
        convs: (width, kernel) of each.
        pools: kernel of the max pooling (stride 2) behind the first of them.
        hidden: (inputs, width) of the linear layer between; None keeps the net convolutional.
        heads: name -> outputs; the first is a softmax over face or not.
    """

    def __init__(
        self,
        convs: tuple[tuple[int, int], ...],
        pools: tuple[int, ...],
        hidden: tuple[int, int] | None,
        heads: Mapping[str, int],
    ) -> None:
        super().__init__()
        width = 3
        for number, (wider, kernel) in enumerate(convs, start=1):
            for name, module in _conv(number, width, wider, kernel).items():
                self.add_module(name, module)
            width = wider
        self.count, self.pools, self.heads = len(convs), pools, tuple(heads)
        self.dense = f"dense{self.count + 1}" if hidden else None
        if hidden is not None:
            self.add_module(f"dense{self.count + 1}", nn.Linear(*hidden))
            self.add_module(f"prelu{self.count + 1}", nn.PReLU(hidden[1]))
        for name, outputs in heads.items():
            head = nn.Linear(hidden[1], outputs) if hidden else nn.Conv2d(width, outputs, 1)
            self.add_module(name, head)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        for number in range(1, self.count + 1):
            x = self.get_submodule(f"prelu{number}")(self.get_submodule(f"conv{number}")(x))
            if number <= len(self.pools):
                x = functional.max_pool2d(x, self.pools[number - 1], 2, ceil_mode=True)
        if self.dense is not None:
            # The published weights were trained on columns first.
            x = self.get_submodule(self.dense)(x.permute(0, 3, 2, 1).flatten(1))
            x = self.get_submodule(f"prelu{self.count + 1}")(x)
        first, *rest = (self.get_submodule(name)(x) for name in self.heads)
        return (first.softmax(dim=1)[:, 1], *rest)


def _suppress(boxes: Tensor, scores: Tensor, threshold: float, smaller: bool = False) -> Tensor:
    """Indices of the boxes that stay, best first.

    Args:
        boxes: (N, 4).
        scores: (N,).
        threshold: largest overlap with a better box: intersection over union, or with ``smaller`` over the smaller
            area, there with px counted inclusively.
        smaller: see ``threshold``.
    """
    extra = 1.0 if smaller else 0.0
    low, high = boxes[:, None, :2].maximum(boxes[None, :, :2]), boxes[:, None, 2:].minimum(boxes[None, :, 2:])
    inner = (high - low + extra).clamp(min=0.0).prod(dim=2)
    area = (boxes[:, 2:] - boxes[:, :2] + extra).prod(dim=1)
    whole = area[:, None].minimum(area) if smaller else area[:, None] + area - inner
    close = inner / whole > threshold
    alive, kept = torch.ones(len(boxes), dtype=torch.bool), []
    # Scores near 1 tie often; the published last step takes the last of equals.
    order = scores.argsort(stable=True).flip(0) if smaller else scores.argsort(descending=True, stable=True)
    for index in order.tolist():
        if alive[index]:
            kept.append(index)
            alive &= ~close[index]
    return torch.tensor(kept, dtype=torch.long)


def _shift(boxes: Tensor, moves: Tensor, extra: float) -> Tensor:
    """Each edge moved by a share of the box's width or height."""
    size = (boxes[:, 2:] - boxes[:, :2] + extra).repeat(1, 2)
    return boxes + moves * size


def _square(boxes: Tensor) -> Tensor:
    """The square of the longer side around each box's middle."""
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + size * 0.5 - side * 0.5
    return torch.cat([corner, corner + side], dim=1)


def _scaled(x: Tensor) -> Tensor:
    return (x - 127.5) * 0.0078125


class Mtcnn(nn.Module):
    """(H, W, 3) pictures -> faces; 495,850 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.pnet = _Net(((10, 3), (16, 3), (32, 3)), (2,), None, {"conv4_1": 2, "conv4_2": 4})
        self.rnet = _Net(((28, 3), (48, 3), (64, 2)), (3, 3), (576, 128), {"dense5_1": 2, "dense5_2": 4})
        self.onet = _Net(
            ((32, 3), (64, 3), (64, 3), (128, 2)),
            (3, 3, 2),
            (1152, 256),
            {"dense6_1": 2, "dense6_2": 4, "dense6_3": 10},
        )

    @torch.no_grad()
    def detect(self, image: NDArray[np.uint8]) -> MtcnnFaces:
        """Every face of at least 20 px, the largest first.

        Raises:
            BadInput: not an (H, W, 3) uint8 RGB picture.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise BadInput(
                got=f"a picture of shape {image.shape}, {image.dtype}",
                expected="(H, W, 3) uint8 RGB",
                fix="Load it with mien.face.decode.images.load_image",
            )
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
        boxes, scores = self._propose(pixels)
        for net, side, threshold in ((self.rnet, 24, _THRESHOLDS[1]), (self.onet, 48, _THRESHOLDS[2])):
            boxes, scores, points = self._refine(pixels, boxes, net, side, threshold)
        order = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).argsort(descending=True, stable=True)
        found = (boxes[order].numpy(), scores[order].numpy(), points[order].numpy())
        return MtcnnFaces(*(part.astype(np.float32) for part in found))

    def _propose(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes of a pyramid of scales, suppressed within each and over all."""
        height, width = pixels.shape[2:]
        found, scale = [torch.zeros(0, 9)], _CELL / _MIN_FACE
        while min(height, width) * scale >= _CELL:
            size = (int(height * scale + 1), int(width * scale + 1))
            shares, moves = self.pnet(_scaled(functional.interpolate(pixels, size=size, mode="area")))
            rows, columns = torch.nonzero(shares[0] >= _THRESHOLDS[0], as_tuple=True)
            corner = torch.stack([columns, rows], dim=1).float() * _STRIDE
            boxes = torch.cat([((corner + 1) / scale).floor(), ((corner + _CELL) / scale).floor()], dim=1)
            scores = shares[0, rows, columns]
            kept = _suppress(boxes, scores, _OVERLAP_SCALE)
            found.append(torch.cat([boxes, scores[:, None], moves[0, :, rows, columns].T], dim=1)[kept])
            scale *= _FACTOR
        every = torch.cat(found)
        every = every[_suppress(every[:, :4], every[:, 4], _OVERLAP)]
        return _square(_shift(every[:, :4], every[:, 5:], 0.0)), every[:, 4]

    def _refine(
        self, pixels: Tensor, boxes: Tensor, net: nn.Module, side: int, threshold: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes that a net confirms, moved by it; the last net gives points too."""
        last = net is self.onet
        crops, inside = [], []
        height, width = pixels.shape[2:]
        for index, box in enumerate(boxes.trunc().int().tolist()):
            left, top = max(box[0], 1) - 1, max(box[1], 1) - 1
            right, bottom = min(box[2], width), min(box[3], height)
            if right > left and bottom > top:
                part = pixels[:, :, top:bottom, left:right]
                crops.append(functional.interpolate(part, size=(side, side), mode="area"))
                inside.append(index)
        boxes = boxes[inside]
        if not crops:
            return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 5, 2)
        scores, moves, *more = net(_scaled(torch.cat(crops)))
        sure = scores > threshold
        boxes, scores, moves = boxes[sure], scores[sure], moves[sure]
        points = torch.zeros(len(boxes), 5, 2)
        if last:
            size = boxes[:, 2:] - boxes[:, :2] + 1.0
            shares = more[0][sure].unflatten(1, (2, 5)).transpose(1, 2)
            points = shares * size[:, None] + boxes[:, None, :2] - 1.0
            boxes = _shift(boxes, moves, 1.0)
            kept = _suppress(boxes, scores, _OVERLAP, smaller=True)
            return boxes[kept], scores[kept], points[kept]
        kept = _suppress(boxes, scores, _OVERLAP)
        return _square(_shift(boxes[kept], moves[kept], 1.0)), scores[kept], points[kept]


def load_mtcnn(folder: Path) -> Mtcnn:
    """The detector with the weights in ``folder``: ``pnet.pt``, ``rnet.pt`` and ``onet.pt``.

    Raises:
        MissingWeights: a file is absent, unreadable or another net's; says where they are published.
    """
    model = Mtcnn()
    for name, file in FILES.items():
        try:
            state = torch.load(folder / file, map_location="cpu", weights_only=True)
            model.get_submodule(name).load_state_dict(state)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, TypeError, AttributeError) as error:
            raise MissingWeights(
                got=f"{folder / file}, which cannot be loaded ({reason_of(error)})",
                expected=f"MTCNN's weights {', '.join(FILES.values())}",
                fix="Take them out of the wheel facenet-pytorch 2.5.3 (pip download --no-deps, then unzip "
                "facenet_pytorch/data/*.pt) and pass that folder",
            ) from error
    return model.eval()
