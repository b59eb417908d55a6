"""Baselines of the papers, the ablations that they name, and scale base: built, run, and counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Turn
from mien.layers.point_groups import PointGroups
from mien.models.au_llava import system as au_llava
from mien.models.baselines.classifier import classifier
from mien.models.composite.backbones import decoder_fields
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.processing import lay_out
from mien.models.composite.systems import prepare
from mien.models.emo_llama import system as emo_llama
from mien.models.emo_llama import words as emo_llama_words
from mien.models.emola.category_answers import CATEGORIES, read_category, say_category
from mien.models.expllm import system as expllm
from mien.models.expllm import words as expllm_words
from mien.models.facephi import system as facephi
from mien.models.registry import BASELINES, SYSTEMS, open_system

LLAVA, LLAMA_VID, POINT_LLM = map(open_system, BASELINES)


def frame(side: int = 28, face: int = 8) -> dict[str, Tensor]:
    ids = torch.randint(1, 60, (2, 5), generator=torch.Generator().manual_seed(0))
    return {
        "pixels": torch.randn(2, 3, side, side), "instruction_ids": ids, "instruction_mask": torch.ones_like(ids),
        "face": torch.randn(2, 49, face), "landmarks": torch.randn(2, 68, 2).clamp(-1, 1),
    }  # fmt: skip


def learn(model: FacialLM, evidence: dict[str, Any]) -> Tensor:
    """One backward pass over two prompts that hold one item each; the loss."""
    rows = [entry["token_id"] for entry in model.config.evidence.values() for _ in range(entry["rows"])]
    ids = torch.tensor([[5, *rows, 6, 7]] * 2)
    labels = torch.full_like(ids, -100)
    labels[:, -2:] = ids[:, -2:]
    loss: Tensor = model(input_ids=ids, evidence=evidence, labels=labels).loss
    loss.backward()
    return loss


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_learn_what_their_stages_declare(name: str) -> None:
    system = open_system(name)
    for stage in system.stages.values():
        torch.manual_seed(0)
        model = FacialLM(system.configure("tiny")).train()
        declared = prepare(model, stage)
        inputs = {
            "llava-1.5": {"image": torch.randn(2, 3, 28, 28)},
            "llama-vid": {"image": {k: v for k, v in frame().items() if k not in ("face", "landmarks")}},
            "point-llm": {"landmarks": torch.randn(2, 60, 3)},
        }[name]
        assert learn(model, inputs).isfinite()
        assert sorted(key for key, p in model.named_parameters() if p.grad is not None) == declared


def test_baselines_see_no_facial_prior() -> None:
    assert set(LLAVA.configure("tiny").evidence) == {"image"} and "<prior>" not in LLAVA.ask("au")
    clue = LLAMA_VID.configure("tiny").evidence["image"]["encoder"]
    assert clue["mining"] is None and clue["clue"]["generation"] == "llama-vid"
    for system in map(open_system, BASELINES):
        assert system.labels is not None and len(system.labels({}).answers) >= 7
        with pytest.raises(BadConfig, match="paper, base, small, tiny"):
            system.configure("large")


def test_point_llm_has_the_published_shape() -> None:
    """384 -> 1024 -> 2048 -> 4096, and a class token before the groups; 478 landmarks hold 478 groups, not 512."""
    entry = POINT_LLM.configure("paper").evidence["landmarks"]
    assert entry["rows"] == 479 and entry["encoder"]["groups"] == 478
    with torch.device("meta"):
        model = FacialLM(POINT_LLM.configure("paper"))
    widths = [
        layer.out_features for layer in model.model.projectors["landmarks"] if isinstance(layer, nn.Linear)
    ]
    assert widths == [1024, 2048, 4096]
    assert POINT_LLM.stages["stage1"].learning_rate == 2e-3


def test_point_llm_has_the_published_layout() -> None:
    for turn in (POINT_LLM.ask(8), POINT_LLM.wrap("Why?", {}), POINT_LLM.labels({"question": 8}).question):  # type: ignore[misc]
        head, _, question = turn.partition("\n")
        assert head == "<point_start><point_patch><point_end>" and question and "[LM PAD]" not in question
    assert POINT_LLM.ask(8).endswith("\nIdentify the emotion on this 3D facial landmark.")
    text = "".join(part for part, _ in lay_out([Turn("user", POINT_LLM.ask(8))], POINT_LLM.template))
    assert "questions. USER: <point_start><point_patch><point_end>\nIdentify" in text
    assert text.endswith(" ASSISTANT:")
    known = POINT_LLM.expansions(POINT_LLM.configure("paper"))
    assert list(known) == ["<point_patch>"] and len(known["<point_patch>"]) == 479


def test_llava_tunes_every_linear_layer_of_any_decoder() -> None:
    """LLaVA's rule takes what is a linear layer, not what is called a projection: Phi has dense, fc1 and fc2."""
    assert LLAVA.stages["faba"].lora is not None
    for decoder in ("llama-tiny", "phi-tiny"):
        model = FacialLM(LLAVA.configure("tiny", decoder=decoder))
        start = "model.language_model.layers."
        linear = {
            name for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and name.startswith(start)
        }  # fmt: skip
        adapted = {
            name.partition(".lora_")[0] for name in prepare(model, LLAVA.stages["faba"]) if ".lora_" in name
        }
        assert adapted == linear and len(linear) >= 12


def test_llava_aligns_on_plain_captions() -> None:
    """The picture, its caption and a line break; the caption and the line break are learnt (facts of LLaVA's code)."""
    told = LLAVA.laid_out(LLAVA.stages["stage1"].template)
    parts = lay_out([Turn("user", "<image>"), Turn("assistant", "A cat.")], told.template)
    assert [part for part in parts if part[0]] == [("<image>", False), ("A cat.\n", True)]
    assert LLAVA.laid_out(LLAVA.stages["stage2"].template) is LLAVA
    with pytest.raises(BadConfig, match="v1, llava_v1, plain"):
        LLAVA.laid_out("plane")


def test_point_groups() -> None:
    torch.manual_seed(0)
    encoder = PointGroups(groups=5, neighbors=4, width=12, layers=1, heads=2).eval()
    cloud = torch.randn(2, 20, 3)
    rows = encoder(cloud)
    assert rows.shape == (2, 6, 12)
    torch.testing.assert_close(encoder(cloud[1:]), rows[1:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        encoder(3.0 * cloud + 1.0), rows, atol=1e-4, rtol=1e-3
    )  # freed of place and size
    with pytest.raises(BadInput, match="fewer groups"):
        encoder(cloud[:, :4])


def test_the_classifier_of_facephi_s_table() -> None:
    model = classifier("tiny").eval()
    assert model(torch.randn(2, 70, 3)).shape == (2, len(EMOTIONS))
    with torch.device("meta"):
        assert sum(p.numel() for p in classifier("paper").parameters()) == 13_230_280
    with pytest.raises(BadConfig, match="paper, base"):
        classifier("huge")


def test_emola_category_answers() -> None:
    assert say_category("rafdb", "happiness") == "Happiness"
    read = read_category("Happiness", "rafdb")
    assert read.labels is not None and read.labels.emotion == "happiness"
    assert read_category("happiness", "rafdb").status == "unparsed"  # the released match minds the case
    for dataset, present in (
        ("bp4d", {"AU01", "AU24"}),
        ("disfa", {"AU25", "AU26"}),
        ("gft", {"AU10", "AU23"}),
    ):
        said = say_category(dataset, {*present, "AU99"})
        units = read_category(said, dataset).labels
        assert units is not None and units.au_presence is not None
        assert {key for key, there in units.au_presence.items() if there} == present
        assert list(units.au_presence) == list(CATEGORIES[dataset].names)
    assert say_category("bp4d", {"AU01", "AU04"}) == "AU1, AU4"
    empty = read_category(say_category("gft", ()), "gft")
    assert (
        empty.status == "answered"
        and empty.labels is not None
        and not any((empty.labels.au_presence or {}).values())
    )
    assert read_category(" ", "gft").status == "unparsed"
    with pytest.raises(BadConfig, match="rafdb, bp4d, disfa, gft"):
        read_category("x", "mafw")
    with pytest.raises(BadConfig, match="surprise, fear"):
        say_category("rafdb", "contempt")


@pytest.mark.parametrize(
    ("system", "stage", "adapted", "whole"),
    [
        ("emola", "paper", {"language_model"}, {"projectors.prior"}),
        ("emola", "projector", set(), {"projectors.prior"}),
        ("emola", "lora", {"language_model"}, set()),
        ("emola", "code", {"language_model"}, {"projectors.prior", "projectors.image"}),
        ("au-llava", "paper", {"language_model", "encoders.image"}, {"projectors.image"}),
        ("au-llava", "vision", {"encoders.image"}, {"projectors.image"}),
        ("au-llava", "decoder", {"language_model"}, {"projectors.image"}),
        ("facephi", "stage1", set(), {"projectors.landmarks"}),
        ("facephi", "align", set(), {"encoders.landmarks"}),
        ("facephi", "classify", set(), {"encoders.landmarks"}),
    ],
)
def test_ablations_tune_what_their_tables_name(
    system: str, stage: str, adapted: set[str], whole: set[str]
) -> None:
    opened = open_system(system)
    names = prepare(FacialLM(opened.configure("tiny")), opened.stages[stage])
    parts = ("language_model", "encoders.image", "encoders.landmarks", "projectors.prior", "projectors.image",
             "projectors.landmarks")  # fmt: skip

    def found(lora: bool) -> set[str]:
        chosen = [name for name in names if (".lora_" in name) == lora]
        return {part for part in parts if any(name.startswith(f"model.{part}.") for name in chosen)}

    assert (found(True), found(False)) == (adapted, whole)


def test_expllm_orders_and_mix() -> None:
    assert expllm_words.MIX == (3, 1) and set(expllm_words.ORDERS) == {"cot-first", "label-first", "random"}
    assert [turn.text for turn in expllm_words.dialogue("fear", "why", "cot-first")][1::2] == ["why", "Fear"]
    assert [turn.text for turn in expllm_words.dialogue("fear", "why", "label-first")][1::2] == [
        "Fear",
        "why",
    ]


# ---- scale base: modern small backbones, random weights, two layers deep


def shallow(config: FacialLMConfig, name: str) -> FacialLMConfig:
    """The same widths with two layers and a small vocabulary."""
    decoder = "smollm2-135m" if name == "facephi" else "qwen3-0.6b"
    special = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    text = {**decoder_fields(decoder), "num_hidden_layers": 2, **special}
    evidence = {key: dict(entry) for key, entry in config.evidence.items()}
    for entry in evidence.values():
        encoder = dict(entry["encoder"])
        for part in ("config", "tower"):
            if part in encoder:
                encoder[part] = {**encoder[part], "num_hidden_layers": 2}
        if "clue" in encoder:
            qformer = {**encoder["clue"]["qformer"], "num_hidden_layers": 2, "vocab_size": 300}
            encoder["clue"] = {**encoder["clue"], "qformer": qformer}
        entry["encoder"] = encoder
    return FacialLMConfig(text_config=text, evidence=evidence)


@pytest.mark.parametrize("name", SYSTEMS)
def test_base_scale_is_wired(name: str) -> None:
    system = open_system(name, "base")
    assert system.template.end == "<|endoftext|>" and not system.special_tokens
    torch.manual_seed(0)
    # DINOv2 interpolates, so that a small picture does; SigLIP reads its own size.
    small = {"image_size": 56} if name in ("au-llava", "expllm") else {}
    model = FacialLM(shallow(system.configure("base", **small), name)).train()
    stage = next(stage for stage in reversed(system.stages.values()) if stage.objective == "language")
    if name == "emo-llama":
        stage = system.stages["paper"]
    declared = prepare(model, stage)
    side = 224 if name == "emola" else 56
    inputs: dict[str, Any] = {"image": torch.randn(2, 3, side, side)}
    if name == "facephi":
        inputs = {"landmarks": torch.randn(2, 478, 3)}
    elif name == "emo-llama":
        inputs = {"image": frame(side, 256)}
    elif name == "emola":
        inputs["prior"] = torch.randn(2, 212)
    assert learn(model, inputs).isfinite()
    assert sorted(key for key, p in model.named_parameters() if p.grad is not None) == declared


BASE = {"facephi": 134_515_008, "emola": 596_049_920, "emo-llama": 596_049_920, "au-llava": 596_049_920,
        "expllm": 596_049_920}  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_base_scale_has_the_published_backbones(name: str) -> None:
    system = open_system(name)
    with torch.device("meta"):
        model = FacialLM(system.configure("base"))
    decoder = {
        id(p): p.numel() for p in [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    }
    tied = model.lm_head.weight.numel() if model.config.tie_word_embeddings else 0
    total = sum(decoder.values())
    assert BASE[name] in (total, total - tied)
    assert sum(p.numel() for p in model.parameters()) < 1_000_000_000
    # Of FacePhi the encoder is aligned from nothing at this scale.
    assert set(system.weights) - set(system.base_weights) == ({"landmarks"} if name == "facephi" else set())


@pytest.mark.parametrize(("module", "option"), [(au_llava, "linear"), (expllm, "mlp2x_gelu")])
def test_towers_without_a_class_token_serve_too(module: Any, option: str) -> None:
    """SigLIP has neither class nor register tokens: every row is a patch."""
    config = module.configure("tiny", tower="siglip-b", image_size=224, projector=option)
    assert config.evidence["image"]["rows"] == 196
    encoder = config.evidence["image"]["encoder"]
    small = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    encoder["config"] = {**encoder["config"], **small}
    config.evidence["image"]["width"] = 16
    model = FacialLM(config).eval()
    assert model.model.project("image", torch.randn(1, 3, 224, 224)).shape == (1, 196, 32)


def test_emo_llama_s_ablations() -> None:
    for priors, rows in (("all", 3), ("embedding", 2), ("pool-concat", 2), ("none", 2)):
        assert emo_llama.configure("tiny", priors=priors).evidence["image"]["rows"] == rows
    assert "smiles" in emo_llama_words.ask(description="She smiles.")
    assert facephi.configure("tiny", projector="linear").evidence["landmarks"]["projector"] == {
        "type": "linear"
    }
