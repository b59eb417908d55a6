"""The processor beside a saved model: found by AutoProcessor, and its batches are the model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedTokenizerFast

from mien.core.errors import BadInput
from mien.core.nouns import CropTransform, Evidence, Face, Turn
from mien.models import expllm
from mien.models.facial_lm import FacialLM
from mien.models.processing import IGNORED
from mien.models.processor import FacialProcessor

ASKED = [Turn("user", expllm.ask("label"))]
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
