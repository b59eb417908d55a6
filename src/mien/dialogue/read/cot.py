"""The three-part chain of thought of ExpLLM: say it, and read it in any of the forms it comes in.

The published form is

    **Key Observations:** …

    **Overall Emotional Interpretation:** …

    **Conclusion:** …

A few per cent of the published texts vary: extra bold words, "Emotional Interpretation" alone, headings inside one
paragraph, numbers or hashes before a heading, a heading left out between two paragraphs, or no heading at all (free
paragraphs, the last one concluding).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mien.core.nouns import Explanation
from mien.dialogue.read.claims import read_claims
from mien.dialogue.read.emotion import read_emotion, weigh_emotions

__all__ = ["Unparsed", "read_explanation", "read_label", "say_explanation"]


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A text that holds no three-part explanation; counted, never guessed."""

    text: str
    reason: str


_NAMES = {
    "observations": r"(?:key\s+|facial\s+)?observations?",
    "interpretation": r"(?:overall\s+)?(?:emotional\s+)?interpretation",
    "conclusion": r"conclusions?",
}
_ANY_NAME = "|".join(rf"(?P<{part}>{name})" for part, name in _NAMES.items())
_LEAD = r"(?:\#{1,6}\s*|[-*•]\s+|\(?\d[.)]\s*)?"
# A heading ends in a colon anywhere, or stands alone on its line, bold or not.
_HEADING = re.compile(
    rf"(?:^[ \t]*{_LEAD}|(?<=[.!?…])\s+|(?<=\*\*))(?:\*\*|__)?(?:{_LEAD})(?:{_ANY_NAME})"
    r"(?:\s*(?:\*\*|__)?\s*:\s*(?:\*\*|__)?|\s*(?:\*\*|__)?[ \t]*$|\s*(?:\*\*|__)\s*[-–—]\s)[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_MARKS = re.compile(r"\*\*|__|`|^\#{1,6}\s*", re.MULTILINE)
_ORDER = tuple(_NAMES)
_LABELS = {
    "observations": "no Key Observations",
    "interpretation": "no Overall Emotional Interpretation",
    "conclusion": "no Conclusion",
}


def say_explanation(explanation: Explanation, markdown: bool = False) -> str:
    """The three parts under their headings.

    Args:
        explanation: what to say.
        markdown: bold headings, as in the published texts; else `Explanation.text`.
    """
    if not markdown:
        return explanation.text
    return (
        f"**Key Observations:** {explanation.observations}\n\n"
        f"**Overall Emotional Interpretation:** {explanation.interpretation}\n\n"
        f"**Conclusion:** {explanation.conclusion}"
    )


def _clean(part: str) -> str:
    return re.sub(r"\s+", " ", _MARKS.sub("", part)).strip()


def _build(parts: dict[str, str]) -> Explanation:
    explanation = Explanation(parts["observations"], parts["interpretation"], parts["conclusion"])
    return replace(explanation, claims=read_claims(explanation.text))


def _free_paragraphs(text: str) -> Explanation | Unparsed:
    """Texts without headings: first paragraph observations, last conclusion, the ones between interpretation."""
    paragraphs = [_clean(part) for part in re.split(r"\n\s*\n", text)]
    paragraphs = [part for part in paragraphs if part]
    if len(paragraphs) < 3:
        return Unparsed(
            text, f"no headings, and {len(paragraphs)} paragraphs where three parts were expected"
        )
    middle = " ".join(paragraphs[1:-1])
    return _build(dict(zip(_ORDER, (paragraphs[0], middle, paragraphs[-1]), strict=True)))


def _without_head(raw: dict[str, str], before: str) -> dict[str, str]:
    """Find the one part whose heading was left out: a paragraph of its own before or behind its neighbour's."""
    missing = [name for name in _ORDER if name not in raw]
    if len(missing) != 1:
        return raw
    name = missing[0]
    if name == "observations":
        # "Here is the analysis:" announces an explanation and is no part of it.
        return raw if _clean(before)[-1:] in ("", ":") else {name: before, **raw}
    neighbour = _ORDER[_ORDER.index(name) - 1]
    paragraphs = [part for part in re.split(r"\n\s*\n", raw[neighbour]) if _clean(part)]
    if len(paragraphs) < 2:
        return raw
    # Observations open with one paragraph; the conclusion is the last one.
    cut = 1 if name == "interpretation" else -1
    return raw | {neighbour: "\n".join(paragraphs[:cut]), name: "\n".join(paragraphs[cut:])}


def read_explanation(text: str) -> Explanation | Unparsed:
    """Read a three-part explanation, with its claims (verdicts open).

    Tolerates missing or extra bold marks, shortened headings, headings within a paragraph, numbered or hashed
    headings, words before the first heading, one heading left out before a paragraph of its own, and three or more
    paragraphs without headings. White space is normalised. Strict on what makes it an explanation: each part once,
    in order, not empty.
    """
    if not text.strip():
        return Unparsed(text, "empty answer")
    heads = list(_HEADING.finditer(text))
    if not heads:
        return _free_paragraphs(text)
    names = [head.lastgroup or "" for head in heads]
    twice = [name for name in _ORDER if names.count(name) > 1]
    if twice:
        return Unparsed(text, f"{names.count(twice[0])} parts named {twice[0]}")
    if names != [name for name in _ORDER if name in names]:
        return Unparsed(text, f"parts out of order: {', '.join(names)}")
    ends = [*(head.start() for head in heads[1:]), len(text)]
    raw = {name: text[head.end() : end] for name, head, end in zip(names, heads, ends, strict=True)}
    raw = _without_head(raw, text[: heads[0].start()])
    for name in _ORDER:
        if name not in raw:
            return Unparsed(text, _LABELS[name])
    parts = {name: _clean(part) for name, part in raw.items()}
    for name, part in parts.items():
        if not part:
            return Unparsed(text, f"empty {name}")
    return _build(parts)


_BOLD = re.compile(r"(?:\*\*|__)([^*_\n]{1,60})(?:\*\*|__)")
_SHARES = (0.15, 0.4, 1.0)
"""How much an emotion's words count by part, when the conclusion names several."""


def read_label(text: str) -> str | None:
    """The label that a chain of thought arrives at, one of `EMOTIONS`; None when it names none, or two alike.

    The conclusion's one main emotion (`read_emotion`), else the one it sets in bold, else the one that weighs most in
    its conclusion and, for what that leaves open, in the parts before.
    """
    read = read_explanation(text)
    if isinstance(read, Unparsed):
        parts = ["", "", text]
    else:
        parts = [read.observations, read.interpretation, read.conclusion]
    main = read_emotion(parts[2]).emotion
    if main is not None:
        return main
    last = text[max(text.lower().rfind("conclusion"), 0) :]
    bold = {label for word in _BOLD.findall(last) if (label := read_emotion(word).emotion)}
    if len(bold) == 1:
        return bold.pop()
    total: dict[str, float] = {}
    for share, part in zip(_SHARES, parts, strict=True):
        for label, weight in weigh_emotions(part).items():
            total[label] = total.get(label, 0.0) + share * weight
    ranked = sorted(total.items(), key=lambda one: -one[1])
    if not ranked or (len(ranked) > 1 and ranked[0][1] - ranked[1][1] < 1e-9):
        return None
    return ranked[0][0]
