"""The example clip: one rendered person who smiles and is then surprised, with the truth per frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer.faces import FaceModel
from renderer.finish import develop
from renderer.persona import make_persona
from renderer.raster import smooth_noise
from renderer.sampling import Expression, Pose, shapes_from_aus
from renderer.scene import Camera, Frame, Renderer, frame_for, rotation
from renderer.shading import Light

__all__ = ["CLIP_FPS", "CLIP_SECONDS", "ClipFrame", "clip_frames", "render_clip"]

FloatArray = NDArray[np.float32]

CLIP_FPS = 25
CLIP_SECONDS = 4.0
_HEIGHT, _WIDTH = 360, 480
_OVERSAMPLE = 2
# A person with a calm neutral face who shows both expressions well; found by looking at a few seeds.
_PERSON_SEED = 9
_PERSON_DAMP = 0.25

# (onset, apex, offset, end) in seconds and the AUs of each action.
_ACTIONS: tuple[tuple[tuple[float, float, float, float], dict[str, float]], ...] = (
    ((0.50, 0.88, 1.50, 1.95), {"AU06": 0.8, "AU12": 0.95, "AU25": 0.5}),
    ((2.04, 2.12, 2.12, 2.24), {"AU43": 1.0}),
    ((2.36, 2.60, 3.20, 3.60), {"AU01": 0.95, "AU02": 0.95, "AU05": 0.9, "AU25": 0.6, "AU26": 0.75}),
)


@dataclass(frozen=True)
class ClipFrame:
    """image: uint8 [360, 480, 3]; au: float32 [22] 0-1; time: seconds."""

    image: NDArray[np.uint8]
    au: FloatArray
    time: float


def _ramp(time: float, times: tuple[float, float, float, float]) -> float:
    """0 before onset, 1 between apex and offset, 0 after the end, smooth between."""
    onset, apex, offset, end = times
    rise = np.clip((time - onset) / (apex - onset), 0.0, 1.0)
    fall = np.clip((end - time) / (end - offset), 0.0, 1.0)
    share = float(min(rise, fall))
    return share * share * (3.0 - 2.0 * share)


def _aus(time: float) -> dict[str, float]:
    out: dict[str, float] = {}
    for times, aus in _ACTIONS:
        level = _ramp(time, times)
        for name, value in aus.items():
            out[name] = max(out.get(name, 0.0), level * value)
    return out


def _pose(time: float) -> Pose:
    """A slow, small sway."""
    wave = 2.0 * np.pi * time / CLIP_SECONDS
    startle = _ramp(time, _ACTIONS[2][0])
    return Pose(
        yaw=float(5.0 * np.sin(wave)),
        pitch=float(1.5 * np.sin(2.0 * wave) + 2.5 * startle),
        roll=float(1.5 * np.cos(wave) - 1.5),
    )


def clip_frames(data: Path, count: int = round(CLIP_FPS * CLIP_SECONDS), step: int = 1) -> list[ClipFrame]:
    """Render the frames 0, step, 2 * step ... below `count`."""
    studio = Renderer(FaceModel(data))
    rng = np.random.default_rng([_PERSON_SEED, 7])
    person = make_persona(rng, studio.model, studio.shade, studio.maps, _PERSON_DAMP)
    camera = Camera(95.0, 0.52, (0.0, 0.04))
    size = (_HEIGHT * _OVERSAMPLE, _WIDTH * _OVERSAMPLE)
    frame: Frame = frame_for(person.bare @ rotation(Pose(0.0, 0.0, 0.0)).T, camera, size)
    direction = np.array([0.45, 0.5, 0.75], np.float32)
    light = Light(
        direction / np.linalg.norm(direction),
        np.array([0.9, 0.86, 0.8], np.float32),
        np.array([0.36, 0.39, 0.43], np.float32),
        0.25,
    )
    background = _backdrop(*size)
    out = []
    for number in range(0, count, step):
        time = number / CLIP_FPS
        expression = Expression(shapes_from_aus(studio.model, _aus(time)), (0.0, 0.0), -1)
        picture = studio.draw(person, expression, _pose(time), camera, light, background, 0.25, frame)
        out.append(ClipFrame(develop(picture.image, (_HEIGHT, _WIDTH)), picture.au, time))
    return out


def _backdrop(height: int, width: int) -> FloatArray:
    """A plain studio wall, lighter in the middle."""
    y, x = (
        np.linspace(-1, 1, height, dtype=np.float32)[:, None],
        np.linspace(-1, 1, width, dtype=np.float32)[None],
    )
    fall = np.exp(-(x * x + 0.7 * y * y)) + 0.04 * smooth_noise(np.random.default_rng(3), height, width, 5)
    out: FloatArray = (0.06 + 0.3 * fall)[..., None] * np.array([0.72, 0.86, 1.0], np.float32)
    return out


def render_clip(data: Path, target: Path) -> int:
    """Write the clip as H.264 (needs PyAV) and return its size in bytes."""
    import av

    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS, options={"crf": "19", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for frame in clip_frames(data):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="rgb24")))
        container.mux(stream.encode())
    return target.stat().st_size
