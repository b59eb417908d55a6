"""From dialogue to batch: the published layout, placeholders expanded, only answers learnt."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig

from mien.core.errors import BadInput
from mien.core.nouns import Turn
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.processing import (
    IGNORED,
    TEMPLATES,
    Encoded,
    collate,
    encode,
    lay_out,
    placeholders,
)

WORDS = "<s> </s> <unk> USER : ASSISTANT Look ? happy . Why smile system".split()
FIRST = [Turn("user", "<image>Look?"), Turn("assistant", "happy.")]
TURNS = [*FIRST, Turn("user", "Why?"), Turn("assistant", "smile")]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


@pytest.fixture(scope="module")
def config() -> FacialLMConfig:
    decoder = LlamaConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    entry = {
        "encoder": {"type": "cached"},
        "width": 8,
        "rows": 2,
        "projector": {"type": "identity"},
        "token_id": -200,
    }
    return FacialLMConfig(text_config=decoder, evidence={"image": entry})


def test_the_published_layout() -> None:
    """LLaVA-1.5's v1 template: no blank after the end token."""
    text = "".join(part for part, _ in lay_out(TURNS, TEMPLATES["v1"]))
    assert text == (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. "
        "USER: <image>Look? ASSISTANT: happy.</s>USER: Why? ASSISTANT: smile</s>"
    )
    assert "curious human" in lay_out(TURNS, TEMPLATES["llava_v1"])[0][0]


def test_a_question_ends_where_the_answer_begins() -> None:
    whole = "".join(part for part, _ in lay_out(TURNS, TEMPLATES["v1"]))
    asked = "".join(part for part, _ in lay_out(TURNS[:3], TEMPLATES["v1"]))
    assert asked.endswith("ASSISTANT:")
    assert whole.startswith(asked)


def test_only_answers_are_learnt(tokenizer: Tokenizer, config: FacialLMConfig) -> None:
    turns = [Turn("system", "system "), *TURNS]
    encoded = encode(lay_out(turns, TEMPLATES["v1"]), tokenizer, placeholders(config))
    shown = [tokenizer.id_to_token(token) if token >= 0 else "#" for token in encoded.ids]
    assert (
        " ".join(shown)
        == "<s> system USER : # # Look ? ASSISTANT : happy . </s> USER : Why ? ASSISTANT : smile </s>"
    )
    learnt = [tokenizer.id_to_token(label) for label in encoded.labels if label != IGNORED]
    assert learnt == ["happy", ".", "</s>", "smile", "</s>"]
    assert all(label in (token, IGNORED) for token, label in zip(encoded.ids, encoded.labels, strict=True))


def test_a_token_across_the_border_is_learnt(tokenizer: Tokenizer) -> None:
    whole_words = Tokenizer(models.WordLevel({"a": 0, " b": 1, "<unk>": 2}, unk_token="<unk>"))
    whole_words.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    assert encode([("a ", False), ("b", True)], whole_words) == Encoded((0, 1), (IGNORED, 1))


def test_special_tokens_stand_at_the_head_only(tokenizer: Tokenizer) -> None:
    expansions = {"<image>": (-200,)}
    assert encode([("<image> Look", False)], tokenizer, expansions).ids == (0, -200, WORDS.index("Look"))
    assert encode([("<image> Look", False)], tokenizer, expansions, special_tokens=False).ids[0] == -200
    assert encode([("Look", False)], tokenizer).ids == (0, WORDS.index("Look"))


@pytest.mark.parametrize("roles", ["", "assistant", "user user", "user assistant assistant", "system"])
def test_turns_must_alternate(roles: str) -> None:
    with pytest.raises(BadInput, match="the user first"):
        lay_out([Turn(role, "x") for role in roles.split()], TEMPLATES["v1"])  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_runs_and_equals_its_rows(tokenizer: Tokenizer, config: FacialLMConfig, side: str) -> None:
    torch.manual_seed(0)
    model = FacialLM(config).eval()
    parts = [
        lay_out(turns, TEMPLATES["v1"])
        for turns in (TURNS, FIRST, [Turn("user", "Why?"), Turn("assistant", "happy")])
    ]
    encoded = [encode(part, tokenizer, placeholders(config)) for part in parts]
    evidence = [{"image": torch.randn(1, 2, 8)}, {"image": torch.randn(1, 2, 8)}, {}]
    batch = collate(encoded, evidence, pad_id=1, side=side)  # type: ignore[arg-type]
    logits = model(**batch).logits
    for row, (one, items) in enumerate(zip(encoded, evidence, strict=True)):
        alone = model(**collate([one], [items], pad_id=1)).logits[0]
        found = logits[row, -len(one.ids) :] if side == "left" else logits[row, : len(one.ids)]
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


def test_a_batch_needs_evidence_for_each() -> None:
    with pytest.raises(BadInput, match="1 dialogues with evidence for 0"):
        collate([Encoded((1,), (1,))], [], pad_id=0)
