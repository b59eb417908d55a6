"""The *faba* engine: a teacher that sees describes the emotion or the Action Units of faces, as GPT-4V did for FABA.

Li et al. 2024 (EmoLA), section 3.1: one of 100 instructions per task and the picture go to GPT-4V; what cannot be
used is filtered; the test set is corrected by hand. The system message is unpublished, so ours is our own.

    engine = faba_engine(samples, task="both", seed=0)      # then mien.annotate.runner.run(engine, teacher, out)
    train, test = split_rows(rows, test_pictures=403)       # mien.annotate.faba.rows
    write_faba(folder, train, test)                         # read again by mien.data.faba_instruct

Steps: ``faba/emotion`` and ``faba/au``, both with one picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mien.annotate.engine import Item, Kept, Outcome, Rejected
from mien.annotate.faba.filters import (
    PictureLimits,
    TextLimits,
    judge_picture,
    judge_reply,
    tidy,
)
from mien.annotate.faba.rows import prior_name, relative_name, row_label
from mien.annotate.faba.statistics import described_emotion
from mien.annotate.pictures import (
    OpenPicture,
    PictureSize,
    ReadFace,
    cut_face,
    encode_picture,
    face_box,
    measured_facts,
)
from mien.backends.chat import ChatImage, ChatMessage, ChatRequest, Reply
from mien.core.aus import AU_SETS, AUS
from mien.core.errors import BadConfig, require_known
from mien.core.nouns import FaceResult, Sample
from mien.dialogue.say.faba_instructions import AU_INSTRUCTIONS, EMOTION_INSTRUCTIONS
from mien.face.decode.media import open_media

__all__ = [
    "INSTRUCTIONS",
    "PROMPTS",
    "RETRY_TEMPERATURE",
    "VERSION",
    "FabaEngine",
    "choose_instruction",
    "faba_engine",
]

Task = Literal["emotion", "au", "both"]
INSTRUCTIONS: Mapping[str, tuple[str, ...]] = {"emotion": EMOTION_INSTRUCTIONS, "au": AU_INSTRUCTIONS}
"""The 100 instructions of each task."""
VERSION = "1"
"""Version of `PROMPTS`."""
_UNITS = AU_SETS["faba20"]
_UNUSABLE = (
    "If the face cannot be read, write only 'UNUSABLE: low resolution' when it is too small, dark or blurred, "
    "or 'UNUSABLE: occluded' when too much of it is covered."
)
PROMPTS: Mapping[str, str] = {
    "emotion": (
        "You write descriptions of facial expressions for a public data set. Look at the one face in the picture and "
        "answer the question in one paragraph of about 50 words. Say which emotion the face appears to show, how "
        "strongly, and whether it is mixed with another, and name the facial movements that speak for it. Describe "
        "what is seen; do not guess who the person is. " + _UNUSABLE
    ),
    "au": (
        "You write descriptions of facial Action Units (FACS) for a public data set. Look at the one face in the "
        "picture and answer the question in about 200 words. Begin a new line for each Action Unit that is present, "
        "in the form 'AU4 - Brow Lowerer: ...': say what moved and how strongly, and which emotion or which other "
        "Action Unit it goes with. Leave out absent ones. Known Action Units: "
        + ", ".join(f"{AUS[key].prose} {AUS[key].name}" for key in _UNITS)
        + ". Describe what is seen; do not guess who the person is. "
        + _UNUSABLE
    ),
}
"""System message by task."""
RETRY_TEMPERATURE = 0.7
"""A useless reply is asked for again at this temperature and with another seed: at 0 it would come again."""
_MAX_TOKENS = {"emotion": 256, "au": 1024}


def choose_instruction(task: str, item: str, seed: int) -> str:
    """One of the task's 100 instructions, fixed by ``seed`` and the item's id."""
    digest = hashlib.sha256(f"{seed}:{task}:{item}".encode()).digest()
    pool = INSTRUCTIONS[task]
    return pool[int.from_bytes(digest[:8], "big") % len(pool)]


@dataclass(frozen=True, eq=False)
class FabaEngine:
    """Build it with `faba_engine`."""

    samples: Sequence[Sample]
    task: Task = "emotion"
    seed: int = 0
    tries: int = 2
    """Replies asked for one item before it is rejected."""
    root: str | None = None
    """Pictures in the rows are named relative to this folder."""
    picture_limits: PictureLimits = field(default_factory=PictureLimits)
    text_limits: TextLimits = field(default_factory=TextLimits)
    picture_size: PictureSize = field(default_factory=PictureSize)
    crop: bool = True
    """Send the face with a margin instead of the whole picture (FABA's faces are cropped)."""
    check_label: bool = False
    """Reject a description whose emotion is not the sample's label; FABA did not."""
    open_picture: OpenPicture = open_media
    read_face: ReadFace | None = None
    reader_name: str | None = None
    """Name of ``read_face``'s model, for the record."""

    name = "faba"

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON-able options that change what is asked or kept."""
        return {
            "task": self.task,
            "seed": self.seed,
            "tries": self.tries,
            "root": self.root,
            "version": VERSION,
            "pictures": asdict(self.picture_limits),
            "words": {"emotion": list(self.text_limits.emotion), "au": list(self.text_limits.au)},
            "size": asdict(self.picture_size),
            "crop": self.crop,
            "check_label": self.check_label,
            "reader": self.reader_name,
        }

    def items(self) -> Iterator[Item]:
        """One item per sample and task, ids ``<sample>#emotion`` and ``<sample>#au``."""
        for sample in self.samples:
            for task in ("emotion", "au") if self.task == "both" else (self.task,):
                name = f"{sample.id}#{task}"
                inputs = {"task": task, "instruction": choose_instruction(task, sample.id, self.seed)}
                yield Item(name, sample, inputs)

    def process(self, item: Item) -> Generator[ChatRequest, Reply, Outcome]:
        """Filter the picture, ask for a description, filter the description."""
        assert item.sample is not None, "items of this engine always have a sample"
        sample, task = item.sample, str(item.inputs["task"])
        image = self.open_picture(sample.media)
        face = self.read_face(sample, image) if self.read_face is not None else None
        if self.read_face is not None and face is None:
            return Rejected("no face", f"{self.reader_name or 'the reader'} finds none")
        rejected: Rejected | None = judge_picture(sample, image, face, task, self.picture_limits)
        if rejected is not None:
            return rejected
        box = face_box(sample, image, face)
        whole = not self.crop or box == (0.0, 0.0, image.shape[1], image.shape[0])
        picture = encode_picture(image if whole else cut_face(image, box), self.picture_size)
        for attempt in range(self.tries):
            reply = yield self._request(item, picture, face, attempt)
            text = tidy(reply.text)
            rejected = judge_reply(text, task, self.text_limits, _UNITS, reply.finish)
            rejected = rejected or self._label_fault(sample, task, text)
            if rejected is None:
                return Kept(self._row(item, text, None if whole else box))
        assert rejected is not None, "tries is at least 1"
        return rejected

    def _request(self, item: Item, picture: ChatImage, face: FaceResult | None, attempt: int) -> ChatRequest:
        assert item.sample is not None
        task = str(item.inputs["task"])
        known = measured_facts(item.sample, face)
        messages = (
            ChatMessage("system", PROMPTS[task]),
            ChatMessage("user", str(item.inputs["instruction"]), (picture,)),
        )
        facts = {"id": item.id, "seed": self.seed, "instruction": item.inputs["instruction"], **known}
        tokens = _MAX_TOKENS[task]
        warmth = 0.0 if attempt == 0 else RETRY_TEMPERATURE
        seed = self.seed + attempt
        return ChatRequest(
            f"faba/{task}", VERSION, messages, facts, warmth, tokens, seed=seed, attempt=attempt
        )

    def _label_fault(self, sample: Sample, task: str, text: str) -> Rejected | None:
        if not self.check_label or task != "emotion" or sample.labels.emotion is None:
            return None
        described = described_emotion(text)
        if described == sample.labels.emotion:
            return None
        return Rejected("other emotion than the label", f"{described}, label {sample.labels.emotion}")

    def _row(self, item: Item, text: str, box: Sequence[float] | None) -> dict[str, Any]:
        """A published training item and what the test items and the statistics need beside it."""
        assert item.sample is not None
        sample, task = item.sample, str(item.inputs["task"])
        image = relative_name(sample.media, self.root)
        label, source = row_label(sample, task, text)
        return {
            "id": item.id,
            "source": sample.dataset,
            "image": image,
            "conversations": [
                {"from": "human", "value": f"{item.inputs['instruction']}\n<image>"},
                {"from": "gpt", "value": text},
            ],
            "landmark": prior_name(image),
            "task": task,
            "split": sample.split,
            "subject": sample.subject,
            "box": None if box is None else [round(value, 1) for value in box],
            "label": label,
            "label_source": source,
        }


def faba_engine(samples: Iterable[Sample], task: Task = "emotion", **options: Any) -> FabaEngine:
    """The engine over ``samples``.

    Args:
        samples: pictures of one face each; ``box``, ``landmarks``, ``cropped`` and ``labels`` are used where given.
        task: ``emotion``, ``au`` or ``both`` (two items per sample).
        options: fields of `FabaEngine`: ``seed``, ``tries``, ``root``, ``picture_limits``, ``text_limits``,
            ``picture_size``, ``crop``, ``check_label``, ``open_picture``, ``read_face`` (finds and measures the face:
            gives the offline teacher its AUs and the filters presence, pose and landmarks) and ``reader_name``.

    Raises:
        BadConfig: an unknown task or option, fewer than one try.
    """
    known = set(FabaEngine.__dataclass_fields__) - {"samples", "task"}
    if unknown := sorted(set(options) - known):
        raise BadConfig(
            got=f"options {', '.join(unknown)} of the faba engine",
            expected=f"some of {', '.join(sorted(known))}",
        )
    require_known(task, ("emotion", "au", "both"), "task")
    if options.get("tries", 1) < 1:
        raise BadConfig(got=f"tries={options['tries']}", expected="1 or more", fix="Raise it")
    return FabaEngine(tuple(samples), task, **options)
