"""Pictures on their way to a teacher: the face cut out, made small, encoded with bounded size; clips by the second."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow

from mien.backends.chat import ChatImage
from mien.core.aus import level_intensity
from mien.core.errors import BadConfig
from mien.core.nouns import FaceResult, Image, Sample
from mien.face.decode.clips import FOLDER_RATE, clip_length, frame_paths, middle
from mien.face.decode.images import load_image
from mien.face.decode.video import probe, read_frames

__all__ = ["Clip", "Frame", "OpenPicture", "PictureSize", "ReadFace", "cut_face", "encode_picture", "face_box",
           "light_facts", "measured_facts", "seconds_of"]  # fmt: skip

OpenPicture = Callable[[str], Image]
"""``Sample.media`` -> (H, W, 3) uint8 RGB; raises BadInput."""
ReadFace = Callable[[Sample, Image], FaceResult | None]
"""The face that a sample means, measured; None when there is none. Must always say the same of one picture."""
_MARGIN = 0.3
_LEAST_QUALITY, _QUALITY_STEP = 40, 15


@dataclass(frozen=True, slots=True)
class PictureSize:
    """How large a picture may go out."""

    side: int = 512
    """Longer side in px; larger pictures are made smaller, none larger."""
    quality: int = 85
    """JPEG quality to begin with; lowered in steps to hold ``max_bytes``."""
    max_bytes: int = 150_000
    """Bytes of the JPEG file."""

    def __post_init__(self) -> None:
        if self.side < 32 or self.max_bytes < 2_000 or not 1 <= self.quality <= 95:
            raise BadConfig(
                got=f"pictures of {self.side} px, quality {self.quality}, {self.max_bytes} bytes",
                expected="side 32 or more, quality 1..95, 2,000 bytes or more",
                fix="Correct the picture options",
            )


def encode_picture(image: Image, size: PictureSize) -> ChatImage:
    """A picture as JPEG within the bounds; the same pixels always give the same bytes.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: the bounds.
    """
    side, quality = size.side, size.quality
    while True:
        data = _jpeg(image, side, quality)
        if len(data) <= size.max_bytes or side <= 32:
            return ChatImage(data)
        if quality - _QUALITY_STEP >= _LEAST_QUALITY:
            quality -= _QUALITY_STEP
        else:
            side = max(min(side, max(image.shape[:2])) * 3 // 4, 32)


def _jpeg(image: Image, side: int, quality: int) -> bytes:
    picture = pillow.fromarray(image)
    scale = side / max(picture.size)
    if scale < 1.0:
        new = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
        picture = picture.resize(new, pillow.Resampling.BICUBIC, reducing_gap=3.0)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def face_box(
    sample: Sample, image: Image, face: FaceResult | None = None
) -> tuple[float, float, float, float]:
    """Where the face is: the sample's box, else its landmarks' box, else the measured one, else the whole picture.

    Returns:
        Left, top, right, bottom in px; may reach beyond the picture.
    """
    if sample.box is not None:
        return sample.box
    points = sample.landmarks if face is None or sample.landmarks is not None else face.landmarks
    if points is not None and not sample.cropped:
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])
    if face is not None and not sample.cropped:
        left, top, right, bottom = (float(value) for value in face.box)
        return left, top, right, bottom
    return 0.0, 0.0, float(image.shape[1]), float(image.shape[0])


def cut_face(image: Image, box: tuple[float, float, float, float], margin: float = _MARGIN) -> Image:
    """The square around ``box``, widened by ``margin`` of its side on each side and held inside the picture."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    reach = max(right - left, bottom - top) * (0.5 + margin)
    x, y = (left + right) / 2, (top + bottom) / 2
    low = max(int(y - reach), 0), max(int(x - reach), 0)
    high = min(round(y + reach), height), min(round(x + reach), width)
    if high[0] - low[0] < 1 or high[1] - low[1] < 1:
        return image
    return np.ascontiguousarray(image[low[0] : high[0], low[1] : high[1]])


def measured_facts(sample: Sample, face: FaceResult | None) -> dict[str, Any]:
    """What is known of a face, as JSON values: the sample's labels first, a measurement where they say nothing.

    Returns:
        ``emotion`` (word or None), ``emotions`` (word -> probability; empty when not measured) and ``aus``
        (AU key -> intensity 0..1, absent ones 0; empty when nothing is known).
    """
    labels = sample.labels
    aus: dict[str, float] = {}
    if labels.au_intensity is not None:
        aus = {key: float(value) for key, value in labels.au_intensity.items() if key.startswith("AU")}
    elif labels.au_level is not None:
        aus = {key: level_intensity(level) for key, level in labels.au_level.items()}
    elif labels.au_presence is not None:
        aus = {key: 0.5 if here else 0.0 for key, here in labels.au_presence.items()}
    if face is not None and not aus:
        aus = {key: float(reading.intensity) for key, reading in face.aus.items() if reading.measured}
    emotions = {} if face is None else {word: float(share) for word, share in face.emotions.items()}
    rounded = {key: round(value, 4) for key, value in sorted(aus.items())}
    emotion = labels.emotion or (face.emotion if face is not None else None)
    return {
        "emotion": emotion,
        "emotions": {word: round(share, 4) for word, share in emotions.items()},
        "aus": rounded,
    }


def light_facts(image: Image) -> dict[str, Any]:
    """Plain facts of the pixels: ``light``, ``spread`` (mean and deviation, 0..255), ``grey``, ``size`` (w, h)."""
    pixels = image.reshape(-1, 3).astype(np.float32)
    grey = pixels.mean(axis=1)
    colour = float((pixels.max(axis=1) - pixels.min(axis=1)).mean())
    return {
        "light": round(float(grey.mean()), 1),
        "spread": round(float(grey.std()), 1),
        "grey": colour < 4.0,
        "size": [int(image.shape[1]), int(image.shape[0])],
    }


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a clip."""

    time: float
    """Seconds from the start."""
    image: Image
    """(H, W, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip, looked at once per second."""

    frames: tuple[Frame, ...]
    """The first frame of each second."""
    centre: Frame
    """The frame in the middle of the clip (`mien.face.decode.clips.middle`)."""


def seconds_of(media: str, most: int, folder_fps: float = FOLDER_RATE) -> Clip:
    """Look at a clip once per second (EMO-LLaMA samples video at 1 frame per second).

    Args:
        media: a video file, or a folder with the frames of one clip, in the order of their numbers.
        most: seconds to look at; of a longer clip as many, spread evenly.
        folder_fps: frames per second of a folder of pictures, which has no clock.
    """
    central = middle(clip_length(Path(media), folder_fps).frames)
    if Path(media).is_dir():
        return _from_folder(frame_paths(Path(media)), central, most, folder_fps)
    length = probe(media).duration
    if length is None:
        length = max(frame.time for frame in read_frames(media))
    wanted = _spread(max(int(np.ceil(length - 1e-6)), 1), most)
    chosen: list[Frame] = []
    centre: Frame | None = None
    for frame in read_frames(media):
        if len(chosen) < len(wanted) and frame.time >= wanted[len(chosen)] - 1e-6:
            chosen.append(Frame(round(frame.time, 3), frame.image))
        if frame.index == central:
            centre = Frame(round(frame.time, 3), frame.image)
        if centre is not None and len(chosen) == len(wanted):
            break
    return Clip(tuple(chosen), centre or chosen[middle(len(chosen))])


def _spread(seconds: int, most: int) -> list[float]:
    """Start times of at most ``most`` of the clip's seconds."""
    if seconds <= most:
        return [float(second) for second in range(seconds)]
    return [float(int(place * seconds / most)) for place in range(most)]


def _from_folder(paths: Sequence[Path], central: int, most: int, fps: float) -> Clip:
    seconds = max(int(np.ceil(len(paths) / fps)), 1)
    places = [int(start * fps) for start in _spread(seconds, most)]
    frames = tuple(Frame(round(place / fps, 3), load_image(paths[place])) for place in places)
    return Clip(frames, Frame(round(central / fps, 3), load_image(paths[central])))
