"""A judge for the Exp-CoT score: any teacher marks a chain of thought against its reference.

The paper describes what is compared and does not print the judge's prompt; the one here keeps its three descriptions
and asks for JSON. A reply that cannot be read is `Unmarked` with a reason, and is counted, never guessed. With
`mien.backends.memory.Replay` as the teacher, old marks are recomputed without a network.

`JUDGE_STEPS` holds an offline judge by rules for `mien.annotate.rules_teacher.RulesTeacher`: it compares the movements
and labels that both texts state. It is deterministic and free, and no substitute for a model that understands wording.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mien.backends.chat import ChatFailed, ChatMessage, ChatRequest, Reply, Teacher
from mien.core.errors import BadInput
from mien.dialogue.read.cot import Unparsed, read_explanation
from mien.dialogue.read.emotion import read_emotion, weigh_emotions
from mien.dialogue.read.movements import MovementClaim, read_movements
from mien.metrics.exp_cot import HIGHEST_MARK, ExpCotMarks, ExpCotResult, exp_cot_score

__all__ = [
    "JUDGE_STEPS",
    "STEP",
    "VERSION",
    "ExpCotCase",
    "Judged",
    "Unmarked",
    "judge_cases",
    "judge_request",
    "read_marks",
]  # fmt: skip

STEP, VERSION = "exp-cot-score/judge", "1"

_PROMPT = """Compare a generated chain of thought about a facial expression with its reference, part by part.

Key Observations: compare the Action Unit names and their corresponding intensities. Give a score between 0 and 5, \
with 5 indicating the highest level of agreement.
Overall Emotional Interpretation: compare the combinations of Action Units and their associated expressions. Give a \
score between 0 and 5, with 5 indicating the highest level of agreement.
Conclusion: check the final expression label. Give 5 if it is the same as in the reference and 0 if it is not.

Order, wording and length do not matter. Answer with one JSON object and nothing else: \
{"key_observations": <0-5>, "overall_emotional_interpretation": <0-5>, "conclusion": <0 or 5>}

Reference:
<<reference>>

Generated:
<<candidate>>"""


@dataclass(frozen=True, slots=True)
class ExpCotCase:
    """One pair of texts."""

    id: str
    reference: str
    """Chain of thought that counts as true."""
    candidate: str
    """Chain of thought to be marked."""


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A case without marks."""

    reason: str
    """``"no reply: …"``, ``"cut off"``, ``"no mark for …"``, ``"several marks for …"`` or ``"mark out of range"``."""
    text: str = ""
    """The judge's reply."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Marks of all cases, in their order, and what they come to."""

    marks: Mapping[str, ExpCotMarks | Unmarked]
    """By case id."""
    result: ExpCotResult


def judge_request(case: ExpCotCase) -> ChatRequest:
    """The question to the judge about one case."""
    prompt = _PROMPT.replace("<<reference>>", case.reference.strip()).replace(
        "<<candidate>>", case.candidate.strip()
    )
    facts = {"reference": case.reference, "candidate": case.candidate}
    return ChatRequest(STEP, VERSION, (ChatMessage("user", prompt),), facts, max_tokens=200, json=True)


def judge_cases(cases: Sequence[ExpCotCase], judge: Teacher, workers: int = 1) -> Judged:
    """Mark all cases.

    Args:
        cases: pairs with unique ids.
        judge: a model server, a memory of earlier replies (`Replay`), or rules.
        workers: requests under way at once.

    Raises:
        BadInput: two cases with one id; a `Replay` that holds no reply to a case.
        ChatFailed: a failure that no other request would escape (wrong key or model).
    """
    if len({case.id for case in cases}) < len(cases):
        raise BadInput(
            got=f"{len(cases)} cases, some with the same id",
            expected="one id per case",
            fix="Number the cases",
        )
    with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="mien-judge") as pool:
        marks = list(pool.map(lambda case: _mark(case, judge), cases))
    known = [mark if isinstance(mark, ExpCotMarks) else None for mark in marks]
    named = {case.id: mark for case, mark in zip(cases, marks, strict=True)}
    return Judged(MappingProxyType(named), exp_cot_score(known, judge.model))


def _mark(case: ExpCotCase, judge: Teacher) -> ExpCotMarks | Unmarked:
    try:
        reply = judge.reply(judge_request(case))
    except ChatFailed as failure:
        if failure.fatal:
            raise
        return Unmarked(f"no reply: {failure.reason}")
    return read_marks(reply)


# -- reading the judge ---------------------------------------------------------------------------------

_PARTS = {
    "observations": r"(?:key[\s_]*)?observations?",
    "interpretation": r"(?:overall[\s_]*)?(?:emotional[\s_]*)?interpretation|overall",
    "conclusion": r"conclusions?",
}
_MARK = {
    part: re.compile(
        rf"(?<![a-z])(?:{names})(?![a-z])[\s\"'*_]*(?:\(\s*0\s*(?:-|to|or|\u2013)\s*5\s*\))?[\s\"'*_]*"
        r"(?:[:=\u2013-]|is|gets)?[\s\"'*_]*(?:score|mark|rating)?\s*[:=]?[\s\"'*{]*"
        r"(?:\"?score\"?\s*:\s*\"?)?(?P<mark>-?\d+(?:\.\d+)?)(?!\d)",
        re.IGNORECASE,
    )
    for part, names in _PARTS.items()
}


def read_marks(reply: Reply) -> ExpCotMarks | Unmarked:
    """Marks in a judge's reply: JSON (bare, fenced or among words, numbers or strings) or lines such as
    ``Key Observations: 4/5``."""
    text = reply.text
    if reply.finish in {"refusal", "content_filter"}:
        return Unmarked("no reply: refused", text)
    if reply.unsaid is not None:
        return Unmarked(f"no reply: {reply.unsaid}")
    marks: dict[str, float] = {}
    for part, pattern in _MARK.items():
        found = {float(match["mark"]) for match in pattern.finditer(text)}
        if not found:
            return Unmarked("cut off" if reply.finish == "length" else f"no mark for {part}", text)
        if len(found) > 1:
            return Unmarked(f"several marks for {part}", text)
        marks[part] = found.pop()
    try:
        return ExpCotMarks(**marks)
    except BadInput:
        return Unmarked("mark out of range", text)


# -- the offline judge ---------------------------------------------------------------------------------


def _parts_of(text: str) -> tuple[str, str, str]:
    """The three parts; a text without heads is all three at once."""
    read = read_explanation(text)
    if isinstance(read, Unparsed):
        return text, text, text
    return read.observations, read.interpretation, read.conclusion


def _stated(text: str) -> dict[tuple[str, str], MovementClaim]:
    """Affirmed movements by name and side."""
    stated: dict[tuple[str, str], MovementClaim] = {}
    for claim in read_movements(text):
        sides = ("left", "right") if claim.side == "both" else (claim.side,)
        for side in sides if claim.present else ():
            stated.setdefault((claim.movement, side), claim)
    return stated


def _same_degree(one: MovementClaim, other: MovementClaim) -> bool:
    if one.level is None or other.level is None:
        return one.level == other.level
    return one.level[0] <= other.level[1] + 1 and other.level[0] <= one.level[1] + 1


def _agreement(ours: str, theirs: str) -> float:
    """Dice coefficient 0..1 of the stated movements; one at another degree counts half."""
    first, second = _stated(ours), _stated(theirs)
    if not first and not second:
        return 1.0
    shared = sum(
        1.0 if _same_degree(first[key], second[key]) else 0.5 for key in first.keys() & second.keys()
    )
    return 2.0 * shared / (len(first) + len(second))


def _labels(text: str) -> set[str]:
    return set(weigh_emotions(text))


def _overlap(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second) if first | second else 1.0


def _conclusion(text: str) -> str | None:
    return read_emotion(text).emotion


def _judge(request: ChatRequest) -> str:
    true, said = _parts_of(request.facts["reference"]), _parts_of(request.facts["candidate"])
    together = 0.5 * _agreement(true[1], said[1]) + 0.5 * _overlap(_labels(true[1]), _labels(said[1]))
    label = _conclusion(true[2])
    marks: dict[str, Any] = {
        "key_observations": round(HIGHEST_MARK * _agreement(true[0], said[0]), 1),
        "overall_emotional_interpretation": round(HIGHEST_MARK * together, 1),
        "conclusion": 5 if label is not None and label == _conclusion(said[2]) else 0,
    }
    return json.dumps(marks)


JUDGE_STEPS: Mapping[str, Callable[[ChatRequest], str]] = MappingProxyType({STEP: _judge})
"""The offline judge, a table for `RulesTeacher`."""
