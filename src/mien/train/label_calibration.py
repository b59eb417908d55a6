"""The scaling of a trained system's label likelihoods: fitted on every second validation face, measured on the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.backends.torch import TorchReader
from mien.core.paths import write_whole
from mien.metrics.calibration import Scaling, ece, fit_scaling, nll
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.readouts import calibrated
from mien.train.data.faces import Faces
from mien.train.processes import everyones, in_shares, rank

__all__ = ["LEAST", "calibrate_labels"]

_BATCH = 64
LEAST = 100
"""Labelled faces that a fit needs at least; fewer leave the likelihoods as they are."""


def calibrate_labels(
    folder: Path, model: FacialLM, faces: Faces, truths: Mapping[str, str]
) -> dict[str, Any] | None:
    """Fit a temperature and a bias per label, write them into ``mien.json``, and tell what they do.

    Args:
        folder: of the trained model, which `mien.load_model` opens.
        model: its weights.
        faces: validation.
        truths: sample id -> emotion, of the faces that count.

    Returns:
        Figures on the faces that were not fitted on, before and after; None below `LEAST` faces, or for a system
        without labels.
    """
    reader = TorchReader(folder, model=model)
    if reader.system.labels is None:
        return None
    rows = [row for row, sample in enumerate(faces.samples) if sample.id in truths]
    if len(rows) < LEAST:
        return None
    labels: list[str] = []

    def scored(part: Sequence[int]) -> list[list[float]]:
        shown = [tuple(faces.evidence(frame) for frame in faces.frames(row)) for row in part]
        named, found = reader.label_scores(shown)
        labels[:] = named
        return [row.tolist() for row in found]

    scores = np.asarray(in_shares(rows, _BATCH, scored))
    labels = next(filter(None, everyones(labels)))
    right = [truths[faces.samples[row].id] for row in rows]
    known = np.asarray([place for place, label in enumerate(right) if label in labels])
    scores, targets = scores[known], np.asarray([labels.index(right[place]) for place in known])
    scaling = fit_scaling(scores[::2], targets[::2])
    fitted = {"temperature": scaling.temperature, "bias": list(scaling.bias), "faces": len(targets[::2])}
    card = folder / "mien.json"
    about = {**json.loads(card.read_text(encoding="utf-8")), "calibration": fitted}
    if not rank():
        write_whole(card, json.dumps(about, indent=2, sort_keys=True) + "\n")
    return _figures(scores[1::2], targets[1::2], scaling)


def _figures(
    scores: npt.NDArray[np.float64], targets: npt.NDArray[np.int64], scaling: Scaling
) -> dict[str, Any]:
    figures: dict[str, Any] = {"n": len(targets)}
    for name, used in (("as read", None), ("calibrated", scaling)):
        chances = calibrated(scores, used)
        figures[name] = {
            "accuracy": float((chances.argmax(axis=1) == targets).mean()),
            "ece": ece(chances, targets).value,
            "nll": nll(chances, targets).value,
        }
    return figures
