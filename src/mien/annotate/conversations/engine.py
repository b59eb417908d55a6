"""The *conversations* engine: labelled pictures and clips -> conversations about them, as Gemini wrote for EMO-LLaMA.

EMO-LLaMA (Xing et al. 2024, "Gemini-assisted Emotion Visual Instruction Data Generation"): a picture goes to the
teacher with its expression label; a clip goes as its central frame with a description per second, written by a
captioner (LLaVA there), and its label. The teacher asks and answers questions about the person and the objects, those
on the expression in agreement with the label. The prompts are unpublished, so these are our own. No conversation is
made of FER+, whose pictures are too small; here a limit in px says so for any set.

    engine = conversations_engine(samples, seed=0)
    run(engine, teacher, out)                                   # one teacher for all steps, or:
    run(engine, with_captioner(teacher, captioner), out)        # another one for ``conversations/caption``

Steps: ``conversations/image`` (one picture), ``conversations/caption`` (one frame), ``conversations/video`` (central
frame). Rows are LLaVA training items: ``id``, ``image`` or ``video``, ``conversations``, ``task``, and beside them
``label``, ``dataset`` and ``split``.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mien.annotate.conversations.gates import ConversationLimits, judge_caption, judge_rounds, read_rounds
from mien.annotate.engine import Item, Kept, Outcome, Rejected
from mien.annotate.faba.engine import RETRY_TEMPERATURE
from mien.annotate.faba.filters import tidy
from mien.annotate.faba.rows import relative_name
from mien.annotate.pictures import (
    Clip,
    OpenPicture,
    PictureSize,
    ReadFace,
    encode_picture,
    light_facts,
    measured_facts,
    seconds_of,
)
from mien.backends.chat import ChatMessage, ChatRequest, Reply, Teacher
from mien.core.errors import BadConfig
from mien.core.nouns import Image, Sample
from mien.face.decode.images import media_kind
from mien.face.decode.media import open_media, split_media

__all__ = ["PROMPTS", "VERSION", "ConversationEngine", "conversations_engine", "with_captioner"]

VERSION = "1"
"""Version of `PROMPTS`."""
_FORM = (
    'Reply with one JSON object: {{"conversation": [{{"question": "...", "answer": "..."}}, ...]}} and nothing else. '
    "Write {rounds} rounds."
)
_RULES = (
    "The questions are those of a person who sees the {medium}; the answers are those of an assistant that sees it as "
    "well. Ask about the facial expression and its signs, and also about other things that can be seen: the person's "
    "look, objects, light. At least one answer names the expression, which is '{label}'; no answer names another one "
    "as the person's expression. Never say that a label or a description was given. Ask only what can be answered "
    "from the {medium}; do not guess who the person is. Keep every answer below 80 words."
)
PROMPTS: Mapping[str, str] = {
    "image": "You write conversations about a picture of a face, to train an assistant that sees. "
    + _RULES
    + " "
    + _FORM,
    "video": (
        "You write conversations about a short video, to train an assistant that sees. You get its central frame and a "
        "description of each second. "
        + _RULES
        + " Speak of the video, not of frames or descriptions. "
        + _FORM
    ),
    "caption": (
        "Describe this frame of a video in one or two sentences: what the person does, the face and its movements, and "
        "what is around. Describe only what is seen."
    ),
}
"""System message by step."""
_CAPTION_TOKENS, _TOKENS = 128, 1024


@dataclass(frozen=True, eq=False)
class ConversationEngine:
    """Build it with `conversations_engine`."""

    samples: Sequence[Sample]
    seed: int = 0
    tries: int = 2
    """Replies asked for one conversation before the item is rejected."""
    limits: ConversationLimits = field(default_factory=ConversationLimits)
    picture_size: PictureSize = field(default_factory=PictureSize)
    min_side: int = 64
    """Px of the shorter side of a picture (FER+ has 48)."""
    max_seconds: int = 16
    """Seconds of a clip that are described; a longer one is looked at as often, spread evenly."""
    folder_fps: float = 25.0
    """Frames per second of clips that are folders of pictures."""
    root: str | None = None
    """Media in the rows are named relative to this folder."""
    open_picture: OpenPicture = open_media
    read_face: ReadFace | None = None
    """Measures faces for the offline teacher, which cannot see."""
    reader_name: str | None = None

    name = "conversations"

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON-able options that change what is asked or kept."""
        return {
            "seed": self.seed,
            "tries": self.tries,
            "version": VERSION,
            "limits": asdict(self.limits) | {"rounds": list(self.limits.rounds)},
            "size": asdict(self.picture_size),
            "min_side": self.min_side,
            "max_seconds": self.max_seconds,
            "folder_fps": self.folder_fps,
            "root": self.root,
            "reader": self.reader_name,
        }

    def items(self) -> Iterator[Item]:
        """One item per sample, under the sample's id."""
        for sample in self.samples:
            yield Item(sample.id, sample, {"rounds": self._rounds(sample.id)})

    def process(self, item: Item) -> Generator[ChatRequest, Reply, Outcome]:
        """Caption the clip's seconds, ask for a conversation, check it."""
        assert item.sample is not None, "items of this engine always have a sample"
        if not item.sample.labels.emotion:
            return Rejected("no label", "a conversation is written for a known expression")
        clip = _is_clip(item.sample.media)
        outcome = yield from self._clip(item) if clip else self._picture(item)
        if isinstance(outcome, Rejected):
            return outcome
        return Kept(self._row(item, outcome, "video" if clip else "image"))

    def _rounds(self, name: str) -> int:
        digest = hashlib.sha256(f"{self.seed}:rounds:{name}".encode()).digest()
        return random.Random(digest).randint(*self.limits.rounds)

    def _picture(self, item: Item) -> Generator[ChatRequest, Reply, list[tuple[str, str]] | Rejected]:
        assert item.sample is not None
        image = self.open_picture(item.sample.media)
        small = self._too_small(image)
        if small is not None:
            return small
        return (yield from self._converse(item, image, "image", []))

    def _clip(self, item: Item) -> Generator[ChatRequest, Reply, list[tuple[str, str]] | Rejected]:
        assert item.sample is not None
        clip = seconds_of(item.sample.media, self.max_seconds, self.folder_fps)
        small = self._too_small(clip.centre.image)
        if small is not None:
            return small
        captions = yield from self._captions(item, clip)
        if not captions:
            return Rejected("no captions", f"none of {len(clip.frames)} seconds could be described")
        return (yield from self._converse(item, clip.centre.image, "video", captions))

    def _too_small(self, image: Image) -> Rejected | None:
        side = min(image.shape[:2])
        if side >= self.min_side:
            return None
        return Rejected("low resolution", f"{side} px, at least {self.min_side}")

    def _captions(self, item: Item, clip: Clip) -> Generator[ChatRequest, Reply, list[tuple[float, str]]]:
        """Descriptions of the seconds that the captioner could describe."""
        captions: list[tuple[float, str]] = []
        for frame in clip.frames:
            messages = (
                ChatMessage("system", PROMPTS["caption"]),
                ChatMessage(
                    "user", "Describe this frame.", (encode_picture(frame.image, self.picture_size),)
                ),
            )
            # The captioner does not know the label: its facts are what was measured in the frame.
            facts = self._facts(item, frame.image, labelled=False) | {"time": frame.time}
            reply = yield ChatRequest(
                "conversations/caption", VERSION, messages, facts, 0.0, _CAPTION_TOKENS, seed=self.seed
            )
            text = tidy(reply.text)
            if judge_caption(text, self.limits) is None:
                captions.append((frame.time, text))
        return captions

    def _converse(
        self, item: Item, image: Image, medium: str, captions: list[tuple[float, str]]
    ) -> Generator[ChatRequest, Reply, list[tuple[str, str]] | Rejected]:
        assert item.sample is not None
        label = str(item.sample.labels.emotion)
        rounds = int(item.inputs["rounds"])
        told = "\n".join(f"Second {time:g}: {text}" for time, text in captions)
        asked = f"Expression label: {label}" + (f"\n{told}" if told else "")
        messages = (
            ChatMessage("system", PROMPTS[medium].format(medium=medium, label=label, rounds=rounds)),
            ChatMessage("user", asked, (encode_picture(image, self.picture_size),)),
        )
        facts = self._facts(item, image, labelled=True) | {"rounds": rounds, "medium": medium}
        facts["captions"] = [[time, text] for time, text in captions]
        rejected: Rejected | None = None
        for attempt in range(self.tries):
            warmth, seed = (RETRY_TEMPERATURE if attempt else 0.0), self.seed + attempt
            reply = yield ChatRequest(
                f"conversations/{medium}", VERSION, messages, facts, warmth, _TOKENS, True, seed, attempt
            )
            found = read_rounds(reply.text)
            if isinstance(found, Rejected):
                rejected = found if reply.finish != "length" else Rejected("cut off", found.detail)
                continue
            rejected = judge_rounds(found, label, self.limits)
            if rejected is None:
                return found
        assert rejected is not None, "tries is at least 1"
        return rejected

    def _facts(self, item: Item, image: Image, labelled: bool) -> dict[str, Any]:
        assert item.sample is not None
        face = self.read_face(item.sample, image) if self.read_face is not None else None
        known = measured_facts(item.sample, face)
        if not labelled:
            known["emotion"] = None if face is None else face.emotion
        return {
            "id": item.id,
            "seed": self.seed,
            "label": item.sample.labels.emotion if labelled else None,
        } | (known | light_facts(image))

    def _row(self, item: Item, rounds: list[tuple[str, str]], medium: str) -> dict[str, Any]:
        assert item.sample is not None
        sample = item.sample
        turns = [
            {"from": who, "value": text}
            for pair in rounds
            for who, text in zip(("human", "gpt"), pair, strict=True)
        ]
        turns[0]["value"] = f"<image>\n{turns[0]['value']}"
        return {
            "id": item.id,
            medium: relative_name(sample.media, self.root),
            "conversations": turns,
            "task": "conversation",
            "label": sample.labels.emotion,
            "dataset": sample.dataset,
            "split": sample.split,
        }


def conversations_engine(samples: Iterable[Sample], **options: Any) -> ConversationEngine:
    """The engine over ``samples``: pictures, video files and folders of frames, in any mixture.

    Args:
        samples: with an emotion label each; a dataset's own extra word ("anxiety") is a label as well.
        options: fields of `ConversationEngine`: ``seed``, ``tries``, ``limits``, ``picture_size``, ``min_side``,
            ``max_seconds``, ``folder_fps``, ``root``, ``open_picture``, ``read_face`` and ``reader_name``.

    Raises:
        BadConfig: an unknown option, or fewer than one try or second.
    """
    known = set(ConversationEngine.__dataclass_fields__) - {"samples"}
    if unknown := sorted(set(options) - known):
        raise BadConfig(
            got=f"options {', '.join(unknown)} of the conversations engine",
            expected=f"some of {', '.join(sorted(known))}",
        )
    engine = ConversationEngine(tuple(samples), **options)
    if engine.tries < 1 or engine.max_seconds < 1 or engine.folder_fps <= 0:
        raise BadConfig(
            got=f"tries={engine.tries}, max_seconds={engine.max_seconds}, folder_fps={engine.folder_fps:g}",
            expected="1 or more tries and seconds, frames per second above 0",
            fix="Raise them",
        )
    return engine


def _is_clip(media: str) -> bool:
    path, member = split_media(media)
    return not member and (Path(path).is_dir() or media_kind(path) == "video")


@dataclass(frozen=True, slots=True)
class _Shared:
    """Two teachers under one name: one for captions, one for the rest."""

    writer: Teacher
    captioner: Teacher

    @property
    def model(self) -> str:
        return f"{self.writer.model}, captions {self.captioner.model}"

    def reply(self, request: ChatRequest) -> Reply:
        chosen = self.captioner if request.step == "conversations/caption" else self.writer
        return chosen.reply(request)


def with_captioner(teacher: Teacher, captioner: Teacher) -> Teacher:
    """A teacher whose ``conversations/caption`` steps are answered by ``captioner``, all others by ``teacher``."""
    return _Shared(teacher, captioner)
