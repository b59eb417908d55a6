"""What keeps a picture or a reply out of FABA-style data, each time with one stable reason.

The paper (Li et al. 2024, EmoLA, section 3.1) filters annotations that "cannot be obtained due to the low resolution
and occlusion issues"; how is unpublished, so the limits here are ours and options of the engine.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mien.annotate.engine import Rejected
from mien.annotate.pictures import face_box
from mien.annotate.refusals import describes, refuses
from mien.core.aus import AU_SETS, AUS, au_key
from mien.core.errors import BadConfig
from mien.core.nouns import FaceResult, Image, Sample
from mien.dialogue.read.claims import read_claims, split_sentences
from mien.dialogue.read.emotion import read_emotion, weigh_emotions
from mien.dialogue.read.statements import find_statements

__all__ = ["PICTURE_REASONS", "REPLY_REASONS", "PictureLimits", "TextLimits", "affirmed_units", "judge_picture",
           "judge_reply", "tidy"]  # fmt: skip

PICTURE_REASONS: tuple[str, ...] = (
    "no face", "low resolution", "occluded", "turned away", "empty picture",
)  # fmt: skip
"""Reasons of `judge_picture`."""
REPLY_REASONS: tuple[str, ...] = (
    "empty reply", "cut off", "refused", "teacher saw low resolution", "teacher saw occlusion",
    "teacher could not read the face", "too short",
    "too long", "repeats itself", "no emotion described", "no one emotion", "no action unit named",
    "unknown action unit", "action unit misnamed",
)  # fmt: skip
"""Reasons of `judge_reply`."""


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a picture must offer."""

    min_face: int = 48
    """Px of the face's shorter side. AU descriptions need `min_face_au`."""
    min_face_au: int = 64
    min_presence: float = 0.5
    """The mesh's belief 0..1 that an open face is there; below it the face counts as covered."""
    max_outside: float = 0.12
    """Share of the 478 landmarks that may lie outside the picture."""
    max_yaw: float = 60.0
    """Degrees; beyond it half of the face is hidden."""
    min_spread: float = 4.0
    """Standard deviation of the grey values 0..255; below it the picture shows nothing."""

    def __post_init__(self) -> None:
        if (
            min(self.min_face, self.min_face_au) < 1
            or not 0 <= self.min_presence <= 1
            or self.max_outside < 0
        ):
            raise BadConfig(
                got=f"picture limits {self}",
                expected="sides of at least 1 px, a presence in 0..1, a share of 0 or more",
            )


@dataclass(frozen=True, slots=True)
class TextLimits:
    """Words of a description; the published means are 50.47 (emotion) and 207.35 (AUs), the bounds are ours."""

    emotion: tuple[int, int] = (12, 150)
    au: tuple[int, int] = (12, 450)

    def of(self, task: str) -> tuple[int, int]:
        """The bounds of ``emotion`` or ``au``."""
        return self.au if task == "au" else self.emotion


def judge_picture(
    sample: Sample, image: Image, face: FaceResult | None, task: str, limits: PictureLimits
) -> Rejected | None:
    """Whether the face can be described.

    Args:
        sample: its box or landmarks are used where given.
        image: (H, W, 3) uint8 RGB.
        face: a measurement of the face, when there is one.
        task: ``emotion`` or ``au``.
        limits: the limits.

    Returns:
        None when it can; else one of `PICTURE_REASONS`.
    """
    spread = float(image.mean(axis=2).std())
    if spread < limits.min_spread:
        return Rejected(
            "empty picture", f"grey values spread by {spread:.1f}, at least {limits.min_spread:g}"
        )
    left, top, right, bottom = face_box(sample, image, face)
    side, least = min(right - left, bottom - top), limits.min_face_au if task == "au" else limits.min_face
    if side < least:
        return Rejected("low resolution", f"a face of {side:.0f} px, at least {least}")
    points = sample.landmarks if face is None or sample.landmarks is not None else face.landmarks
    if points is not None:
        high = (image.shape[1], image.shape[0])
        inside = ((points[:, :2] >= 0) & (points[:, :2] <= high)).all(axis=1)
        outside = 1.0 - float(inside.mean())
        if outside > limits.max_outside:
            return Rejected(
                "occluded", f"{outside:.0%} of the landmarks outside, at most {limits.max_outside:.0%}"
            )
    if face is None:
        return None
    presence = face.face.presence
    if not math.isnan(presence) and presence < limits.min_presence:
        return Rejected("occluded", f"face presence {presence:.2f}, at least {limits.min_presence:g}")
    if face.pose is not None and abs(face.pose.yaw) > limits.max_yaw:
        return Rejected("turned away", f"yaw {face.pose.yaw:.0f} degrees, at most {limits.max_yaw:g}")
    return None


_UNUSABLE = re.compile(r"\A\W*UNUSABLE\b\W*(?P<why>[\w ,/-]*)", re.IGNORECASE)
_BLURRED = re.compile(
    r"\b(?:low[\s-]+resolution|resolution\s+is\s+(?:too\s+)?low|too\s+(?:blurr(?:y|ed)|small|pixelated|dark|grainy)"
    r"|(?:insufficient|poor)\s+(?:image\s+|picture\s+)?(?:quality|resolution|detail))\b",
    re.IGNORECASE,
)
_COVERED = re.compile(
    r"\b(?:(?:face|mouth|eyes?|features)\s+(?:is|are|being)\s+(?:\w+\s+){0,2}(?:covered|hidden|obscured|occluded|blocked|"
    r"not\s+visible)|occluded|occlusion|obscured\s+by|covered\s+by|hidden\s+(?:by|behind)|no\s+(?:visible\s+)?face)\b",
    re.IGNORECASE,
)
_HELPLESS = re.compile(
    r"\b(?:cannot|can't|could\s+not|not\s+possible|impossible|unable|difficult|hard|challenging)\b",
    re.IGNORECASE,
)
_STATES = re.compile(
    r"\b(?:neutral|calm|relax\w+|excite\w+|worr\w+|curio\w+|pensive|thoughtful|contemplati\w+|focus\w*|concentrat\w+|serious"
    r"|bored\w*|confiden\w+|proud|pride|tired|interest\w*|sk?ceptic\w*|concern\w*|playful|stern|shy|embarrass\w+|determin\w+"
    r"|tens\w+|hope\w*|lov\w+|friendly|warm\w*|intens\w+|engag\w+|attenti\w+|alert\w*)\b",
    re.IGNORECASE,
)
"""States that a description may name beside the eight emotions."""
_UNIT = re.compile(
    r"\b(?:AU|Action\s+Units?)\s?0*(?P<number>\d{1,2})\b(?=(?P<after>[^.\n]{0,60}))", re.IGNORECASE
)
_NAME_BY_KEY = {key: info.name for key, info in AUS.items()}


def tidy(text: str) -> str:
    """A reply without code fences, outer quotes and stray space, ending in a full stop.

    The official FABA evaluation stops at a text without end punctuation, so every description gets one.
    """
    bare = re.sub(r"\A```\w*\s*|\s*```\Z", "", text.strip()).strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        bare = bare[1:-1].strip()
    bare = re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*\n\s*", "\n\n", bare))
    bare = re.sub(r" ?\n ?", "\n", bare)
    return bare if not bare or bare[-1] in ".!?" else bare + "."


def judge_reply(
    text: str, task: str, limits: TextLimits, units: Iterable[str] = AU_SETS["faba20"], finish: str = "stop"
) -> Rejected | None:
    """Whether a reply is a usable description.

    Args:
        text: the reply after `tidy`.
        task: ``emotion`` or ``au``.
        limits: its bounds in words.
        units: keys of the AUs that may be named.
        finish: how the reply ended (`mien.backends.chat.Reply.finish`).

    Returns:
        None when it is; else one of `REPLY_REASONS`.
    """
    words = len(text.split())
    if not words:
        return Rejected("empty reply")
    inability = _inability(text, words)
    if inability is not None:
        return inability
    if finish == "length":
        return Rejected("cut off", f"after {words} words")
    least, most = limits.of(task)
    if words > most:
        return Rejected("too long", f"{words} words, at most {most}")
    repeated = _repeated(text)
    if repeated:
        return Rejected("repeats itself", repeated)
    fault = _au_fault(text, frozenset(units)) if task == "au" else None
    if fault is not None:
        return fault
    if words < least:
        return Rejected("too short", f"{words} words, at least {least}")
    if task == "emotion" and not _tells(text):
        return Rejected("no emotion described")
    if task == "emotion" and len(named := weigh_emotions(text)) > 1 and read_emotion(text).emotion is None:
        return Rejected("no one emotion", ", ".join(named))
    return None


def _tells(text: str) -> bool:
    """Whether a text names an emotion, a state or a movement; "a mix of emotions" is none."""
    return bool(_STATES.search(text) or weigh_emotions(text) or find_statements(text))


def _inability(text: str, words: int) -> Rejected | None:
    unusable = _UNUSABLE.match(text)
    helpless = words < 60 and _HELPLESS.search(text) is not None and not describes(text)
    if unusable is not None or helpless or refuses(text):
        if _BLURRED.search(text):
            return Rejected("teacher saw low resolution", text[:120])
        if _COVERED.search(text):
            return Rejected("teacher saw occlusion", text[:120])
    if unusable is not None:
        return Rejected("teacher could not read the face", text[:120])
    return Rejected("refused", text[:120]) if refuses(text) else None


_LOOPED = 0.7
"""Share of distinct runs of four words below which a text goes in circles; descriptions by people lie above .9."""


def _repeated(text: str) -> str:
    """A sentence of five words or more that comes three times, or the commonest words of a loop; empty for neither."""
    words = re.findall(r"[\w']+", text.lower())
    runs = Counter(zip(*(words[place:] for place in range(4)), strict=False))
    if len(words) >= 24 and len(runs) < _LOOPED * runs.total():
        return " ".join(runs.most_common(1)[0][0])
    sentences = (text[start:end].strip().lower() for start, end in split_sentences(text))
    counts = Counter(sentence for sentence in sentences if len(sentence.split()) >= 5)
    return next((sentence for sentence, count in counts.items() if count >= 3), "")


def _au_fault(text: str, units: frozenset[str]) -> Rejected | None:
    for match in _UNIT.finditer(text):
        key = au_key(match["number"])
        if key not in units:
            return Rejected("unknown action unit", match.group())
        name = re.sub(r"\A[\W_]+", "", match["after"]).lower()
        others = (
            other for other, wording in _NAME_BY_KEY.items() if name.startswith(wording) and other != key
        )
        other = next(others, None)
        if other is not None and not name.startswith(_NAME_BY_KEY[key]):
            return Rejected("action unit misnamed", f"{AUS[key].prose} called {AUS[other].name}")
    return None if affirmed_units(text, units) else Rejected("no action unit named")


def affirmed_units(text: str, units: Iterable[str] = AU_SETS["faba20"]) -> tuple[str, ...]:
    """Keys of the AUs that a description says are present, by number and by wording, in the order of ``units``."""
    claims = read_claims(text)
    denied = {claim.au for claim in claims if not claim.present}
    here = {claim.au for claim in claims if claim.present}
    numbered = [one for one in find_statements(text) if one.code and not one.hedged]
    # A text that names its AUs by number counts by number: its prose mentions others in comparison.
    said = (
        here & {au for one in numbered if not one.denied for au in one.move.aus}
        if numbered
        else here - denied
    )
    return tuple(key for key in units if key in said)
