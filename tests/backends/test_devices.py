"""Where a trained system runs and in which precision; what a machine or a reader does not have is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from mien import Analyzer, load_model
from mien.backends.torch import TorchReader
from mien.core.errors import BadConfig
from mien.core.nouns import CropTransform, Evidence, Face
from mien.models.composite.facial_lm import FacialLM
from mien.models.facephi import system as facephi


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FacePhi, tiny and random."""
    place = tmp_path_factory.mktemp("facephi")
    torch.manual_seed(0)
    model = FacialLM(facephi.configure("tiny"))
    with torch.no_grad():
        model.lm_head.weight.normal_()
    model.save_pretrained(place)
    names = ["<pad>", "<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: index for index, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(names[:2])
    tokenizer.save(str(place / "tokenizer.json"))
    about = {"format": 1, "system": "facephi", "scale": "tiny", "inputs": {"crop_size": 32}}
    (place / "mien.json").write_text(json.dumps(about))
    return place


def chances(reader: TorchReader) -> list[float]:
    mesh = 32.0 * np.random.default_rng(0).uniform(0.1, 0.9, (478, 3)).astype(np.float32)
    crop = CropTransform(np.eye(2, 3), 32)
    face = Face(np.asarray([0, 0, 32, 32], np.float32), 1.0, landmarks=mesh, crop=crop)
    return list(reader.measure([Evidence(face, None)])[0].emotions.values())


def test_precision_is_the_file_s_or_the_one_asked_for(folder: Path) -> None:
    whole, half = TorchReader(folder), Analyzer(folder, precision="bf16").reader
    assert isinstance(half, TorchReader)
    assert {parameter.dtype for parameter in whole.model.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.bfloat16}
    assert chances(half) != chances(whole)
    assert chances(half) == pytest.approx(chances(whole), abs=0.05)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps"])
def test_other_devices_give_the_same_or_are_named(folder: Path, device: str) -> None:
    has = torch.cuda.is_available() if device.startswith("cuda") else torch.backends.mps.is_available()
    if not has:
        with pytest.raises(BadConfig, match=f"device '{device}'.*this torch sees: auto, cpu:0"):
            Analyzer(folder, device=device)
        return
    reader = load_model(folder, device=device)
    assert isinstance(reader, TorchReader) and reader.model.device.type == device.split(":")[0]
    assert chances(reader) == pytest.approx(chances(TorchReader(folder)), abs=1e-3)


def test_what_is_no_device_or_precision_is_named(folder: Path) -> None:
    for device in ("tpu", "cuda:x", "cuda:99", "meta", ""):
        with pytest.raises(BadConfig, match=f"device '{device}'"):
            Analyzer(folder, device=device)
    with pytest.raises(BadConfig, match="precision 'fp8'"):
        load_model(folder, precision="fp8")
    with pytest.raises(BadConfig, match="only trained systems run in another"):
        load_model("pocket", precision="bf16")
    with pytest.raises(BadConfig, match="it stays where it is"):
        Analyzer(TorchReader(folder), device="cuda")
