"""Damaged folders, faces that are not known, and questions that cannot be answered: every one is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from mien.backends.base import open_reader
from mien.backends.torch import TorchReader, open_torch
from mien.core.errors import BadConfig, BadInput, MissingWeights
from mien.core.nouns import CropTransform, Evidence, Face
from mien.models.au_llava import words as au_llava_words
from mien.models.composite.assemble import open_composite
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import System
from mien.models.registry import open_system

SIDE = 32


def generated(reader: TorchReader, batch: Any, asked: Any, **options: Any) -> list[str]:
    return [one.text for one in reader.answer(batch, asked, "generation", **options)]


def letters(system: System) -> Tokenizer:
    specials = ["<pad>", "<s>", "</s>", "<|endoftext|>"]
    names = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: place for place, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    return tokenizer


def write(folder: Path, name: str, **card: Any) -> Path:
    system = open_system(name)
    torch.manual_seed(0)
    FacialLM(system.configure("tiny")).save_pretrained(folder)
    letters(system).save(str(folder / "tokenizer.json"))
    inputs = {"crop_size": SIDE, "image_size": 28, "face_map": 7}
    about = {"system": name, "scale": "tiny", "inputs": inputs, "generation": {"max_new_tokens": 4}, **card}
    (folder / "mien.json").write_text(json.dumps(about))
    return folder


def face(seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    mesh = SIDE * rng.uniform(0.1, 0.9, (478, 3)).astype(np.float32)
    transform = CropTransform(np.eye(3)[:2], SIDE)
    crop = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return Evidence(Face(np.asarray([0, 0, SIDE, SIDE], np.float32), 1.0, mesh, crop=transform), crop)


@pytest.fixture(scope="module")
def emola(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("emola"), "emola")


def change(state: dict[str, torch.Tensor], folder: Path) -> None:
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def drop(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    change({key: value for key, value in state.items() if "projectors.image" not in key}, folder)


def add(folder: Path) -> None:
    change({**load_file(folder / "model.safetensors"), "model.mask.weight": torch.zeros(2)}, folder)


def another_shape(folder: Path) -> None:
    change({**load_file(folder / "model.safetensors"), "lm_head.weight": torch.zeros(3, 3)}, folder)


def cut(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights left out": (drop, r"without 4 weights of the model, such as model\.projectors\.image\.0\.bias"),
    "weights too many": (add, r"with 1 that it has no place for, such as model\.mask\.weight"),
    "weights of another shape": (another_shape, "weights of another shape"),
    "a cut file": (cut, "which cannot be read"),
    "a broken configuration": (text("config.json", "{"), "config.json, which is no JSON"),
    "another model's": (text("config.json", '{"model_type": "llama"}'), "of model type 'llama'"),
    "a configuration that cannot be": (
        text("config.json", '{"model_type": "mien-facial-lm", "text_config": {"model_type": "zzz"}}'),
        "config.json, which cannot be",
    ),
    "a broken tokenizer": (text("tokenizer.json", "{"), "tokenizer.json, which is no JSON"),
    "no tokenizer": (text("tokenizer.json", "{}"), "without the vocabulary of a model"),
    "a list as description": (text("mien.json", "[]"), "mien.json with a list"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_folder_gives_no_model(emola: Path, tmp_path: Path, case: str) -> None:
    damage, said = DAMAGE[case]
    folder = tmp_path / "model"
    shutil.copytree(emola, folder)
    damage(folder)
    with pytest.raises(MissingWeights, match=said) as caught:
        open_reader(str(folder))
    assert str(caught.value).count(". Expected ") == 1
    if "weights" in case or "configuration" in case:
        with pytest.raises(MissingWeights, match=said):
            open_composite(str(tmp_path))  # as weights.model of a recipe names a run


def test_opening_asking_and_answering_is_silent(emola: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reader = open_torch(str(emola))
    reader.ask(face(), "What is the emotion of this face?")
    generated(reader, [face()], ["And?"], do_sample=False, temperature=0.5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["facephi", "emola", "emo-llama"])
def test_landmarks_that_are_not_known(tmp_path: Path, name: str) -> None:
    reader, good = TorchReader(write(tmp_path, name)), face()
    mesh = np.full((478, 3), np.nan, np.float32)
    with pytest.raises(BadInput, match="landmarks with 1434 values that are not finite"):
        reader.measure([Evidence(replace(good.face, landmarks=mesh), good.crop)])


def test_questions_that_cannot_be(emola: Path) -> None:
    reader = TorchReader(emola)
    with pytest.raises(BadInput, match="a question with <image>. Expected plain words"):
        reader.ask(face(), "What is in <image>?")
    with pytest.raises(BadInput, match="2 faces with 1 questions"):
        generated(reader, [face(), face(1)], ["Who?"])
    with pytest.raises(BadInput, match="1 faces with 2 questions"):
        generated(reader, [face()], ["Who?", "What?"])
    with pytest.raises(BadInput, match="a prompt of"):
        reader.ask(face(), "Is this an emotion? " * 1500)
    with pytest.raises(BadConfig, match="option 'beams'"):
        generated(reader, [face()], ["Who?"], beams=3)


# ---- AU-LLaVA: the question chooses among what the model was trained on


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory) -> TorchReader:
    return TorchReader(write(tmp_path_factory.mktemp("coder"), "au-llava"))


@pytest.mark.parametrize(
    ("question", "labels", "count"),
    [
        ("Give the Action Units as an array of 0 and 1.", "au_presence", 12),
        ("Which Action Units are present?", "au_presence", 12),
        ("Give the level of each Action Unit from 0 to 5.", "au_level", 8),
        ("Give the intensity of each Action Unit as decimals.", "au_intensity", 24),
        ("Is AU12 present?", "au_presence", 1),
        ("What is the level of AU4 and AU 12, 0 to 5?", "au_level", 2),
    ],
)
def test_the_question_chooses_the_form(coder: TorchReader, question: str, labels: str, count: int) -> None:
    answer = coder.ask(face(), question)
    assert answer.status == "answered" and answer.labels is not None
    values = getattr(answer.labels, labels)
    assert len(values) == count == len(answer.text.split(","))
    if count < 8:
        assert set(values) == ({"AU12"} if count == 1 else {"AU04", "AU12"})


def test_picked_values_are_the_array_s() -> None:
    keys = au_llava_words.units("disfa")
    answer = au_llava_words.pick("[0, 1, 2, 3, 4, 5, 0, 1]", "disfa", [keys[5], keys[2]])
    assert answer.text == "[5, 2]" and answer.labels is not None
    assert answer.labels.au_level == {keys[5]: 5, keys[2]: 2}


def test_emotion_and_explanation_follow_from_the_aus(coder: TorchReader) -> None:
    (result,) = coder.measure([face()])
    answer = coder.ask(face(), "What is the emotion of this face?")
    assert (answer.text, answer.scores) == (result.emotion, result.emotions)
    (told,) = coder.explain([face()], [result])
    assert coder.ask(face(), "Explain this expression.").text == told.text


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Who is this?", "no question on Action Units"),
        ("Give the level of each Action Unit from 0 to 5.", "no task with level values"),
        ("Is AU45 present?", "no value for AU45"),
    ],
)
def test_what_it_was_not_trained_on_is_said(tmp_path: Path, question: str, said: str) -> None:
    reader = TorchReader(write(tmp_path, "au-llava", task="bp4d", tasks=["bp4d"]))
    answer = reader.ask(face(), question)
    assert answer.status == "unparsed" and said in answer.reason and answer.text
    with pytest.raises(BadInput, match="a prompt of"):
        reader.ask(face(), "Which Action Units are present? " * 1000)
