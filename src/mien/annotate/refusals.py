"""Whether a teacher's reply speaks of its own inability or unwillingness instead of the face."""

from __future__ import annotations

import re

from mien.dialogue.read.claims import read_claims, split_sentences
from mien.dialogue.read.emotion import weigh_emotions

__all__ = ["describes", "refuses"]

# ASCII: a long s or a dotted I of another script is no English letter.
_REFUSAL = re.compile(
    r"\bI(?:'?m|\s+am)\s+(?:(?:very|really|so|truly)\s+)?sorry\b(?!\s+looking)"
    r"|(?:\A|[.!?]\s)\W*(?:(?:my\s+)?apologies|sorry|I\s+(?:do\s+)?apologi[sz]e|unfortunately,?\s+I)\b"
    r"|\bI(?:'?m|\s+am)\s+(?:unable|not\s+able|not\s+allowed|not\s+comfortable)\b"
    r"|\b(?:I|we)\s+(?:can\s*no?t|can't|won't|will\s+not|do(?:n't|\s+not)\s+(?:feel\s+comfortable|have\s+the\s+ability)"
    r"|must\s+decline|have\s+to\s+decline)\b"
    r"|\bas\s+an?\s+(?:AI\b|artificial\s+intelligence|(?:large\s+)?language\s+model|text[\s-]based)"
    r"|\bagainst\s+(?:my|our|the)\s+(?:policy|policies|guidelines)\b"
    r"|\b(?:can\s*not|can't|unable\s+to)\s+(?:assist|help|comply|fulfil\w*)\b",
    re.IGNORECASE | re.ASCII,
)
_TURN = re.compile(r"\bbut\b|\bhowever\b|[;:,]")
_ENOUGH = 10
"""Words beside a refusal from which a reply may still describe the face."""


def describes(text: str) -> bool:
    """Whether a text says something of a face: a movement or an emotion, in ten words or more."""
    return len(text.split()) >= _ENOUGH and bool(read_claims(text) or weigh_emotions(text))


def refuses(text: str) -> bool:
    """Whether a reply refuses; a hedge ("I cannot be certain, but …") beside a description does not."""
    plain = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    first = _REFUSAL.search(plain)
    if first is None:
        return False
    rest: list[str] = []
    for start, end in split_sentences(plain):
        sentence = plain[start:end]
        match = _REFUSAL.search(sentence)
        # "While I cannot be certain, the cheeks are raised": what follows may describe.
        rest += [sentence] if match is None else _TURN.split(sentence[match.end() :], maxsplit=1)[1:]
    return not describes(" ".join(part for part in rest if not _REFUSAL.search(part)))
