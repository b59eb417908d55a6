"""Random expressions, poses and gazes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderer.faces import AU_SHAPES, JAW_BREAK, JAW_SLACK, FaceModel

__all__ = ["PROTOTYPES", "RIVALS", "Expression", "Pose", "draw_expression", "draw_pose", "shapes_from_aus"]

FloatArray = NDArray[np.float32]

# EMFACS-style prototypes: emotion, AUs that are always there, AUs that are there half of the time.
PROTOTYPES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("happiness", ("AU06", "AU12"), ("AU25", "AU07")),
    ("sadness", ("AU01", "AU04", "AU15"), ("AU17", "AU43")),
    ("surprise", ("AU01", "AU02", "AU05", "AU26"), ("AU27",)),
    ("fear", ("AU01", "AU02", "AU04", "AU05", "AU20"), ("AU07", "AU25", "AU26")),
    ("anger", ("AU04", "AU05", "AU07", "AU24"), ("AU17", "AU09")),
    ("disgust", ("AU09",), ("AU10", "AU15", "AU16", "AU04")),
    ("contempt", ("AU14",), ("AU12",)),
)

_SINGLE = (*AU_SHAPES, "AU25", "AU26", "AU27", "AU28")
# Common actions are drawn more often in the free mixtures.
_COMMON = {
    "AU04": 1.3, "AU06": 2.6, "AU07": 1.3, "AU10": 1.3, "AU12": 2.4, "AU14": 1.6, "AU15": 1.4, "AU17": 1.8,
    "AU43": 1.4,
}  # fmt: skip
# Happiness is the most frequent emotion of everyday faces.
_PROTOTYPE_SHARE = np.array([0.28, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12])
# Of two actions that pull the same lips or lids in opposite ways only the first drawn one stays.
RIVALS = {
    "AU05": ("AU43",),
    "AU12": ("AU15", "AU18", "AU22"),
    "AU16": ("AU17",),
    "AU18": ("AU12", "AU20", "AU24", "AU27"),
    "AU22": ("AU12", "AU24"),
    "AU24": ("AU18", "AU22", "AU25", "AU26", "AU27"),
    "AU27": ("AU17", "AU18", "AU24", "AU26"),
    "AU28": ("AU10", "AU16", "AU18", "AU22", "AU24", "AU25", "AU26", "AU27"),
}
_NUISANCE = (
    "jawLeft", "jawRight", "jawForward", "mouthLeft", "mouthRight", "cheekPuff_L", "cheekPuff_R",
    "mouthShrugUpper",
)  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """shapes: weights of the 53 shapes, 0-1; gaze: degrees (subject's left, up); prototype: row of
    `PROTOTYPES` or -1."""

    shapes: FloatArray
    gaze: tuple[float, float]
    prototype: int


@dataclass(frozen=True)
class Pose:
    """Degrees. yaw > 0 turns the nose to the right of the picture, pitch > 0 lifts it, roll > 0 tips
    the head clockwise in the picture."""

    yaw: float
    pitch: float
    roll: float


def draw_pose(rng: np.random.Generator) -> Pose:
    """Mostly near frontal; one in three is spread over yaw +-35, pitch +-25, roll +-20 degrees."""
    if rng.random() < 0.35:
        yaw, pitch, roll = rng.uniform(-1, 1, 3) * (35.0, 25.0, 20.0)
    else:
        yaw, pitch, roll = np.clip(rng.normal(0, 1, 3) * (9.0, 6.5, 5.0), (-35, -25, -20), (35, 25, 20))
    return Pose(float(yaw), float(pitch), float(roll))


def draw_expression(rng: np.random.Generator, model: FaceModel) -> Expression:
    """12 % neutral, 50 % free mixtures of 1-5 AUs, 38 % emotion prototypes; then gaze and nuisance shapes."""
    kind = rng.random()
    prototype = -1
    one_sided: dict[str, float] = {}
    if kind < 0.12:
        aus: dict[str, float] = {}
    elif kind < 0.62:
        aus = _free_mixture(rng)
        one_sided = {name: _side(rng) for name in ("AU12", "AU14", "AU10", "AU02") if rng.random() < 0.15}
    else:
        prototype = int(rng.choice(len(PROTOTYPES), p=_PROTOTYPE_SHARE))
        aus = _prototype_mixture(rng, prototype)
        if PROTOTYPES[prototype][0] == "contempt":
            side = _side(rng)
            one_sided = {"AU14": side, "AU12": side}
    shapes = shapes_from_aus(model, aus, rng, one_sided)
    for name in _NUISANCE:
        if rng.random() < 0.04:
            shapes[model.shape_index[name]] = max(rng.uniform(0.05, 0.5), shapes[model.shape_index[name]])
    gaze = (0.0, 0.0)
    if rng.random() < 0.5:
        gaze = (float(rng.normal(0, 9)), float(rng.normal(0, 5)))
    _look(model, shapes, gaze)
    return Expression(shapes, gaze, prototype)


def shapes_from_aus(
    model: FaceModel,
    aus: dict[str, float],
    rng: np.random.Generator | None = None,
    one_sided: dict[str, float] | None = None,
) -> FloatArray:
    """Shape weights float32 [53] for AU intensities 0-1.

    Without a generator both sides are equal.  With one, the weaker side of a pair keeps 80-100 % of the
    stronger; one_sided gives AUs a share for the weaker side instead, negative for the subject's left.
    AU25 parts the lips with the jaw near rest; its truth is measured on the mesh afterwards.
    """
    shapes = np.zeros(len(model.shape_names), np.float32)
    for name, value in aus.items():
        if name not in AU_SHAPES:
            continue
        shape = AU_SHAPES[name]
        if shape in model.shape_index:
            shapes[model.shape_index[shape]] = value
            continue
        left = right = value
        if rng is not None:
            share = (one_sided or {}).get(name, float(rng.uniform(0.8, 1.0) * rng.choice((-1, 1))))
            left, right = (value * -share, value) if share < 0 else (value, value * share)
        shapes[model.shape_index[f"{shape}_L"]], shapes[model.shape_index[f"{shape}_R"]] = left, right
    jaw = aus.get("AU25", 0.0) * JAW_SLACK
    if aus.get("AU26", 0.0) > 0:
        jaw = JAW_SLACK + aus["AU26"] * (JAW_BREAK - JAW_SLACK)
    if "AU27" in aus:
        jaw = JAW_BREAK + aus["AU27"] * (1.0 - JAW_BREAK)
    shapes[model.shape_index["jawOpen"]] = jaw
    for roll in ("mouthRollLower", "mouthRollUpper"):
        shapes[model.shape_index[roll]] = aus.get("AU28", 0.0)
    shapes[model.shape_index["mouthShrugUpper"]] = 0.35 * aus.get("AU17", 0.0)
    # Lips that part with the jaw at rest: mouthClose run backwards.
    shapes[model.shape_index["mouthClose"]] = -0.22 * aus.get("AU25", 0.0)
    if rng is not None and 0 < jaw < 0.4 and "AU25" not in aus and rng.random() < 0.15:
        shapes[model.shape_index["mouthClose"]] = jaw
    return shapes


def _side(rng: np.random.Generator) -> float:
    share = float(rng.uniform(0.02, 0.3))
    return -share if rng.random() < 0.5 else share


def _strength(rng: np.random.Generator) -> float:
    """Half weak, half spread over the whole scale."""
    return float(rng.beta(1.2, 3.0)) if rng.random() < 0.4 else float(rng.uniform(0.1, 1.0))


def _free_mixture(rng: np.random.Generator) -> dict[str, float]:
    share = np.array([_COMMON.get(name, 1.0) for name in _SINGLE])
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.2, 0.25, 0.25, 0.18, 0.12]))
    rows = rng.choice(len(_SINGLE), size=count, replace=False, p=share / share.sum())
    return _without_rivals({_SINGLE[row]: _strength(rng) for row in rows})


def _prototype_mixture(rng: np.random.Generator, prototype: int) -> dict[str, float]:
    _, always, sometimes = PROTOTYPES[prototype]
    level = rng.uniform(0.15, 1.0)
    names = [*always, *(name for name in sometimes if rng.random() < 0.5)]
    aus = {name: float(np.clip(level * rng.uniform(0.6, 1.25), 0.05, 1.0)) for name in names}
    if rng.random() < 0.2:
        aus.pop(names[int(rng.integers(len(names)))])
    return _without_rivals(aus, "AU27") if "AU27" in aus else aus


def _without_rivals(aus: dict[str, float], favoured: str = "") -> dict[str, float]:
    kept: dict[str, float] = {}
    for name in sorted(aus, key=lambda key: key != favoured):
        if not any(name in RIVALS.get(other, ()) or other in RIVALS.get(name, ()) for other in kept):
            kept[name] = aus[name]
    return kept


def _look(model: FaceModel, shapes: FloatArray, gaze: tuple[float, float]) -> None:
    """The lids follow the gaze (weights of the look shapes, in place)."""
    left, up = gaze[0] / 35.0, gaze[1] / 28.0
    weights = {
        "eyeLookUp_L": up, "eyeLookUp_R": up, "eyeLookDown_L": -up, "eyeLookDown_R": -up,
        "eyeLookOut_L": left, "eyeLookIn_R": left, "eyeLookIn_L": -left, "eyeLookOut_R": -left,
    }  # fmt: skip
    for name, value in weights.items():
        shapes[model.shape_index[name]] = float(np.clip(value, 0.0, 1.0))
