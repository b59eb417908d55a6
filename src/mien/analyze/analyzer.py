"""The main job: photos, videos, arrays and landmark files in; faces with emotions, Action Units and words out.

Decoding and landmarks run ahead in a second thread while the model reads the previous batch, and faces of
several frames share a batch. Batches never depend on what came before the current group of frames (see
`Analyzer.analyze_groups`), so that a resumed run gives the same numbers as an undisturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path

from mien.analyze.answering import Seen, main_face, reply, without_faces, without_looking
from mien.analyze.own_table import frames_of_own_table
from mien.analyze.sources import OneSource, Source, Sources, expand
from mien.backends.audit import grounded
from mien.backends.audit import verify as verify_text
from mien.backends.base import DEFAULT_MODEL, ClipReader, Reader, RegionsReader, open_reader
from mien.core.aus import check_cut_off
from mien.core.errors import BadConfig, BadInput, MienError, require_range
from mien.core.nouns import Answer, Evidence, Explanation, Face, FaceResult, FrameResult, Image, Verification
from mien.dialogue.ask.inquiry import Inquiry
from mien.dialogue.ask.understand import understand
from mien.dialogue.read.claims import read_claims, withhold
from mien.face.crop import canonical_crop
from mien.face.decode.clips import middle
from mien.face.decode.images import load_image
from mien.face.decode.moving import moving_kind
from mien.face.decode.video import read_frames
from mien.face.finder import FaceFinder, is_evident
from mien.face.landmark_files import read_landmarks
from mien.face.quality import judge
from mien.face.smooth import LandmarkSmoother
from mien.face.tracks import FaceTracker
from mien.metrics.faithfulness import audit
from mien.models.composite.frames import central_evidence, clip_evidence
from mien.work.loop import attempt, in_order

__all__ = ["AnalysedFrame", "Analyzer", "ask", "load_model", "verify"]

_MAX_GROUP_FRAMES = 64
_MAX_GROUP_BYTES = 64_000_000
_MAX_BATCH, _MAX_THREADS = 1024, 1024


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedFrame:
    """One finished frame, with its pixels when they were asked for."""

    result: FrameResult
    image: Image | None
    last: bool
    """True for the last frame of its item."""
    item: str
    """Name of the `Source`; the result's own is another where the item is a table of mien's."""


@dataclass(frozen=True, slots=True)
class _How:
    cropped: bool
    explain: bool
    landmarks_only: bool
    batch_size: int
    every: int
    smooth: bool
    keep_images: bool

    def __post_init__(self) -> None:
        require_range(self.batch_size, "batch_size", 1, _MAX_BATCH, whole=True, fix="Try 16, the default")
        require_range(self.every, "every", 1, whole=True, fix="Use 1 for every frame")


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """One frame with its faces, before reading."""

    frame: FrameResult
    evidence: tuple[Evidence, ...]
    image: Image | None
    last: bool = False
    closes: bool = False
    """Nothing after it is read together with it."""
    item: str = ""
    """Name of its `Source`."""


class Analyzer:
    """Analyses faces with one model.

    Args:
        model: a model's name (``mien models list``), a run folder, or an opened `Reader`.
        device: ``"cpu"``; trained systems also run on ``"cuda"``, ``"cuda:1"`` … and ``"mps"``.
        threads: threads for the nets; None takes all cores.
        cut_off: FACS level 1..5 from which an AU counts as present (DISFA's protocol takes 2).
        precision: of a trained system: ``"fp32"``, ``"bf16"`` or ``"fp16"``; None for that of its file.

    Raises:
        BadConfig: an unknown model, a device that it or the machine does not have, or a value out of range.
        MissingWeights: the model's files are absent or damaged.
    """

    def __init__(
        self, model: str | Path | Reader = DEFAULT_MODEL, device: str = "cpu", threads: int | None = None, *,
        cut_off: int = 1, precision: str | None = None,
    ) -> None:  # fmt: skip
        if threads is not None:
            require_range(
                threads, "threads", 1, _MAX_THREADS, whole=True, fix="Leave it out to use all cores"
            )
        check_cut_off(cut_off)
        if not isinstance(model, str | Path) and (device != "cpu" or precision is not None):
            raise BadConfig(
                got=f"an opened model with device {device!r}, precision {precision!r}",
                expected="neither: it stays where it is",
                fix="Pass them to load_model, or pass the model's folder",
            )
        self.reader: Reader = (
            load_model(model, threads, device, precision) if isinstance(model, str | Path) else model
        )
        self.cut_off = cut_off
        self._finder = FaceFinder(threads=threads)

    def analyze(
        self, sources: Sources, cropped: bool = False, explain: bool = False, landmarks_only: bool = False,
        batch_size: int = 16, *, every: int = 1, smooth: bool = False,
    ) -> Generator[FrameResult]:  # fmt: skip
        """Analyse ``sources`` lazily, in order; one result per photo or video frame.

        An item that cannot be analysed gives one `FrameResult` with ``error`` set; the rest goes on.

        Args:
            sources: paths, folders, videos, arrays (H, W, 3) uint8 RGB, Pillow images, or landmark files
                (see `mien.face.landmark_files.read_landmarks`); one of these or an iterable.
            cropped: the pictures are face crops already (48 x 48 grey works): no detector runs.
            explain: write an explanation per face, audited against the measurement.
            landmarks_only: drop the pixels as soon as the landmarks are found; the model sees points only.
            batch_size: faces that are read together.
            every: analyse every n-th frame of a video only.
            smooth: smooth landmarks over time in videos (one-euro filter).

        Raises:
            BadConfig: an option out of range.
            BadInput: an item of a type that cannot be analysed.
        """
        how = _How(cropped, explain, landmarks_only, batch_size, every, smooth, keep_images=False)
        with closing(self._groups(sources, how)) as groups:
            for group in groups:
                for frame in group:
                    yield frame.result

    def analyze_groups(
        self, sources: Sources, *, cropped: bool = False, explain: bool = False, landmarks_only: bool = False,
        batch_size: int = 16, every: int = 1, smooth: bool = False, keep_images: bool = False,
    ) -> Generator[list[AnalysedFrame]]:  # fmt: skip
        """As `analyze`, in groups of frames that were read together.

        A group depends on nothing before it and never spans the border of a video, so a caller that
        stores whole groups may stop after any of them and go on later with equal results.

        Args:
            keep_images: give each frame's pixels along.
        """
        yield from self._groups(
            sources, _How(cropped, explain, landmarks_only, batch_size, every, smooth, keep_images)
        )

    def ask(
        self, source: OneSource, question: str, cropped: bool = False, landmarks_only: bool = False, *,
        frames: int | None = None, decoder: bool = False,
    ) -> Answer:  # fmt: skip
        """Answer any question about the faces of a picture or a clip, from what was measured on them.

        The question is understood first (`mien.dialogue.ask.understand`); what no face can tell, another language and
        noise are declined. Numbers, yes and no, lists and arrays are rendered from the measurement. Without a place
        (``"the left face"``) the largest face is meant, and without a time the middle frame of a clip.

        A trained system (a run folder) answers in its own words, as does any model with ``decoder``: one that reads
        clips (EMO-LLaMA) is shown the face at about one frame per second, any other the middle frame
        (`mien.models.composite.frames`). `Answer.times` says which frames it were.

        Args:
            source: a picture, video or landmark file; of a landmark file of several frames the middle one is read.
            question: in your own words, of any length.
            cropped: the picture or the video shows one face crop already: no detector runs.
            landmarks_only: drop the pixels once the landmarks are found.
            frames: at most so many frames of a video, for a system that reads clips.
            decoder: the language model's own answer, not held against any measurement: for research.

        Raises:
            BadConfig: fewer than one frame.
            BadInput: the source cannot be read, or no face was found in it.
        """
        if frames is not None:
            require_range(frames, "frames", 1, whole=True)
        how = _How(cropped, False, landmarks_only, 16, 1, False, keep_images=False)
        if decoder or not self.reader.grounded:
            return self._ask_reader(source, question, how, frames)
        inquiry = understand(question)
        answer = without_looking(inquiry, self.reader.aus)
        if answer is not None:
            return answer
        for item in expand(source):
            seen = self._look(item, inquiry, how)
            if seen is not None:
                return reply(inquiry, seen)
        nobody = without_faces(inquiry)
        if nobody is not None:
            return nobody
        raise _no_face()

    def verify(
        self, text: str, source: OneSource, cropped: bool = False, landmarks_only: bool = False
    ) -> Verification:
        """Hold a text against the largest face of a picture, or of a clip's middle frame (`mien.backends.audit`).

        Raises:
            BadInput: the source cannot be read, or no face was found in it.
        """
        how = _How(cropped, False, landmarks_only, 16, 1, False, keep_images=False)
        for item in expand(source):
            seen = self._look(item, Inquiry("explain"), how)
            if seen is not None:
                return verify_text(text, main_face(seen))
        raise _no_face()

    def _look(self, item: Source, inquiry: Inquiry, how: _How) -> Seen | None:
        """What an inquiry needs of one source, measured; None where it shows no face."""
        whole = inquiry.intent == "course" or inquiry.moment is not None
        if item.kind == "video" and not whole:
            one = central_evidence(
                Path(str(item.payload)), self._finder, self._size(how), cropped=how.cropped
            )
            shown = (
                []
                if one is None
                else [_Found(FrameResult(item.name, one.face.frame, one.face.time, ()), (one,), None)]
            )
        else:
            shown = list(self._find(item, how) if item.kind == "video" else self._frames(item, how))
            failed = next((found.frame.error for found in shown if found.frame.error is not None), None)
            if failed is not None and not any(found.evidence for found in shown):
                raise BadInput(got=f"{item.name}: {failed}", expected="a face", fix="See above")
            if item.kind == "landmarks" and not whole:
                filled = [found for found in shown if found.evidence]
                shown = [filled[middle(len(filled))]] if filled else []
        if not any(found.evidence for found in shown):
            return None
        frames = [frame.result for frame in self._read(shown, how)]

        def explain(frame: int, face: int) -> Explanation:
            result = frames[frame].faces[face]
            (told,) = self.reader.explain([shown[frame].evidence[face]], [result])
            return grounded(told, result)

        return Seen(tuple(frames), tuple(self.reader.aus), explain, item.kind == "video" or len(shown) > 1)

    def _size(self, how: _How) -> int | None:
        return None if how.landmarks_only else self.reader.crop_size

    def _ask_reader(self, source: OneSource, question: str, how: _How, frames: int | None) -> Answer:
        """The reader's own answer about the largest face, or about the main face of a video."""
        for item in expand(source):
            if item.kind == "video":
                clip = self._clip(item, question, how, frames)
                if clip:
                    return self._ask_clip(clip, question)
                continue
            shown: list[Evidence] = []
            for found in self._find(item, how):
                if found.frame.error is not None:
                    raise BadInput(
                        got=f"{item.name}: {found.frame.error}", expected="a face", fix="See above"
                    )
                shown += found.evidence[:1]
            if shown:
                return self.reader.ask(shown[middle(len(shown))], question)
        raise _no_face()

    def _clip(self, source: Source, question: str, how: _How, frames: int | None) -> list[Evidence]:
        """The frames of a video that this model reads for one answer."""
        path, size = Path(str(source.payload)), self._size(how)
        fitting = self.reader.clip_limit(question) if isinstance(self.reader, ClipReader) else 1
        if 1 in (fitting, frames):
            one = central_evidence(path, self._finder, size, cropped=how.cropped)
            return [] if one is None else [one]
        return clip_evidence(path, self._finder, size, limit=frames or fitting, cropped=how.cropped)

    def _ask_clip(self, clip: Sequence[Evidence], question: str) -> Answer:
        if len(clip) > 1 and isinstance(self.reader, ClipReader):
            answer = self.reader.ask(clip, question)
        else:
            answer = self.reader.ask(clip[0], question)
        return replace(answer, times=tuple(one.face.time for one in clip))

    def _groups(self, sources: Sources, how: _How) -> Generator[list[AnalysedFrame]]:
        found = chain.from_iterable(self._find(source, how) for source in expand(sources))
        depth = 4 if how.keep_images else 2 * how.batch_size
        # Faces are found in one other thread, in order, while the model reads.
        with closing(in_order(repeat(partial(next, found, None)), depth=depth)) as ahead:
            for group in _grouped(iter(ahead.__next__, None), how.batch_size):
                yield self._read(group, how)

    # -- faces -----------------------------------------------------------------------------------------

    def _find(self, source: Source, how: _How) -> Iterator[_Found]:
        """Frames of one source with their faces; the last one is marked; errors become a frame."""
        held: _Found | None = None
        frames = self._frames(source, how)
        while (found := attempt(partial(next, frames, None), source.name)) is not None:
            if held is not None:
                yield held
            if isinstance(found, MienError):
                last = FrameResult(source.name, -1, 0.0, ()) if held is None else held.frame
                failed = replace(last, frame=last.frame + 1, faces=(), width=0, height=0, error=str(found))
                held = _Found(replace(failed, video=source.kind == "video"), (), None)
                break
            held = replace(found, item=source.name)
        if held is not None:
            yield replace(held, last=True, closes=source.closes, item=source.name)

    def _frames(self, source: Source, how: _How) -> Iterator[_Found]:
        if source.kind == "landmarks":
            return self._frames_of_landmarks(source)
        if source.kind == "video":
            return self._frames_of_video(source, how)
        return self._frames_of_image(source, how)

    def _frames_of_image(self, source: Source, how: _How) -> Iterator[_Found]:
        image = load_image(source.payload)
        faces = self._evident(image, how) if how.cropped else self._finder.find(image)
        yield self._found(FrameResult(source.name, 0, 0.0, ()), image, faces, how)

    def _evident(self, image: Image, how: _How) -> list[Face]:
        """The face of a given crop, unless nothing of it is seen."""
        crop = self._finder.find_cropped(image)
        return [crop] if crop.landmarks is not None or (is_evident(crop) and not how.landmarks_only) else []

    def _frames_of_video(self, source: Source, how: _How) -> Iterator[_Found]:
        path = Path(str(source.payload))
        paged = moving_kind(path) == "pages"
        tracker = FaceTracker(self._finder)
        smoother = LandmarkSmoother() if how.smooth and not paged else None
        for frame in read_frames(path):
            if frame.index % how.every:
                continue
            if how.cropped:
                crops = self._evident(frame.image, how)
                faces = [replace(crop, frame=frame.index, time=frame.time, track=0) for crop in crops]
            elif paged:
                faces = self._finder.find(frame.image, frame.index)
            else:
                faces = tracker.update(frame)
            if smoother is not None:
                faces = smoother.smooth(faces)
            blank = FrameResult(source.name, frame.index, frame.time, (), video=True)
            yield self._found(blank, frame.image, faces, how)

    def _frames_of_landmarks(self, source: Source) -> Iterator[_Found]:
        path = Path(str(source.payload))
        frames = read_landmarks(path)
        own = frames_of_own_table(path, frames.points, frames.size, self._finder)
        if own is not None:
            yield from (_Found(frame, faces, None) for frame, faces in own)
            return
        video = len(frames.points) > 1
        for index, points in enumerate(frames.points):
            faces: tuple[Evidence, ...] = ()
            if not math.isnan(points[0, 0]):
                face = self._finder.from_landmarks(points, frames.size)
                faces = (Evidence(replace(face, frame=index, track=0 if video else None)),)
            blank = FrameResult(source.name, index, 0.0, (), *frames.size, video=video)
            yield _Found(blank, faces, None)

    def _found(self, blank: FrameResult, image: Image, faces: Sequence[Face], how: _How) -> _Found:
        height, width = image.shape[:2]
        evidence = []
        for face in faces:
            if how.landmarks_only:
                evidence.append(Evidence(face))
            else:
                crop, transform = canonical_crop(image, face, self.reader.crop_size)
                evidence.append(Evidence(replace(face, crop=transform), crop))
        frame = replace(blank, width=width, height=height)
        return _Found(frame, tuple(evidence), image if how.keep_images else None)

    # -- reading ---------------------------------------------------------------------------------------

    def _read(self, group: Sequence[_Found], how: _How) -> list[AnalysedFrame]:
        evidence = [item for found in group for item in found.evidence]
        measured = attempt(partial(self._measure, evidence, how), group[0].frame.source)
        if isinstance(measured, MienError):
            if len(group) > 1:
                return [frame for found in group for frame in self._read([found], how)]
            (found,) = group
            return [
                AnalysedFrame(replace(found.frame, error=str(measured)), found.image, found.last, found.item)
            ]
        results = iter(measured)
        frames = []
        for found in group:
            faces = tuple(next(results) for _ in found.evidence)
            frames.append(
                AnalysedFrame(replace(found.frame, faces=faces), found.image, found.last, found.item)
            )
        return frames

    def _measure(self, evidence: Sequence[Evidence], how: _How) -> list[FaceResult]:
        results: list[FaceResult] = []
        for start in range(0, len(evidence), how.batch_size):
            batch = evidence[start : start + how.batch_size]
            measured = self._judged(batch, self.reader.measure(batch))
            if how.explain:
                texts = self.reader.explain(batch, measured)
                pairs = zip(measured, texts, strict=True)
                measured = [
                    replace(result, explanation=self._explained(text, result)) for result, text in pairs
                ]
            results += measured
        return results

    def _explained(self, told: Explanation, result: FaceResult) -> Explanation:
        """A grounded text, or for a trained system its own words less the sentences that the measurement refutes."""
        if self.reader.grounded:
            return grounded(told, result)
        claims = tuple(audit(read_claims(told.text), result.aus))
        return withhold(replace(told, claims=claims), result.hidden_aus)

    def _judged(self, batch: Sequence[Evidence], measured: Sequence[FaceResult]) -> list[FaceResult]:
        """The readings at the analyzer's cut-off, with what limits them; what is hidden has none."""
        seen = self.reader.hidden(batch) if isinstance(self.reader, RegionsReader) else [{}] * len(batch)
        judged = []
        for one, covered, result in zip(batch, seen, measured, strict=True):
            face = replace(result.face, quality=result.face.quality or judge(one.face, one.crop, covered))
            aus = {key: reading.at(self.cut_off) for key, reading in result.aus.items()}
            judged.append(replace(result, face=face, aus=aus).without_hidden())
        return judged


def load_model(
    model: str | Path, threads: int | None = None, device: str = "cpu", precision: str | None = None
) -> Reader:
    """Open a model by name (``"rules"``, ``"pocket"``) or from a run folder.

    Args:
        model: see `Analyzer`, as are the other arguments.

    Raises:
        BadConfig: no such model, or not on this device.
        MissingWeights: its files are absent or damaged.
    """
    return open_reader(str(model), threads, device, precision)


def ask(
    source: OneSource, question: str, model: str | Path | Reader = DEFAULT_MODEL, *, cropped: bool = False,
    landmarks_only: bool = False, threads: int | None = None, frames: int | None = None,
    device: str = "cpu", precision: str | None = None, decoder: bool = False,
) -> Answer:  # fmt: skip
    """Ask ``model`` one question about a picture or video; see `Analyzer.ask`."""
    return Analyzer(model, device, threads, precision=precision).ask(
        source, question, cropped, landmarks_only, frames=frames, decoder=decoder
    )


def verify(
    text: str, source: OneSource, model: str | Path | Reader = DEFAULT_MODEL, *, cropped: bool = False,
    landmarks_only: bool = False, threads: int | None = None,
) -> Verification:  # fmt: skip
    """Hold a text about a face against what ``model`` measures on it; see `Analyzer.verify`."""
    return Analyzer(model, threads=threads).verify(text, source, cropped, landmarks_only)


def _no_face() -> BadInput:
    return BadInput(
        got="a picture in which no face was found",
        expected="at least one face",
        fix="Use a larger or more frontal picture, or cropped=True (--cropped) if it is a face crop",
    )


def _grouped(found: Iterator[_Found], batch_size: int) -> Iterator[list[_Found]]:
    """Collect frames until they fill a batch, without crossing the border of a video or too much memory."""
    group: list[_Found] = []
    for item in found:
        if group and group[-1].last and (item.frame.video or group[-1].frame.video):
            yield group
            group = []
        group.append(item)
        faces = sum(len(one.evidence) for one in group)
        size = sum(one.image.nbytes for one in group if one.image is not None)
        if item.closes or faces >= batch_size or len(group) >= _MAX_GROUP_FRAMES or size >= _MAX_GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group
