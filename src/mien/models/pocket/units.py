"""The last word on some Action Units: what the evidence encoders say, held against the movement of the landmarks.

No picture comes in here, only the mesh and the evidence graph's intensities: a brow that rises moves its points
whatever the mood. The net was taught by rendered truth and, on real faces, by an outside instrument (`units_stage`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mien.core.aus import AU_SETS, level_edge
from mien.face.geometry import GEOMETRY_NAMES
from mien.face.topology import CONTOURS
from mien.layers.landmark_mlp import LandmarkMLP
from mien.models.pocket.evidence import calibrated
from mien.models.pocket.inputs import SIDED

__all__ = ["MOVED", "UNIT_FEATURES", "PocketUnits"]

_POINTS = 478
_SKIN = (
    50, 280, 101, 330, 117, 346, 118, 347, 205, 425, 129, 358, 102, 331, 98, 327, 199, 200, 9, 8, 468, 473
)  # fmt: skip
"""Cheeks, wings of the nose, chin, the skin between the brows, and the middles of the irises."""
_CHOSEN = sorted({*_SKIN, *(point for contour, _ in CONTOURS for point in contour)})
UNIT_FEATURES: npt.NDArray[np.int64] = np.asarray(
    [3 * point + axis for point in _CHOSEN for axis in range(3)]
    + list(range(3 * _POINTS, 3 * _POINTS + len(GEOMETRY_NAMES)))
)
"""Which entries of `landmark_vector` the net sees: the contours of the face, and the named measures."""
MOVED = ("AU01", "AU02", "AU04", "AU05", "AU14", "AU20", "AU26", "AU27", "AU43")
"""AUs that this net has the last word on where there are pixels; with the mesh alone it has the last word on all."""
_FAINT = 1e-4


class PocketUnits(nn.Module):
    """Mesh and evidence intensities -> AU intensities, and how far the left side exceeds the right.

    ``rest`` (2, 22) is the raw intensity at which each AU is as likely present as absent, with pixels
    and without.

    Args:
        width: of the landmark encoder.
        inner: of the hidden layer that joins both.
    """

    rest: Tensor
    chosen: Tensor
    usual: Tensor
    spread: Tensor
    moved: Tensor

    def __init__(self, width: int = 112, inner: int = 96) -> None:
        super().__init__()
        units = len(AU_SETS["pocket"])
        self.landmarks = LandmarkMLP(len(UNIT_FEATURES), width)
        self.join = nn.Sequential(nn.Linear(width + units + 1, inner), nn.GELU(), nn.Linear(inner, units))
        self.sides = nn.Linear(width, len(SIDED))
        self.register_buffer("chosen", torch.from_numpy(UNIT_FEATURES), persistent=False)
        self.register_buffer("usual", torch.zeros(units))
        self.register_buffer("spread", torch.ones(units))
        self.register_buffer("rest", torch.full((2, units), 0.1))
        moved = torch.tensor([float(key in MOVED) for key in AU_SETS["pocket"]])
        self.register_buffer("moved", moved, persistent=False)

    def raw(self, landmarks: Tensor, aus: Tensor, has_crop: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 22) logits of the raw intensities, (B, S) left minus right before `tanh`; see `forward`."""
        shape = self.landmarks(landmarks.index_select(1, self.chosen))
        told = (self.faint(aus) - self.usual) / self.spread
        seen = has_crop[:, None].to(told.dtype)
        return self.join(torch.cat([shape, told, seen], dim=1)), self.sides(shape)

    @staticmethod
    def faint(aus: Tensor) -> Tensor:
        """The evidence's intensities on a logarithmic scale: on real faces small ones tell as much as large ones."""
        return torch.log(aus + _FAINT)

    def forward(
        self, landmarks: Tensor, has_landmarks: Tensor, has_crop: Tensor, aus: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Measure a batch.

        Args:
            landmarks: (B, F) of `landmark_vector`; any finite values where `has_landmarks` is 0.
            has_landmarks: (B,) 0 or 1; without a mesh `aus` stand as they are.
            has_crop: (B,) 0 or 1.
            aus: (B, 22) calibrated intensities of the evidence graph.

        Returns:
            (B, 22) intensities 0..1 and (B, S) left minus right, -1..1, of `SIDED`.
        """
        logits, sides = self.raw(landmarks, aus, has_crop)
        seen, shaped = has_crop[:, None].to(aus.dtype), has_landmarks[:, None].to(aus.dtype)
        rest = seen * self.rest[0] + (1 - seen) * self.rest[1]
        told = shaped * (seen * self.moved + (1 - seen))
        fresh = calibrated(torch.sigmoid(logits), rest)
        # What the evidence net sees for certain, this net may strengthen, not deny.
        fresh = torch.where(aus >= level_edge(1), torch.maximum(fresh, aus), fresh)
        units = told * fresh + (1 - told) * aus
        return units, shaped * torch.tanh(sides)
