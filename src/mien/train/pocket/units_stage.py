"""Trains the pocket model's last word on AUs: rendered truth, and on real faces an outside instrument and ranks.

A renderer's faces teach every muscle alone; but the evidence graph, which learnt from them, hardly stirs on real faces,
where brows, lids and noses move less than a blendshape. So real faces get targets of two kinds: blendshapes of another
program, read from the same picture, where they tell more than our own readings; and our own readings on the scale of
real faces, on which what few neutral faces exceed is a trace. No emotion label is a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mien.core.aus import AU_SETS, AUS, level_edge
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadData
from mien.core.nouns import FloatArray
from mien.core.paths import written_whole
from mien.models.pocket.inputs import SIDED
from mien.models.pocket.units import MOVED, PocketUnits
from mien.train.pocket.evidence_task import EvidenceArrays, masked_bce
from mien.train.pocket.measurement import balanced_threshold

__all__ = [
    "UnitArrays",
    "UnitsStage",
    "join_units",
    "read_blendshapes",
    "real_targets",
    "run_units_stage",
    "unit_readings",
    "unit_rows",
    "with_targets",
]

UNITS = AU_SETS["pocket"]
_SIDES = ("Left", "Right")
TAUGHT = {
    "AU01": 0.6,
    "AU02": 1.0,
    "AU05": 0.7,
    "AU14": 1.0,
    "AU20": 0.5,
    "AU26": 0.5,
    "AU27": 0.5,
    "AU43": 1.0,
}
"""Weight of the instrument's score in the target of a real face, by which of the two tells more on training faces."""
CLOSED = 0.5
"""Of the instrument's eye closure, from which eyes are closed and do not look down."""
SMILES = ("AU06", "AU07", "AU10", "AU12", "AU16", "AU24", "AU25", "AU26")
"""AUs that a happy face may well show: neutral faces alone tell what is no trace of them."""
STIRRING = ("AU06", "AU07", "AU12", "AU24", "AU25")
"""AUs whose own readings have their scale on real faces already."""


@dataclass(frozen=True, slots=True)
class UnitsStage:
    """Hyper-parameters."""

    epochs: int = 30
    learning_rate: float = 3e-3
    batch_size: int = 256
    weight_decay: float = 0.05
    real_weight: float = 0.5
    """Of a real face's targets against a rendered one's."""
    noise: float = 0.05
    """Deviation of the noise on the standardised inputs."""
    agreed: float = 0.8
    """Share of the raters that makes a face neutral or happy."""
    neutral_quantile: float = 0.95
    """Of faces at rest: what the others among them show counts as a trace."""
    unsure_quantile: float = 0.995
    """The same for AUs that are neither taught nor read on real faces."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class UnitArrays:
    """Columns of the training table; N rows, each with a mesh."""

    landmarks: FloatArray
    """(N, F) of `landmark_vector`."""
    aus: FloatArray
    """(N, 22) intensities of the evidence graph with crop and mesh."""
    blind: FloatArray
    """(N, 22) the same from the mesh alone."""
    target: FloatArray
    """(N, 22) intensity 0..1 or NaN."""
    sides: FloatArray
    """(N, S) left minus right of `SIDED`, or NaN."""
    rendered: npt.NDArray[np.bool_]
    neutral: npt.NDArray[np.bool_]
    """(N,) real faces that nearly all raters called neutral: they set where presence begins."""
    happy: npt.NDArray[np.bool_]
    """(N,) the same for happiness."""

    def __len__(self) -> int:
        return len(self.landmarks)


def read_blendshapes(path: Path | None, count: int) -> tuple[tuple[str, ...], FloatArray]:
    """ARKit names and (N, len(names)) scores of `count` real training faces, in the order of `real_samples`.

    Args:
        path: npz of ``names`` and ``scores``, rows of NaN where the instrument found no face; None: no instrument.

    Raises:
        BadData: another number of rows.
    """
    if path is None:
        return (), np.zeros((count, 0), np.float32)
    with np.load(path, allow_pickle=False) as table:
        names, scores = tuple(str(name) for name in table["names"]), np.asarray(table["scores"], np.float32)
    if scores.shape != (count, len(names)):
        raise BadData(
            got=f"{path} with scores of shape {scores.shape} for {len(names)} names",
            expected=f"({count}, {len(names)}): a row for every real training face",
            fix="Read the faces in the order of mien.train.pocket.evidence_data.real_samples('train')",
        )
    return names, scores


def unit_rows(table: EvidenceArrays, aus: FloatArray, blind: FloatArray) -> UnitArrays:
    """Rows of a table of the evidence stages, whose intensities are the targets; rows without a target are real."""
    rendered = np.logical_not(np.isnan(table.intensity).any(axis=1))
    none = np.zeros(len(table), bool)
    sides = np.full((len(table), len(SIDED)), np.nan, np.float32)
    return UnitArrays(table.landmarks, aus, blind, table.intensity, sides, rendered, none, none)


def with_targets(
    faces: UnitArrays, names: Sequence[str], scores: FloatArray, votes: FloatArray, stage: UnitsStage
) -> UnitArrays:
    """Real faces with `real_targets` from the instrument's blendshapes and the raters' (N, 8) votes."""
    neutral, happy = (votes[:, EMOTIONS.index(word)] >= stage.agreed for word in ("neutral", "happiness"))
    taught = np.full_like(faces.aus, np.nan)
    sides = np.full((len(faces), len(SIDED)), np.nan, np.float32)
    for unit, key in enumerate(UNITS):
        shapes = AUS[key].arkit
        pairs = [[names.index(shape + side) for shape in shapes if shape + side in names] for side in _SIDES]
        columns = [names.index(shape) for shape in shapes if shape in names] + pairs[0] + pairs[1]
        if columns:
            taught[:, unit] = scores[:, columns].mean(axis=1)
        if key in SIDED and all(pairs):
            left, right = (scores[:, places].mean(axis=1) for places in pairs)
            sides[:, SIDED.index(key)] = left - right
    target = real_targets(taught, faces.aus, neutral, happy, stage.neutral_quantile)
    return replace(faces, target=target, sides=sides, neutral=neutral, happy=happy)


def join_units(parts: Sequence[UnitArrays]) -> UnitArrays:
    """One table of several, rows in order."""
    names = UnitArrays.__dataclass_fields__
    return UnitArrays(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def real_targets(
    taught: FloatArray,
    own: FloatArray,
    neutral: npt.NDArray[np.bool_],
    happy: npt.NDArray[np.bool_],
    edge: float,
) -> FloatArray:
    """(N, 22) targets of real faces: the instrument's readings and our own, on the scale of real faces (see `_scaled`).

    Args:
        taught: (N, 22) the instrument's scores, NaN where it found no face or has no such AU.
        own: (N, 22) intensities of the evidence graph.
        neutral: (N,) faces at rest.
        happy: (N,) faces which show a smile and its AUs, and nothing else.
        edge: quantile of those faces' scores that becomes FACS level A's lower edge.
    """
    target = np.array(own)
    for unit, key in enumerate(UNITS if len(own) else ()):
        still = _at_rest(key, neutral, happy)
        share = 0.0 if np.isnan(taught[still, unit]).all() else TAUGHT.get(key, 0.0)
        if share > 0.0:
            least = CLOSED if key == "AU43" else 0.0
            target[:, unit] = share * _scaled(taught[:, unit], still, edge, least)
        if share < 1.0 and key not in STIRRING:
            ours = _scaled(own[:, unit], still, edge)
            target[:, unit] = ours if share == 0.0 else target[:, unit] + (1.0 - share) * ours
    return target


def _at_rest(key: str, neutral: npt.NDArray[np.bool_], happy: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N,) faces that should not show the AU."""
    return neutral if key in SMILES else neutral | happy


def _scaled(scores: FloatArray, still: npt.NDArray[np.bool_], edge: float, least: float = 0.0) -> FloatArray:
    """Scores -> 0..0.8: `still` faces' `edge` quantile, at least `least`, becomes 0.1, the strongest hundredth 0.7.

    Where no face is known to be at rest, `edge` is that of all faces.
    """
    known = ~np.isnan(scores)
    rested = known & still
    start = max(float(np.quantile(scores[rested if rested.any() else known], edge)), least)
    low, high = float(np.quantile(scores[known], 0.02)), float(np.quantile(scores[known], 0.99))
    knots = np.maximum.accumulate([low, start, high, float(scores[known].max())])
    knots += np.arange(4) * 1e-9
    return np.where(known, np.interp(np.nan_to_num(scores), knots, [0.0, 0.1, 0.7, 0.8]), np.nan).astype(
        np.float32
    )


def run_units_stage(net: PocketUnits, stage: UnitsStage, table: UnitArrays, path: Path) -> PocketUnits:
    """Train, calibrate and keep the weights at `path`; weights that lie there are taken instead."""
    if path.is_file():
        net.load_state_dict(load_file(path))
        return net.eval()
    torch.manual_seed(stage.seed)
    _standardise(net, table)
    columns = (table.landmarks, table.aus, table.blind, table.target, table.sides)
    landmarks, aus, blind, target, sides = (torch.from_numpy(column) for column in columns)
    weight = torch.where(torch.from_numpy(table.rendered), 1.0, stage.real_weight).float()
    spread = torch.zeros(landmarks.shape[1]).index_copy(0, net.chosen, net.landmarks.deviation)
    optimiser = torch.optim.AdamW(net.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    steps = max(1, len(table) // stage.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.learning_rate, total_steps=steps * stage.epochs
    )
    net.train()
    for _ in range(stage.epochs):
        order = torch.randperm(len(table))
        for rows in order[: steps * stage.batch_size].view(steps, -1):
            seen = (torch.rand(len(rows)) < 0.65).float()
            told = seen[:, None] * aus[rows] + (1 - seen[:, None]) * blind[rows]
            moved = landmarks[rows] + stage.noise * spread * torch.randn_like(landmarks[rows])
            logits, differences = net.raw(moved, told, seen)
            loss = masked_bce(logits, target[rows], weight[rows])
            known = ~sides[rows].isnan()
            misses = (torch.tanh(differences) - sides[rows].nan_to_num()).square() * known
            loss = loss + misses.sum() / known.sum().clamp(min=1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    _calibrate(net.eval(), stage, table)
    with written_whole(path) as partial:
        save_file({key: value.contiguous() for key, value in net.state_dict().items()}, partial)
    return net


def _standardise(net: PocketUnits, table: UnitArrays) -> None:
    vectors = table.landmarks[:, net.chosen.numpy()]
    net.landmarks.mean.copy_(torch.from_numpy(vectors.mean(axis=0)))
    net.landmarks.deviation.copy_(torch.from_numpy(vectors.std(axis=0).clip(min=1e-4)))
    told = net.faint(torch.from_numpy(np.concatenate([table.aus, table.blind])))
    net.usual.copy_(told.mean(dim=0))
    net.spread.copy_(told.std(dim=0).clamp(min=0.1))


@torch.no_grad()
def _calibrate(net: PocketUnits, stage: UnitsStage, table: UnitArrays) -> None:
    """Set ``rest``, with pixels and without: rendered truth's best threshold, and above what neutral faces show."""
    for way, aus in enumerate((table.aus, table.blind)):
        seen = torch.full((len(table),), 1.0 - way)
        logits, _ = net.raw(torch.from_numpy(table.landmarks), torch.from_numpy(aus), seen)
        raw = torch.sigmoid(logits).numpy()
        for unit, key in enumerate(UNITS):
            best = balanced_threshold(
                raw[table.rendered, unit], table.target[table.rendered, unit] >= level_edge(1)
            )
            # What does not stir on real faces is not said to be there because a mesh alone is looked at.
            sure = stage.neutral_quantile if key in (*MOVED, *STIRRING) else stage.unsure_quantile
            rested = raw[_at_rest(key, table.neutral, table.happy), unit]
            still = float(np.quantile(rested, sure)) if len(rested) else 0.0
            net.rest[way, unit] = float(np.clip(max(best, still), 0.02, 0.6))


@torch.no_grad()
def unit_readings(net: PocketUnits, table: UnitArrays, pixels: bool = True) -> FloatArray:
    """(N, 22) calibrated intensities."""
    there = torch.ones(len(table))
    seen = there if pixels else torch.zeros(len(table))
    aus = torch.from_numpy(table.aus if pixels else table.blind)
    units: Tensor = net(torch.from_numpy(table.landmarks), there, seen, aus)[0]
    return units.numpy()
