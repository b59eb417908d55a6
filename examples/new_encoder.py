"""A new encoder in one file: mean colours of a grid of squares. A recipe names it as ``new_encoder:ColourGrid``.

`PYTHONPATH=examples mien train examples/newcomer.yaml --scale tiny --out runs/newcomer`
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ColourGrid"]


class ColourGrid(nn.Module):
    """Pictures (N, 3, S, S) to ``side``² rows of ``width`` numbers each.

    As evidence ``image`` it is fed pictures. An encoder of anything else says itself what it reads of the faces: with a
    static method ``prepare(entry, inputs, batch)``.

    Args:
        width: of a row.
        side: squares along a side.
    """

    def __init__(self, width: int, side: int = 2) -> None:
        super().__init__()
        self.side = side
        self.rows = nn.Linear(3, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, side², width)."""
        rows: Tensor = self.rows(functional.adaptive_avg_pool2d(pixels, self.side).flatten(2).transpose(1, 2))
        return rows
