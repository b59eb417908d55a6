"""Read-outs against the slow way: whole sequences, one by one, through a plain forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import flash_attention_mask

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Turn
from mien.dialogue.read.au_arrays import read_array, slots
from mien.metrics.calibration import Scaling
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.readouts import Readouts, calibrated, common_start, grammar_tokens
from mien.models.facephi import system as facephi
from mien.models.facephi import words as facephi_words

ROW = -200
SIZES: dict[str, int] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
HEAD = [1, 9, 8, 7, 6]


@pytest.fixture(scope="module")
def model() -> FacialLM:
    torch.manual_seed(0)
    model = FacialLM(facephi.configure("tiny")).eval()
    with torch.no_grad():
        model.lm_head.weight.normal_(0.0, 0.3)
    return model


def clouds(count: int) -> torch.Tensor:
    return torch.randn(count, 478, 3, generator=torch.Generator().manual_seed(2))


def chance(model: FacialLM, ids: Sequence[int], start: int, evidence: dict[str, torch.Tensor]) -> float:
    """ln p of the tokens from ``start`` on, in one pass over the whole sequence."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([list(ids)]), evidence=evidence).logits[0].double()
    chances = logits.log_softmax(-1)
    return sum(float(chances[place - 1, ids[place]]) for place in range(start, len(ids)))


ANSWERS = [[20, 21, 30], [20, 21, 31, 32], [20, 22], [20, 21, 33, 34, 35]]
PROMPTS = [[*HEAD, ROW, 5], [*HEAD, ROW, 5, 11, 12], [*HEAD, ROW]]


def test_label_scores_are_likelihoods(model: FacialLM) -> None:
    readouts, faces = Readouts(model), clouds(3)
    whole = [[[*prompt, *answer] for answer in ANSWERS] for prompt in PROMPTS]
    for _ in range(2):  # the second time the cached opening serves
        scores = readouts.label_scores(whole, {"landmarks": faces})
        for row, sequences in enumerate(whole):
            start = common_start(sequences)
            expected = [chance(model, ids, start, {"landmarks": faces[row : row + 1]}) for ids in sequences]
            np.testing.assert_allclose(scores[row], expected, atol=1e-4)
    alone = readouts.label_scores(whole[1:2], {"landmarks": faces[1:2]})
    np.testing.assert_allclose(alone[0], scores[1], atol=1e-4)
    assert readouts._head is not None and readouts._head[0] == tuple(HEAD)


def test_another_opening_is_not_mistaken_for_the_cached_one(model: FacialLM) -> None:
    readouts, faces = Readouts(model), {"landmarks": clouds(1)}
    for head in (HEAD, [1, 40, 41, 42, 43, 44], [1]):
        sequences = [[*head, ROW, 5, *answer] for answer in ANSWERS]
        expected = [chance(model, ids, common_start(sequences), faces) for ids in sequences]
        np.testing.assert_allclose(readouts.label_scores([sequences], faces)[0], expected, atol=1e-4)


DECODERS = {
    "llama": LlamaConfig(num_key_value_heads=2, **SIZES),
    "mistral": MistralConfig(num_key_value_heads=2, sliding_window=64, **SIZES),
    "qwen3": Qwen3Config(num_key_value_heads=2, head_dim=8, **SIZES),
    "gpt2": GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64),
}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", DECODERS)
def test_label_scores_with_other_decoders(kind: str, attention: str) -> None:
    """Alternatives in one pass do not see one another, whatever the decoder's positions and attention are."""
    torch.manual_seed(3)
    decoder = AutoModelForCausalLM.from_config(DECODERS[kind], attn_implementation=attention)
    model = FacialLM.from_decoder(decoder, {}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)  # far from even chances
    whole = [[[*prompt, *answer] for answer in ANSWERS] for prompt in ([*HEAD, 5], [*HEAD, 5, 11, 12])]
    scores = Readouts(model).label_scores(whole)
    for row, sequences in enumerate(whole):
        expected = [chance(model, ids, common_start(sequences), {}) for ids in sequences]
        np.testing.assert_allclose(scores[row], expected, atol=1e-4)
    assert np.ptp(scores) > 1.0


def causal_only(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Takes what flash attention takes: causal attention over at most a (N, K) mask of padding."""
    if attention_mask is not None and attention_mask.ndim != 2:
        raise ValueError(f"a mask of {attention_mask.ndim} dimensions")
    queries, keys = query.shape[2], key.shape[2]
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)[None, None]
    if attention_mask is not None:
        seen = seen & attention_mask.bool()[:, None, None] | torch.eye(keys, dtype=torch.bool)[-queries:]
    return sdpa_attention_forward(module, query, key, value, seen, **options)


def test_label_scores_where_attention_knows_causal_masks_alone() -> None:
    AttentionInterface.register("causal-only", causal_only)
    AttentionMaskInterface.register("causal-only", flash_attention_mask)
    torch.manual_seed(3)
    decoder = AutoModelForCausalLM.from_config(DECODERS["llama"], attn_implementation="causal-only")
    model = FacialLM.from_decoder(decoder, {}).eval()
    whole = [[[*prompt, *answer] for answer in ANSWERS] for prompt in ([*HEAD, 5], [*HEAD, 5, 11, 12])]
    scores = Readouts(model).label_scores(whole)
    assert model.model.language_model.config._attn_implementation == "causal-only"
    for row, sequences in enumerate(whole):
        expected = [chance(model, ids, common_start(sequences), {}) for ids in sequences]
        np.testing.assert_allclose(scores[row], expected, atol=1e-4)


def test_single_tokens_and_text_alone(model: FacialLM) -> None:
    sequences = [[1, 5, 6, 20], [1, 5, 6, 21]]
    expected = [chance(model, ids, 3, {}) for ids in sequences]
    np.testing.assert_allclose(Readouts(model).label_scores([sequences])[0], expected, atol=1e-4)


def test_labels_must_not_begin_one_another(model: FacialLM) -> None:
    readouts = Readouts(model)
    with pytest.raises(BadInput, match="begins another"):
        readouts.label_scores([[[1, 5], [1, 5, 6]]])
    with pytest.raises(BadInput, match="unequal number"):
        readouts.label_scores([[[1, 5], [1, 6]], [[1, 5], [1, 6], [1, 7]]])


def test_calibration() -> None:
    scores = np.array([[0.0, -1.0, -3.0]])
    plain = np.exp(scores[0]) / np.exp(scores[0]).sum()
    np.testing.assert_allclose(calibrated(scores)[0], plain)
    moved = np.exp(scores[0] / 2.0 + [0.0, 1.0, -1.0])
    np.testing.assert_allclose(calibrated(scores, Scaling(2.0, (0.0, 1.0, -1.0)))[0], moved / moved.sum())


def bytes_alone() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: 2 + n for n, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.mark.parametrize("form", ["binary", "level", "intensity"])
def test_arrays_are_the_likeliest_allowed_tokens(model: FacialLM, form: str) -> None:
    tokenizer, faces = bytes_alone(), clouds(2)
    prompts = ([*HEAD, ROW, 5], [*HEAD, ROW, 5, 11, 12])
    grammar = slots(form, 3)

    def begun(said: str, prompt: Sequence[int] = prompts[0]) -> list[int]:
        return [*prompt, *tokenizer.encode(said).ids]

    base, free = grammar_tokens(begun, grammar)
    first = "".join(choices[0] for choices in grammar)
    chosen, beliefs = Readouts(model).arrays([base, begun(first, prompts[1])], free, {"landmarks": faces})
    for row, prompt in enumerate(prompts):
        picks = iter(chosen[row])
        said = "".join(choices[next(picks)] if len(choices) > 1 else choices[0] for choices in grammar)
        assert read_array(said, form, 3).status == "answered"
        ids = begun(said, prompt)
        evidence = {"landmarks": faces[row : row + 1]}
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), evidence=evidence).logits[0].double()
        for number, place in enumerate(sorted(free)):
            moved = place + len(prompt) - len(prompts[0])
            expected = logits[moved - 1, list(free[place])].softmax(-1).numpy()
            np.testing.assert_allclose(beliefs[number][row], expected, atol=1e-4)
            assert int(expected.argmax()) == chosen[row][number]


def test_arrays_need_digits_of_their_own(model: FacialLM) -> None:
    joined = Tokenizer(models.WordLevel({"[0]": 0, "[1]": 1}, unk_token="[0]"))
    assert grammar_tokens(lambda said: joined.encode(said).ids, slots("binary", 1))[1] == {0: (0, 1)}
    pairs = {"[0": 0, "[1": 1, ", 0]": 2, ", 1]": 3, "[0, 0]": 4, "[1, 0]": 5}
    merged = lambda said: [pairs[said]] if said in pairs else [pairs[said[:2]], pairs[said[2:]]]  # noqa: E731
    with pytest.raises(BadConfig, match="splits digits"):
        grammar_tokens(merged, slots("binary", 2))
    base, free = grammar_tokens(lambda said: [1, *said.encode()], slots("binary", 2))
    with pytest.raises(BadInput, match="different arrays"):
        Readouts(model).arrays([base, (*base, 3)], free)


def test_free_text_is_generate_s_own(model: FacialLM) -> None:
    tokenizer, faces = bytes_alone(), clouds(3)
    options: dict[str, Any] = {"max_new_tokens": 9, "do_sample": False}
    together = Readouts(model, 0).texts(PROMPTS, tokenizer, {"landmarks": faces}, **options)
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([prompt])
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), evidence={"landmarks": faces[row : row + 1]},
            pad_token_id=0, **options,
        )[0, len(prompt) :].tolist()  # fmt: skip
        ended = made[: made.index(1)] if 1 in made else made
        assert together[row] == tokenizer.decode(ended).strip()


def test_the_reading_is_that_of_a_well_formed_sentence() -> None:
    """A decoder that can only say Table 3's eighth sentence: both ways read the same label."""
    torch.manual_seed(1)
    tokenizer = bytes_alone()
    model = FacialLM(facephi.configure("tiny")).eval()
    task = facephi_words.labels({})
    config, system = model.config, facephi.SYSTEM
    answers = [
        system.begun([Turn("user", task.question)], said, tokenizer, config) for said in task.answers.values()
    ]
    start = common_start(answers)
    scores = Readouts(model).label_scores([answers], {"landmarks": clouds(1)})[0]
    expected = [chance(model, ids, start, {"landmarks": clouds(1)}) for ids in answers]
    assert int(np.argmax(scores)) == int(np.argmax(expected))
    spoken = [tokenizer.decode([token for token in ids[start:]]) for ids in answers]
    assert spoken == ["Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger", "Contempt"]
