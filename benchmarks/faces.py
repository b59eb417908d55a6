"""Faces found and faces made up, on the sample pictures and clips and on the examples.

    python benchmarks/faces.py [--limit N]

Truth is the middle of each face, marked by eye. A found face is true when it holds such a point that no other
face holds already; every other one is false. ``--limit N`` looks at N frames of each clip.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from _record import EXAMPLES, Record, needed_data, parser, run, spread

from mien.core.nouns import Face, Image
from mien.face.decode.images import load_image
from mien.face.decode.video import VideoFrame, read_frames
from mien.face.finder import FaceFinder
from mien.face.tracks import FaceTracker

Points = Sequence[tuple[float, float]]
PICTURES: dict[str, Points] = {
    "samples/multi_face.jpg": ((0.26, 0.18), (0.365, 0.455), (0.48, 0.40), (0.58, 0.57), (0.745, 0.53)),
    "samples/faceapi_sample1.jpg": ((0.245, 0.375), (0.48, 0.43), (0.82, 0.26)),
    "samples/faceapi_sample2.jpg": ((0.215, 0.22), (0.515, 0.26), (0.805, 0.20)),
    "samples/faceapi_sample3.jpg": ((0.35, 0.355), (0.61, 0.28), (0.83, 0.34)),
    "samples/single_face.jpg": ((0.5, 0.45),),
    "examples/eileen_collins.jpg": ((0.44, 0.22),),
    "examples/grace_hopper.jpg": ((0.56, 0.27),),
}
"""Middle of every face, in shares of width and height."""
GROUP = tuple(f"samples/faceapi_sample{number}.jpg" for number in (1, 2, 3))
GROUP_BAR = 8
"""Of nine: one is a full profile."""


def measure(record: Record) -> None:
    needed_data("samples")
    finder = FaceFinder(threads=record.options.threads)
    hits, made_up = {}, 0
    for name, points in PICTURES.items():
        image = load_image(_path(name))
        faces = finder.find(image)
        hits[name], false = match(faces, points, image)
        made_up += false
        picture = Path(name).name
        bar = None if name in GROUP else len(points)
        record.add(f"{picture}: faces found", hits[name], bar=bar, n=len(points), note=_sureness(faces))
    record.add("faceapi_sample1–3: faces found", sum(hits[name] for name in GROUP), bar=GROUP_BAR,
               n=sum(len(PICTURES[name]) for name in GROUP), note="one is a full profile")  # fmt: skip
    record.add("false faces on all pictures", made_up, bar=0, at_most=True, n=len(PICTURES))
    clips(record, finder)


def clips(record: Record, finder: FaceFinder) -> None:
    """Every frame as a photo, and the clip as the analyzer follows it."""
    empty = _frames(record, _path("samples/no_face.mp4"))
    alone = sum(len(finder.find(frame.image)) for frame in empty)
    record.add("no_face.mp4: faces, each frame as a photo", alone, bar=0, at_most=True, n=len(empty))
    tracker = FaceTracker(finder)
    followed = sum(len(tracker.update(frame)) for frame in empty)
    record.add("no_face.mp4: faces, followed", followed, bar=0, at_most=True, n=len(empty))
    single = _frames(record, _path("samples/single_face.mp4"))
    tracker = FaceTracker(finder)
    seen = [tracker.update(frame) for frame in single]
    right = sum(len(faces) == 1 for faces in seen)
    record.add("single_face.mp4: frames with exactly one face", right, bar=len(single), n=len(single))
    ids = {face.track for faces in seen for face in faces}
    record.add("single_face.mp4: track ids", len(ids), bar=1, at_most=True, n=len(single))


def match(faces: Sequence[Face], points: Points, image: Image) -> tuple[int, int]:
    """True and false faces."""
    height, width = image.shape[:2]
    open_points = [(x * width, y * height) for x, y in points]
    true = 0
    for face in faces:
        left, top, right, bottom = (float(edge) for edge in face.box)
        inside = [point for point in open_points if left <= point[0] <= right and top <= point[1] <= bottom]
        if inside:
            open_points.remove(inside[0])
            true += 1
    return true, len(faces) - true


def _frames(record: Record, path: Path) -> list[VideoFrame]:
    frames = list(read_frames(path))
    return [frames[row] for row in spread(len(frames), record.options.limit)]


def _sureness(faces: Sequence[Face]) -> str:
    if not faces:
        return ""
    presence, score = [face.presence for face in faces], [face.score for face in faces]
    return f"presence {min(presence):.3f} or more, score {min(score):.2f} … {statistics.median(score):.2f}"


def _path(name: str) -> Path:
    folder, _, file = name.partition("/")
    return EXAMPLES / file if folder == "examples" else needed_data(folder, file)


if __name__ == "__main__":
    run("faces", parser(__doc__.splitlines()[0]), measure)
