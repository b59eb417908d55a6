"""What the report keeps of a frame: plain JSON-able dictionaries, small enough for a job's journal.

`card_from` gives pictures and text of chosen faces, with rounded numbers; all other numbers come from the results.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image as PilImage

from mien.analyze.overlay import draw_mesh, draw_overlay, face_outline, redact_outlines
from mien.analyze.overlay_layout import name_of
from mien.core.aus import AUS
from mien.core.emotions import EMOTIONS
from mien.core.nouns import AuReading, Claim, Explanation, FaceResult, FrameResult, Image

__all__ = ["LEVEL_WORDS", "card_from", "say_level"]

LEVEL_WORDS: tuple[str, ...] = ("absent", "trace", "slight", "pronounced", "severe", "maximum")
"""FACS intensity words by level 0..5."""
_THUMBNAIL, _OVERVIEW, _QUALITY = 288, 720, 80
_WORST_FIRST = ("contradicted", "unmeasured", "supported")


def card_from(
    result: FrameResult, image: Image | None, redact: bool = False, faces: Sequence[int] | None = None
) -> dict[str, Any]:
    """Everything the report shows of some faces of one frame.

    Args:
        result: one photo or frame.
        image: (H, W, 3) uint8 RGB; None (landmarks-only mode) draws the landmarks alone.
        redact: fill every face's area in the pictures before drawing.
        faces: indices of the faces to show; all by default.

    Returns:
        ``source, frame, time, video``, ``overview`` (JPEG as base64 of a photo with several faces, else
        None) and ``faces``, each with its thumbnail as base64 JPEG or None.
    """
    chosen = range(len(result.faces)) if faces is None else faces
    overview = None
    if image is not None and not result.video and len(result.faces) > 1:
        overview = _overview(image, result, redact)
    return {
        "source": result.source,
        "frame": result.frame,
        "time": round(result.time, 4),
        "video": result.video,
        "overview": overview,
        "faces": [_face_card(result, index, image, redact) for index in chosen],
    }


def say_level(level: int) -> str:
    """``3`` -> ``"C, pronounced"``; ``0`` -> ``"absent"``."""
    return f"{'-ABCDE'[level]}, {LEVEL_WORDS[level]}" if level else LEVEL_WORDS[0]


def _face_card(result: FrameResult, index: int, image: Image | None, redact: bool) -> dict[str, Any]:
    face = result.faces[index]
    pose = face.pose
    return {
        "number": index,
        "track": face.track,
        "emotion": face.emotion,
        "emotions": {name: round(float(face.emotions.get(name, 0.0)), 4) for name in EMOTIONS},
        "aus": {
            key: [_number(reading.intensity), reading.level, reading.presence]
            for key, reading in face.aus.items()
        },
        "pose": None if pose is None else [round(angle, 1) for angle in (pose.pitch, pose.yaw, pose.roll)],
        "box": [round(float(value)) for value in face.box],
        "score": _number(face.score),
        "presence": _number(face.face.presence),
        "thumbnail": _thumbnail(result, face, image, redact),
        "explanation": None if face.explanation is None else _explanation(face.explanation, face.aus),
    }


def _number(value: float) -> float | None:
    """Rounded, and None for NaN, which JSON does not know."""
    return None if math.isnan(value) else round(float(value), 4)


def _jpeg(picture: PilImage.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _moved(face: FaceResult, offset: tuple[float, float], scale: float = 1.0) -> FaceResult:
    """The face in the px of a picture that was cut at ``offset`` and then resized by ``scale``."""
    box = (face.box - np.array([*offset, *offset], dtype=np.float32)) * np.float32(scale)
    landmarks = face.landmarks
    if landmarks is not None:
        landmarks = (landmarks - np.array([*offset, 0.0], dtype=np.float32)) * np.float32(scale)
    return replace(face, face=replace(face.face, box=box, landmarks=landmarks))


def _thumbnail(result: FrameResult, face: FaceResult, image: Image | None, redact: bool) -> str | None:
    if image is None and face.landmarks is None:
        return None
    left, top, right, bottom = (float(value) for value in face.box)
    reach = 0.68 * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    cut = [math.floor(x - reach), math.floor(y - reach), math.ceil(x + reach), math.ceil(y + reach)]
    if image is None:
        picture = PilImage.new("RGB", (cut[2] - cut[0], cut[3] - cut[1]), (38, 46, 58))
    else:
        height, width = image.shape[:2]
        cut = [max(cut[0], 0), max(cut[1], 0), min(cut[2], width), min(cut[3], height)]
        if cut[2] <= cut[0] or cut[3] <= cut[1]:
            return None
        pixels = image[cut[1] : cut[3], cut[0] : cut[2]]
        if redact:
            corner = np.array(cut[:2], dtype=np.float64)
            pixels = redact_outlines(pixels, [face_outline(other) - corner for other in result.faces])
        picture = PilImage.fromarray(pixels)
    scale = _THUMBNAIL / max(picture.size)
    size = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
    picture = picture.resize(size, PilImage.Resampling.BICUBIC)
    draw_mesh(picture, _moved(face, (cut[0], cut[1]), scale), weight=1.2)
    return _jpeg(picture)


def _overview(image: Image, result: FrameResult, redact: bool) -> str:
    scale = min(_OVERVIEW / image.shape[1], 1.0)
    small = image
    if redact:
        small = redact_outlines(image, [face_outline(face) for face in result.faces])
    if scale < 1.0:
        size = _OVERVIEW, max(round(image.shape[0] * scale), 1)
        small = np.asarray(PilImage.fromarray(small).resize(size, PilImage.Resampling.BICUBIC))
    moved = replace(result, faces=tuple(_moved(face, (0.0, 0.0), scale) for face in result.faces))
    return _jpeg(PilImage.fromarray(draw_overlay(small, moved, min_width=0, panels=False)))


def _explanation(explanation: Explanation, aus: Mapping[str, AuReading]) -> dict[str, Any]:
    """Parts as runs of ``[text, verdict or None, tip or None]``, and a count of verdicts."""
    claims = sorted(explanation.claims, key=lambda claim: (claim.start, claim.end))
    parts: list[dict[str, Any]] = []
    start = 0
    for heading, body in (
        ("Key Observations", explanation.observations),
        ("Overall Emotional Interpretation", explanation.interpretation),
        ("Conclusion", explanation.conclusion),
    ):
        # `Explanation.text` is "<heading>: <body>" three times, with a blank line between.
        begin = start + len(heading) + 2
        end = begin + len(body)
        parts.append({"heading": heading, "runs": _runs(explanation.text, begin, end, claims, aus)})
        start = end + 2
    counts = {name: sum(claim.verdict == name for claim in claims) for name in reversed(_WORST_FIRST)}
    return {"parts": parts, "withheld": list(explanation.withheld), "counts": counts}


def _runs(
    text: str, begin: int, end: int, claims: Sequence[Claim], aus: Mapping[str, AuReading]
) -> list[list[str | None]]:
    """Cut ``text[begin:end]`` at its claims; claims that overlap are shown as one with the worst verdict."""
    groups: list[tuple[int, int, list[Claim]]] = []
    for claim in claims:
        if claim.start < begin or claim.end > end or claim.end <= claim.start:
            continue
        if groups and claim.start < groups[-1][1]:
            first, last, members = groups[-1]
            groups[-1] = (first, max(last, claim.end), [*members, claim])
        else:
            groups.append((claim.start, claim.end, [claim]))
    runs: list[list[str | None]] = []
    position = begin
    for first, last, members in groups:
        if first > position:
            runs.append([text[position:first], None, None])
        verdict = next(name for name in _WORST_FIRST if any(claim.verdict == name for claim in members))
        tip = "; ".join(_tip(claim, aus.get(claim.au)) for claim in members)
        runs.append([text[first:last], verdict, tip])
        position = last
    if position < end:
        runs.append([text[position:end], None, None])
    return runs


def _tip(claim: Claim, reading: AuReading | None) -> str:
    """What was measured for the AU of a claim, e.g. ``AU12 lip corner puller: measured D, severe (0.83)``."""
    label = f"{AUS[claim.au].prose if claim.au in AUS else claim.au} {name_of(claim.au)}"
    if reading is None or not reading.measured:
        return f"{label}: not measured"
    return f"{label}: measured {say_level(reading.level)} ({reading.intensity:.2f}), claim {claim.verdict}"
