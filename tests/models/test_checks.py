"""What a user can hand a composite by mistake: each is an error of mien's own, in three sentences."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from mien.core.errors import BadConfig, BadData, BadInput, MienError, MissingWeights
from mien.data import open_dataset
from mien.models.composite.adapters import load_adapters, load_trained, save_adapters, trained_state
from mien.models.composite.assemble import fill_encoder
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.readouts import Readouts
from mien.models.composite.systems import Lora, Stage, prepare
from mien.models.emo_llama import system as emo_llama
from mien.models.emola import system as emola
from mien.models.expllm import system as expllm
from mien.models.facephi import system as facephi
from mien.models.registry import SYSTEMS, open_system

IDS = torch.tensor([[1, *[-200] * 4, -201, 5, 6]])
PIXELS, PRIOR = torch.zeros(1, 3, 28, 28), torch.zeros(1, 1, 212)
NAN = torch.full((1, 1, 212), float("nan"))


@pytest.fixture(scope="module")
def model() -> FacialLM:
    torch.manual_seed(0)
    return FacialLM(emola.configure("tiny")).eval()


def three_sentences(error: MienError) -> bool:
    return re.fullmatch(r"Got .+\. Expected .+\. [A-Z].+\.", str(error), re.DOTALL) is not None


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "picture of another size": (
        {"image": torch.zeros(1, 3, 30, 30)},
        r"\(1, 3, 30, 30\).*\(images, 3, 28, 28\)",
    ),
    "numpy": ({"image": np.zeros((1, 3, 28, 28))}, "evidence 'image' as a ndarray. Expected a tensor"),
    "list": ({"image": [1, 2]}, "as a list"),
    "text": ({"image": "photo.jpg"}, "as a str"),
    "a number": ({"image": torch.tensor(1.0)}, r"a tensor of shape \(\)"),
    "names of arguments": ({"image": {"pixels": PIXELS, "depth": PIXELS}}, "by the names pixels, depth"),
    "no number": ({"image": PIXELS, "prior": NAN}, "not finite"),
    "infinite pixels": ({"image": PIXELS / 0.0, "prior": PRIOR}, "not finite"),
}


@pytest.mark.parametrize("case", CASES)
def test_evidence_that_cannot_be(model: FacialLM, case: str) -> None:
    evidence, said = CASES[case]
    with pytest.raises(BadInput, match=said) as caught:
        model(input_ids=IDS, evidence=evidence)
    assert three_sentences(caught.value)
    with pytest.raises(BadInput, match=said):
        model.generate(input_ids=IDS, evidence=evidence, max_new_tokens=1)


EMBEDS = torch.zeros(1, 5000, 32)
CALLS: dict[str, tuple[Callable[[FacialLM], object], str]] = {
    "evidence by no name": (lambda m: m(input_ids=IDS, evidence=PIXELS), "evidence as a tensor of shape"),
    "no batch": (lambda m: m(input_ids=IDS[0]), r"token ids as a tensor of shape \(8,\)"),
    "a list of ids": (lambda m: m(input_ids=IDS.tolist()), "token ids as a list"),
    "mask of another length": (
        lambda m: m(input_ids=IDS[:, 6:], attention_mask=torch.ones(1, 5)),
        r"mask of shape \(1, 5\). Expected \(1, 2\)",
    ),
    "embeddings beyond the context": (lambda m: m(inputs_embeds=EMBEDS), "a prompt of 5000 tokens.*4096"),
    "generation from them": (lambda m: m.generate(inputs_embeds=EMBEDS), "a prompt of 5000 tokens.*4096"),
    "generation beyond it": (
        lambda m: m.generate(input_ids=torch.ones(1, 4090, dtype=torch.long), max_new_tokens=50),
        "4090 tokens and 50 new ones.*4096 together.*max_new_tokens to 6",
    ),
    "a read-out with no room": (
        lambda m: Readouts(m).texts([[5] * 4096], None, max_new_tokens=5),  # type: ignore[arg-type]
        "a prompt of 4097 tokens",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_prompts_that_cannot_be(model: FacialLM, case: str) -> None:
    call, said = CALLS[case]
    with pytest.raises(BadInput, match=f"(?s){said}") as caught:
        call(model)
    assert three_sentences(caught.value)


def test_padding_is_not_counted_as_context(model: FacialLM) -> None:
    long = torch.zeros(1, 4098, 32)
    mask = torch.ones(1, 4098, dtype=torch.long)
    mask[:, :4090] = 0
    with torch.no_grad():
        assert model.model(inputs_embeds=long, attention_mask=mask).last_hidden_state.shape[1] == 4098


def test_facephi_reads_the_whole_mesh() -> None:
    model = FacialLM(facephi.configure("tiny")).eval()
    ids = torch.tensor([[1, -200, 5]])
    assert model(input_ids=ids, evidence={"landmarks": torch.randn(1, 478, 3)}).logits.isfinite().all()
    with pytest.raises(BadInput, match=r"\(1, 68, 3\).*\(clouds, 478, 3\)"):
        model(input_ids=ids, evidence={"landmarks": torch.randn(1, 68, 3)})


def test_several_inputs_of_one_encoder_belong_together() -> None:
    model = FacialLM(emo_llama.configure("tiny")).eval()
    good = {
        "pixels": PIXELS,
        "instruction_ids": torch.tensor([[5]]),
        "instruction_mask": torch.ones(1, 1, dtype=torch.long),
        "face": torch.zeros(1, 49, 8),
        "landmarks": torch.zeros(1, 68, 2),
    }
    assert model.model.project("image", good).shape[0] == 1
    for change, said in (
        ({"pixels": PIXELS.repeat(2, 1, 1, 1)}, "1 and 2 items"),
        ({"landmarks": torch.zeros(1, 478, 3)}, r"landmarks of shape \(1, 478, 3\).*\(N, 68, 2\)"),
    ):
        with pytest.raises(BadInput, match=said):
            model.model.project("image", {**good, **change})
    with pytest.raises(BadInput, match="instruction_ids, instruction_mask at least"):
        model.model.project("image", PIXELS)


def test_a_head_in_another_precision_than_its_decoder(model: FacialLM) -> None:
    torch.manual_seed(0)
    config = expllm.configure("tiny")
    decoder = AutoModelForCausalLM.from_config(config.text_config).bfloat16()
    mixed = FacialLM.from_decoder(decoder, config.evidence).eval()
    mixed.lm_head.float()
    evidence = {"image": PIXELS}
    ids = [1, *[-200] * 4, 5]
    said = mixed(input_ids=torch.tensor([ids]), evidence=evidence)
    assert said.logits.dtype == torch.float32
    answers = [[[*ids, 7], [*ids, 8, 9]]]
    assert np.isfinite(Readouts(mixed).label_scores(answers, evidence)).all()


@pytest.mark.parametrize("name", SYSTEMS)
def test_unknown_options_of_a_system(name: str) -> None:
    with pytest.raises(
        BadConfig, match=f"option 'foo' of {name}. Expected one of scale, vocabulary"
    ) as caught:
        open_system(name).configure("tiny", foo=1)
    assert three_sentences(caught.value)
    with pytest.raises(BadConfig, match="'?zzz"):
        open_system(name).ask("zzz")


def test_an_expression_with_a_shell_s_star(model: FacialLM) -> None:
    with pytest.raises(BadConfig, match=r"'\*proj', which is no regular expression"):
        prepare(model, Stage((), 1e-3, 1, 1, lora=Lora(("*proj",), 2, 4)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beams": 3}, "option 'beams' of an answer"),
        ({"num_beams": 0}, "num_beams=0. Expected a whole number of 1"),
        ({"temperature": "warm", "do_sample": True}, "temperature='warm'"),
        ({"temperature": -1.0, "do_sample": True}, "temperature=-1.0"),
    ],
)
def test_options_of_an_answer(model: FacialLM, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig, match=said) as caught:
        Readouts(model).texts([[1, 5]], None, **options)  # type: ignore[arg-type]
    assert three_sentences(caught.value)


def test_the_encoder_of_a_run_is_taken(tmp_path: Path) -> None:
    """DINOv2's weights are saved under older names than the model's."""
    torch.manual_seed(0)
    trained, new = FacialLM(expllm.configure("tiny")), FacialLM(expllm.configure("tiny"))
    trained.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "mien.json").write_text("{}")
    fill_encoder(new, "image", str(tmp_path))
    for key, value in trained.model.encoders.state_dict().items():
        assert torch.equal(new.model.encoders.state_dict()[key], value)
    config = expllm.configure("tiny")
    config.evidence["image"]["encoder"]["config"]["num_hidden_layers"] = 1
    with pytest.raises(MissingWeights, match="differ from this tower, such as .*layer"):
        fill_encoder(FacialLM(config), "image", str(tmp_path))


def test_what_a_stage_left_behind_has_to_be_whole(tmp_path: Path) -> None:
    stage = emola.SYSTEM.stages["lora"]

    def prepared() -> FacialLM:
        model = FacialLM(emola.configure("tiny"))
        prepare(model, stage)
        return model

    path, state = tmp_path / "0-lora.safetensors", trained_state(prepared())
    name = next(key for key in state if ".lora_A" in key)
    for change, said in (
        ({key: value for key, value in state.items() if key != name}, f"without {re.escape(name)}"),
        ({**state, "extra": torch.zeros(1)}, "with extra, of which this model has no equal"),
        ({**state, name: torch.zeros(1, 1)}, f"with {re.escape(name)}, of which this model has no equal"),
    ):
        save_file(change, path)
        with pytest.raises(MissingWeights, match=said):
            load_trained(prepared(), path)
    path.write_bytes(b"no weights")
    with pytest.raises(MissingWeights, match="which cannot be read"):
        load_trained(prepared(), path)
    save_file(state, path)
    model = prepared()
    load_trained(model, path)
    assert all(torch.equal(trained_state(model)[key], value) for key, value in state.items())


def test_paths_may_be_text(tmp_path: Path) -> None:
    stage, model = emola.SYSTEM.stages["lora"], FacialLM(emola.configure("tiny"))
    prepare(model, stage)
    names = save_adapters(model, stage, str(tmp_path))
    assert load_adapters(FacialLM(emola.configure("tiny")), str(tmp_path)) == names
    with pytest.raises(BadData, match="no folder /nowhere"):
        next(open_dataset("ferplus").read("train", "/nowhere"))
