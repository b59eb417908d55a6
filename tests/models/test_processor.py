"""The processor beside a saved model: found by AutoProcessor, and its batches are the model's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedTokenizerFast

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import CropTransform, Evidence, Face, Turn
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.processing import IGNORED
from mien.models.composite.processor import FacialProcessor
from mien.models.emola import system as emola
from mien.models.emola import words as emola_words
from mien.models.expllm import system as expllm
from mien.models.expllm import words as expllm_words

ASKED = [Turn("user", expllm_words.ask("label"))]
TAUGHT = [*ASKED, Turn("assistant", "Fear")]


def face() -> Evidence:
    crop = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    transform = CropTransform(np.eye(3)[:2], 32)
    return Evidence(Face(np.asarray([0, 0, 32, 32], np.float32), 1.0, crop=transform), crop)


@pytest.fixture
def processor() -> FacialProcessor:
    names = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: place for place, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    return FacialProcessor(fast, "expllm", "tiny", inputs={"crop_size": 32, "image_size": 28})


def test_saved_beside_the_model_and_found_again(processor: FacialProcessor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    FacialLM(expllm.configure("tiny", len(processor.tokenizer))).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    found = AutoProcessor.from_pretrained(tmp_path)
    assert type(found) is FacialProcessor
    assert (found.system, found.scale, found.inputs) == ("expllm", "tiny", processor.inputs)
    batch, again = processor([ASKED], [face()]), found([ASKED], [face()])
    assert torch.equal(batch["input_ids"], again["input_ids"])
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    made = model.generate(
        input_ids=again["input_ids"], attention_mask=again["attention_mask"], evidence=again["evidence"],
        max_new_tokens=4, do_sample=False, pad_token_id=0,
    )  # fmt: skip
    said = found.batch_decode(made[:, again["input_ids"].shape[1] :], skip_special_tokens=True)
    assert len(said) == 1 and found.read(said[0]).status == "unparsed"


def test_a_batch_learns_its_answers_alone(processor: FacialProcessor) -> None:
    batch = processor([TAUGHT, [*TAUGHT[:1], Turn("assistant", "Happiness")]], [face(), face()], "right")
    assert batch["evidence"]["image"].shape == (2, 3, 28, 28)
    learnt = batch["labels"][0][batch["labels"][0] != IGNORED].tolist()
    assert processor.tokenizer.decode(learnt, skip_special_tokens=True).strip() == "Fear"
    assert processor.read("Fear").labels is not None
    torch.manual_seed(0)
    model = FacialLM(expllm.configure("tiny", len(processor.tokenizer)))
    assert bool(model(**batch).loss.isfinite())


def test_each_dialogue_needs_its_face(processor: FacialProcessor) -> None:
    with pytest.raises(BadInput, match="1 dialogues with 2 faces"):
        processor([ASKED], [face(), face()])


def test_nothing_has_a_default(processor: FacialProcessor) -> None:
    with pytest.raises(
        BadConfig, match="a processor without system, scale, inputs. Expected what the model was"
    ):
        FacialProcessor(processor.tokenizer)
    with pytest.raises(BadConfig, match="without inputs"):
        FacialProcessor(processor.tokenizer, "expllm", "tiny")


def test_the_model_s_own_description_is_read(processor: FacialProcessor, tmp_path: Path) -> None:
    """As `mien models import` and runs write it: no configuration of the processor."""
    config = emola.configure("tiny", len(processor.tokenizer), layout="before")
    config.evidence["prior"]["rows"] = 2  # no scale has this: it has to be read
    FacialLM(config).save_pretrained(tmp_path)
    processor.tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    card = {"system": "emola", "scale": "tiny", "options": {"layout": "before"}, "pad_id": 0}
    (tmp_path / "mien.json").write_text(json.dumps({**card, "inputs": {"image_size": 28}}))
    found = AutoProcessor.from_pretrained(tmp_path)
    assert (found.system, found.scale, found.options) == ("emola", "tiny", {"layout": "before"})
    assert found.inputs["image_size"] == 28 and found.tokenizer.pad_token == "<pad>"
    turns = [Turn("user", emola_words.ask("emotion", layout="before"))]
    mesh = np.full((478, 3), 16.0, np.float32)
    ids = found([turns], [replace(face(), face=replace(face().face, landmarks=mesh))])["input_ids"][0]
    assert (ids == -201).sum() == 2 and (ids == -200).sum() == 4
    (tmp_path / "mien.json").write_text('{"inputs": {}}')
    with pytest.raises(BadConfig, match="without system, scale"):
        AutoProcessor.from_pretrained(tmp_path)


def test_the_usual_idiom(processor: FacialProcessor) -> None:
    """What ``generate`` gives holds the prompt, and in it the places of evidence, which are no words."""
    torch.manual_seed(0)
    model = FacialLM(expllm.configure("tiny", len(processor.tokenizer))).eval()
    made = model.generate(**processor([ASKED], [face()]), max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert (made == -200).any()
    (said,) = processor.batch_decode(made, skip_special_tokens=True)
    assert said.startswith("You are a helpful face analysis assistant. \nImage: \n")
    assert processor.decode(made[0], skip_special_tokens=True) == said
