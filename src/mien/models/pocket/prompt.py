"""How the pocket model is spoken to: special tokens, the shape of a prompt, its fixed questions. No torch here.

    <s><image>*5<landmark><prior>*4<user>{question}<assistant>{answer}</s><user>{question}<assistant>{answer}</s>

The evidence rows stand once, before the first turn (EmoLA's order: visual rows, then the prior). The explanation
is a second turn after the label, as ExpLLM answers at inference.
"""

from __future__ import annotations

from collections.abc import Sequence

from mien.core.nouns import Turn

__all__ = [
    "ANSWER_END",
    "EVIDENCE",
    "PAD",
    "SPECIAL_TOKENS",
    "START",
    "TOLD_ROWS",
    "prompt",
    "training_parts",
]

PAD, START, ANSWER_END, USER, ASSISTANT = "<pad>", "<s>", "</s>", "<user>", "<assistant>"
EVIDENCE: dict[str, tuple[str, int]] = {
    "image": ("<image>", 5),
    "landmark": ("<landmark>", 1),
    "prior": ("<prior>", 4),
}
"""Evidence name -> its placeholder and how many rows it fills."""
TOLD_ROWS = 6
"""So many evidence rows, of crop and landmarks, have the belief about the emotion added to them."""
SPECIAL_TOKENS: tuple[str, ...] = (
    PAD,
    START,
    ANSWER_END,
    USER,
    ASSISTANT,
    *(token for token, _ in EVIDENCE.values()),
)
"""In id order, from 0."""
_OPENING = START + "".join(token * rows for token, rows in EVIDENCE.values())


def prompt(turns: Sequence[Turn]) -> str:
    """Text up to the point where the model has to answer the last turn, which is the user's."""
    return "".join(text for text, _ in training_parts(turns)) + ASSISTANT


def training_parts(turns: Sequence[Turn]) -> list[tuple[str, bool]]:
    """The dialogue cut into (text, counts for the loss); only answers and their end token count."""
    pieces = [(_OPENING, False)]
    for turn in turns:
        if turn.role == "assistant":
            pieces += [(ASSISTANT, False), (turn.text + ANSWER_END, True)]
        else:
            pieces.append((USER + turn.text, False))
    return pieces
