"""The memory of a run: a SQLite file that keeps every finished item, so that a killed run can go on.

Rows of an item count only when the item is finished: what a killed run left of a half-read video is
forgotten when the journal is opened again. Numbers are rounded as the table shows them.
"""

from __future__ import annotations

import base64
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
import numpy.typing as npt

from mien.core.aus import rounded_intensity
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, OutputFailed
from mien.core.nouns import (
    LANDMARKS,
    AuReading,
    Claim,
    Explanation,
    Face,
    FaceResult,
    FloatArray,
    FrameResult,
    Pose,
)
from mien.face.topology import DLIB68

__all__ = ["FinishedItem", "Journal", "Points", "rounded"]

Points = Literal["none", "dlib68", "all"]
"""Which landmarks are kept: none, the 68 that other tools' columns need, or all 478."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (source TEXT PRIMARY KEY, signature TEXT NOT NULL, frames INTEGER NOT NULL,
    failed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frames (source TEXT NOT NULL, frame INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (source, frame)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cards (source TEXT NOT NULL, frame INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (source, frame)) WITHOUT ROWID;
"""
_ALL = np.arange(LANDMARKS)
_KEPT: Mapping[str, npt.NDArray[np.int64]] = {"dlib68": np.asarray(DLIB68, dtype=np.int64), "all": _ALL}


@dataclass(frozen=True, slots=True)
class FinishedItem:
    """One item whose rows are complete."""

    source: str
    signature: str
    """Size and modification time of the file when it was read."""
    frames: int
    failed: bool


class Journal:
    """The journal of one output folder.

    Args:
        path: the SQLite file; its folder exists.
        points: the landmarks to keep.

    Raises:
        OutputFailed: the file cannot be written, or is no journal.
    """

    def __init__(self, path: Path, points: Points = "none") -> None:
        self.path = path
        self.points = points
        with self._errors():
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._database.close()

    def meta(self, key: str) -> str | None:
        """A stored value, or None."""
        row = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Store a value."""
        with self._errors():
            self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def check_options(self, options: Mapping[str, object]) -> None:
        """Store the options of a new run, or refuse to go on with a run that had others.

        Raises:
            BadConfig: the journal belongs to a run with other options.
        """
        stored = self.meta("options")
        if stored is None:
            self.set_meta("options", json.dumps(options, sort_keys=True))
            return
        before = json.loads(stored)
        changed = sorted(key for key in before.keys() | options.keys() if before.get(key) != options.get(key))
        if changed:
            was = ", ".join(f"{key}={before.get(key)}" for key in changed)
            now = ", ".join(f"{key}={options.get(key)}" for key in changed)
            raise BadConfig(
                got=f"{now}, but the run in {self.path.parent.parent} was begun with {was}",
                expected="the same options and model when a run goes on",
                fix="Use the earlier options, another --out, or --overwrite to begin anew",
            )

    def forget_unfinished(self) -> None:
        """Drop the rows of items that were not finished when the last run ended."""
        with self._errors():
            for table in ("frames", "cards"):
                self._database.execute(f"DELETE FROM {table} WHERE source NOT IN (SELECT source FROM items)")

    def forget(self, source: str) -> None:
        """Drop one item, for instance because its file has changed."""
        with self._errors(), self._transaction():
            for table in ("frames", "cards", "items"):
                self._database.execute(f"DELETE FROM {table} WHERE source = ?", (source,))

    def finished(self) -> dict[str, FinishedItem]:
        """Finished items by source."""
        rows = self._database.execute("SELECT source, signature, frames, failed FROM items")
        return {row[0]: FinishedItem(row[0], row[1], row[2], bool(row[3])) for row in rows}

    def add(
        self, frames: Iterable[FrameResult], finished: Iterable[FinishedItem],
        cards: Iterable[Mapping[str, object]] = (),
    ) -> None:  # fmt: skip
        """Store frames and mark items as finished, all or nothing.

        Args:
            frames: results of a group.
            finished: items that end in it.
            cards: what the report shows of some frames (`mien.analyze.report_cards.card_from`).

        Raises:
            OutputFailed: the disk is full or the file cannot be written; the journal is as before.
        """
        with self._errors(), self._transaction():
            self._database.executemany(
                "INSERT INTO frames VALUES (?, ?, ?)",
                [(one.source, one.frame, _encoded(one, self.points)) for one in frames],
            )
            self._database.executemany(
                "INSERT INTO cards VALUES (?, ?, ?)",
                [(card["source"], card["frame"], json.dumps(card, ensure_ascii=False)) for card in cards],
            )
            self._database.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?)",
                [(item.source, item.signature, item.frames, int(item.failed)) for item in finished],
            )

    def results(self, sources: Sequence[str]) -> Iterator[FrameResult]:
        """Stored results of ``sources``, in that order, streamed.

        Floats are rounded; ``face.crop`` is None; landmarks are None, or (478, 3) with NaN for points that
        were not kept.
        """
        for source in sources:
            rows = self._database.execute(
                "SELECT body FROM frames WHERE source = ? ORDER BY frame", (source,)
            )
            for (body,) in rows:
                yield _decoded(source, json.loads(body), self.points)

    def cards(self, sources: Sequence[str]) -> Iterator[dict[str, object]]:
        """Stored report cards of ``sources``, in that order, streamed."""
        for source in sources:
            rows = self._database.execute("SELECT body FROM cards WHERE source = ? ORDER BY frame", (source,))
            for (body,) in rows:
                yield json.loads(body)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        finally:
            # SQLite has already rolled back after some errors, such as a full disk.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutputFailed(
                got=f"{error} while writing the run's journal {self.path}",
                expected="a writable folder with enough free space",
                fix="Free some space or choose another --out; what was finished is safe, go on with --resume",
            ) from error


def rounded(frame: FrameResult) -> FrameResult:
    """``frame`` with the numbers that the journal keeps; landmarks and crops stay as they are."""
    stored = _decoded(frame.source, json.loads(_encoded(frame, "none")), "none")
    faces = tuple(
        replace(kept, face=replace(kept.face, landmarks=live.face.landmarks, crop=live.face.crop))
        for kept, live in zip(stored.faces, frame.faces, strict=True)
    )
    return replace(stored, faces=faces)


# -- results as JSON -----------------------------------------------------------------------------------


def _number(value: float, decimals: int) -> float | None:
    return None if math.isnan(value) else round(float(value), decimals)


def _back(value: float | None) -> float:
    return math.nan if value is None else value


def _encoded(frame: FrameResult, points: Points) -> str:
    content = {
        "frame": frame.frame,
        "time": round(frame.time, 6),
        "size": [frame.width, frame.height],
        "video": frame.video,
        "error": frame.error,
        "faces": [_encoded_face(face, points) for face in frame.faces],
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _encoded_face(result: FaceResult, points: Points) -> dict[str, object]:
    face, pose = result.face, result.face.pose
    landmarks = None
    if points != "none" and face.landmarks is not None:
        kept = face.landmarks[_KEPT[points]].astype("<f4")
        landmarks = base64.b64encode(kept.tobytes()).decode("ascii")
    return {
        "box": [round(float(edge), 2) for edge in face.box],
        "score": _number(face.score, 6),
        "presence": _number(face.presence, 6),
        "pose": None if pose is None else [_number(angle, 3) for angle in (pose.pitch, pose.yaw, pose.roll)],
        "track": face.track,
        "landmarks": landmarks,
        "emotions": [_number(result.emotions[name], 6) for name in EMOTIONS],
        "aus": {key: _encoded_reading(reading) for key, reading in result.aus.items()},
        "explanation": None if result.explanation is None else _encoded_explanation(result.explanation),
    }


def _encoded_reading(reading: AuReading) -> list[object]:
    intensity = rounded_intensity(reading.intensity) if reading.measured else None
    return [_number(reading.probability, 6), intensity, reading.level, reading.presence, reading.cut_off]


def _encoded_explanation(explanation: Explanation) -> dict[str, object]:
    claims = [
        [claim.au, claim.present, claim.level, claim.start, claim.end, claim.verdict]
        for claim in explanation.claims
    ]
    return {
        "parts": [explanation.observations, explanation.interpretation, explanation.conclusion],
        "claims": claims,
        "withheld": list(explanation.withheld),
    }


def _decoded(source: str, content: Mapping[str, object], points: Points) -> FrameResult:
    frame, time = cast(int, content["frame"]), cast(float, content["time"])
    width, height = cast("list[int]", content["size"])
    faces = cast("list[Mapping[str, object]]", content["faces"])
    return FrameResult(
        source, frame, time, tuple(_decoded_face(face, frame, time, points) for face in faces), width, height,
        bool(content["video"]), cast("str | None", content["error"]),
    )  # fmt: skip


def _decoded_face(content: Mapping[str, object], frame: int, time: float, points: Points) -> FaceResult:
    pose = cast("list[float | None] | None", content["pose"])
    face = Face(
        np.asarray(content["box"], dtype=np.float32),
        _back(cast("float | None", content["score"])),
        _decoded_landmarks(cast("str | None", content["landmarks"]), points),
        _back(cast("float | None", content["presence"])),
        None if pose is None else Pose(*(_back(angle) for angle in pose)),
        None,
        frame,
        time,
        cast("int | None", content["track"]),
    )
    emotions = cast("list[float | None]", content["emotions"])
    readings = cast("Mapping[str, tuple[float | None, float | None, int, bool, int]]", content["aus"])
    aus = {
        key: AuReading(_back(probability), _back(intensity), level, presence, cut_off)
        for key, (probability, intensity, level, presence, cut_off) in readings.items()
    }
    stored = cast("Mapping[str, object] | None", content["explanation"])
    explanation = None if stored is None else _decoded_explanation(stored)
    return FaceResult(face, dict(zip(EMOTIONS, map(_back, emotions), strict=True)), aus, explanation)


def _decoded_landmarks(text: str | None, points: Points) -> FloatArray | None:
    if text is None:
        return None
    landmarks = np.full((LANDMARKS, 3), np.nan, dtype=np.float32)
    landmarks[_KEPT[points]] = np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(-1, 3)
    return landmarks


def _decoded_explanation(content: Mapping[str, object]) -> Explanation:
    observations, interpretation, conclusion = cast("list[str]", content["parts"])
    claims = tuple(
        Claim(au, present, None if level is None else (level[0], level[1]), start, end, verdict)
        for au, present, level, start, end, verdict in cast(
            "list[tuple[str, bool, list[int] | None, int, int,"
            " Literal['supported', 'contradicted', 'unmeasured']]]",
            content["claims"],
        )
    )
    withheld = tuple(cast("list[str]", content["withheld"]))
    return Explanation(observations, interpretation, conclusion, claims, withheld)
