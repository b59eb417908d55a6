"""From a dialogue to what `FacialLM` reads: template, tokens, expanded placeholders, labels, padded batches.

Text is first cut into parts that count for the loss and parts that do not, then tokenised as a whole, so that no
token depends on where the loss begins. Only answers and their end token are learnt (LLaVA-1.5, §3 of its paper).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from mien.core.errors import BadInput
from mien.core.nouns import Turn
from mien.models.composite.facial_lm import EvidenceInput, FacialLMConfig

__all__ = [
    "IGNORED",
    "TEMPLATES",
    "Encoded",
    "Part",
    "Template",
    "collate",
    "encode",
    "lay_out",
    "placeholders",
]

IGNORED = -100
"""Label of a token that is not learnt."""

Part = tuple[str, bool]
"""A stretch of text, and whether it counts for the loss."""


@dataclass(frozen=True, slots=True)
class Template:
    """How turns are laid out as one text; ``system`` stands once at the head."""

    system: str
    user: str
    """Before a user's text."""
    assistant: str
    """Between a user's text and the answer."""
    end: str
    """After each answer; learnt with it."""

    @property
    def blank(self) -> str:
        """The blank at the end of ``assistant``."""
        return self.assistant[len(self.assistant.rstrip(" ")) :]


TEMPLATES: Mapping[str, Template] = {
    "v1": Template(
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. ",
        "USER: ",
        " ASSISTANT: ",
        "</s>",
    ),
    "llava_v1": Template(
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions. ",
        "USER: ",
        " ASSISTANT: ",
        "</s>",
    ),
    # A picture and its caption, nothing else; the line break is learnt as the end.
    "plain": Template("", "", "", "\n"),
}
"""Prompt layouts of the LLaVA family, which the checkpoints were trained with: a changed letter costs accuracy."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One dialogue as tokens, placeholders expanded."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """As long as ``ids``: the id where it is learnt, else `IGNORED`."""


def lay_out(turns: Sequence[Turn], template: Template) -> list[Part]:
    """The dialogue as parts; after a last turn of the user, the text ends where the answer has to begin.

    The blank before an answer belongs to the answer, as in the released loaders: what is learnt begins exactly where
    an open prompt ends, also where the blank is a token of its own. A ``system`` turn replaces the template's own.

    Raises:
        BadInput: the turns do not alternate between user and assistant, the user first.
    """
    spoken = [turn for turn in turns if turn.role != "system"]
    expected = ["user", "assistant"] * (len(spoken) // 2 + 1)
    if not spoken or [turn.role for turn in spoken] != expected[: len(spoken)]:
        raise BadInput(
            got=f"turns of {', '.join(turn.role for turn in turns) or 'nobody'}",
            expected="user and assistant in turn, the user first",
            fix="Reorder the turns",
        )
    own = [turn.text for turn in turns if turn.role == "system"]
    parts: list[Part] = [(own[-1] if own else template.system, False)]
    for turn in spoken:
        if turn.role == "user":
            parts.append((template.user + turn.text + template.assistant.rstrip(" "), False))
        else:
            parts.append((template.blank + turn.text + template.end, True))
    return parts


def placeholders(config: FacialLMConfig) -> dict[str, tuple[int, ...]]:
    """Placeholder text -> its expanded ids: evidence ``"image"`` of 3 rows gives ``{"<image>": (id, id, id)}``."""
    return {f"<{name}>": (entry["token_id"],) * entry["rows"] for name, entry in config.evidence.items()}


def encode(
    parts: Sequence[Part],
    tokenizer: Tokenizer,
    expansions: Mapping[str, Sequence[int]] | None = None,
    *,
    special_tokens: bool = True,
) -> Encoded:
    """Tokenise parts as one text.

    Args:
        parts: from `lay_out`.
        tokenizer: a ``tokenizers.Tokenizer``; a fast transformers tokenizer has one as ``backend_tokenizer``.
        expansions: from `placeholders`. Text between placeholders is tokenised on its own, as LLaVA does.
        special_tokens: let the tokenizer add its own, such as a start token; only at the head of the text.
    """
    expansions = expansions or {}
    text = "".join(part for part, _ in parts)
    learnt = _learnt_characters(parts)
    # A group in the pattern keeps the separators in the result.
    pattern = f"({'|'.join(map(re.escape, expansions))})" if expansions else r"(\Z)"
    ids: list[int] = []
    labels: list[int] = []
    position = 0
    for chunk in re.split(pattern, text):
        if chunk in expansions:
            ids += expansions[chunk]
            labels += [IGNORED] * len(expansions[chunk])
        elif chunk or position == 0:
            encoding = tokenizer.encode(chunk, add_special_tokens=special_tokens and position == 0)
            ids += encoding.ids
            labels += [
                token if any(learnt[position + start : position + end]) else IGNORED
                for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            ]
        position += len(chunk)
    return Encoded(tuple(ids), tuple(labels))


def _learnt_characters(parts: Sequence[Part]) -> list[bool]:
    return [counts for part, counts in parts for _ in part]


def collate(
    batch: Sequence[Encoded],
    evidence: Sequence[Mapping[str, EvidenceInput]],
    *,
    pad_id: int,
    side: Literal["left", "right"] = "right",
) -> dict[str, object]:
    """One batch for `FacialLM`: ``input_ids``, ``attention_mask``, ``labels`` (B, T) and ``evidence``.

    Args:
        batch: B dialogues.
        evidence: for each, name -> (n, ...) items in the order of its placeholders, or several tensors of n items by
            argument name; n may differ, names may lack. Rows of token ids and masks (n, T) are padded with 0.
        pad_id: id for padding; never attended to and never learnt.
        side: ``"right"`` for training, ``"left"`` for generation.

    Raises:
        BadInput: the two sequences differ in length or are empty, or evidence of one name comes in several forms.
    """
    if not batch or len(batch) != len(evidence):
        raise BadInput(
            got=f"{len(batch)} dialogues with evidence for {len(evidence)}",
            expected="at least one, and evidence for each (it may be empty)",
            fix="Pass sequences of equal length",
        )
    length = max(len(one.ids) for one in batch)

    def pad(values: Sequence[int], filler: int) -> list[int]:
        padding = [filler] * (length - len(values))
        return [*padding, *values] if side == "left" else [*values, *padding]

    names = dict.fromkeys(name for items in evidence for name in items)
    return {
        "input_ids": torch.tensor([pad(one.ids, pad_id) for one in batch]),
        "attention_mask": torch.tensor([pad([1] * len(one.ids), 0) for one in batch]),
        "labels": torch.tensor([pad(one.labels, IGNORED) for one in batch]),
        "evidence": {name: _join([items[name] for items in evidence if name in items]) for name in names},
    }


def _join(parts: Sequence[EvidenceInput]) -> EvidenceInput:
    """Items one after the other; rows of different length are filled up with 0."""
    first = parts[0]
    if isinstance(first, Mapping):
        known = [part if isinstance(part, Mapping) else {} for part in parts]
        if any(set(part) != set(first) for part in known):
            raise BadInput(
                got=f"evidence with {' and with '.join(sorted({', '.join(part) or 'one tensor' for part in known}))}",
                expected="the same tensors for each item",
                fix="Prepare all items of a batch in the same way",
            )
        return {key: cast(torch.Tensor, _join([part[key] for part in known])) for key in first}
    tensors = [part for part in parts if isinstance(part, torch.Tensor)]
    if first.ndim == 2 and not first.is_floating_point():
        longest = max(tensor.shape[1] for tensor in tensors)
        tensors = [functional.pad(tensor, (0, longest - tensor.shape[1])) for tensor in tensors]
    return torch.cat(tensors)
