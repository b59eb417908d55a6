"""One frame of EMO-LLaMA as up to three rows of the decoder's width: clue, mined visual, landmarks (Eq. 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mien.core.errors import BadConfig
from mien.layers.clue_aggregator import ClueAggregator
from mien.layers.face_info_mining import FaceInfoMining
from mien.layers.face_rows import FaceRows
from mien.layers.vision_tower import VisionTower

__all__ = ["ROWS", "FacialClues"]

ROWS: tuple[str, ...] = ("clue", "visual", "landmarks")
"""H^T, H^V and H^L, in the order in which the decoder reads them."""


def _tower(options: Mapping[str, Any], layer: int | str) -> FaceRows | VisionTower:
    if options.get("model_type") != "face-rows":
        return VisionTower(options, layer, class_token=True)
    return FaceRows(**{key: value for key, value in options.items() if key != "model_type"}, class_token=True)


def _projector(width_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, width), nn.GELU(), nn.Linear(width, width))


class FacialClues(nn.Module):
    """Frames with what the facial expert says of them -> (N, rows, decoder_width).

    Args:
        tower: configuration of `VisionTower`, or ``{"model_type": "face-rows"}`` with the arguments of `FaceRows`. The
            Q-Former reads its class token too; clue and mined rows are of patches alone.
        decoder_width: hidden size of the decoder. Projectors live here as each row has its own.
        face_width: of the expert's rows (FaceXFormer: 256).
        clue: options of `ClueAggregator`. With ``generation="llama-vid"`` one layer projects the clue, as in that code.
        mining: options of `FaceInfoMining`; None pools the visual rows plainly (LLaMA-VID: no facial embedding).
        rows: which of `ROWS`; ablations leave ``"landmarks"`` out.
        layer: of the tower; see `VisionTower`. LLaMA-VID was trained on EVA's rows before their last norm, -1.

    Raises:
        BadConfig: rows are not a part of `ROWS` in order.
    """

    def __init__(
        self,
        tower: Mapping[str, Any],
        decoder_width: int,
        face_width: int = 256,
        clue: Mapping[str, Any] | None = None,
        mining: Mapping[str, Any] | None = None,
        rows: Sequence[str] = ROWS,
        layer: int | str = "final",
    ) -> None:
        super().__init__()
        if not rows or list(rows) != [name for name in ROWS if name in rows]:
            raise BadConfig(got=f"rows {list(rows)}", expected=f"some of {', '.join(ROWS)}, in order")
        self.tower = _tower(tower, layer)
        width = self.tower.width
        if "clue" in rows:
            self.aggregator = ClueAggregator(width, face_width, **(clue or {}))
        if "visual" in rows and mining is not None:
            self.mining = FaceInfoMining(width, face_width, **mining)
        widths = {"clue": width, "visual": width, "landmarks": 68 * 2}
        self.projectors = nn.ModuleDict({name: _projector(widths[name], decoder_width) for name in rows})
        if "clue" in rows and self.aggregator.generation == "llama-vid":
            self.projectors["clue"] = nn.Linear(width, decoder_width)
        self.mines = mining is not None
        mined = hasattr(self, "mining") and self.mining.reads_landmarks
        self.reads_landmarks = mined or "landmarks" in rows

    def forward(
        self,
        pixels: Tensor,
        instruction_ids: Tensor,
        instruction_mask: Tensor,
        face: Tensor | None = None,
        landmarks: Tensor | None = None,
    ) -> Tensor:
        """Rows of N frames.

        Args:
            pixels: (N, 3, S, S), normalised.
            instruction_ids: (N, T) the user's question, in the Q-Former's vocabulary.
            instruction_mask: (N, T).
            face: (N, n², face_width) rows of the facial expert's encoder.
            landmarks: (N, 68, 2) in -1..1 of the face crop.

        Raises:
            BadConfig: the rows need evidence that was not passed.
        """
        missing = [
            name
            for name, value, needed in (
                ("face", face, self.mines),
                ("landmarks", landmarks, self.reads_landmarks),
            )
            if needed and value is None
        ]
        if missing:
            raise BadConfig(
                got=f"no {' and no '.join(missing)}",
                expected="all that these rows are made of",
                fix="Pass it, or build the system without facial priors",
            )
        visual = self.tower(pixels)
        patches = visual[:, 1:]
        made = []
        for name, projector in self.projectors.items():
            if name == "clue":
                row = self.aggregator(visual, face, instruction_ids, instruction_mask, patches)
            elif name == "visual":
                row = self.mining(patches, face, landmarks) if self.mines else patches.mean(dim=1)
            else:
                assert landmarks is not None
                row = landmarks.flatten(1)
            made.append(projector(row))
        return torch.stack(made, dim=1)
