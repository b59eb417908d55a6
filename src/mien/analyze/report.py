"""One self-contained HTML report of a whole job, built frame by frame in bounded memory.

    builder = ReportBuilder("Holiday photos", {"name": "rules"}, redact=False)
    for result, image in ...:
        journal.write(result, builder.add(result, image))  # a JSON-able card, or None
    builder.write(out / "report.html", provenance={...}, errors=[("bad.jpg", "Got …")])

A killed job resumes by `ReportBuilder.count` for every stored result and `ReportBuilder.add_card` for every stored
card, in order, before it goes on with `add`: the file then has the same bytes as that of a job that was never killed.
What is kept does not grow with the job: at most `MAX_CARDS` photo
faces with pictures, `MAX_VIDEOS` videos with `MAX_TRACKS` faces each, curves of at most 600 points, one
key frame per face and emotion, and at the apex of its strongest Action Units.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from mien.analyze.overlay_layout import name_of
from mien.analyze.palette import EMOTION_COLOURS, STYLESHEET
from mien.analyze.report_cards import card_from, say_level
from mien.analyze.report_charts import Bar, Track, bar_chart, clock, moments, timeline
from mien.analyze.tally import Tally
from mien.core.aus import AUS, LEVEL_LETTERS
from mien.core.emotions import EMOTIONS
from mien.core.nouns import FrameResult, Image
from mien.core.paths import write_whole

__all__ = ["MAX_CARDS", "MAX_TRACKS", "MAX_VIDEOS", "ReportBuilder"]

MAX_CARDS = 200
"""Faces of photos that are shown with picture and text."""
MAX_VIDEOS = 16
"""Videos that are shown with timelines."""
MAX_TRACKS = 6
"""Faces per video that are shown with a timeline: the longest seen."""
_TRACKS_KEPT = 4 * MAX_TRACKS
_MAX_OVERVIEWS, _MAX_ERRORS, _MAX_TIMELINES, _KEY_FRAMES = 30, 200, 40, 4
_AU_ROWS = 8
_MOMENTS = 60
"""Moments of a timeline that are told in words."""
_MANY = 6
"""Photos and videos from which the page has contents and a search."""
# A later frame replaces a key frame only when it is clearer by this much, to spare pictures.
_CLEARER, _STRONGER = 0.02, 0.1
_APEXES, _STRONG = 4, 0.5
"""Action Units of a face that are shown at their apex: the strongest, from this intensity on."""
_HERE = Path(__file__).parent


@dataclass(slots=True)
class _KeyFrame:
    rank: float
    time: float
    face: dict[str, Any]


@dataclass(slots=True)
class _Video:
    frames: int = 0
    with_face: int = 0
    start: float = 0.0
    end: float = 0.0
    tracks: dict[int, Track] = field(default_factory=dict)
    key_frames: dict[tuple[int, str], _KeyFrame] = field(default_factory=dict)
    dropped: int = 0

    @property
    def step(self) -> float:
        """Usual time between two frames in s."""
        return (self.end - self.start) / (self.frames - 1) if self.frames > 1 else 0.04

    def add(self, result: FrameResult) -> None:
        self.start = result.time if self.frames == 0 else self.start
        self.end = max(self.end, result.time)
        for position, face in enumerate(result.faces):
            key = _track_key(face.track, position)
            if key not in self.tracks:
                self.tracks[key] = Track(tuple(face.aus))
            self.tracks[key].add(self.frames, result.time, face)
        self.frames += 1
        self.with_face += bool(result.faces)
        present = {_track_key(face.track, i) for i, face in enumerate(result.faces)}
        while len(self.tracks) > _TRACKS_KEPT and len(self.tracks) > len(present):
            shortest = min(
                (key for key in self.tracks if key not in present), key=lambda k: self.tracks[k].frames
            )
            del self.tracks[shortest]
            self.key_frames = {key: frame for key, frame in self.key_frames.items() if key[0] != shortest}
            self.dropped += 1

    def clearer(
        self, key: int, emotion: str, rank: float, strengths: Mapping[str, float | None],
        by: float, stronger_by: float,
    ) -> list[str]:  # fmt: skip
        """What a frame shows better than all before: its emotion, and Action Units near their apex."""
        best = self.key_frames.get((key, emotion))
        names = [emotion] if best is None or rank > best.rank + by else []
        apexes = self.apexes(key)
        least = max(_STRONG, apexes[-1].rank + stronger_by if len(apexes) >= _APEXES else 0.0)
        for name, strength in strengths.items():
            known = self.key_frames.get((key, name))
            needed = least if known is None else known.rank + stronger_by
            if strength is not None and strength >= needed and (known is None or strength > known.rank):
                names.append(name)
        return names

    def apexes(self, key: int) -> list[_KeyFrame]:
        """Those of the Action Units of a face, the strongest first."""
        found = [one for (track, name), one in self.key_frames.items() if track == key and name in AUS]
        return sorted(found, key=lambda one: -one.rank)

    def trim(self, key: int) -> None:
        """Keep the strongest apexes of a face alone."""
        for extra in self.apexes(key)[_APEXES:]:
            self.key_frames = {at: one for at, one in self.key_frames.items() if one is not extra}


class ReportBuilder:
    """Collects what the report shows, then writes it."""

    def __init__(
        self,
        title: str,
        model_info: Mapping[str, object],
        redact: bool = False,
        max_cards: int = MAX_CARDS,
    ) -> None:
        """Start an empty report.

        Args:
            title: heading, any text.
            model_info: facts about the model for badges and provenance; ``name`` is shown at the top.
            redact: remove face pixels from all pictures.
            max_cards: faces of photos that get a card; all others are only counted.
        """
        self.title, self.model_info, self.redact, self.max_cards = title, dict(model_info), redact, max_cards
        self._photos, self._frames = Tally(), Tally()
        self._photo_cards: list[dict[str, Any]] = []
        self._card_count = self._overviews = 0
        self._videos: dict[str, _Video] = {}
        self._video_count = 0
        self._last_video: str | None = None
        self._errors: dict[tuple[str, str], None] = {}
        self._error_count = 0

    def add(self, result: FrameResult, image: Image | None) -> dict[str, Any] | None:
        """Take in one photo or frame, with its picture where there is one.

        Returns:
            What is shown of it (`card_from`) for `add_card` of a resumed run, or None.
        """
        chosen = self._chosen(result)
        card = card_from(result, image, self.redact, chosen) if chosen else None
        self.count(result)
        if card is not None:
            if self._overviews >= _MAX_OVERVIEWS:
                card["overview"] = None
            self.add_card(card)
        return card

    def count(self, result: FrameResult) -> None:
        """Take in the numbers of one photo or frame."""
        if result.error is not None:
            self._note_error(result.source, result.error)
            return
        (self._frames if result.video else self._photos).count(result)
        if not result.video:
            return
        source = result.source
        if source not in self._videos:
            self._video_count += source != self._last_video
            if len(self._videos) < MAX_VIDEOS:
                self._videos[source] = _Video()
        self._last_video = source
        if source in self._videos:
            self._videos[source].add(result)

    def add_card(self, card: Mapping[str, Any]) -> None:
        """Keep the pictures and texts of one frame (`card_from`)."""
        if not card["video"]:
            faces = card["faces"][: self.max_cards - self._card_count]
            if faces:
                self._photo_cards.append({**card, "faces": faces})
                self._card_count += len(faces)
                self._overviews += card["overview"] is not None
            return
        video = self._videos.get(card["source"])
        for face in card["faces"] if video is not None else ():
            key = _track_key(face["track"], face["number"])
            rank = _rank(face["emotions"][face["emotion"]], face["explanation"] is not None)
            if video is not None and key in video.tracks:
                strengths = {name: intensity for name, (intensity, *_) in face["aus"].items()}
                for name in video.clearer(key, face["emotion"], rank, strengths, 0.0, 0.0):
                    peak = rank if name == face["emotion"] else strengths[name]
                    video.key_frames[key, name] = _KeyFrame(peak, card["time"], dict(face))
                video.trim(key)

    def write(
        self, path: Path, provenance: Mapping[str, object], errors: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Write the report; it appears under its name only when it is complete.

        Args:
            path: the HTML file.
            provenance: facts about the job, in the order to show; nested mappings are flattened.
            errors: items that could not be analysed, as (item, reason), besides the results with an error.

        Raises:
            OutputFailed: the file cannot be written.
        """
        write_whole(path, self.html(provenance, errors))

    def html(self, provenance: Mapping[str, object], errors: Sequence[tuple[str, str]] = ()) -> str:
        """The report as one HTML text; arguments as for `write`."""
        for source, message in errors:
            self._note_error(source, message)
        style, script = STYLESHEET.read_text("utf-8"), (_HERE / "report.js").read_text("utf-8")
        videos, video_items = self._video_views()
        items = self._photo_views() + video_items
        shown = Counter(entry["face"]["emotion"] for item in items for entry in item["cards"])
        more_faces = self._photos.faces - self._card_count
        more_videos = self._video_count - len(videos)
        more_errors = self._error_count - len(self._errors)
        return _template().render(
            title=self.title,
            style=style,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
            redact=self.redact,
            colours=EMOTION_COLOURS,
            au_name=name_of,
            au_view=_au_view,
            say_level=say_level,
            seen=_seen,
            contents=_contents(videos, items),
            badges=self._badges(),
            tiles=self._tiles(),
            charts=self._charts(),
            videos=videos,
            more_videos=_more(more_videos, "video is", "videos are", "in the table only"),
            items=items,
            explained=any(entry["face"]["explanation"] for item in items for entry in item["cards"]),
            filters=[(emotion, shown[emotion]) for emotion in EMOTIONS if shown[emotion]],
            card_count=shown.total(),
            more_cards=_more(more_faces, "face is", "faces are", "in the table only"),
            errors=list(self._errors),
            more_errors=_more(more_errors, "error is", "errors are", "in errors.jsonl only"),
            provenance=_flat({"model": self.model_info, **provenance}),
        )

    def _chosen(self, result: FrameResult) -> tuple[int, ...]:
        """Which faces of a frame shall be kept with picture and text."""
        if not result.video:
            return tuple(range(len(result.faces)))[: self.max_cards - self._card_count]
        video = self._videos.get(result.source)
        if video is None and len(self._videos) >= MAX_VIDEOS:
            return ()
        chosen = []
        for index, face in enumerate(result.faces):
            rank = _rank(face.emotions[face.emotion], face.explanation is not None)
            strengths = {name: reading.intensity for name, reading in face.aus.items()}
            key = _track_key(face.track, index)
            if (video or _Video()).clearer(key, face.emotion, rank, strengths, _CLEARER, _STRONGER):
                chosen.append(index)
        return tuple(chosen)

    def _note_error(self, source: str, message: str) -> None:
        if (source, message) in self._errors:
            return
        self._error_count += 1
        if len(self._errors) < _MAX_ERRORS:
            self._errors[source, message] = None

    def _badges(self) -> list[str]:
        badges = [f"model: {self.model_info.get('name', 'unnamed')}"]
        if "kind" in self.model_info:
            badges.append(str(self.model_info["kind"]))
        return badges + (["redacted pictures"] if self.redact else [])

    def _tiles(self) -> list[tuple[str, str, bool]]:
        """Value, label and whether it asks for attention."""
        tiles: list[tuple[str, str, bool]] = []
        photos, frames = self._photos, self._frames
        if photos.frames:
            tiles.append((_count(photos.frames), "photo" if photos.frames == 1 else "photos", False))
            tiles.append(
                (_count(photos.faces), "face in photos" if photos.faces == 1 else "faces in photos", False)
            )
            if photos.without_face:
                tiles.append(
                    (
                        _count(photos.without_face),
                        "without a face" if photos.frames == 1 else "photos without a face",
                        False,
                    )
                )
        if frames.frames:
            tiles.append((_count(self._video_count), "video" if self._video_count == 1 else "videos", False))
            tiles.append((_count(frames.frames), "video frames", False))
            tiles.append((_count(frames.without_face), "frames without a face", False))
        if self._error_count:
            tiles.append((_count(self._error_count), "not analysed", True))
        return tiles or [("0", "items analysed", False)]

    def _charts(self) -> list[tuple[str, str, Markup]]:
        """Heading, note and SVG of each summary chart."""
        charts = _tally_charts(self._photos, "photos", "faces")
        return charts + _tally_charts(self._frames, "videos", "face readings, one per face and frame")

    def _photo_views(self) -> list[dict[str, Any]]:
        views = []
        for number, card in enumerate(self._photo_cards, 1):
            cards = [
                {"face": face, "where": "", "id": f"photo-{number}-face-{face['number']}"}
                for face in card["faces"]
            ]
            note = f"{len(cards)} faces" if len(cards) > 1 else ""
            views.append(
                {"source": card["source"], "overview": card["overview"], "cards": cards, "note": note,
                 "id": f"photo-{number}"}
            )  # fmt: skip
        return views

    def _video_views(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Timelines per video, and the key frames as card items."""
        videos: list[dict[str, Any]] = []
        items: list[dict[str, Any]] = []
        budget = _MAX_TIMELINES
        for number, (source, video) in enumerate(self._videos.items(), 1):
            longest = sorted(video.tracks, key=lambda key: (-video.tracks[key].frames, key))
            shown = sorted(longest[: min(MAX_TRACKS, budget)])
            budget -= len(shown)
            tracks = [_track_view(video, key, f"video-{number}") for key in shown]
            hidden = len(video.tracks) - len(shown) + video.dropped
            seconds = clock(video.end - video.start + video.step, tenths=True)
            seen = _percent(video.with_face / video.frames)
            note = f"{seconds} long, {_count(video.frames)} frames, a face in {seen} of them"
            briefly = "seen more briefly and"
            more = _more(hidden, f"face was {briefly} is", f"faces were {briefly} are", "in the table only")
            videos.append(
                {"source": source, "note": note, "tracks": tracks, "more": more, "id": f"video-{number}"}
            )
            cards = [frame for track in tracks for frame in track["frames"]]
            if cards:
                items.append(
                    {"source": source, "overview": None, "cards": cards, "note": "key frames",
                     "id": f"frames-{number}"}
                )  # fmt: skip
        return videos, items


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string((_HERE / "report_template.html").read_text("utf-8"))


def _tally_charts(tally: Tally, what: str, unit: str) -> list[tuple[str, str, Markup]]:
    if not tally.faces:
        return []
    shares = {name: tally.emotions[name] / tally.faces for name in EMOTIONS}
    bars = [Bar(name, share, _percent(share), EMOTION_COLOURS[name]) for name, share in shares.items()]
    charts = [
        (f"Most probable emotion, {what}", f"{_count(tally.faces)} {unit}", bar_chart(bars, "Emotions"))
    ]
    if common := tally.commonest_aus()[:_AU_ROWS]:
        bars = [Bar(f"{key} {name_of(key)}", share, _percent(share)) for key, share in common]
        note = f"share of faces with level {LEVEL_LETTERS[tally.cut_off]} or more"
        charts.append((f"Most frequent Action Units, {what}", note, bar_chart(bars, "Action Units")))
    return charts


def _track_view(video: _Video, key: int, prefix: str) -> dict[str, Any]:
    track = video.tracks[key]
    ranked = sorted(track.top, key=lambda name: (-track.top[name], EMOTIONS.index(name)))
    steady = [name for name in ranked if track.top[name] >= max(3, 0.04 * track.frames)] or ranked[:1]
    frames = [video.key_frames[key, name] for name in steady[:_KEY_FRAMES] if (key, name) in video.key_frames]
    said = {frame.time: [frame.face["emotion"]] for frame in frames}
    for (own, name), frame in video.key_frames.items():
        if own == key and name in AUS:
            frames += [frame] if frame.time not in said else []
            said.setdefault(frame.time, []).append(name)
    frames.sort(key=lambda frame: frame.time)
    return {
        "label": f"Face #{key}" if key >= 0 else f"Face {-key}",
        "chart": timeline(track, video.start, video.end, video.step),
        "moments": (told := moments(track, video.start))[:_MOMENTS],
        "more": _more(len(told) - _MOMENTS, "moment is", "moments are", "told by mien summarize"),
        "shares": [(name, _percent(track.top[name] / track.frames)) for name in ranked],
        "frames": [
            {
                "face": frame.face,
                "at": clock(frame.time, tenths=True),
                "where": f"at {clock(frame.time, tenths=True)}",
                "label": ", ".join(said[frame.time]),
                "id": f"{prefix}-face-{key}-{number}",
            }
            for number, frame in enumerate(frames, 1)
        ],
    }


def _track_key(track: int | None, position: int) -> int:
    """The track id, or -1, -2, … for the faces of a video that was not tracked."""
    return track if track is not None else -1 - position


def _rank(probability: float, explained: bool) -> float:
    """Key frames with an explanation go first, then the clearest."""
    return round(probability, 4) + (1.0 if explained else 0.0)


def _au_view(aus: Mapping[str, tuple[float | None, int, bool]]) -> dict[str, list[Any]]:
    """The AUs of one card: the strongest present, all measured in FACS order, and those not measured."""
    measured = [
        (key, intensity, level) for key, (intensity, level, _) in aus.items() if intensity is not None
    ]
    present = sorted((row for row in measured if aus[row[0]][2]), key=lambda row: (-row[1], row[0]))
    unmeasured = [key for key, (intensity, *_) in aus.items() if intensity is None]
    return {"present": present[:_AU_ROWS], "all": sorted(measured), "unmeasured": unmeasured}


def _contents(
    videos: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, str]]:
    """(id, name, what it looks like) of each video and photo; nothing where the page is short."""
    shown = [
        (
            one["id"],
            one["source"],
            ", ".join(
                f"{name} {share}" for track in one["tracks"][:1] for name, share in track["shares"][:2]
            ),
        )
        for one in videos
    ]
    shown += [(one["id"], one["source"], ", ".join(entry["face"]["emotion"] for entry in one["cards"]))
              for one in items if one["note"] != "key frames"]  # fmt: skip
    return shown if len(shown) >= _MANY else []


def _seen(face: Mapping[str, Any]) -> str:
    """``"looks like happiness, 93 %; AU12 lip corner puller D, severe"``: a face card's picture in words."""
    strongest = _au_view(face["aus"])["present"][:3]
    aus = ", ".join(f"{key} {name_of(key)} {say_level(level)}" for key, _, level in strongest)
    share = _percent(face["emotions"][face["emotion"]])
    return f"looks like {face['emotion']}, {share}; {aus or 'no Action Unit present'}"


def _count(number: int) -> str:
    return f"{number:,}"


def _percent(share: float) -> str:
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _more(number: int, one: str, many: str, where: str) -> str:
    """``"3 more faces are in the table only."``; empty for 0."""
    return f"{_count(number)} more {one if number == 1 else many} {where}." if number > 0 else ""


def _flat(facts: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as (key, text) rows, keys joined by a space; what is unknown (None) is left out."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        label = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, f"{label} ")
        elif key == "command" and isinstance(value, (list, tuple)):
            rows.append((label, shlex.join(str(part) for part in value)))
        elif isinstance(value, (list, tuple)):
            rows.append((label, ", ".join(str(part) for part in value)))
        elif value is not None:
            rows.append((label, str(value)))
    return [row for row in rows if row[1]]
