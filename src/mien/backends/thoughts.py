"""What a reasoning model thought aloud, split from what it answered.

Marks in use: ``<think>`` and its kin (DeepSeek-R1, Qwen3, GLM, Seed), ``[THINK]`` (Magistral), ``◁think▷`` (Kimi),
``<|begin_of_thought|>`` (Sky-T1), and the channels of gpt-oss. Some chat templates write the first mark into the
prompt, so that a reply holds the closing one only; a reply cut at its length may hold the opening one only.
"""

from __future__ import annotations

import re

__all__ = ["join_thoughts", "split_thoughts"]

_MARK = re.compile(
    r"(?P<open><(?:\w+:)?(?:think(?:ing)?|thoughts?|reasoning)\b[^<>/]*>|\[THINK\]|◁think▷"
    r"|<\|begin_of_thought\|>|(?:<\|start\|>\w*)?<\|channel\|>(?:analysis|commentary)[^<>]*<\|message\|>)"
    r"|</(?:\w+:)?(?:think(?:ing)?|thoughts?|reasoning)\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>"
    r"|(?:<\|end\|>)?(?:<\|start\|>\w*)?<\|channel\|>final[^<>]*<\|message\|>",
    re.IGNORECASE,
)
_SPECIAL = re.compile(r"<\|[a-z_]{1,32}\|>")
"""Marks of turns that a server without the model's parser leaves in the text."""


def split_thoughts(text: str) -> tuple[str, str]:
    """Answer and thoughts, both without marks; the text as it came and ``""`` where there is no mark.

    What stands before the first mark or between two thoughts belongs to the answer; what stands before a closing
    mark that nothing opened is thought, and so is all that follows an opening mark that nothing closes.
    """
    marks = list(_MARK.finditer(text))
    if not marks:
        return text, ""
    opened = sum(mark["open"] is not None for mark in marks)
    nested = 2 * opened == len(marks)  # else an opening mark inside a thought is a slip, not a level
    answer: list[str] = []
    thoughts: list[str] = []
    depth = at = 0
    for mark in marks:
        part, at = text[at : mark.start()], mark.end()
        if depth:
            thoughts.append(part)
        elif mark["open"]:
            answer.append(part)
        else:
            thoughts += [*answer, part]
            answer = []
        depth = (depth + 1 if nested else 1) if mark["open"] else max(depth - 1, 0)
    (thoughts if depth else answer).append(text[at:])
    return _joined(answer), _joined(thoughts)


def join_thoughts(answer: str, thoughts: str) -> str:
    """One text that `split_thoughts` splits again, for a place that holds one text."""
    return f"<think>{_MARK.sub(' ', thoughts)}</think>{answer}" if thoughts else answer


def _joined(parts: list[str]) -> str:
    return "\n".join(clean for part in parts if (clean := _SPECIAL.sub("", part).strip()))
