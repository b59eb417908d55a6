"""The composite on tiny random decoders of three families: shapes, gradients, generation, saving, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GPT2Config,
    LlamaConfig,
    PhiConfig,
    PreTrainedConfig,
)

from mien.core.errors import BadConfig, BadInput
from mien.models.composite.facial_lm import ENCODERS, FacialLM, FacialLMConfig, FacialLMModel

VOCABULARY, WIDTH, ROWS, CROP, LANDMARKS = 60, 32, 3, 58, 59
EVIDENCE: dict[str, dict[str, Any]] = {
    "crop": {
        "encoder": {"type": "cached"},
        "width": 12,
        "rows": ROWS,
        "projector": {"type": "mlp2x_gelu"},
        "token_id": CROP,
    },
    "landmarks": {
        "encoder": {"type": "landmark-mlp", "features": 10, "width": 16},
        "width": 16,
        "rows": 1,
        "projector": {"type": "linear"},
        "token_id": LANDMARKS,
    },
}


def llama(**options: Any) -> PreTrainedConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=None, pad_token_id=0, **options,
    )  # fmt: skip


def phi() -> PreTrainedConfig:
    return PhiConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=1, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip


def gpt2() -> PreTrainedConfig:
    return GPT2Config(
        vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip


DECODERS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": llama,
    "llama-tied": lambda: llama(tie_word_embeddings=True),
    "phi": phi,
    "gpt2": gpt2,
}


@pytest.fixture(params=DECODERS)
def model(request: pytest.FixtureRequest) -> FacialLM:
    torch.manual_seed(0)
    return build(DECODERS[request.param]())


def build(text_config: PreTrainedConfig) -> FacialLM:
    model = FacialLM(FacialLMConfig(text_config=text_config, evidence=EVIDENCE)).eval()
    with torch.no_grad():
        for parameter in model.lm_head.parameters():  # wide logits: an argmax that rounding cannot turn
            parameter.normal_(0.0, 1.0)
    return model


def prompt(texts: list[list[int]], pad_left: int = 0) -> tuple[Tensor, Tensor]:
    """(B, T) ids and mask: crop and landmarks before each text, padded on the left to one length."""
    rows = [[CROP] * ROWS + [LANDMARKS, *text] for text in texts]
    length = max(map(len, rows)) + pad_left
    ids = torch.tensor([[0] * (length - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def items(count: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "crop": torch.randn(count, ROWS, 12, generator=generator),
        "landmarks": torch.randn(count, 10, generator=generator),
    }


def test_learns_through_every_part(model: FacialLM) -> None:
    ids, mask = prompt([[5, 6, 7], [8, 9, 10]])
    labels = ids.masked_fill(ids >= CROP, -100)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        output = model(input_ids=ids, attention_mask=mask, evidence=items(2), labels=labels)
        optimizer.zero_grad()
        output.loss.backward()
        missing = [
            name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()
        ]
        assert missing == []
        optimizer.step()
        losses.append(float(output.loss.detach()))
    assert output.logits.shape == (*ids.shape, VOCABULARY)
    assert losses[-1] < 0.7 * losses[0]


def test_the_evidence_reaches_the_answer(model: FacialLM) -> None:
    ids, mask = prompt([[5, 6, 7]])
    first = model(input_ids=ids, attention_mask=mask, evidence=items(1)).logits[:, -1]
    for name in EVIDENCE:
        changed = items(1)
        changed[name] = changed[name] + 1.0
        assert (
            model(input_ids=ids, attention_mask=mask, evidence=changed).logits[:, -1] - first
        ).abs().max() > 1e-4


@pytest.mark.parametrize("auto", [FacialLM, AutoModelForCausalLM, AutoModelForImageTextToText])
def test_saved_and_loaded_is_equal(model: FacialLM, tmp_path: Path, auto: Any) -> None:
    model.save_pretrained(tmp_path)
    loaded = auto.from_pretrained(tmp_path).eval()
    assert type(loaded) is FacialLM
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    ids, mask = prompt([[5, 6, 7]])
    logits = [m(input_ids=ids, attention_mask=mask, evidence=items(1)).logits for m in (model, loaded)]
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)  # loaded memory may be aligned otherwise
    tied = model.config.tie_word_embeddings
    assert (loaded.lm_head.weight is loaded.get_input_embeddings().weight) == tied
    assert AutoConfig.from_pretrained(tmp_path).evidence == EVIDENCE
    assert list(AutoConfig.from_pretrained(tmp_path).evidence) == list(EVIDENCE)


def test_the_backbone_loads_alone(tmp_path: Path) -> None:
    model = build(llama())
    model.save_pretrained(tmp_path)
    backbone = AutoModel.from_pretrained(tmp_path)
    assert type(backbone) is FacialLMModel
    assert torch.equal(backbone.projectors["landmarks"].weight, model.model.projectors["landmarks"].weight)


def test_generation_is_the_same_on_every_path(model: FacialLM) -> None:
    """With and without cache, from ids and from embeddings, and step by step by hand."""
    ids, mask = prompt([[5, 6, 7], [8, 9]])
    options = {"attention_mask": mask, "max_new_tokens": 10, "do_sample": False, "pad_token_id": 0}
    cached = model.generate(ids, evidence=items(2), **options)[:, ids.shape[1] :]
    plain = model.generate(ids, evidence=items(2), use_cache=False, **options)[:, ids.shape[1] :]
    embedded = model.generate(inputs_embeds=model.embed(ids, items(2)), **options)
    assert torch.equal(cached, plain)
    assert torch.equal(cached, embedded)
    assert cached.shape == (2, 10)
    by_hand = ids
    for _ in range(10):
        grown = torch.cat([mask, mask.new_ones(2, by_hand.shape[1] - ids.shape[1])], 1)
        logits = model(input_ids=by_hand, attention_mask=grown, evidence=items(2), logits_to_keep=1).logits[
            :, -1
        ]
        logits[:, [CROP, LANDMARKS]] = -torch.inf
        by_hand = torch.cat([by_hand, logits.argmax(-1, keepdim=True)], 1)
    assert torch.equal(cached, by_hand[:, ids.shape[1] :])


def test_padding_and_company_change_nothing(model: FacialLM) -> None:
    alone, alone_mask = prompt([[5, 6, 7]])
    together, together_mask = prompt([[5, 6, 7], [8, 9, 10, 11, 12]], pad_left=3)
    one = {name: tensor[:1] for name, tensor in items(2).items()}
    expected = model(input_ids=alone, attention_mask=alone_mask, evidence=one).logits[0]
    found = model(input_ids=together, attention_mask=together_mask, evidence=items(2)).logits[
        0, -alone.shape[1] :
    ]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_beams_and_several_answers_keep_their_evidence(model: FacialLM) -> None:
    """Rows with different numbers of items: evidence follows its row through the expansion."""
    first, second = [LANDMARKS, 5, LANDMARKS, 6], [7, 8, LANDMARKS, 9]
    ids = torch.tensor([first, second])
    evidence = {"landmarks": items(3)["landmarks"]}
    options = {"max_new_tokens": 6, "do_sample": False, "num_beams": 3, "pad_token_id": 0}
    both = model.generate(ids, attention_mask=torch.ones_like(ids), evidence=evidence, **options)
    for row, part in ((0, slice(0, 2)), (1, slice(2, 3))):
        own = {"landmarks": evidence["landmarks"][part]}
        single = model.generate(
            ids[row : row + 1], attention_mask=torch.ones(1, 4).long(), evidence=own, **options
        )
        assert torch.equal(both[row], single[0])


def test_placeholders_are_never_generated() -> None:
    model = build(llama())
    with torch.no_grad():
        model.lm_head.weight[[CROP, LANDMARKS]] = 0.0
        model.lm_head.weight[:CROP] *= 1e-3
    ids, mask = prompt([[5]])
    answer = model.generate(
        ids, attention_mask=mask, evidence=items(1), max_new_tokens=20, do_sample=True, suppress_tokens=[7]
    )
    assert not torch.isin(answer[:, ids.shape[1] :], torch.tensor([CROP, LANDMARKS, 7])).any()


def test_placeholders_may_lie_outside_the_vocabulary() -> None:
    inside = build(llama())
    outside_entry = {**EVIDENCE["landmarks"], "token_id": -200}
    config = FacialLMConfig(text_config=llama(), evidence={**EVIDENCE, "landmarks": outside_entry})
    outside = FacialLM(config).eval()
    outside.load_state_dict(inside.state_dict())
    ids, mask = prompt([[5, 6]])
    expected = inside(input_ids=ids, attention_mask=mask, evidence=items(1)).logits
    moved = ids.masked_fill(ids == LANDMARKS, -200)
    assert torch.equal(outside(input_ids=moved, attention_mask=mask, evidence=items(1)).logits, expected)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = build(llama()).train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        if checkpointing:
            # transformers renamed it within version 5.
            enable = (
                getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            )
            enable()
        ids, mask = prompt([[5, 6, 7]])
        model(
            input_ids=ids, attention_mask=mask, evidence=items(1), labels=ids.masked_fill(ids >= CROP, -100)
        ).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients)


def test_a_decoder_keeps_its_weights_and_its_bias() -> None:
    torch.manual_seed(0)
    decoder = AutoModelForCausalLM.from_config(phi()).eval()
    nn.init.normal_(decoder.lm_head.bias)
    ids = torch.tensor([[4, 5, 6, 7]])
    expected = decoder(input_ids=ids).logits.detach().clone()
    model = FacialLM.from_decoder(decoder, EVIDENCE).eval()
    assert model.lm_head.bias is not None
    assert torch.equal(model(input_ids=ids).logits, expected)


def test_encoders_keep_their_initialisation(tmp_path: Path) -> None:
    """Neither building nor loading without encoder weights gives them the decoder's narrow N(0, 0.02)."""
    model = build(llama())
    built = model.model.encoders["landmarks"].enter.weight
    model.save_pretrained(
        tmp_path, state_dict={k: v for k, v in model.state_dict().items() if "encoders" not in k}
    )
    loaded = FacialLM.from_pretrained(tmp_path).model.encoders["landmarks"]
    for weight in (built, loaded.enter.weight):
        assert 0.1 < float(weight.detach().std()) < 0.3  # kaiming over 10 inputs: 1 / sqrt(30) = 0.18
    assert torch.equal(loaded.norm.weight, torch.ones(16))


def test_several_inputs_for_one_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "bilinear", "torch.nn:Bilinear")
    encoder = {"type": "bilinear", "in1_features": 4, "in2_features": 2, "out_features": 5}
    entry = {**EVIDENCE["crop"], "encoder": encoder, "width": 5, "rows": 1}
    model = FacialLM(FacialLMConfig(text_config=llama(), evidence={"crop": entry})).eval()
    ids = torch.tensor([[CROP, 5]])
    both = {"input1": torch.ones(1, 4), "input2": torch.ones(1, 2)}
    assert model(input_ids=ids, evidence={"crop": both}).logits.shape == (1, 2, VOCABULARY)
    assert model.generate(
        ids, evidence={"crop": both}, num_beams=2, max_new_tokens=2, do_sample=False
    ).shape == (1, 4)


def test_half_precision_reads_full_precision_evidence() -> None:
    ids, mask = prompt([[5, 6]])
    model = build(llama())
    full = model(input_ids=ids, attention_mask=mask, evidence=items(1)).logits
    half = model.to(torch.bfloat16)(input_ids=ids, attention_mask=mask, evidence=items(1)).logits
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.3)


def test_a_grown_vocabulary_stays_tied() -> None:
    model = build(llama(tie_word_embeddings=True))
    model.resize_token_embeddings(VOCABULARY + 4, mean_resizing=False)
    ids, mask = prompt([[VOCABULARY + 3]])
    assert model(input_ids=ids, attention_mask=mask, evidence=items(1)).logits.shape[-1] == VOCABULARY + 4
    assert model.lm_head.weight is model.get_input_embeddings().weight


@pytest.mark.parametrize(
    ("ids", "count", "said"),
    [
        ([[CROP] * ROWS + [5]], 2, r"\[3\] placeholders of 'crop' by batch row for 2 items"),
        ([[CROP] * 2 + [5]], 1, r"\[2\] placeholders"),
        ([[5, 6]], 1, r"\[0\] placeholders"),
        ([[CROP] * ROWS + [5]], 0, r"\[3\] placeholders of 'crop' by batch row for 0 items"),
        ([[CROP, CROP, 5], [CROP, 5, 6]], 1, r"\[2, 1\] placeholders"),
    ],
)
def test_placeholders_must_match_the_evidence(ids: list[list[int]], count: int, said: str) -> None:
    evidence = {"crop": items(count)["crop"]} if count else None
    with pytest.raises(BadInput, match=said):
        build(llama())(input_ids=torch.tensor(ids), evidence=evidence)


def test_bad_inputs_are_said() -> None:
    model = build(llama())
    ids = torch.tensor([[5, 6]])
    with pytest.raises(BadInput, match="Got evidence 'voice'. Expected one of crop, landmarks"):
        model(input_ids=ids, evidence={"voice": torch.zeros(1, 3)})
    with pytest.raises(BadInput, match=r"shape \(1, 2, 12\) from evidence 'crop'. Expected \(N, 3, 12\)"):
        model(input_ids=ids, evidence={"crop": torch.zeros(1, 2, 12)})
    with pytest.raises(BadInput, match="evidence 'crop' as torch.uint8"):
        model(input_ids=ids, evidence={"crop": torch.zeros(1, ROWS, 12, dtype=torch.uint8)})
    with pytest.raises(BadInput, match="a prompt of 65 tokens, evidence rows included. Expected at most 64"):
        model(input_ids=torch.full((1, 65), 5))
    with pytest.raises(BadInput, match="Call embed"):
        model(inputs_embeds=torch.zeros(1, 2, WIDTH), evidence=items(1))
    with pytest.raises(BadInput, match="both or neither"):
        model()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoder": {"type": "os:system"}}, "os:system, which is no encoder type"),
        ({"rows": 0}, "rows of evidence 'crop' 0"),
        ({"token_id": LANDMARKS}, r"placeholder ids \[59, 59\]"),
        ({"colour": "red"}, "with the keys"),
        ({"projector": {"type": "identity"}}, "identity projector from width 12 to 32"),
        ({"projector": {"type": "mlp0x_gelu"}}, "projector type 'mlp0x_gelu'"),
        ({"projector": {"type": "linear", "depth": 2}}, r"projector options \['depth'\]"),
    ],
)
def test_bad_configurations_are_said(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        FacialLM(
            FacialLMConfig(text_config=llama(), evidence={**EVIDENCE, "crop": {**EVIDENCE["crop"], **change}})
        )


def test_decoders_that_rescale_logits_are_refused() -> None:
    config = FacialLMConfig(text_config=llama(final_logit_softcapping=30.0), evidence=EVIDENCE)
    with pytest.raises(BadConfig, match="final_logit_softcapping=30.0"):
        FacialLM(config)
