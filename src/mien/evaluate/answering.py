"""Who answers a suite: a reader of this house, or any model behind a server that speaks OpenAI's chat protocol."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image as pillow

from mien.backends.base import Reader
from mien.backends.chat import ChatFailed, ChatImage, ChatMessage, ChatRequest, Teacher
from mien.core.nouns import Answer, AuReading, Evidence, FaceResult, Image, Sample
from mien.evaluate.forms import measured, say
from mien.evaluate.suite import Suite
from mien.face.decode.clips import middle

__all__ = [
    "NO_REPLY",
    "Answerer",
    "Given",
    "ReaderAnswers",
    "Said",
    "ServerAnswers",
    "Shown",
    "encoded",
    "shown_face",
]

NO_REPLY = "no reply"
"""How the reason begins where a server gave nothing to score."""
Clip = tuple[Evidence, ...]
_MARGIN = 0.3
_QUALITY = 95


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One face as a model sees it."""

    sample: Sample
    evidence: Clip
    """Of a picture one; of a clip the same face in several frames; empty for who asks for pictures."""
    picture: Image | None = None
    """The whole picture, for a server."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came back about one face."""

    answer: str | None
    reason: str | None = None
    """Why there is no answer."""
    scores: Mapping[str, float] | None = None
    """Likelihood per label of the suite."""
    measured: Mapping[str, float] | None = None
    """AU key -> intensity 0..1 of the same face, where an explanation is audited."""


class Answerer(Protocol):
    """Answers in order; a face that cannot be answered comes out as a `Said` without an answer."""

    @property
    def name(self) -> str:
        """System or model."""

    @property
    def crop_size(self) -> int | None:
        """Side of the crops that it wants in px; None: it is shown whole pictures."""

    @property
    def clips(self) -> bool:
        """Whether it reads several frames of a video at once."""

    def answers(self, shown: Sequence[Shown], suite: Suite) -> list[Said]:
        """One per face."""


Given = Callable[[Sequence[Shown]], list[Said]]


@dataclass
class ReaderAnswers:
    """The embedded model, the rules, or a trained system's folder.

    Args:
        reader: of `mien.backends.base.open_reader`.
        readout: ``likelihood`` or ``text`` in place of the suite's.
        instrument: measures faces for audits of explanations; the reader itself by default.
        seed: of sampled answers.
    """

    reader: Reader
    readout: str | None = None
    instrument: Reader | None = None
    seed: int | None = None
    name: str = field(init=False)
    crop_size: int | None = field(init=False)
    clips: bool = field(init=False)

    def __post_init__(self) -> None:
        system = getattr(self.reader, "system", None)
        self.name = system.name if system is not None else self.reader.name
        self.crop_size = self.reader.crop_size
        self.clips = bool(getattr(system, "clips", False))

    def answers(self, shown: Sequence[Shown], suite: Suite) -> list[Said]:
        """By likelihood and measurement, or in the model's own words, as the suite or `readout` says."""
        how = self.readout or suite.readout
        if suite.form == "explanation":
            return self._explained(shown)
        if how == "likelihood":
            return self._measured(shown, suite)
        return self._told(shown, suite)

    def _faces(self, shown: Sequence[Shown]) -> list[Any]:
        """Faces as the reader takes them: clips whole where it reads clips, else their middle frame."""
        return [
            one.evidence if self.clips and len(one.evidence) > 1 else one.evidence[middle(len(one.evidence))]
            for one in shown
        ]

    def _measured(self, shown: Sequence[Shown], suite: Suite) -> list[Said]:
        said = []
        for result in self.reader.measure(self._faces(shown)):
            value, scores = measured(suite, result)
            if value is None:
                said.append(Said(None, "nothing that the suite asks for was measured"))
            else:
                said.append(Said(say(suite, value), scores=scores, measured=value.get("aus")))
        return said

    def _told(self, shown: Sequence[Shown], suite: Suite) -> list[Said]:
        faces = self._faces(shown)
        if getattr(self.reader, "system", None) is None:
            return [_said(self.reader.ask(face, suite.asked)) for face in faces]
        how = {"max_new_tokens": suite.max_new_tokens, **_sampled(suite.sampling)}
        how |= {} if self.seed is None else {"seed": self.seed}
        own = suite.asks.get(self.name)
        if own is None:
            answers = self.reader.answer(faces, [suite.asked] * len(faces), "generation", **how)
            return [Said(one.text) for one in answers]
        from mien.backends.torch_rounds import own_rounds

        how |= own.options
        told = own_rounds(self.reader, faces, own.rounds, own.template, **how)  # type: ignore[arg-type]
        return [Said(answers[-1]) for answers in told]

    def _explained(self, shown: Sequence[Shown]) -> list[Said]:
        faces = self._faces(shown)
        results = self.reader.measure(faces)
        seen = results if self.instrument is None else self.instrument.measure(faces)
        texts = self.reader.explain(faces, results)
        return [
            Said(text.text, measured=_intensities(result)) for text, result in zip(texts, seen, strict=True)
        ]


def _said(answer: Answer) -> Said:
    if answer.status == "declined":
        return Said(answer.text, f"declined: {answer.reason}")
    return Said(answer.text)


def _sampled(sampling: Mapping[str, float]) -> dict[str, Any]:
    return {"do_sample": True, **sampling} if sampling else {"do_sample": False}


def _intensities(result: FaceResult) -> dict[str, float]:
    readings: Mapping[str, AuReading] = result.aus
    return {key: round(one.intensity, 4) for key, one in readings.items() if one.measured}


@dataclass
class ServerAnswers:
    """A model behind a server: the picture and the suite's question, in a user's message.

    Args:
        teacher: `mien.backends.openai.OpenAITeacher`, remembered and patient (`mien.backends.memory.Remembering`).
        workers: requests at once.
        seed: of sampled answers.
    """

    teacher: Teacher
    workers: int = 4
    seed: int | None = None
    crop_size: int | None = None
    clips: bool = False

    @property
    def name(self) -> str:
        """The server's name of the model."""
        return self.teacher.model

    def answers(self, shown: Sequence[Shown], suite: Suite) -> list[Said]:
        """Many at once; a refusal or a reply that never came is no answer, with its reason."""
        with ThreadPoolExecutor(max(1, self.workers), thread_name_prefix="mien-eval") as pool:
            return list(pool.map(lambda one: self._one(one, suite), shown))

    def _one(self, shown: Shown, suite: Suite) -> Said:
        try:
            reply = self.teacher.reply(self._request(shown, suite))
        except ChatFailed as failure:
            if failure.fatal:
                raise
            return Said(None, f"{NO_REPLY}: {failure.reason}")
        if reply.unsaid is not None:
            return Said(None, f"{NO_REPLY}: {reply.unsaid}")
        if reply.finish in ("refusal", "content_filter"):
            return Said(reply.text, f"declined: {reply.finish}")
        return Said(reply.text, "cut off" if reply.finish == "length" else None)

    def _request(self, shown: Shown, suite: Suite) -> ChatRequest:
        picture = encoded(shown_face(shown, suite))
        return ChatRequest(
            f"eval/{suite.name}",
            "1",
            (ChatMessage("user", suite.asked, (picture,)),),
            temperature=suite.sampling.get("temperature", 0.0),
            max_tokens=suite.max_new_tokens,
            seed=self.seed,
        )


def shown_face(shown: Shown, suite: Suite) -> pillow.Image:
    """The picture for who asks for pictures, scaled to a square where the suite says so."""
    assert shown.picture is not None
    picture = pillow.fromarray(_cut(shown.picture, shown.sample))
    return (
        picture if suite.side is None else picture.resize((suite.side, suite.side), pillow.Resampling.BICUBIC)
    )


def encoded(picture: pillow.Image) -> ChatImage:
    """As JPEG; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return ChatImage(buffer.getvalue())


def _cut(image: Image, sample: Sample) -> Image:
    """The face that is meant, with a margin, where there may be several."""
    if sample.box is None or sample.cropped:
        return image
    left, top, right, bottom = sample.box
    margin = _MARGIN * max(right - left, bottom - top)
    height, width = image.shape[:2]
    rows = slice(max(0, int(top - margin)), min(height, int(bottom + margin) + 1))
    columns = slice(max(0, int(left - margin)), min(width, int(right + margin) + 1))
    return image[rows, columns]
