"""The main job: photos, videos, arrays and landmark files in; faces with emotions, Action Units and words out.

Decoding and landmarks run ahead in a second thread while the model reads the previous batch, and faces of
several frames share a batch. Batches never depend on what came before the current group of frames (see
`Analyzer.analyze_groups`), so that a resumed run gives the same numbers as an undisturbed one.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path

from mien.analyze.answering import Seen, key_faces, main_face, reply, without_faces, without_looking
from mien.analyze.finding import FaceSource, Found, How, grouped
from mien.analyze.session import Session
from mien.analyze.sources import OneSource, Source, Sources, expand, on_disk
from mien.backends.audit import Grounding
from mien.backends.audit import verify as verify_text
from mien.backends.base import DEFAULT_MODEL, ClipReader, DrawingReader, Reader, RegionsReader, open_reader
from mien.core.aus import check_cut_off
from mien.core.errors import BadConfig, BadInput, MienError, require_range, require_text
from mien.core.nouns import Answer, Evidence, Explanation, FaceResult, FrameResult, Image, Verification
from mien.dialogue.ask.inquiry import Inquiry
from mien.dialogue.ask.understand import understand
from mien.dialogue.read.claims import read_claims, withhold
from mien.face.decode.clips import middle
from mien.face.decode.part import WHOLE, Part
from mien.face.finder import FaceFinder
from mien.face.onnx_sessions import front_end_device
from mien.face.quality import judge
from mien.metrics.faithfulness import audit
from mien.models.composite.frames import central_evidence, clip_evidence
from mien.work.loop import attempt, in_order

__all__ = ["AnalysedFrame", "Analyzer", "ask", "load_model", "verify"]

_MAX_THREADS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedFrame:
    """One finished frame, with its pixels when they were asked for."""

    result: FrameResult
    image: Image | None
    last: bool
    """True for the last frame of its item."""
    item: str
    """Name of the `Source`; the result's own is another where the item is a table of mien's."""


class Analyzer:
    """Analyses faces with one model.

    Args:
        model: a model's name (``mien models list``), a run folder, or an opened `Reader`.
        device: see `mien.backends.base.open_reader`. Faces are found there too, where the installed ONNX Runtime can.
        threads: threads within one net, two of which run at once; None takes half of the cores, at most 4.
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
            require_range(threads, "threads", 1, _MAX_THREADS, whole=True, fix="Leave it out")
            threads = int(threads)
        check_cut_off(cut_off)
        if not isinstance(model, str | Path) and (device != "cpu" or precision is not None):
            raise BadConfig(
                got=f"an opened model with device {device!r}, precision {precision!r}",
                expected="neither: it stays where it is",
                fix="Pass them to load_model, or pass the model's folder",
            )
        if not isinstance(model, str | Path) and not hasattr(model, "crop_size"):
            raise BadConfig(
                got=f"a model of type {type(model).__name__}",
                expected="a name, a folder or an opened model",
                fix="Leave it out for the embedded one",
            )
        self.reader: Reader = (
            load_model(model, threads, device, precision) if isinstance(model, str | Path) else model
        )
        self.cut_off = int(cut_off)
        self.source = FaceSource(
            FaceFinder(threads=threads, device=front_end_device(device)), self.reader.crop_size
        )

    def analyze(
        self, sources: Sources, cropped: bool = False, explain: bool = False, landmarks_only: bool = False,
        batch_size: int = 16, *, every: int = 1, smooth: bool = False,
        start: float = 0.0, end: float | None = None, fps: float | None = None,
    ) -> Generator[FrameResult]:  # fmt: skip
        """Analyse ``sources`` lazily, in order; one result per photo or video frame.

        An item that cannot be analysed gives one `FrameResult` with ``error`` set; the rest goes on.

        Args:
            sources: paths, folders, patterns such as ``pics/*.jpg``, encoded pictures and videos as bytes or open
                files, arrays (H, W, 3) uint8 RGB, Pillow images, or landmark files
                (see `mien.face.landmark_files.read_landmarks`); one of these or an iterable.
            cropped: the pictures are face crops already (48 x 48 grey works): no detector runs.
            explain: write an explanation per face, audited against the measurement.
            landmarks_only: drop the pixels as soon as the landmarks are found; the model sees points only.
            batch_size: faces that are read together.
            every: analyse every n-th frame of a video only.
            smooth: smooth landmarks over time in videos (one-euro filter).
            start, end: analyse the part of a video between these seconds only (``end`` not included).
            fps: analyse at most so many frames per second of a video, evenly.

        Raises:
            BadConfig: an option out of range.
            BadInput: an item of a type that cannot be analysed.
        """
        how = How(cropped, explain, landmarks_only, batch_size, smooth, part=Part(every, start, end, fps))
        with closing(self._groups(sources, how)) as groups:
            for group in groups:
                for frame in group:
                    yield frame.result

    def analyze_groups(
        self, sources: Sources, *, cropped: bool = False, explain: bool = False, landmarks_only: bool = False,
        batch_size: int = 16, smooth: bool = False, keep_images: bool = False, part: Part = WHOLE,
    ) -> Generator[list[AnalysedFrame]]:  # fmt: skip
        """As `analyze`, in groups of frames that were read together.

        A group depends on nothing before it and never spans the border of a video, so a caller that
        stores whole groups may stop after any of them and go on later with equal results.

        Args:
            keep_images: give each frame's pixels along.
            part: which frames of videos.
        """
        yield from self._groups(
            sources, How(cropped, explain, landmarks_only, batch_size, smooth, keep_images, part)
        )

    def session(
        self, fps: float | None = None, *, cropped: bool = False, explain: bool = False,
        landmarks_only: bool = False, smooth: bool = False, name: str = "live",
    ) -> Session:  # fmt: skip
        """Frames pushed one by one, as from a camera: one result for each, with track and time.

        Args:
            fps: frames per second, when `Session.push` is not told the times.
            cropped: see `analyze`, as are the following.
            explain: write an explanation per face.
            landmarks_only: the model sees points only.
            smooth: smooth landmarks over time.
            name: the ``source`` of the results.

        Raises:
            BadConfig: ``fps`` out of range.
        """
        how = How(cropped, explain, landmarks_only, 16, smooth)
        return Session(self.source, how, lambda found: self._read([found], how)[0].result, fps, name)

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
        require_text(question, "a question")
        if frames is not None:
            require_range(frames, "frames", 1, whole=True)
        how = How(cropped, False, landmarks_only, 16, smooth=False)
        if decoder or not self.reader.grounded:
            return self._ask_reader(source, question, how, frames)
        inquiry = understand(question)
        answer = without_looking(inquiry, self.reader.aus)
        if answer is not None:
            return answer
        seen = self._seen(source, inquiry, how)
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
        require_text(text, "a text to verify")
        how = How(cropped, False, landmarks_only, 16, smooth=False)
        seen = self._seen(source, Inquiry("explain"), how)
        if seen is None:
            raise _no_face()
        return verify_text(text, main_face(seen))

    def _seen(self, source: OneSource, inquiry: Inquiry, how: How) -> Seen | None:
        for item in expand(source):
            with on_disk(item) as readable:
                seen = self._look(readable, inquiry, how)
            if seen is not None:
                return seen
        return None

    def _look(self, item: Source, inquiry: Inquiry, how: How) -> Seen | None:
        """What an inquiry needs of one source, measured; None where it shows no face."""
        whole = inquiry.over_time
        if item.kind == "video" and not whole:
            one = central_evidence(
                Path(str(item.payload)), self.source.faces, self._size(how), cropped=how.cropped
            )
            shown = (
                []
                if one is None
                else [Found(FrameResult(item.name, one.face.frame, one.face.time, ()), (one,), None)]
            )
        else:
            shown = list(
                self.source.find(item, how) if item.kind == "video" else self.source.frames(item, how)
            )
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
            return self._explain([shown[frame].evidence[face]], [result])[0]

        return Seen(tuple(frames), tuple(self.reader.aus), explain, item.kind == "video" or len(shown) > 1)

    def _size(self, how: How) -> int | None:
        return None if how.landmarks_only else self.reader.crop_size

    def _ask_reader(self, source: OneSource, question: str, how: How, frames: int | None) -> Answer:
        """The reader's own answer about the largest face, or about the main face of a video."""
        for item in expand(source):
            with on_disk(item) as readable:
                answer = self._answered(readable, question, how, frames)
            if answer is not None:
                return answer
        raise _no_face()

    def _answered(self, item: Source, question: str, how: How, frames: int | None) -> Answer | None:
        if item.kind == "video":
            clip = self._clip(item, question, how, frames)
            return self._ask_clip(clip, question) if clip else None
        shown: list[Evidence] = []
        for found in self.source.find(item, how):
            if found.frame.error is not None:
                raise BadInput(got=f"{item.name}: {found.frame.error}", expected="a face", fix="See above")
            shown += found.evidence[:1]
        return self.reader.ask(shown[middle(len(shown))], question) if shown else None

    def _clip(self, source: Source, question: str, how: How, frames: int | None) -> list[Evidence]:
        """The frames of a video that this model reads for one answer."""
        path, size = Path(str(source.payload)), self._size(how)
        fitting = self.reader.clip_limit(question) if isinstance(self.reader, ClipReader) else 1
        if 1 in (fitting, frames):
            one = central_evidence(path, self.source.faces, size, cropped=how.cropped)
            return [] if one is None else [one]
        return clip_evidence(path, self.source.faces, size, limit=frames or fitting, cropped=how.cropped)

    def _ask_clip(self, clip: Sequence[Evidence], question: str) -> Answer:
        if len(clip) > 1 and isinstance(self.reader, ClipReader):
            answer = self.reader.ask(clip, question)
        else:
            answer = self.reader.ask(clip[0], question)
        return replace(answer, times=tuple(one.face.time for one in clip))

    def _groups(self, sources: Sources, how: How) -> Generator[list[AnalysedFrame]]:
        found = chain.from_iterable(self.source.find(source, how) for source in expand(sources))
        depth = 4 if how.keep_images else 2 * how.batch_size
        # Faces are found in one other thread, in order, while the model reads.
        with closing(in_order(repeat(partial(next, found, None)), depth=depth)) as ahead:
            for group in grouped(iter(ahead.__next__, None), how.batch_size):
                yield self._read(group, how)

    # -- reading ---------------------------------------------------------------------------------------

    def _read(self, group: Sequence[Found], how: How) -> list[AnalysedFrame]:
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

    def _measure(self, evidence: Sequence[Evidence], how: How) -> list[FaceResult]:
        results: list[FaceResult] = []
        size = int(how.batch_size)
        for start in range(0, len(evidence), size):
            batch = evidence[start : start + size]
            results += self._judged(batch, self.reader.measure(batch))
        told = key_faces(results) if how.explain else []
        for start in range(0, len(told), size):
            places = told[start : start + size]
            texts = self._explain([evidence[place] for place in places], [results[place] for place in places])
            for place, text in zip(places, texts, strict=True):
                results[place] = replace(results[place], explanation=text)
        return results

    def _explain(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[Explanation]:
        """Grounded texts, or of a trained system its own words less the sentences that the measurement refutes."""
        reader = self.reader
        drawing = reader if isinstance(reader, DrawingReader) else None
        texts = reader.explain(batch, results) if drawing is None else drawing.draw(batch, results)
        told = list(zip(texts, results, strict=True))
        if not reader.grounded:
            claimed = (replace(text, claims=audit(read_claims(text.text), one.aus)) for text, one in told)
            return [withhold(text, one.hidden_aus) for text, one in zip(claimed, results, strict=True)]
        made = [Grounding(text, one) for text, one in told]
        wanting = [place for place, one in enumerate(made) if one.wanting]
        if drawing is not None and wanting:
            again = drawing.redraw([batch[one] for one in wanting], [results[one] for one in wanting])
            for place, text in zip(wanting, again, strict=True):
                made[place].add(text)
        return [one.ended() for one in made]

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
    require_text(device, "a device")
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
