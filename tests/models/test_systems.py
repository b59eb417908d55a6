"""The contract of every system at scales tiny and small: build, learn what was declared, save, generate, pad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Turn
from mien.models.composite.backbones import SCALES
from mien.models.composite.facial_lm import EvidenceInput, FacialLM
from mien.models.composite.processing import IGNORED, collate
from mien.models.composite.systems import Lora, Stage, System, prepare
from mien.models.formats.encoder_export import export_onnx, export_torch
from mien.models.registry import SYSTEMS, open_system

PAD = 0
# Published questions are long; the contract needs short ones. Layouts of au-llava and expllm hold the image.
SHORT = {
    "facephi": "[LM PAD] Which?",
    "emola": "<image><prior>\nWhich?",
    "emo-llama": "<image>\nWhich?",
    "au-llava": "Which?",
    "expllm": "Which?",
}


def letters(system: System) -> Tokenizer:
    """A tokenizer of single bytes with the system's special tokens."""
    specials = ["<pad>", "<s>", "</s>"] if system.special_tokens else ["<pad>", "<|endoftext|>", "</s>"]
    vocabulary = {
        token: place for place, token in enumerate([*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    if system.special_tokens:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


@dataclass(frozen=True)
class Case:
    """One system at one scale."""

    system: System
    scale: str

    @property
    def name(self) -> str:
        return self.system.name


def items(case: Case, count: int, seed: int = 0) -> dict[str, EvidenceInput]:
    generator = torch.Generator().manual_seed(seed)
    name, tiny = case.name, case.scale == "tiny"
    side = 28 if tiny else 112

    def random(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    if name == "facephi":
        return {"landmarks": random(478, 3)}
    if name == "emo-llama":
        ids = torch.randint(1, 60, (count, 5), generator=generator)
        frame: Mapping[str, Tensor] = {
            "pixels": random(3, side, side),
            "instruction_ids": ids,
            "instruction_mask": torch.ones_like(ids),
            "face": random(49, 8 if tiny else 256),
            "landmarks": random(68, 2).clamp(-1, 1),
        }
        return {"image": frame}
    evidence: dict[str, EvidenceInput] = {"image": random(3, side, side)}
    return {**evidence, "prior": random(212)} if name == "emola" else evidence


def one(evidence: Mapping[str, EvidenceInput], row: int) -> dict[str, EvidenceInput]:
    """Evidence of one row of a batch."""
    return {
        name: {key: value[row : row + 1] for key, value in given.items()}
        if isinstance(given, Mapping)
        else given[row : row + 1]
        for name, given in evidence.items()
    }


def build(case: Case, **options: Any) -> FacialLM:
    torch.manual_seed(0)
    model = FacialLM(case.system.configure(case.scale, **options)).eval()
    with torch.no_grad():  # wide logits: an argmax that rounding cannot turn
        for parameter in model.lm_head.parameters():
            parameter.normal_(0.0, 1.0)
    return model


def batch(system: System, model: FacialLM, answers: list[str | None], side: Any = "left") -> dict[str, Any]:
    """Dialogues about one item each; without an answer the prompt is open."""
    encoded = []
    for answer in answers:
        turns = [Turn("user", SHORT[system.name])] + ([] if answer is None else [Turn("assistant", answer)])
        encoded.append(system.encode(turns, letters(system), model.config))
    return collate(encoded, [{} for _ in answers], pad_id=PAD, side=side)


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    return open_system(request.param)


@pytest.fixture(params=["tiny", pytest.param("small", marks=pytest.mark.slow)])
def case(request: pytest.FixtureRequest, system: System) -> Case:
    return Case(system, request.param)


def test_backward_reaches_exactly_what_is_declared(case: Case) -> None:
    system = case.system
    # Stages that differ in their figures alone reach the same parameters.
    distinct = {
        (stage.trains, stage.lora): name
        for name, stage in system.stages.items()
        if stage.objective == "language"
    }
    for name in distinct.values():
        stage = system.stages[name]
        model = build(case, **({"priors": "none"} if name == "llama-vid" else {}))
        declared = prepare(model, stage)
        inputs = batch(system, model, ["Happiness.", "Fear"], system.padding)
        model.train()
        loss = model(**{**inputs, "evidence": items(case, 2)}).loss
        loss.backward()
        reached = sorted(
            parameter_name
            for parameter_name, p in model.named_parameters()
            if p.grad is not None and bool(p.grad.isfinite().all())
        )
        assert declared and reached == declared, name
        assert bool(loss.isfinite())
        assert (stage.lora is None) == (not any(".lora_" in parameter_name for parameter_name in declared))


def test_saved_and_loaded_is_equal(case: Case, tmp_path: Path) -> None:
    system, model = case.system, build(case)
    model.save_pretrained(tmp_path)
    loaded = FacialLM.from_pretrained(tmp_path).eval()
    inputs = {**batch(system, model, ["Happiness."]), "evidence": items(case, 1)}
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, atol=1e-4, rtol=0.0)
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())
    assert loaded.config.to_dict()["evidence"] == model.config.to_dict()["evidence"]


def test_generation_is_deterministic_and_a_row_of_the_batch(case: Case) -> None:
    system, model, evidence = case.system, build(case), items(case, 2)
    long = [Turn("user", SHORT[system.name]), Turn("assistant", "Fear"), Turn("user", "Are you sure?")]
    short = [Turn("user", SHORT[system.name])]
    encoded = [system.encode(turns, letters(system), model.config) for turns in (long, short)]
    arguments: dict[str, Any] = {
        "max_new_tokens": 6,
        "do_sample": False,
        "pad_token_id": PAD,
        "eos_token_id": None,
    }

    def answer(rows: list[int]) -> Tensor:
        inputs = collate([encoded[row] for row in rows], [{} for _ in rows], pad_id=PAD, side="left")
        chosen = evidence if len(rows) == 2 else one(evidence, rows[0])
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        made: Tensor = model.generate(input_ids=ids, attention_mask=mask, evidence=chosen, **arguments)
        return made[:, -6:]

    together = answer([0, 1])
    assert answer([0, 1]).tolist() == together.tolist()
    assert answer([0])[0].tolist() == together[0].tolist()
    assert answer([1])[0].tolist() == together[1].tolist()


def test_padding_and_company_change_nothing(case: Case) -> None:
    system, model, evidence = case.system, build(case), items(case, 2)
    alone = batch(system, model, ["Fear"])
    length = alone["input_ids"].shape[1]
    with torch.no_grad():
        expected = model(**{**alone, "evidence": one(evidence, 1)}).logits[0]
        for side, place in (("left", slice(-length, None)), ("right", slice(0, length))):
            inputs = batch(system, model, ["Happiness, it seems.", "Fear"], side)
            got = model(**{**inputs, "evidence": evidence}).logits[1, place]
            torch.testing.assert_close(got, expected, atol=2e-4, rtol=0.0)


def test_encoders_leave_torch_as_onnx_graphs(case: Case, tmp_path: Path) -> None:
    model = build(case)
    for name, example in items(case, 2).items():
        path = tmp_path / f"{name}.onnx"
        names = export_onnx(model, name, example, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for given in (example, items(case, 3, seed=1)[name]):  # another number of faces than was exported
            values = list(given.values()) if isinstance(given, Mapping) else [given]
            feed = {key: value.numpy() for key, value in zip(names, values, strict=True)}
            wanted = {entry.name for entry in session.get_inputs()}
            (rows,) = session.run(None, {key: value for key, value in feed.items() if key in wanted})
            with torch.no_grad():
                expected = model.model.project(name, given)
            assert rows.shape == tuple(expected.shape)
            torch.testing.assert_close(torch.from_numpy(rows), expected, atol=2e-4, rtol=1e-3)


def test_encoders_are_exported_by_torch(case: Case) -> None:
    model = build(case)
    for name, example in items(case, 2).items():
        program = export_torch(model, name, example)
        given = items(case, 2, seed=1)[name]
        values = list(given.values()) if isinstance(given, Mapping) else [given]
        with torch.no_grad():
            rows, expected = program.module()(*values), model.model.project(name, given)
        torch.testing.assert_close(rows, expected, atol=2e-4, rtol=1e-3)
    with pytest.raises(BadInput, match="'voice'"):
        export_torch(model, "voice", torch.zeros(1))


def test_only_answers_and_end_tokens_are_learnt(system: System) -> None:
    config, tokenizer = system.configure("tiny"), letters(system)
    turns = [
        Turn("user", system.ask()),
        Turn("assistant", "Fear"),
        Turn("user", "Why?"),
        Turn("assistant", "Brows."),
    ]
    encoded = system.encode(turns, tokenizer, config)
    learnt = [label for label in encoded.labels if label != IGNORED]
    end = tokenizer.token_to_id(system.template.end)
    assert learnt.count(end) == 2
    said = tokenizer.decode([token for token in learnt if token != end])
    assert said.replace(" ", "") == "FearBrows."
    rows = sum(entry["rows"] for entry in config.evidence.values())
    assert sum(token < 0 for token in encoded.ids) == rows


def test_cut_at_the_length_but_never_through_evidence(system: System) -> None:
    config, tokenizer = system.configure("tiny"), letters(system)
    turns = [Turn("user", system.ask()), Turn("assistant", "Fear " * 9)]
    whole = system.encode(turns, tokenizer, config)
    short = replace(system, max_length=len(whole.ids) - 5).encode(turns, tokenizer, config)
    assert short.ids == whole.ids[:-5] and short.labels == whole.labels[:-5]
    with pytest.raises(BadInput, match="Shorten the question"):
        replace(system, max_length=4).encode(turns, tokenizer, config)
    with pytest.raises(BadInput, match="Shorten the question"):
        system.begun(turns[:1], "Fear " * 900, tokenizer, config)
    config.text_config.max_position_embeddings = len(whole.ids) - 5  # the decoder's context is shorter still
    assert system.encode(turns, tokenizer, config) == short


def test_a_question_that_waits_for_its_answer_is_never_cut(system: System) -> None:
    config, tokenizer = system.configure("tiny"), letters(system)
    turns = [Turn("user", system.ask()), Turn("assistant", "Fear"), Turn("user", "And why?")]
    limit = len(system.encode(turns, tokenizer, config).ids) - 3
    with pytest.raises(BadInput, match=f"at most {limit}"):
        replace(system, max_length=limit).encode(turns, tokenizer, config)


def test_every_system_has_every_scale(system: System) -> None:
    for scale in SCALES:
        assert system.configure(scale).evidence
    with pytest.raises(BadConfig, match="paper, base, small, tiny"):
        system.configure("large")
    assert open_system(system.name) is system


def test_a_miss_is_never_silent() -> None:
    model = build(Case(open_system("expllm"), "tiny"))
    stage = Stage(("model.projectors.image.",), 1e-4, 1, 1, lora=Lora((r".*\.q_proj", r".*\.query"), 2, 2))
    with pytest.raises(BadConfig, match=r"query'"):
        prepare(model, stage)
    with pytest.raises(BadConfig, match="projectors.landmark"):
        prepare(model, Stage(("model.projectors.landmark.",), 1e-4, 1, 1))
    with pytest.raises(BadConfig, match="facephi, emola"):
        open_system("llava")


def test_a_prompt_for_another_configuration_is_refused() -> None:
    emola = open_system("emola")
    config = emola.configure("tiny", layout="visual")
    with pytest.raises(BadInput, match="<prior>"):
        emola.encode([Turn("user", emola.ask())], letters(emola), config)
    ids = emola.encode([Turn("user", emola.ask(layout="visual"))], letters(emola), config).ids
    assert ids.count(-200) == 4
