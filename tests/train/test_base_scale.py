"""Scale ``base`` through its recipes: narrow backbones of those architectures in folders, a few steps, opened again."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

import mien
from mien.backends.torch import TorchReader
from mien.core.aus import au_set
from mien.core.errors import BadConfig, MissingWeights
from mien.core.nouns import CropTransform, Evidence, Face, Labels, Sample
from mien.evaluate.predictions import read_predictions
from mien.models.composite.backbones import DECODERS, TOWERS
from mien.models.composite.facial_lm import FacialLM
from mien.models.registry import SYSTEMS, open_system
from mien.train.composite import base_precision, build_composite, open_words
from mien.train.data.tokenizer import train_tokenizer
from mien.train.recipe import Recipe
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")
NARROW = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
END = 1
LEVELS = dict.fromkeys(au_set("disfa8"), 0)
SAMPLE = Sample("s", "made", "train", "m", Labels(emotion="fear", au_level=LEVELS))
EVIDENCE = Evidence(
    Face(
        np.asarray([0, 0, 28, 28], np.float32),
        1.0,
        landmarks=28.0 * np.random.default_rng(0).uniform(0.1, 0.9, (478, 3)).astype(np.float32),
        crop=CropTransform(np.eye(2, 3), 28),
    ),
    np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8),
)


def write_tokenizer(folder: Path) -> None:
    """Of the systems' questions, with the end token of the decoders of scale base."""
    texts = [open_system(name).ask() for name in SYSTEMS]
    single = tuple("0123456789[]")
    train_tokenizer([*texts, *single], 500, single, ("<pad>", "<|endoftext|>")).save(
        str(folder / "tokenizer.json")
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The backbones of scale base, narrow and random, as their folders are downloaded."""
    root = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(3)
    ids = {"bos_token_id": END, "eos_token_id": END, "pad_token_id": END, "vocab_size": 600}
    heads = {"num_key_value_heads": 1, "head_dim": 16}
    for name in ("qwen3-0.6b", "smollm2-135m"):
        settings = AutoConfig.for_model(**{**DECODERS[name], **NARROW, **heads, **ids})
        AutoModelForCausalLM.from_config(settings).to(torch.bfloat16).save_pretrained(root / name)
        write_tokenizer(root / name)
    for name in ("dinov2-s", "siglip-b"):
        settings = AutoConfig.for_model(**{**TOWERS[name], **NARROW, "image_size": 28, "patch_size": 14})
        AutoModel.from_config(settings).save_pretrained(root / name)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def base(system: str, parts: dict[str, Path], root: Path, *changes: str) -> Recipe:
    decoder = "smollm2-135m" if system == "facephi" else "qwen3-0.6b"
    tower = "siglip-b" if system == "emola" else "dinov2-s"
    given = [f"weights.decoder={parts[decoder]}", "inputs.crop_size=28", "inputs.image_size=28"]
    if system != "facephi":
        given.append(f"weights.image={parts[tower]}")
    if system not in ("facephi", "emo-llama"):
        given.append("options.image_size=28")
    if system == "facephi":
        points = {"type": "pointmlp", "variant": "tiny", "points": 64, "neighbors": 8}
        given.append(f"config.evidence.landmarks={json.dumps({'encoder': points, 'width': 16})}")
    elif system == "emo-llama":
        given += [f"config.evidence.image.encoder.clue.qformer={json.dumps(NARROW)}", "options.heads=2"]
    for part in ("data", "validation"):
        given += [f"{part}.0.root={root}", f"{part}.0.limit={4 if part == 'data' else 2}"]
    stages = 3 if system == "facephi" else 1
    for place in range(stages):
        given += [f"stages.{place}.{entry}" for entry in ("epochs=1", "batch=4", "micro_batch=2")]
    given += [f"evaluation.0.{entry}" for entry in ("max_new_tokens=3", "limit=2")]
    if system == "expllm":
        given += ["evaluation.1.max_new_tokens=3", "evaluation.1.limit=1", "tasks.cot=0.5"]
    return load_recipe(system, "base", [*given, *changes])


@pytest.mark.parametrize("system", SYSTEMS)
def test_base_trains_and_opens(
    system: str,
    parts: dict[str, Path],
    tiny_data: Path,
    tiny_renders: Path,
    cache: Path,
    tmp_path: Path,
) -> None:
    root = tiny_renders if system == "au-llava" else tiny_data
    recipe = base(system, parts, root)
    assert base_precision(recipe, open_system(system, "base")) == ("fp32" if system == "facephi" else "bf16")
    Run(recipe, tmp_path, cache).train()
    assert read_predictions(tmp_path / "predictions.jsonl")
    reader = mien.load_model(tmp_path)
    assert isinstance(reader, TorchReader)
    whole = torch.float32 if system == "facephi" else torch.bfloat16
    assert {parameter.dtype for parameter in reader.model.parameters()} == {whole}
    assert reader.system.template.end == "<|endoftext|>" and not reader.system.special_tokens
    # The end of an answer is one token, and it is learnt.
    item = reader.system.build(next(iter(recipe.tasks)), SAMPLE, random.Random(0))
    assert item is not None
    labels = reader.system.encode(item.turns, reader.tokenizer, reader.model.config).labels
    assert labels[-1] == END
    last = recipe.stages[-1].name
    left = load_file(tmp_path / "stages" / f"{len(recipe.stages) - 1}-{last}.safetensors")
    learnt = [value for name, value in left.items() if ".lora_" in name or ".projectors." in name]
    assert learnt and {value.dtype for value in learnt} == {torch.float32}
    assert all(bool(value.isfinite().all()) for value in left.values())
    (result,) = reader.measure([EVIDENCE])
    assert sum(result.emotions.values()) == pytest.approx(1.0)


def test_pretrained_weights_bring_their_tokenizer(
    parts: dict[str, Path], tiny_data: Path, tmp_path: Path
) -> None:
    recipe = base("emola", parts, tiny_data)
    system = open_system("emola", "base")
    tokenizer = open_words(recipe, system, [])
    assert tokenizer.token_to_id("<|endoftext|>") == END and tokenizer.get_vocab_size() == 500
    # At scale small the answer ends with </s>, which this tokenizer does not know.
    with pytest.raises(BadConfig, match="without '</s>'"):
        open_words(
            load_recipe("emola", "small", [f"weights.decoder={parts['qwen3-0.6b']}"]),
            open_system("emola"),
            [],
        )
    with pytest.raises(MissingWeights, match=r"without a readable tokenizer\.json"):
        open_words(base("emola", parts, tiny_data, f"weights.decoder={parts['dinov2-s']}"), system, [])
    wide = Tokenizer(models.BPE(vocab={str(place): place for place in range(700)}, merges=[]))
    with pytest.raises(BadConfig, match="a tokenizer of 700 tokens for a decoder of 600"):
        build_composite(recipe, system, wide)


def test_what_is_frozen_is_in_the_precision_that_is_asked_for(
    parts: dict[str, Path], tiny_data: Path
) -> None:
    system = open_system("emola", "base")

    def built(*changes: str) -> FacialLM:
        recipe = base("emola", parts, tiny_data, *changes)
        return build_composite(recipe, system, open_words(recipe, system, []))

    model = built("attention=eager")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.model.language_model.config._attn_implementation == "eager"
    assert {parameter.dtype for parameter in built("precision=fp32").parameters()} == {torch.float32}
    # A stage that trains the decoder itself takes every digit of its file.
    whole = "stages.0.trains=[model.projectors., model.language_model.]"
    assert {parameter.dtype for parameter in built(whole, "stages.0.lora=null").parameters()} == {
        torch.float32
    }


@pytest.mark.parametrize(
    ("folder", "message"),
    [("llava", "which cannot be read"), ("empty", "which cannot be read"),
     ("half", "without 1 weights of the decoder, such as model.layers.1.mlp.down_proj.weight")],
)  # fmt: skip
def test_what_is_no_decoder_is_named(
    parts: dict[str, Path], tiny_data: Path, tmp_path: Path, folder: str, message: str
) -> None:
    place = tmp_path / folder
    shutil.copytree(parts["qwen3-0.6b"], place)
    if folder == "llava":
        about = json.loads((place / "config.json").read_text())
        (place / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": about}))
    elif folder == "empty":
        (place / "model.safetensors").unlink()
    else:
        state = load_file(place / "model.safetensors")
        del state["model.layers.1.mlp.down_proj.weight"]
        save_file(state, place / "model.safetensors", {"format": "pt"})
    recipe = base("emola", parts, tiny_data, f"weights.decoder={place}")
    system = open_system("emola", "base")
    with pytest.raises(MissingWeights, match=message) as caught:
        build_composite(recipe, system, open_words(recipe, system, []))
    assert "weights.model" in str(caught.value) or folder == "half"


def test_published_parts_are_named_at_base() -> None:
    recipe = load_recipe("emola", "base")
    with pytest.raises(
        MissingWeights, match=r"decoder: published as Qwen/.*image: published as google/siglip"
    ):
        build_composite(recipe, open_system("emola", "base"), Tokenizer(models.BPE()))


@pytest.mark.parametrize("bits", [4, 8])
def test_adapters_learn_beside_a_decoder_of_few_bits(
    parts: dict[str, Path], tiny_data: Path, cache: Path, tmp_path: Path, bits: int
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra 'quant'")
    recipe = base("expllm", parts, tiny_data, f"bits={bits}", f"weights.decoder={_wide(tmp_path)}")
    Run(recipe, tmp_path / "run", cache).train()
    left = load_file(tmp_path / "run" / "stages" / "0-code-rafdb.safetensors")
    assert any(".lora_B" in name and bool(value.any()) for name, value in left.items())
    # The written model is whole again, with the adapters in it.
    base_state = load_file(tmp_path / "wide" / "model.safetensors")
    model = FacialLM.from_pretrained(tmp_path / "run" / "model")
    name = "layers.0.self_attn.q_proj.weight"
    found = dict(model.model.language_model.named_parameters())[name]
    assert found.dtype == torch.bfloat16
    change = (found.detach().float() - base_state[f"model.{name}"].float()).abs()
    assert 0.0 < float(change.max()) < 0.05


def _wide(folder: Path) -> Path:
    """Blocks of 64 values: the narrow decoder is too narrow."""
    wide = {"hidden_size": 128, "intermediate_size": 128, "head_dim": 64, "num_hidden_layers": 1}
    ids = {"bos_token_id": END, "eos_token_id": END, "pad_token_id": END, "vocab_size": 600}
    settings = AutoConfig.for_model(
        **{**DECODERS["qwen3-0.6b"], **NARROW, "num_key_value_heads": 1, **wide, **ids}
    )
    AutoModelForCausalLM.from_config(settings).to(torch.bfloat16).save_pretrained(folder / "wide")
    write_tokenizer(folder / "wide")
    return folder / "wide"


def test_a_decoder_of_few_bits_cannot_learn_itself(
    parts: dict[str, Path], tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        BadConfig, match="stage 'stage2', which trains model.language_model. of a decoder in 4 bits"
    ):
        Run(base("facephi", parts, tiny_data, "bits=4"), tmp_path)
