"""What the journal keeps of a result loses no field."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

from mien.analyze.analyzer import Analyzer
from mien.analyze.stored import frame_row, frames_of, rounded
from mien.core.codec import encode
from mien.core.nouns import AuReading, FrameResult, Quality
from mien.work.journal import Journal


def test_every_field_comes_back(photos: list[Path], tmp_path: Path) -> None:
    (frame,) = Analyzer(threads=1).analyze(photos[0], explain=True)
    face = frame.faces[0]
    quality = Quality(eyes=31.5, blur=0.25, hidden=("mouth",), flags={"small": "too small"})
    sided = {key: replace(one, left=0.25, right=0.5) for key, one in face.aus.items()}
    full = replace(frame, faces=(replace(face, face=replace(face.face, quality=quality), aus=sided),))
    kept = rounded(full)
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.add([frame_row(kept, "all")])
        (back,) = frames_of(journal, [frame.source])
    assert encode(back) == encode(kept)
    for kind, one, other in (
        (FrameResult, full, back),
        (AuReading, sided["AU12"], back.faces[0].aus["AU12"]),
    ):
        for field in fields(kind):
            if field.name not in ("faces", "probability", "intensity"):
                assert getattr(one, field.name) == getattr(other, field.name), field.name


def test_only_the_landmarks_that_the_table_needs_are_kept(photos: list[Path]) -> None:
    (frame,) = Analyzer(threads=1).analyze(photos[0])
    stored = {points: json.loads(frame_row(frame, points).body) for points in ("none", "dlib68", "all")}  # type: ignore[arg-type]
    kept = {points: content["faces"][0]["face"]["landmarks"] for points, content in stored.items()}
    assert kept["none"] is None
    assert sum(row[0] is not None for row in kept["dlib68"]) == 68
    assert sum(row[0] is not None for row in kept["all"]) == 478
