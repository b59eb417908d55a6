"""What those who know transformers and PEFT do without reading our pages works, or says why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    LlamaForCausalLM,
)

from mien.core.errors import BadInput
from mien.core.nouns import Turn
from mien.core.paths import written_whole
from mien.models.composite.adapters import save_adapters
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.processing import lay_out
from mien.models.composite.processor import FacialProcessor
from mien.models.composite.systems import prepare
from mien.models.formats.adapters_peft import COMPOSITE, export_peft
from mien.models.formats.model_folders import seal
from mien.models.registry import SYSTEMS, open_system

QUESTION = "How does this person feel?"
ASKED = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]


def folder_of(name: str, folder: Path) -> Path:
    """A model as `mien models import` leaves it."""
    system = open_system(name)
    start = "<s>" if system.special_tokens else "<|endoftext|>"
    names = ["<pad>", start, "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={one: place for place, one in enumerate(names)}, merges=[]))
    tokenizer.add_special_tokens(["<pad>", start, "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    FacialLM(system.configure("tiny", tokenizer.get_vocab_size())).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    card = {"system": name, "scale": "tiny", "options": {}, "pad_id": 0}
    inputs = {"crop_size": 56, "image_size": 28, "face_map": 4}
    (folder / "mien.json").write_text(json.dumps({**card, "inputs": inputs}))
    seal(folder)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of("expllm", tmp_path_factory.mktemp("expllm"))


@pytest.fixture(scope="module")
def processor(place: Path) -> FacialProcessor:
    found = AutoProcessor.from_pretrained(place)
    assert type(found) is FacialProcessor
    return found


@pytest.fixture(scope="module")
def model(place: Path) -> FacialLM:
    found: FacialLM = AutoModelForImageTextToText.from_pretrained(place)
    return found.eval()


def strangers(code: str, place: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_import_first_and_the_auto_classes_know_it(place: Path) -> None:
    """In the order that sorted imports have; mien itself loads nothing heavy."""
    code = (
        "import importlib.util, sys, mien.models\n"
        # Whoever only asks whether it is there changes nothing.
        "assert importlib.util.find_spec('transformers') and importlib.util.find_spec('torch')\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()\n"
        "from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor\n"
        "for auto in (AutoConfig, AutoModelForImageTextToText, AutoProcessor):\n"
        "    print(type(auto.from_pretrained(sys.argv[1])).__name__)"
    )
    assert strangers(code, place).split() == ["FacialLMConfig", "FacialLM", "FacialProcessor"]


@pytest.mark.timeout(600)
def test_without_mien_no_bare_tokenizer_is_given(place: Path) -> None:
    code = (
        "import sys\nfrom transformers import AutoProcessor\n"
        "try:\n    AutoProcessor.from_pretrained(sys.argv[1])\n"
        "except ValueError as error:\n    print('trust_remote_code' in str(error))\n"
        "print(type(AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)).__module__)"
    )
    # It asks first, and nobody answers.
    assert strangers(code, place).split()[-2:] == ["True", "mien.models.composite.processor"]


def test_every_auto_class(place: Path) -> None:
    assert AutoConfig.from_pretrained(place).image_token_id == -200
    assert isinstance(AutoModelForCausalLM.from_pretrained(place), FacialLM)
    assert type(AutoModel.from_pretrained(place)).__name__ == "FacialLMModel"


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_chat_template_is_the_layout(name: str, tmp_path: Path) -> None:
    system = open_system(name)
    processor = AutoProcessor.from_pretrained(folder_of(name, tmp_path))
    said = processor.apply_chat_template(ASKED, add_generation_prompt=True)
    asked = Turn("user", system.wrap(QUESTION, {}))
    assert said == "".join(part for part, _ in lay_out([asked], system.template))
    told = [*ASKED, {"role": "assistant", "content": "Fine."}, {"role": "user", "content": "Why?"}]
    later = system.wrap("Why?", {}) if system.shows_again else ""
    for one in system.placeholders:
        later = later or system.wrap("Why?", {}).replace(one, "")
    if not system.shows_again:
        for one in system.placeholders:
            later = later.replace(one, "")
    turns = [asked, Turn("assistant", "Fine."), Turn("user", later.lstrip())]
    again = processor.apply_chat_template(told, add_generation_prompt=True)
    expected = "".join(part for part, _ in lay_out(turns, system.template))
    assert again.replace("\n<image>", "<image>") == expected.replace("\n<image>", "<image>")
    processor.save_pretrained(tmp_path / "again")
    kept = AutoProcessor.from_pretrained(tmp_path / "again")
    assert kept.apply_chat_template(told) == again and kept.image_token == processor.image_token


def test_text_and_pictures_make_a_batch(
    processor: FacialProcessor, model: FacialLM, photos: list[Path]
) -> None:
    """A path, a picture and an array; one by one as together; and all of it in one call of the chat template."""
    prompt = processor.apply_chat_template(ASKED, add_generation_prompt=True)
    picture = Image.open(photos[0]).convert("RGB")
    one = processor(text=prompt, images=picture, return_tensors="pt")
    two = processor(text=[prompt, prompt + " So"], images=[[str(photos[0])], np.asarray(picture)])
    assert one["evidence"]["image"].shape == (1, 3, 28, 28)
    assert torch.equal(two["evidence"]["image"], one["evidence"]["image"].repeat(2, 1, 1, 1))
    message = [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]
    whole = processor.apply_chat_template(
        [{"role": "user", "content": message}],
        add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
    )  # fmt: skip
    assert torch.equal(whole["input_ids"], one["input_ids"])
    assert (one["input_ids"] == model.config.image_token_id).sum() == 4
    made = model.generate(**one, max_new_tokens=3, do_sample=False, pad_token_id=0)
    both = model.generate(**two, max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert torch.equal(made[0, -3:], both[0, -3:])
    features = model.get_image_features(one["evidence"]["image"]).pooler_output
    assert features.shape == (1, 4, model.config.text_config.hidden_size)
    assert torch.equal(features, model.model.project("image", one["evidence"]["image"]))


def test_what_cannot_be_shown_is_said(processor: FacialProcessor, photos: list[Path]) -> None:
    prompt = processor.apply_chat_template(ASKED, add_generation_prompt=True)
    with pytest.raises(BadInput, match="1 pictures for text with 0 places"):
        processor(text=QUESTION, images=str(photos[0]))
    with pytest.raises(BadInput, match="a picture without a face"):
        processor(text=prompt, images=Image.new("RGB", (64, 64)))
    assert processor(text=prompt, images=Image.new("RGB", (64, 64)), cropped=True)["evidence"]


@pytest.mark.parametrize(
    "habit",
    [
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
        {"do_sample": True, "top_p": 0.9, "top_k": 5, "repetition_penalty": 0.9},
        {"num_beams": 2, "repetition_penalty": 1.3, "bad_words_ids": [[7]]},
    ],
)
def test_options_that_look_at_the_prompt(
    habit: dict[str, object], processor: FacialProcessor, model: FacialLM, photos: list[Path]
) -> None:
    """Placeholders lie outside the vocabulary, and change no score."""
    prompt = processor.apply_chat_template(ASKED, add_generation_prompt=True)
    batch = processor(text=prompt, images=str(photos[0]))
    torch.manual_seed(0)
    made = model.generate(**batch, max_new_tokens=6, pad_token_id=0, **{"do_sample": False, **habit})
    said = made[0, batch["input_ids"].shape[1] :]
    assert len(said) == 6 and bool(((said >= 0) & (said < model.config.text_config.vocab_size)).all())
    if habit == {"repetition_penalty": 1.3}:
        scores = model(**{k: batch[k] for k in ("input_ids", "attention_mask", "evidence")}).logits[0, -1]
        seen = batch["input_ids"][0].unique()
        seen = seen[seen >= 0]
        scores = scores.clone()
        scores[seen] = torch.where(scores[seen] < 0, scores[seen] * 1.3, scores[seen] / 1.3)
        assert int(scores.argmax()) == int(said[0])


# PEFT 0.21 reads a name that transformers 5 renamed.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize(
    ("name", "stage"), [("expllm", "code-rafdb"), ("emola", "code"), ("au-llava", "paper")]
)
def test_peft_loads_every_weight(name: str, stage: str, tmp_path: Path) -> None:
    system = open_system(name)
    base, out = folder_of(name, tmp_path / "base"), tmp_path / "peft"
    model = FacialLM.from_pretrained(base)
    prepare(model, system.stages[stage])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    trained = save_adapters(model, system.stages[stage], tmp_path / "adapters", {"model": str(base)})
    out.mkdir()
    spoken = export_peft(tmp_path / "adapters", out)
    assert PeftConfig.from_pretrained(out / COMPOSITE).base_model_name_or_path == str(base)
    whole = PeftModel.from_pretrained(FacialLM.from_pretrained(base), out / COMPOSITE)
    kept = get_peft_model_state_dict(whole)
    written = load_file(out / COMPOSITE / "adapter_model.safetensors")
    assert len(written) == len(trained)
    assert all(torch.equal(kept[key], value) for key, value in written.items() if key in kept)
    loaded = whole.get_base_model().state_dict()
    for key, value in model.state_dict().items():
        places = [
            key,
            *(key.replace(f".{leaf}", f".modules_to_save.default.{leaf}") for leaf in ("weight", "bias")),
        ]
        assert any(one in loaded and torch.equal(loaded[one], value) for one in places), key
    decoder = LlamaForCausalLM(model.config.text_config)
    apart = get_peft_model_state_dict(PeftModel.from_pretrained(decoder, out))
    assert sorted(apart) == spoken
    assert all(
        torch.equal(apart[one], value) for one, value in load_file(out / "adapter_model.safetensors").items()
    )
    with pytest.raises(ValueError, match=r"[Tt]arget modules"):
        PeftModel.from_pretrained(FacialLM.from_pretrained(base), out)


def test_colleagues_can_read_what_is_written(place: Path, tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat().st_mode
    with written_whole(tmp_path / "own.bin") as partial:
        partial.touch(0o600)
    files = [tmp_path / "own.bin", *(path for path in place.rglob("*") if path.is_file())]
    assert [path.name for path in files if path.stat().st_mode != usual] == []
