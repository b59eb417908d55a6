"""Read a teacher's conversation, and decide whether it may be kept: each fault is one stable reason."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mien.annotate.engine import Rejected
from mien.annotate.faba.filters import tidy
from mien.annotate.refusals import refuses
from mien.core.emotions import canonical
from mien.core.errors import BadConfig
from mien.dialogue.read.emotion import count_words, read_emotion

__all__ = ["REASONS", "ConversationLimits", "judge_caption", "judge_rounds", "names_label", "read_rounds"]

REASONS: tuple[str, ...] = (
    "no label", "low resolution", "no captions", "cut off", "malformed reply", "turns do not alternate", "refused",
    "too few rounds", "too many rounds", "too long", "question twice", "reveals the label's source",
    "label not named", "other emotion than the label",
)  # fmt: skip
"""Every reason for which the *conversations* engine rejects an item (beside unreadable media: ``error``)."""


@dataclass(frozen=True, slots=True)
class ConversationLimits:
    """Bounds of a conversation."""

    rounds: tuple[int, int] = (2, 5)
    """Questions with their answers, least and most. How many are asked for is drawn per item."""
    question_words: int = 60
    answer_words: int = 120
    total_words: int = 500
    caption_words: int = 90

    def __post_init__(self) -> None:
        least, most = self.rounds
        if not 1 <= least <= most or min(self.question_words, self.answer_words, self.total_words) < 1:
            raise BadConfig(
                got=f"conversation limits {self}",
                expected="rounds as (least, most) from 1, words of 1 or more",
            )


_ASKS = frozenset(("question", "q", "human", "user", "ask"))
_ANSWERS = frozenset(("answer", "a", "gpt", "assistant", "response", "model", "ai"))
_SPEAKERS = "|".join(sorted(_ASKS | _ANSWERS, key=len, reverse=True))
_LINE = re.compile(rf"^\W*(?P<who>{_SPEAKERS})\s*\d*\W*:\W*\s*(?P<text>\S.*?)\s*$", re.IGNORECASE)
_SOURCE = re.compile(
    r"\b(?:the|its|their|provided|given|ground[\s-]truth|expression|emotion)\s+(?:expression\s+|emotion\s+|facial\s+)*"
    r"(?:label|annotation)s?\b|\blabel(?:l)?ed\s+as\b|\b(?:provided|given)\s+(?:description|caption|information)s?\b"
    r"|\baccording\s+to\s+the\s+(?:description|caption|label)s?\b|\bper[\s-]second\s+description",
    re.IGNORECASE,
)
_TELLS = re.compile(
    r"\b(?:person|he|she|they|man|woman|boy|girl|child|face|expression|emotion|mood|subject|individual)\b",
    re.IGNORECASE,
)
_NEAR: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "anxiety": frozenset({"fear"}),
        "helplessness": frozenset({"sadness", "fear"}),
        "disappointment": frozenset({"sadness"}),
    }
)
"""Basic emotions that may stand for MAFW's own labels beside them."""
_FORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "anxiety": ("anxiety", "anxious", "anxiously"),
        "helplessness": ("helplessness", "helpless", "helplessly"),
        "disappointment": ("disappointment", "disappointed", "disappointing", "disappointedly"),
    }
)
"""Forms of MAFW's own label words."""
_INTERROGATIVE = re.compile(
    r"(?:what|who|whom|whose|which|where|when|why|how|is|are|was|were|do|does|did|can|could|would|will|may|has|have)\b",
    re.IGNORECASE,
)


def read_rounds(text: str) -> list[tuple[str, str]] | Rejected:
    """Questions and answers in a reply.

    Understands the JSON that was asked for, a bare list, LLaVA turns (``from``/``value``) or chat messages
    (``role``/``content``), with or without a code fence or words around it, and lines like ``Q: …`` and ``A: …``.

    Returns:
        (question, answer) pairs, or a `Rejected` with ``malformed reply``, ``turns do not alternate`` or ``refused``.
    """
    values = _json(text)
    spoken = _spoken(values) if values is not None else None
    if spoken is None:
        spoken = _lines(text)
    if not spoken:
        return Rejected("refused" if refuses(text) else "malformed reply", " ".join(text.split())[:120])
    wanted = [("ask", "answer")[place % 2] for place in range(len(spoken))]
    if [who for who, _ in spoken] != wanted or len(spoken) % 2:
        return Rejected("turns do not alternate", ", ".join(who for who, _ in spoken)[:120])
    said = [_clean(turn) for _, turn in spoken]
    return [(_asked(question), answer) for question, answer in zip(said[::2], said[1::2], strict=True)]


def _asked(question: str) -> str:
    """A question with its mark: teachers leave it out at times."""
    return question[:-1] + "?" if question.endswith(".") and _INTERROGATIVE.match(question) else question


def _clean(text: str) -> str:
    """Without stray space and without a placeholder of the teacher's own."""
    return tidy(text.replace("<image>", " ").replace("<video>", " "))


def _json(text: str) -> Any:
    """The first JSON object or list in a reply, or None."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"[\[{]", text):
        try:
            return decoder.raw_decode(text, match.start())[0]
        except json.JSONDecodeError:
            continue
    return None


def _spoken(values: Any) -> list[tuple[str, str]] | None:
    """Turns as (``ask`` | ``answer``, text); None when the JSON has another form."""
    if isinstance(values, Mapping):
        lists = [value for value in values.values() if isinstance(value, list)]
        values = lists[0] if len(lists) == 1 else [values]
    if not isinstance(values, list) or not values:
        return None
    turns: list[tuple[str, str]] = []
    for value in values:
        found = _turns(value) if isinstance(value, Mapping) else []
        if not found:
            return None
        turns += found
    return turns


def _turns(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    lower = {str(key).lower(): text for key, text in value.items()}
    who = lower.get("from", lower.get("role", lower.get("speaker")))
    text = lower.get("value", lower.get("content", lower.get("text")))
    if isinstance(who, str) and isinstance(text, str) and who.lower() in _ASKS | _ANSWERS:
        return [("ask" if who.lower() in _ASKS else "answer", text)]
    asked = next((text for key, text in lower.items() if key in _ASKS), None)
    said = next((text for key, text in lower.items() if key in _ANSWERS), None)
    if isinstance(asked, str) and isinstance(said, str) and asked.strip() and said.strip():
        return [("ask", asked), ("answer", said)]
    return []


def _lines(text: str) -> list[tuple[str, str]]:
    """Lines with a speaker in front; a line without one goes on with the turn before it."""
    turns: list[tuple[str, str]] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is not None:
            turns.append(("ask" if match["who"].lower() in _ASKS else "answer", match["text"].strip("* ")))
        elif turns and line.strip(" *_-#`"):
            turns[-1] = turns[-1][0], f"{turns[-1][1]} {line.strip()}"
    return turns


def judge_caption(text: str, limits: ConversationLimits) -> Rejected | None:
    """Whether a description of one second may be used: ``refused``, ``malformed reply`` (no words) or ``too long``."""
    words = len(text.split())
    if refuses(text):
        return Rejected("refused", text[:120])
    if words < 3:
        return Rejected("malformed reply", text)
    return Rejected("too long", f"{words} words") if words > limits.caption_words else None


def judge_rounds(
    rounds: Sequence[tuple[str, str]], label: str, limits: ConversationLimits
) -> Rejected | None:
    """Whether a conversation may be kept.

    Args:
        rounds: (question, answer) pairs.
        label: the sample's expression.
        limits: the bounds.

    Returns:
        None when it may; else the first fault, one of `REASONS`.
    """
    least, most = limits.rounds
    if len(rounds) < least:
        return Rejected("too few rounds", f"{len(rounds)}, at least {least}")
    if len(rounds) > most:
        return Rejected("too many rounds", f"{len(rounds)}, at most {most}")
    total = 0
    for question, answer in rounds:
        if not question or not answer:
            return Rejected("malformed reply", "an empty turn")
        if refuses(answer) or refuses(question):
            return Rejected("refused", answer[:120])
        asked, said = len(question.split()), len(answer.split())
        total += asked + said
        if asked > limits.question_words or said > limits.answer_words:
            return Rejected("too long", f"a question of {asked} words, an answer of {said}")
        source = _SOURCE.search(f"{question} {answer}")
        if source is not None:
            return Rejected("reveals the label's source", source.group())
    if total > limits.total_words:
        return Rejected("too long", f"{total} words, at most {limits.total_words}")
    questions = [re.sub(r"\W+", " ", question).strip().lower() for question, _ in rounds]
    if len(set(questions)) < len(questions):
        return Rejected("question twice", next(q for q in questions if questions.count(q) > 1))
    return _label_fault([answer for _, answer in rounds], label)


def _label_fault(answers: Sequence[str], label: str) -> Rejected | None:
    """An answer that affirms emotions of the person must have the label among them, and one answer must name it."""
    allowed = {canonical(label), *_NEAR.get(label, ())}
    for answer in answers:
        found = _affirmed(answer)
        # An answer about an object may hold a word such as "calm"; it counts when it speaks of the person.
        if found and not found & allowed and not names_label(answer, label) and _TELLS.search(answer):
            detail = f"{', '.join(sorted(found))}, label {label}: {answer[:80]}"
            return Rejected("other emotion than the label", detail)
    return (
        None if any(names_label(answer, label) for answer in answers) else Rejected("label not named", label)
    )


def _affirmed(text: str) -> set[str]:
    """The emotions of the eight that a text affirms, by any usual spelling."""
    told = read_emotion(text)
    return {label for label in (told.emotion, *told.secondary) if label is not None}


def names_label(text: str, label: str) -> bool:
    """Whether a text affirms ``label``: any usual spelling of the eight, any form of another word ("anxious")."""
    ours = canonical(label)
    if ours is not None:
        return ours in _affirmed(text)
    return bool(count_words(text, {label: _FORMS.get(label.lower(), (label.lower(),))}))
