"""The pocket model's tokenizer: a small BPE over the narrator's own words, trained in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from mien.core.errors import BadConfig
from mien.models.pocket.prompt import SPECIAL_TOKENS

__all__ = ["train_tokenizer"]

_PIECES = r", (?=\d|$)|\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]|\s+"
"""A digit, an array's comma, a word or a mark with the space before it: what one token may hold at most."""


def train_tokenizer(
    texts: Iterable[str],
    vocabulary: int,
    single: Sequence[str],
    special: Sequence[str] = SPECIAL_TOKENS,
) -> Tokenizer:
    """Train on `texts`.

    Args:
        vocabulary: largest number of tokens, special ones included.
        single: strings that must be one token each: label words, digits and the marks of arrays.
        special: tokens that stand for no text, in id order from 0.

    Raises:
        BadConfig: one of `single` came out as several tokens; the texts hold too few examples of it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    for text in single:
        pieces = tokenizer.encode(text).tokens
        if len(pieces) != 1:
            raise BadConfig(
                got=f"{text!r} as the tokens {pieces}",
                expected="one token",
                fix="Add texts that hold it, or enlarge the vocabulary",
            )
    return tokenizer
