"""EmoLA's facial prior: 212 numbers of a face, of our mesh or of InsightFace's net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.core.nouns import Evidence, FloatArray
from mien.face.topology import MESH106
from mien.models.composite.evidence_inputs import Inputs, box_of, crop_of, placed
from mien.models.composite.experts import EXPERTS, open_landmark_net

__all__ = ["priors"]


def priors(entry: Mapping[str, Any], inputs: Inputs, batch: Sequence[Evidence], *_: object) -> Tensor:
    """(N, 212) facial priors, by the mesh or by InsightFace's net."""
    return torch.from_numpy(_priors(inputs, batch))


def _priors(inputs: Inputs, batch: Sequence[Evidence]) -> FloatArray:
    if inputs.prior == "mesh106":
        return np.stack([placed(one, MESH106).ravel() for one in batch])
    net = open_landmark_net(Path(inputs.experts) / EXPERTS["landmarks"].file)
    if inputs.prior == "insightface-emola":
        return net.prior([(crop_of(one), None) for one in batch], "emola")
    return net.prior([(crop_of(one), box_of(one)) for one in batch])
